"""The `feature` verb on Spark: the same plan, the same rules for bad rows, and the same results."""

from __future__ import annotations

import contextlib
import hashlib
import random
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from scoreline.app.declaration import App
from scoreline.app.table import TableSpec
from scoreline.distributed.session import take_session
from scoreline.distributed.shipping import ensure_package, send_by_value
from scoreline.distributed.trouble import translated
from scoreline.errors import FeatureError, TableError
from scoreline.features.build import (
    BUILDING_STORE,
    REACHED_FILE,
    REJECTED_FOLDER,
    STORE_FOLDER,
    FeatureReport,
    remove_old_stores,
    stamp_tables,
    write_tables,
)
from scoreline.features.engines.distributed.aside import reached_lines, rejected_lines, unreadable_rows
from scoreline.features.engines.distributed.brought import Brought
from scoreline.features.engines.distributed.columns import PLACE
from scoreline.features.engines.distributed.engine import SparkEngine, SparkLoad
from scoreline.features.engines.distributed.output import FEATURES, REJECTED, Output
from scoreline.features.engines.distributed.source import Location, address_of, find_table, is_address
from scoreline.features.history import History, arrivals
from scoreline.features.plan import Plan, make_plan
from scoreline.features.selfcheck import ROWS, check_features, plain_rows
from scoreline.features.stamp import PARQUET_FILE
from scoreline.files import staged
from scoreline.progress import note
from scoreline.store.merged import Events
from scoreline.tables.reference import refuse_bad_reference
from scoreline.tables.rejected import most_bad_rows, too_many

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_STAMP_FORMAT = 1
_INSTALLED = {"site-packages", "dist-packages"}


@dataclass(frozen=True)
class Tables:
    """Where the tables are and how many bad rows they may have.

    Attributes
    ----------
    source : a folder, or an address such as `s3a://bucket/tables`
    reference_source : the same for reference tables; None: they are with the others
    events : rows that were ingested since, which are folded in; None: there are none
    """

    source: str | Path
    max_bad_percent: float = 1.0
    max_bad_rows: int = 20
    reference_source: str | Path | None = None
    events: Events | None = None


def build_features_in(
    results: Path, app: App, session: SparkSession, tables: Tables, *, history_days: int | None = None
) -> FeatureReport:
    """Build the feature table, the targets and the online store in a folder, as `build_features` does.

    Spark reads, joins and computes; this process writes the files, in bounded memory. The workers must see the
    folder: they are on this machine, or it is shared.

    Raises
    ------
    TableError, FeatureError
        As `build_features`.
    SparkError
        Spark fails.
    """
    plan = make_plan(app)
    with _Build(plan, session, tables) as build, staged(results) as staging:
        work = staging / "work"
        work.mkdir(mode=0o777)
        build.load()
        _write_rejected_here(build, work, results / REJECTED_FOLDER)
        build.refuse_bad_tables(str(results / REJECTED_FOLDER))
        for load in build.loads:
            load.unreadable = unreadable_rows(load)
        brought = Brought(build.session, build.engine, work)
        store = staging / BUILDING_STORE if app.declared_request is None else None
        history = History(plan, brought, build.loads, history_days)
        note("feature: joining on Spark")
        rows = brought.count(plan.spine)
        lines, build.report.states = write_tables(plan, brought.features(plan), rows, staging, store, history)
        build.report.rows = len(lines)
        parquet = staging / PARQUET_FILE
        build.report.checked = check_features(
            plan, brought, parquet, store, lines, since_us=history.since_us, newest=brought.newest_rows
        )
        stamp_tables(plan, history, build.report, staging)
        shutil.rmtree(work)
    remove_old_stores(results / STORE_FOLDER)
    return build.report


def build_features_at(
    address: str, app: App, session: SparkSession, tables: Tables, *, file_format: str = "parquet"
) -> FeatureReport:
    """Build the feature table and the targets at an address, in parts that Spark's workers write.

    Parameters
    ----------
    address : a folder or an address such as `s3a://bucket/features/2026-11-22`, with no build in it
    file_format : `parquet` or `csv`

    Raises
    ------
    TableError, FeatureError
        As `build_features`; FeatureError also where a build is at the address already.
    SparkError
        Spark fails.
    """
    plan = make_plan(app)
    with _Build(plan, session, tables) as build:
        output = Output(build.session, address_of(build.session, address), file_format)
        output.refuse_finished()
        build.load()
        reached = []
        for load in build.loads:
            output.write_lines(rejected_lines(load), f"{REJECTED}/{load.spec.name}.jsonl")
            if (lines := build.reached(load)) is not None:
                reached.append(lines)
        if reached:
            together = reached[0]
            for more in reached[1:]:
                together = together.unionByName(more)
            output.write_lines(together, f"{REJECTED}/{REACHED_FILE}")
        build.refuse_bad_tables(f"{output.address}/{REJECTED}")
        note("feature: joining on Spark")
        build.report.rows = output.write_features(plan, build.engine)
        if file_format == "parquet":
            build.report.checked = _check_output(plan, build, output)
        build.report.digest = hashlib.sha256(f"{plan.digest} {output.address}".encode()).hexdigest()
        output.write_stamp(_stamp(plan, build.report, file_format))
    return build.report


class _Build:
    """The steps that both ways share. A context manager."""

    def __init__(self, plan: Plan, session: SparkSession, tables: Tables) -> None:
        self.plan, self.session, self._tables = plan, take_session(session), tables
        self._stack = contextlib.ExitStack()
        self.report = FeatureReport([])

    def __enter__(self) -> _Build:
        for folder in _folders_of(self.plan):
            send_by_value(folder)
        ensure_package(self.session)
        self.engine = self._stack.enter_context(SparkEngine(self.session))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def loads(self) -> list[SparkLoad]:
        """What was read, in the plan's order."""
        return list(self.engine.loads.values())

    def load(self) -> None:
        """Read all tables; their places are looked up before any row is read."""
        places = {spec.name: find_table(self.session, spec, self._source(spec)) for spec in self.plan.tables}
        upto = 0 if self._tables.events is None else self._tables.events.last
        for spec in self.plan.tables:
            self._load(spec, places[spec.name], upto)
        self.report.loads, self.report.events = self.loads, upto

    def _load(self, spec: TableSpec, place: Location, upto: int) -> None:
        note(f"feature: reading {place.name} on Spark")
        load = self.engine.load(spec, place, unique_key=spec is self.plan.spine or spec.time is None)
        if spec.reference is not None:
            here = not is_address(str(self._source(spec)))
            path = Path(place.address.removeprefix("file://")) if here else Path(place.name).with_suffix("")
            refuse_bad_reference(spec, path, load.rows_read, unreadable_rows(load, most=1000))
        if self._tables.events is not None and any(join.table is spec for join in self.plan.kept):
            self.engine.add(spec, arrivals(spec, self._tables.events, upto))

    def _source(self, spec: TableSpec) -> str | Path:
        if spec.reference is not None and self._tables.reference_source is not None:
            return self._tables.reference_source
        return self._tables.source

    def reached(self, load: SparkLoad) -> Any:
        """Count the spine rows that a table's rows set aside would have reached; return the lines to write of them."""
        join = next((join for join in self.plan.joins if join.table is load.spec), None)
        if join is None or load.spec.reference is not None:
            return None
        self.report.unplaced[load.spec.name] = load.unplaced
        self.report.reached[load.spec.name] = 0
        if load.unreadable_rows == load.unplaced:
            return None
        rows = self.engine.reached(self.plan, join)
        with translated("looking for rows that those set aside would have reached"):
            counts = rows.agg(F.count_distinct(PLACE), F.count(F.lit(1))).collect()[0]
        self.report.reached[load.spec.name] = counts[0]
        return reached_lines(load, rows, self.plan.spine.key, counts[1]) if counts[1] else None

    def refuse_bad_tables(self, where: str) -> None:
        """Raise TableError where a table has more unreadable rows than allowed."""
        errors = []
        for load in self.loads:
            allowed = most_bad_rows(load.rows_read, self._tables.max_bad_percent, self._tables.max_bad_rows)
            if load.unreadable_rows > allowed:
                first, file = unreadable_rows(load, most=1)[0], f"{where}/{load.spec.name}.jsonl"
                bad = load.unreadable_rows
                errors.append(too_many(load.spec.name, load.file.name, load.rows_read, bad, first, allowed, file))
        if errors:
            raise TableError("\n".join(str(error) for error in errors))


def _folders_of(plan: Plan) -> set[Path]:
    """Return the folders of the files that the feature functions are from; what is installed, the workers have too."""
    folders = set()
    for feature in plan.functions:
        function: Any = feature.source
        while hasattr(function, "func"):  # functools.partial
            function = function.func
        name = getattr(function, "__module__", "")
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is not None and name.partition(".")[0] != "scoreline" and not _INSTALLED & set(Path(file).parts):
            folders.add(Path(file).parent)
    return folders


def _write_rejected_here(build: _Build, work: Path, folder: Path) -> None:
    """Write `rejected/<table>.jsonl` and `reached.jsonl`, one file each, from the parts that Spark writes."""
    folder.mkdir(parents=True, exist_ok=True)
    reached = work / REACHED_FILE
    for load in build.loads:
        name = f"{load.spec.name}.jsonl"
        (folder / name).unlink(missing_ok=True)
        if load.set_aside:
            _gather(rejected_lines(load), work / name)
            (work / name).replace(folder / name)
        if (lines := build.reached(load)) is not None:
            _gather(lines, reached)
    (folder / REACHED_FILE).unlink(missing_ok=True)
    if reached.exists() and reached.stat().st_size:
        reached.replace(folder / REACHED_FILE)


def _gather(lines: Any, into: Path) -> None:
    """Append the parts of a frame of lines to one file, in their order."""
    parts = into.with_suffix(".parts")
    with translated(f"writing {into.name}"):
        lines.write.text(f"file://{parts.resolve()}")
    with into.open("ab") as file:
        for part in sorted(parts.glob("part-*")):
            with part.open("rb") as source:
                shutil.copyfileobj(source, file)
    shutil.rmtree(parts)


def _check_output(plan: Plan, build: _Build, output: Output) -> int:
    """Compare random rows of what was written with what they come to another way; return how many."""
    with translated("checking the feature table"):
        written = output.read_features()
        if (rows := written.count()) != build.report.rows:
            raise FeatureError(f"{output.address}/{FEATURES}: has {rows:,} rows, expected {build.report.rows:,}")
        spine = build.engine.loads[plan.spine.name]
        share = min(1.0, 20 * ROWS / max(build.report.rows, 1))
        some = spine.good.select(PLACE).sample(fraction=share, seed=0).limit(5 * ROWS).collect()
    places = sorted(row[0] for row in random.Random(0).sample(some, min(ROWS, len(some))))  # noqa: S311 (a sample)
    brought = Brought(build.session, build.engine, Path())
    expected = plain_rows(plan, brought, places, brought.newest_rows) if places else []
    keys = build.session.createDataFrame([tuple(row[n] for n in plan.spine.key) for row in expected], _key_schema(plan))
    with translated("checking the feature table"):
        found = written.join(F.broadcast(keys), list(plan.spine.key), "left_semi").toArrow().to_pylist()
    by_key = {tuple(row[name] for name in plan.spine.key): row for row in found}
    for row in expected:
        got = by_key.get(tuple(row[name] for name in plan.spine.key), {})
        for name, value in row.items():
            if got.get(name) != value:
                raise FeatureError(
                    f"{output.address}/{FEATURES}: failed its own check: '{name}' of "
                    f"{tuple(row[n] for n in plan.spine.key)} is {got.get(name)!r}, another way gives {value!r}. "
                    "There is no stamp: don't use it."
                )
    return len(expected)


def _key_schema(plan: Plan) -> Any:
    from scoreline.features.engines.distributed.columns import schema, written_type

    return schema((name, written_type(plan.spine.columns[name])) for name in plan.spine.key)


def _stamp(plan: Plan, report: FeatureReport, file_format: str) -> dict[str, Any]:
    return {
        "format": _STAMP_FORMAT,
        "files": file_format,
        "plan": plan.digest,
        "rows": report.rows,
        "columns": {name: kind.describe() for name, kind in plan.columns.items()},
        "targets": list(plan.targets),
        "events": report.events,
        "tables": {
            load.spec.name: {"file": load.file.name, "rows_read": load.rows_read, "set_aside": load.set_aside}
            for load in report.loads
        },
    }
