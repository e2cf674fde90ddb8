"""Parity: rows of the feature table, asked as if they were new, must get the features and replies of the table."""

from __future__ import annotations

import itertools
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from scoreline.app.columns import Category, ColumnType
from scoreline.app.declaration import App
from scoreline.app.moments import moment_of
from scoreline.features.engines.embedded import EmbeddedEngine
from scoreline.features.plan import Plan, make_plan
from scoreline.features.stamp import PARQUET_FILE, check_plan, read_stamp
from scoreline.inference.replay import Replay, is_problem, replay_of
from scoreline.progress import Progress
from scoreline.tables.read import TableFile

AT_ONCE = 200  # records a request
_ALIKE_ROWS = 3  # so many that are off by the same say that all are
Ask = Callable[[Sequence[Mapping[str, Any]], str], Sequence[Mapping[str, Any]]]  # records, query -> replies


@dataclass
class Difference:
    """What differs in one feature or reply field.

    Attributes
    ----------
    rows : in how many rows
    compared : rows where both roads have a value
    kinds : kind of difference -> how many rows
    first : the first of them: key, what the table has, what came live
    """

    rows: int = 0
    compared: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    first: tuple[Any, Any, Any] | None = None
    off_by: Counter[float] = field(default_factory=Counter)

    @property
    def kind(self) -> str:
        """The most frequent kind of difference, as a clause."""
        kind = self.kinds.most_common(1)[0][0]
        if kind == "value" and len(self.off_by) == 1 and self.rows >= max(_ALIKE_ROWS, self.compared // 2):
            return f"shifted, by {next(iter(self.off_by)):+g} in each of them"
        return {"value": "another value: a stale row, or one that came too late or since `feature`"}.get(kind, kind)


@dataclass
class ParityReport:
    """What a replay came to.

    Attributes
    ----------
    differences : feature or reply field -> what differs
    refused : replies that were problems: the first one's detail
    beyond : rows that no client could send, and so were not compared: why the first
    """

    rows: int = 0
    features: int = 0
    differences: dict[str, Difference] = field(default_factory=dict)
    refused: int = 0
    first_refusal: str = ""
    with_value: Counter[str] = field(default_factory=Counter)
    beyond: int = 0
    first_beyond: str = ""

    @property
    def is_good(self) -> bool:
        """Whether rows were compared, all but those that no client could send, and nothing differs."""
        return self.rows > 0 and not self.differences and not self.refused


def run_parity(app: App, data: Path, results: Path, ask: Ask, *, rows: int | None = None) -> ParityReport:
    """Replay rows of the feature table through a server, as if they were new.

    Every feature is compared with the feature table, value by value and type by type, and every field of the reply
    with the reply that the server gives by key; where the app declares its request, what the heads say with the
    reply to their inputs as the table has them.

    Parameters
    ----------
    ask : sends records with a query, and returns their replies
    rows : so many, spread over the table; None: all

    Raises
    ------
    StampError
        There is no feature table, or it is of another `app.py`.
    TableError
        The spine's file can't be read.
    """
    plan, replay = make_plan(app), replay_of(app)
    stamp = read_stamp(results)
    check_plan(stamp, plan, results)
    wanted = stamp.rows if rows is None else min(rows, stamp.rows)
    report = ParityReport(features=len(plan.features))
    with (
        tempfile.TemporaryDirectory(prefix="scoreline-") as work,
        EmbeddedEngine(Path(work), threads=1) as engine,
        Progress("parity", wanted, "rows") as progress,
    ):
        engine.load(TableFile(plan.spine, data), unique_key=True)
        pairs = zip(_table_rows(results), _spine_rows(engine, plan), strict=True)
        for some in _batches(_spread(pairs, stamp.rows, wanted)):
            _compare(plan, replay, some, ask, report)
            progress.advance(len(some))
    for name, found in report.differences.items():
        found.compared = report.with_value[name]
    return report


def parity_lines(report: ParityReport) -> list[str]:
    """Say how many rows were compared, and what differs."""
    lines = [f"parity: {report.rows:,} rows, {report.features} features and every reply field compared"]
    for name, found in report.differences.items():
        assert found.first is not None
        key, table, live = found.first
        lines.append(f"  {name}: {found.rows:,} rows differ: {found.kind}")
        lines.append(f"    the first: {key}: the table has {table!r}, live it is {live!r}")
    if report.refused:
        lines.append(f"  {report.refused:,} rows were not answered; the first: {report.first_refusal}")
    if report.beyond:
        lines.append(
            f"  {report.beyond:,} rows passed over, which no client can ask as new; the first: {report.first_beyond}"
        )
    return [*lines, "  no difference" if report.is_good else "  the live road does not answer as the table does"]


def _compare(plan: Plan, replay: Replay, rows: Sequence[tuple[Any, Any]], ask: Ask, report: ParityReport) -> None:
    live = ask([replay.as_new(row) for _, row in rows], replay.as_new_query)
    known = ask([replay.as_known(table, row) for table, row in rows], replay.as_known_query)
    for (table, row), as_new, as_known in zip(rows, live, known, strict=True):
        shown = ", ".join(f"{name}={row[name]!r}" for name in plan.spine.key)
        if replay.is_beyond(as_new):
            report.beyond += 1
            report.first_beyond = report.first_beyond or f"{shown}: {as_new.get('detail')}"
            continue
        report.rows += 1
        features = replay.features(as_new)
        if features is None or is_problem(as_known):
            report.refused += 1
            why = (as_known if features is not None else as_new).get("detail", "without its features")
            report.first_refusal = report.first_refusal or f"{shown}: {why}"
            continue
        _compare_features(plan, shown, table, features, report)
        for name, expected, got in replay.fields(as_known, as_new):
            if not _same(expected, got):
                _note(report, f"reply field {name}", "value", (shown, expected, got))


def _compare_features(
    plan: Plan, shown: str, table: Mapping[str, Any], live: Mapping[str, Any], report: ParityReport
) -> None:
    for feature in plan.features:
        expected, got = table[feature.name], live.get(feature.name)
        report.with_value[feature.name] += expected is not None and got is not None
        if not _same(expected, got):
            kind = _kind_of(feature.name, feature.type, table, live)
            found = _note(report, feature.name, kind, (shown, expected, got))
            if (distance := _distance(expected, got)) is not None:
                found.off_by[distance] += 1


def _note(report: ParityReport, name: str, kind: str, example: tuple[Any, Any, Any]) -> Difference:
    found = report.differences.setdefault(name, Difference())
    found.rows += 1
    found.kinds[kind] += 1
    found.first = found.first or example
    return found


def _kind_of(name: str, kind: ColumnType, table: Mapping[str, Any], live: Mapping[str, Any]) -> str:
    expected, got = table[name], live.get(name)
    if expected is None:
        return "a null was filled"
    if got is None:
        return "a value became null"
    if type(expected) is not type(got):
        return f"another type: {kind.name} was expected, a {type(got).__name__} came"
    for other in table:
        if other != name and _same(table[other], got) and other in live and _same(live[other], expected):
            return f"swapped with {other}"
    if isinstance(kind, Category) and got not in kind.values and expected in kind.values:
        return f"an unseen category, {got!r}"
    return "value"


def _distance(expected: Any, got: Any) -> float | None:
    """Return how far two numbers, or two times in hours, are apart; None for other values."""
    if isinstance(expected, str) and isinstance(got, str):
        one, other = moment_of(expected), moment_of(got)
        return None if one is None or other is None else (other - one) / 3_600_000_000
    if isinstance(expected, bool) or not isinstance(expected, (int, float)) or not isinstance(got, (int, float)):
        return None
    return got - expected


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


def _table_rows(results: Path) -> Iterator[dict[str, Any]]:
    """Yield the feature table's rows with times as they are written in replies."""
    with pq.ParquetFile(results / PARQUET_FILE) as file:
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                yield {name: _as_written(value) for name, value in row.items()}


def _as_written(value: Any) -> Any:
    return f"{value.isoformat(timespec='microseconds')}Z" if isinstance(value, datetime) else value


def _spine_rows(engine: EmbeddedEngine, plan: Plan) -> Iterator[dict[str, Any]]:
    for batch in engine.spine_rows(plan.spine, list(plan.spine.columns)):
        yield from batch.to_pylist()


def _spread(pairs: Iterator[Any], rows: int, wanted: int) -> Iterator[Any]:
    """Pass so many on, evenly spread."""
    for place, pair in enumerate(pairs):
        if (place + 1) * wanted // max(1, rows) > place * wanted // max(1, rows):
            yield pair


def _batches(pairs: Iterator[Any]) -> Iterator[list[Any]]:
    while some := list(itertools.islice(pairs, AT_ONCE)):
        yield some
