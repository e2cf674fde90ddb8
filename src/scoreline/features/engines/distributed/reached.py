"""Which rows of the spine would have used a row that is set aside."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from scoreline.features.engines.distributed.asof import Side, join_as_of
from scoreline.features.engines.distributed.columns import COLUMN, PLACE, WHY
from scoreline.features.engines.distributed.engine import SparkEngine
from scoreline.features.plan import Join, Plan


def find_reached(engine: SparkEngine, plan: Plan, join: Join) -> DataFrame:
    """List the spine rows that rows set aside would have reached.

    Their keys are `k0`, `k1`, ..., their place `PLACE`; that of the row set aside is `aside`.
    """
    spine, load = engine.loads[plan.spine.name], engine.loads[join.table.name]
    names = [f"__k{part}" for part in range(len(load.keys))]
    on = dict(zip(names, load.keys, strict=True))
    bad = load.aside.withColumns(on).dropna(subset=names)
    keys = F.broadcast(bad.select(*names).distinct())
    near = spine.good.withColumns({n: spine.column(p) for n, p in zip(names, join.table.key, strict=True)})
    near = near.join(keys, names, "left_semi")
    untimed = bad if join.table.time is None else bad.where(load.column(join.table.time).isNull())
    every = near.join(F.broadcast(untimed.select(*names, F.col(PLACE).alias("aside"))), names)
    own_key = [key.alias(f"k{i}") for i, key in enumerate(spine.keys)]
    every = every.select("aside", PLACE, *own_key)
    if join.table.time is None:
        return engine.keep(every.distinct())
    time = load.column(join.table.time)
    known = load.good.withColumns(on).join(keys, names, "left_semi").withColumn("bad", F.lit(False))
    timed = bad.where(time.isNotNull()).drop(COLUMN, WHY).withColumn("bad", F.lit(True))
    events = Side(known.unionByName(timed), [F.col(n) for n in names], time, F.col(PLACE), 0)
    rows = Side(near, [F.col(n) for n in names], spine.column(plan.spine.time or ""), F.col(PLACE), 0)
    found = join_as_of(rows, events, F.struct("bad", F.col(PLACE).alias("at")), "last", engine.spans(plan, join))
    late = found.where(F.col("last.bad")).select(F.col("last.at").alias("aside"), PLACE, *own_key)
    return engine.keep(late.unionByName(every).distinct())
