"""What Spark made, brought to this machine in batches by way of files: never whole, whatever its size."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from scoreline.app.table import TableSpec
from scoreline.distributed.trouble import translated
from scoreline.errors import FeatureError
from scoreline.features.engines.distributed.columns import PLACE, held, own, record_batch, typed
from scoreline.features.engines.distributed.engine import SparkEngine, SparkLoad
from scoreline.features.engines.distributed.functions import beside_features, feature_frame
from scoreline.features.engines.interface import Engine
from scoreline.features.plan import Join, Plan
from scoreline.features.written import feature_schema
from scoreline.tables.read import LINE
from scoreline.tables.typed import arrow_type

_BATCH_ROWS = 1 << 17
_UNTIL, _SLOT, _NEWEST = "__until", "__slot", "__newest"


class Brought:
    """The engine of the last steps, over a `SparkEngine`; see `Engine`.

    Parameters
    ----------
    work : a folder that the workers and this process both see
    """

    def __init__(self, session: SparkSession, engine: SparkEngine, work: Path) -> None:
        self._session, self._engine, self._work = session, engine, work
        self._numbers = itertools.count()

    def features(self, plan: Plan) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
        """Yield what stands beside the feature table (`beside_features`, `LINE`), and its columns, in its order."""
        schema, rows = feature_schema(plan), 0
        for batch in self._stream(feature_frame(plan, self._engine), "computing the features"):
            rows += batch.num_rows
            columns = [batch.column(f"f{i}") for i in range(len(schema))]
            beside = {name: batch.column(f"t{i}") for i, name in enumerate(beside_features(plan))}
            yield record_batch({**beside, LINE: batch.column(PLACE)}), pa.record_batch(columns, schema=schema)
        expected = self.count(plan.spine)
        if rows != expected:
            raise FeatureError(
                f"{rows:,} of {expected:,} rows of features arrived in {self._work}. Do the workers see that folder? "
                "Results in a folder need one that all machines share; name an address with --output otherwise."
            )

    def count(self, spec: TableSpec) -> int:
        """Return how many good rows a table has."""
        return self._engine.loads[spec.name].rows

    def newest(self, spec: TableSpec, until_us: int) -> int | None:
        """Return the newest event time of a table in microseconds, by the moment at which it was read."""
        return self._engine.loads[spec.name].newest_us

    def states(self, join: Join, since_us: int | None) -> Iterator[pa.RecordBatch]:
        """Yield a joined table's rows as the online store keeps them."""
        kinds = [join.table.columns[name] for name in (*join.table.key, *join.taken)]
        frame = self._engine.states(join, since_us)
        for batch in self._stream(frame, f"writing rows of table '{join.table.name}'"):
            arrays = {f"__{i}": typed(batch.column(i), kind) for i, kind in enumerate(kinds)}
            yield record_batch({**arrays, "__time": batch.column("time"), LINE: batch.column(PLACE)})

    def rows_at(self, spec: TableSpec, lines: Sequence[int]) -> list[dict[str, Any]]:
        """Return the rows at some places, in order."""
        load = self._engine.loads[spec.name]
        wanted = self._session.createDataFrame(pa.table({PLACE: pa.array(lines, pa.int64())}))
        return self._named(load, load.good.join(F.broadcast(wanted), PLACE, "left_semi").orderBy(PLACE)).to_pylist()

    def rows_of(self, spec: TableSpec, rows: Sequence[dict[str, Any]]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table without time whose key is that of one of `rows`."""
        load = self._engine.loads[spec.name]
        names = [f"__k{part}" for part in range(len(spec.key))]
        keys = [pa.array([row[name] for row in rows], arrow_type(spec.columns[name])) for name in spec.key]
        wanted = self._session.createDataFrame(pa.table(keys, names=names))
        on = [F.col(name) == key for name, key in zip(names, load.keys, strict=True)]
        yield from self._named(load, load.good.join(F.broadcast(wanted), on, "left_semi")).to_batches()

    def all_rows(self, spec: TableSpec) -> Iterator[pa.RecordBatch]:
        """Yield all rows of a table, one that is held whole in memory elsewhere too."""
        load = self._engine.loads[spec.name]
        yield from self._named(load, load.good).to_batches()

    def newest_rows(
        self, plan: Plan, join: Join, engine: Engine, rows: Sequence[dict[str, Any]]
    ) -> list[dict[str, Any] | None]:
        """Find the newest event of some rows: of each key's events, the last between one asked for time and the next.

        One look at each event, however many rows ask for its key: half of them may ask for a hot one.
        """
        spec, load = join.table, self._engine.loads[join.table.name]
        keys = [tuple(row[name] for name in spec.key) for row in rows]
        until = held(pa.array([row[plan.spine.time or ""] for row in rows], pa.timestamp("us"))).to_pylist()
        asked = {key: sorted({at for of, at in zip(keys, until, strict=True) if of == key}) for key in set(keys)}
        found: dict[tuple[Any, ...], list[tuple[int, dict[str, Any]]]] = {key: [] for key in asked}
        for event in self._last_of_slots(load, asked).to_pylist():
            found[tuple(event[name] for name in spec.key)].append((event.pop(_SLOT), event))
        newest = []
        for key, at in zip(keys, until, strict=True):
            upto = [(slot, event) for slot, event in found[key] if slot <= asked[key].index(at)]
            newest.append(max(upto, key=lambda one: one[0])[1] if upto else None)
        return newest

    def _last_of_slots(self, load: SparkLoad, asked: dict[tuple[Any, ...], list[int]]) -> pa.Table:
        """Return of each key the last event of each of its slots: after a time asked for, up to the next of them."""
        spec, names = load.spec, [f"__k{part}" for part in range(len(load.keys))]
        keys = [pa.array([k[i] for k in asked], arrow_type(spec.columns[name])) for i, name in enumerate(spec.key)]
        until = pa.array(list(asked.values()), pa.list_(pa.int64()))
        wanted = self._session.createDataFrame(pa.table([*map(held, keys), until], [*names, _UNTIL]))
        on = [F.col(name) == key for name, key in zip(names, load.keys, strict=True)]
        time, row = load.column(spec.time or ""), F.struct(*load.good.columns)
        slot = F.size(F.filter(_UNTIL, lambda until: until < time))
        known = load.good.join(F.broadcast(wanted), on).withColumn(_SLOT, slot)
        known = known.where(F.col(_SLOT) < F.size(_UNTIL))
        # The newest time first: of a number Spark keeps one for each group, but for a row it sorts them all.
        newest = known.groupBy(*names, _SLOT).agg(F.max(time).alias(_NEWEST))
        last = known.join(F.broadcast(newest), [*names, _SLOT]).where(time == F.col(_NEWEST))
        return self._named(
            load, last.groupBy(*names, _SLOT).agg(F.max_by(row, PLACE).alias("row")).select("row.*", _SLOT), _SLOT
        )

    def _named(self, load: SparkLoad, frame: DataFrame, *more: str) -> pa.Table:
        """Bring a few rows here, with the names and types that the table declares."""
        frame = frame.select(*(own(i) for i in range(len(load.spec.columns))), PLACE, *more)
        with translated(f"reading rows of table '{load.spec.name}'"):
            table = frame.toArrow()
        arrays = [typed(table.column(own(i)), kind) for i, kind in enumerate(load.spec.columns.values())]
        names = [*load.spec.columns, LINE, *more]
        return pa.table([*arrays, table.column(PLACE), *(table.column(name) for name in more)], names=names)

    def _stream(self, frame: DataFrame, what: str) -> Iterator[pa.RecordBatch]:
        """Have Spark write a frame into files, and read them in their order."""
        folder = self._work / f"frame-{next(self._numbers)}"
        with translated(what):
            frame.write.parquet(f"file://{folder.resolve()}")
        for path in sorted(folder.glob("part-*")):
            with pq.ParquetFile(path) as file:
                yield from file.iter_batches(_BATCH_ROWS)
            path.unlink()
        shutil.rmtree(folder, ignore_errors=True)
