"""The `inference` verb: every good row of the spine's file, in its order, through a server."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from scoreline.app.declaration import App, SummaryCount
from scoreline.app.reply import Decision, Reason
from scoreline.app.table import TableSpec
from scoreline.errors import InferenceError
from scoreline.features.arrays import to_array
from scoreline.features.engines.embedded import EmbeddedEngine
from scoreline.features.stamp import feature_table_of
from scoreline.inference.client import Client, Reply
from scoreline.progress import Progress
from scoreline.tables.read import TableFile
from scoreline.tables.typed import arrow_type

RESULTS_FILE = "results.json"
_WINDOW = 4  # requests waiting for each one in flight, so that results can be written in order
_COUNT_ROWS = 10_000
_TAKEN_ON_WITHIN_S = 5.0  # a server that polls each second has new features by then


@dataclass
class InferenceReport:
    """What an `inference` run came to.

    Attributes
    ----------
    decisions : reply field with a decision -> decision -> how many
    counts : label of each of the app's summary lines -> how many
    uncounted : label of a summary line whose function failed -> how
    """

    path: Path
    records: int = 0
    errors: int = 0
    set_aside: int = 0
    seconds: float = 0.0
    first_error: str = ""
    decisions: dict[str, Counter[str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    uncounted: dict[str, str] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return (self.records - self.errors) / self.seconds if self.seconds else 0.0


def run_inference(
    app: App,
    data: Path,
    results: Path,
    *,
    url: str,
    concurrency: int,
    timeout_s: float,
    say: Callable[[str], None] = lambda line: None,
) -> InferenceReport:
    """Score every good row of the spine's file, or of the declared request's, in the order of the file.

    Writes `results/results.json`, one JSON line a row. A record that could not be scored is a line
    with its key and an `error`. The file is put in place at the end, whole. A server that looks for new features by
    itself gets some seconds to take on those of `results`; what it answers from others is told by `say`.

    Raises
    ------
    TableError
        The spine's file can't be read.
    InferenceError
        No server answers at `url`.
    """
    file = TableFile(_sent(app), data)
    client = Client(url, concurrency, timeout_s)
    client.wait_for_server()
    if not _same_features(client, results):
        say(
            f"inference: {url} answers from another feature table than {results} holds: run `scoreline refresh` where "
            "it is served, or start it again"
        )
    results.mkdir(parents=True, exist_ok=True)
    report = InferenceReport(results / RESULTS_FILE)
    with tempfile.TemporaryDirectory(prefix="scoreline-") as work, EmbeddedEngine(Path(work), threads=1) as engine:
        load = engine.load(file, unique_key=True)
        report.set_aside = len(load.rejected)
        started = time.monotonic()
        _score_all(app, engine, client, report, concurrency)
        report.seconds = time.monotonic() - started
    return report


def requests_of(app: App, data: Path, wanted: str) -> list[dict[str, Any]]:
    """Return the records of a declared request's file whose first key column is this.

    Raises
    ------
    TableError
        The file can't be read.
    InferenceError
        There is no such record.
    """
    spec = _sent(app)
    with tempfile.TemporaryDirectory(prefix="scoreline-") as work, EmbeddedEngine(Path(work), threads=1) as engine:
        engine.load(TableFile(spec, data), unique_key=True)
        rows = [row for row in _rows(app, engine) if str(row[spec.key[0]]) == wanted]
    if not rows:
        raise InferenceError(f"no row of table {spec.name} has {spec.key[0]}={wanted!r}; give a record with --record")
    return [{name: row[name] for name in _fields(app)} for row in rows]


def _same_features(client: Client, results: Path) -> bool:
    """Whether the server answers from the feature table that is here, or there is none to compare."""
    here = feature_table_of(results)
    until = time.monotonic() + _TAKEN_ON_WITHIN_S
    while here is not None and (there := client.served_features()) is not None and there != here:
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def _score_all(app: App, engine: EmbeddedEngine, client: Client, report: InferenceReport, concurrency: int) -> None:
    counter = _Counter(app, report)
    handle, name = tempfile.mkstemp(dir=report.path.parent, prefix=f".{RESULTS_FILE}.")
    try:
        with (
            os.fdopen(handle, "wb") as out,
            _threads(concurrency) as pool,
            Progress("inference", engine.count(_sent(app)), "records") as progress,
        ):
            for row, reply in _in_order(pool, client, _fields(app), _rows(app, engine), concurrency):
                out.write(_line(app, row, reply) + b"\n")
                counter.add(row, reply)
                progress.advance()
        counter.finish()
        os.chmod(name, 0o644)
        os.replace(name, report.path)
    except OSError as error:
        raise InferenceError(f"{report.path}: can't be written ({error.strerror})") from error
    finally:
        Path(name).unlink(missing_ok=True)


def _sent(app: App) -> TableSpec:
    """Return the table whose rows are sent: the declared request's, else the spine."""
    request = app.declared_request
    return app.spine.spec if request is None else request.table.spec


def _fields(app: App) -> tuple[str, ...]:
    """Return the columns that a record has: all of a declared request, else the key alone."""
    spec = _sent(app)
    return spec.key if app.declared_request is None else tuple(spec.columns)


@contextlib.contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Give a pool of threads, and at the end don't wait: after Ctrl-C a server may hold each for a long time."""
    pool = ThreadPoolExecutor(count)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _rows(app: App, engine: EmbeddedEngine) -> Iterator[dict[str, Any]]:
    """Yield what is sent, and whatever else of its table the app's summary lines need."""
    spec, fields = _sent(app), _fields(app)
    needed = {argument for count in app.summaries for argument in count.arguments}
    columns = [name for name in spec.columns if name in fields or name in needed]
    for batch in engine.spine_rows(spec, columns):
        yield from batch.to_pylist()


def _in_order(
    pool: ThreadPoolExecutor, client: Client, fields: Sequence[str], rows: Iterator[dict[str, Any]], concurrency: int
) -> Iterator[tuple[dict[str, Any], Reply]]:
    """Keep several requests in flight; yield their replies in the order of the rows."""
    waiting: deque[tuple[dict[str, Any], Future[Reply]]] = deque()
    for row in rows:
        waiting.append((row, pool.submit(client.post, {name: row[name] for name in fields})))
        if len(waiting) >= concurrency * _WINDOW:
            first, future = waiting.popleft()
            yield first, future.result()
    for first, future in waiting:
        yield first, future.result()


def _line(app: App, row: dict[str, Any], reply: Reply) -> bytes:
    if reply.reply is not None:
        return msgspec.json.encode(reply.reply)
    return msgspec.json.encode({**{name: row[name] for name in _sent(app).key}, "error": reply.error})


class _Counter:
    """Counts decisions and the app's summary lines as replies come, some thousands at a time."""

    def __init__(self, app: App, report: InferenceReport) -> None:
        self._app, self._report = app, report
        fields = app.reply_fields
        self._decisions = [name for name, kind in fields.items() if isinstance(kind, Decision)]
        self._reasons = [name for name, kind in fields.items() if isinstance(kind, Reason)]
        self._needed = {argument for count in app.summaries for argument in count.arguments}
        report.decisions = {name: Counter() for name in self._decisions}
        report.counts = {count.label: 0 for count in app.summaries}
        self._rows: list[dict[str, Any]] = []

    def add(self, row: dict[str, Any], reply: Reply) -> None:
        self._report.records += 1
        if reply.reply is None:
            self._report.errors += 1
            self._report.first_error = self._report.first_error or str((reply.error or {}).get("detail"))
            return
        for name in self._decisions:
            self._report.decisions[name][str(reply.reply.get(name))] += 1
        reasons = {k: v for name in self._reasons for k, v in (reply.reply.get(name) or {}).items()}
        known = {**reasons, **row, **reply.reply}
        self._rows.append({name: known.get(name) for name in self._needed})  # not the lists: they may be long
        if len(self._rows) >= _COUNT_ROWS:
            self.finish()

    def finish(self) -> None:
        for count in self._app.summaries:
            if self._rows and count.label not in self._report.uncounted:
                self._count(count)
        self._rows = []

    def _count(self, count: SummaryCount) -> None:
        """Add to a summary line; a function that fails costs its own line, never the results."""
        try:
            marked = count.function(**{name: self._array(name) for name in count.arguments})
            if not isinstance(marked, np.ndarray) or marked.dtype != bool or marked.shape != (len(self._rows),):
                raise TypeError("expected an array of bool, one for each reply")
            self._report.counts[count.label] += int(marked.sum())
        except Exception as error:  # whatever the user's own function raises
            self._report.counts.pop(count.label, None)
            self._report.uncounted[count.label] = f"{type(error).__name__}: {error}"

    def _array(self, name: str) -> np.ndarray[Any, Any]:
        values = [row.get(name) for row in self._rows]
        kind = _sent(self._app).columns.get(name) or self._app.feature_types.get(name)
        if kind is not None and name not in self._app.reply_fields:
            return to_array(pa.array(values, arrow_type(kind)), kind)
        if all(value is None or isinstance(value, (int, float)) for value in values):
            return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        return np.array(values, dtype=object)
