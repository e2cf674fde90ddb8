"""The plan as Spark DataFrames: tables read once and kept, joined, and functions applied, all on the workers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import Column as Expression
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from scoreline.app.columns import Category
from scoreline.app.features import Feature, Latest, Lookup
from scoreline.app.moments import now_us
from scoreline.app.table import Column, TableSpec
from scoreline.distributed.trouble import translated
from scoreline.features.engines.distributed import asof
from scoreline.features.engines.distributed.asof import HOT_ROWS
from scoreline.features.engines.distributed.blocks import Blocks
from scoreline.features.engines.distributed.columns import PLACE, WHY, held, own
from scoreline.features.engines.distributed.reading import read_table
from scoreline.features.engines.distributed.source import Location
from scoreline.features.plan import Join, Plan
from scoreline.tables.read import LINE
from scoreline.tables.rejected import Rejected

_UNKNOWN_SHOWN = 1000  # values outside a category's list, the most frequent first
_FIRST = "__first"


@dataclass
class SparkLoad:
    """What reading one table came to; see `TableLoad`, whose rows set aside are in memory. Here they are in `aside`.

    Attributes
    ----------
    good : the rows, by place of their columns
    aside : the rows that could not be read
    doubles : rows whose key was there before, with the place of the first
    rows : how many are good, with those that were ingested
    unreadable : the rows that could not be read, once they are brought here
    """

    spec: TableSpec
    file: Path
    blocks: Blocks
    good: DataFrame
    aside: DataFrame
    doubles: DataFrame | None = None
    rows_read: int = 0
    unreadable_rows: int = 0
    double_rows: int = 0
    unplaced: int = 0
    newest_us: int | None = None
    rows: int = 0
    ingested: int = 0
    unknown: dict[str, dict[str, int]] = field(default_factory=dict)
    unreadable: list[Rejected] = field(default_factory=list)

    @property
    def set_aside(self) -> int:
        """How many rows are set aside, duplicates among them."""
        return self.unreadable_rows + self.double_rows

    @property
    def files(self) -> dict[str, int]:
        """Each file -> the place of the line before its first."""
        return {file.name: file.start for file in self.blocks.files}

    def column(self, name: str) -> Expression:
        """Return a column of the table's frames by its declared name."""
        return F.col(own(list(self.spec.columns).index(name)))

    @property
    def keys(self) -> list[Expression]:
        """The key's columns."""
        return [self.column(name) for name in self.spec.key]


class SparkEngine:
    """Spark over tables read once. A context manager: what it keeps on the cluster is let go at its end.

    Parameters
    ----------
    hot_rows : a key with so many rows of the spine and of a table together is cut into spans of time
    """

    def __init__(self, session: SparkSession, *, hot_rows: int | None = None) -> None:
        self._session, self._hot_rows = session, HOT_ROWS if hot_rows is None else hot_rows
        # Rows are told by their number in a block, so blocks must be cut alike each time, whoever comes or goes.
        parts = session.conf.get("spark.sql.shuffle.partitions") or "200"
        session.conf.set("spark.sql.files.minPartitionNum", parts)
        self._kept: list[DataFrame] = []
        self._spans: dict[str, asof.Spans | None] = {}
        self.loads: dict[str, SparkLoad] = {}

    def __enter__(self) -> SparkEngine:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and not issubclass(kind, Exception):
            return  # a signal, after which Java can't be asked: see `stopped_after`
        for frame in self._kept:
            frame.unpersist()

    def load(self, spec: TableSpec, where: Location, *, unique_key: bool) -> SparkLoad:
        """Read a table and count it.

        Parameters
        ----------
        unique_key : of rows with one key the first stays and the others are set aside
        """
        frame, blocks = read_table(self._session, spec, where)
        frame = self.keep(frame)
        good, aside = frame.where(F.col(WHY).isNull()).drop("column", WHY), frame.where(F.col(WHY).isNotNull())
        load = SparkLoad(spec, Path(where.name), blocks, good, aside)
        self._count(load, frame)
        if unique_key:
            self._set_doubles_aside(load)
        for name, kind in spec.columns.items():
            if isinstance(kind, Category) and (unknown := self._unknown(load, name, kind)):
                load.unknown[name] = unknown
        self.loads[spec.name] = load
        return load

    def add(self, spec: TableSpec, batches: Iterator[pa.Table]) -> int:
        """Add rows behind those of a table's files; in a table without time each replaces the row of its key."""
        load = self.loads[spec.name]
        added = 0
        for batch in batches:
            added += batch.num_rows
            arrays = {own(i): held(batch.column(name)) for i, name in enumerate(spec.columns)}
            arrays[PLACE] = held(batch.column(LINE))
            load.good = load.good.unionByName(self._session.createDataFrame(pa.table(arrays)))
        if added and spec.time is None:
            row = F.struct(*load.good.columns)
            last = load.good.groupBy(*load.keys).agg(F.max_by(row, PLACE).alias("row"))
            load.good = self.keep(last.select("row.*"))
        if added:
            newest = self._newest(load) if spec.time else F.lit(None)
            load.rows, load.newest_us = load.good.agg(F.count(F.lit(1)), newest).collect()[0]
        load.ingested = added
        return added

    def joined(self, plan: Plan) -> DataFrame:
        """Run the plan's joins: the spine's columns by place, `PLACE`, and a struct `v0`, `v1`, ... for each join."""
        spine = self.loads[plan.spine.name]
        frame = spine.good
        for index, join in enumerate(plan.joins):
            frame = self._join(plan, frame, join, index)
        return frame

    def source_of(self, plan: Plan, name: str) -> Expression:
        """Return where `joined` has a spine column or a feature that is no function; a feature hides a column."""
        feature = next((f for f in plan.features if f.name == name and not f.is_function), None)
        if feature is None:
            return self.loads[plan.spine.name].column(name)
        return self._feature(plan, feature)

    def spans(self, plan: Plan, join: Join) -> asof.Spans | None:
        """Find where the hot keys of a join with events are cut; looked for once.

        The sample is taken from the spine as it was read: after other joins it would run them twice.
        """
        if join.table.name not in self._spans:
            spine = self.loads[plan.spine.name]
            keys, time = [self._key(plan, part) for part in join.table.key], spine.column(plan.spine.time or "")
            rows = asof.Side(spine.good, keys, time, F.col(PLACE), spine.rows)
            self._spans[join.table.name] = asof.find_spans(rows, self._events(join), self._hot_rows)
        return self._spans[join.table.name]

    def states(self, join: Join, since_us: int | None) -> DataFrame:
        """Return a joined table's rows as the online store keeps them: key, what is taken, time, place.

        Parameters
        ----------
        since_us : keep what happened after this moment, and of each key the newest row at or before it; None: all
        """
        from scoreline.store.states import UNTIMED_US

        load = self.loads[join.table.name]
        time = F.lit(UNTIMED_US).cast("long") if join.table.time is None else load.column(join.table.time)
        good = load.good
        if join.table.time is not None and since_us is not None:
            row = F.struct(*good.columns)
            before = good.where(time <= since_us).groupBy(*load.keys)
            kept = before.agg(F.max_by(row, F.struct(time, PLACE)).alias("row")).select("row.*")
            good = good.where(time > since_us).unionByName(kept)
        names = [*join.table.key, *join.taken]
        return good.select(*(load.column(n).alias(f"n{i}") for i, n in enumerate(names)), time.alias("time"), PLACE)

    def _join(self, plan: Plan, frame: DataFrame, join: Join, index: int) -> DataFrame:
        load, spine = self.loads[join.table.name], self.loads[plan.spine.name]
        into = f"v{index}"
        taken = F.struct(*(load.column(name).alias(f"f{i}") for i, name in enumerate(join.taken)))
        keys = [self._key(plan, part) for part in join.table.key]
        if join.table.time is None:
            names = [f"__key{part}" for part in range(len(keys))]
            others = load.good.select(*(k.alias(n) for n, k in zip(names, load.keys, strict=True)), taken.alias(into))
            left = frame.withColumns(dict(zip(names, keys, strict=True)))
            return left.join(others, names, "left").drop(*names)
        rows = asof.Side(frame, keys, spine.column(plan.spine.time or ""), F.col(PLACE), spine.rows)
        return asof.join_as_of(rows, self._events(join), taken, into, self.spans(plan, join))

    def _events(self, join: Join) -> asof.Side:
        load = self.loads[join.table.name]
        return asof.Side(load.good, load.keys, load.column(join.table.time or ""), F.col(PLACE), load.rows)

    def _key(self, plan: Plan, part: str) -> Expression:
        if part in plan.spine.columns:
            return self.loads[plan.spine.name].column(part)
        return self._feature(plan, next(feature for feature in plan.features if feature.name == part))

    def _feature(self, plan: Plan, feature: Feature) -> Expression:
        if isinstance(feature.source, Column):
            return self.loads[plan.spine.name].column(feature.source.name)
        assert isinstance(feature.source, (Latest, Lookup))
        column = feature.source.column
        index, join = next((i, j) for i, j in enumerate(plan.joins) if j.table.name == column.table.spec.name)
        return F.col(f"v{index}")[f"f{join.taken.index(column.name)}"]

    def keep(self, frame: DataFrame) -> DataFrame:
        """Keep a frame on the workers until the engine is left.

        As objects: serialized it is in arrays of 1 MB and a head, which take 2 MB each of a small heap.
        """
        kept = frame.persist(StorageLevel.MEMORY_AND_DISK_DESER)
        self._kept.append(kept)
        return kept

    def _newest(self, load: SparkLoad, of: Expression | None = None) -> Expression:
        time = load.column(load.spec.time or "")
        is_past = time <= F.lit(now_us())
        return F.max(F.when(is_past if of is None else of & is_past, time))

    def _count(self, load: SparkLoad, frame: DataFrame) -> None:
        bad = F.col(WHY).isNotNull()
        no_key = bad & load.keys[0].isNull()  # of a key that can't be read no part is kept
        counts = [F.count(F.lit(1)), F.count_if(bad), F.count_if(no_key)]
        if load.spec.time is not None:
            counts.append(self._newest(load, ~bad))
        with translated(f"reading table '{load.spec.name}'"):
            load.rows_read, load.unreadable_rows, load.unplaced, *newest = frame.agg(*counts).collect()[0]
        load.newest_us = newest[0] if newest else None
        load.rows = load.rows_read - load.unreadable_rows

    def _set_doubles_aside(self, load: SparkLoad) -> None:
        good, names = load.good, [f"__k{part}" for part in range(len(load.keys))]
        keyed = good.withColumns(dict(zip(names, load.keys, strict=True)))
        many = keyed.groupBy(*names).agg(F.count(F.lit(1)).alias("__n"), F.min(PLACE).alias(_FIRST))
        many = self.keep(many.where(F.col("__n") > 1))
        with translated(f"looking for keys of table '{load.spec.name}' that come twice"):
            doubles: Any = many.agg(F.sum(F.col("__n") - 1)).collect()[0][0]
        if not doubles:
            return
        marked = keyed.join(many.drop("__n"), names, "left").drop(*names)
        is_first = F.col(_FIRST).isNull() | (F.col(_FIRST) == F.col(PLACE))
        load.double_rows = doubles
        load.rows -= doubles
        load.doubles = marked.where(~is_first)
        load.good = self.keep(marked.where(is_first).drop(_FIRST))

    def _unknown(self, load: SparkLoad, name: str, kind: Category) -> dict[str, int]:
        value = load.column(name)
        counted = load.good.where(~value.isin(*kind.values)).groupBy(value.alias("value")).count()
        with translated(f"counting values of table '{load.spec.name}'"):
            rows = counted.orderBy(F.desc("count"), "value").limit(_UNKNOWN_SHOWN).collect()
        return {row["value"]: row["count"] for row in rows}
