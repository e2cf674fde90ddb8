"""The steps of a build on Spark that both ways of writing share: reading, rows set aside, what is refused."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from scoreline.app.table import TableSpec
from scoreline.distributed.addresses import is_address
from scoreline.distributed.session import take_session
from scoreline.distributed.shipping import ensure_package, send_by_value
from scoreline.distributed.trouble import translated
from scoreline.errors import TableError
from scoreline.features.build import FeatureReport
from scoreline.features.engines.distributed.aside import reached_lines, unreadable_rows
from scoreline.features.engines.distributed.columns import PLACE
from scoreline.features.engines.distributed.engine import SparkEngine, SparkLoad
from scoreline.features.engines.distributed.reached import find_reached
from scoreline.features.engines.distributed.source import Location, find_table
from scoreline.features.history import arrivals
from scoreline.features.plan import Plan
from scoreline.progress import note
from scoreline.store.merged import Events
from scoreline.tables.reference import refuse_bad_reference
from scoreline.tables.rejected import most_bad_rows, too_many

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


class Build:
    """The steps that both ways share. A context manager."""

    def __init__(self, plan: Plan, session: SparkSession, tables: Tables) -> None:
        self.plan, self.session, self._tables = plan, take_session(session), tables
        self._stack = contextlib.ExitStack()
        self.report = FeatureReport([])

    def __enter__(self) -> Build:
        for folder in _folders_of(self.plan):
            send_by_value(folder)
        ensure_package(self.session)
        self.engine = self._stack.enter_context(SparkEngine(self.session))
        return self

    def __exit__(self, *raised: Any) -> None:
        self._stack.__exit__(*raised)

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

    def reached(self, load: SparkLoad) -> DataFrame | None:
        """Count the spine rows that a table's rows set aside would have reached; return the lines to write of them."""
        join = next((join for join in self.plan.joins if join.table is load.spec), None)
        if join is None or load.spec.reference is not None:
            return None
        self.report.unplaced[load.spec.name] = load.unplaced
        self.report.reached[load.spec.name] = 0
        if load.unreadable_rows == load.unplaced:
            return None
        rows = find_reached(self.engine, self.plan, join)
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
