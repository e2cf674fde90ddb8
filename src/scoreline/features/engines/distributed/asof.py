"""The as-of join on Spark: spine and events in one order, and the last event so far; linear, also for a hot key.

A join on a range of times would compare each row of a key with each event of it. Here both are put together, each
key's in the order of time, and a window hands the last event on. A key with very many rows is cut into spans of time,
so that no task holds it alone; each span begins with the last event before it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from scoreline.distributed.trouble import translated

HOT_ROWS = 1_000_000  # of a key, spine and events together: from there on it is cut
_SAMPLE_ROWS = 2_000_000
_MOST_SPANS = 256
_MOST_HOT_KEYS = 1000
_BEFORE_ALL = -(1 << 62)  # microseconds; the moment of what a span begins with
_EVENT, _ROW = 0, 1  # at one instant events come first: they count
_TIME, _KIND, _PLACE, _SPAN, _CUTS = "__time", "__kind", "__place", "__span", "__cuts"


@dataclass(frozen=True)
class Side:
    """One side of the join.

    Attributes
    ----------
    keys : its key, part by part
    time : its event time in microseconds
    place : what settles ties: of events at one instant the last counts
    rows : about how many it has
    """

    frame: DataFrame
    keys: list[Column]
    time: Column
    place: Column
    rows: int


@dataclass(frozen=True)
class Spans:
    """Where hot keys are cut: `frame` has a line for each, with its key and the times of the cuts."""

    frame: DataFrame


def join_as_of(spine: Side, events: Side, values: Column, into: str, spans: Spans | None) -> DataFrame:
    """Give each row of the spine the newest event of its key at or before its time.

    Parameters
    ----------
    values : a struct of what is taken of an event
    into : name of the column that gets it; null where there is no such event
    spans : what `find_spans` found
    """
    keys = _names(spine)
    rows = _ordered(spine, _ROW)
    known = _ordered(events, _EVENT).select(*keys, _TIME, _KIND, _PLACE, values.alias(into))
    if spans is not None:
        rows, known = (frame.join(F.broadcast(spans.frame), keys, "left") for frame in (rows, known))
        rows, known = (frame.withColumn(_SPAN, _span(F.col(_CUTS))).drop(_CUTS) for frame in (rows, known))
        known = known.unionByName(_carried(known, spans.frame, keys, into))
        keys = [*keys, _SPAN]
    together = rows.unionByName(known, allowMissingColumns=True)
    so_far = Window.partitionBy(*keys).orderBy(_TIME, _KIND, _PLACE).rowsBetween(Window.unboundedPreceding, 0)
    found = together.withColumn(into, F.last(into, ignorenulls=True).over(so_far)).where(F.col(_KIND) == _ROW)
    return found.drop(*keys, _TIME, _KIND, _PLACE)


def find_spans(spine: Side, events: Side, hot_rows: int = HOT_ROWS) -> Spans | None:
    """Find the keys with very many rows in a sample, and the times at which to cut each; None without any.

    What comes to this machine is a line for each of them, at most a thousand.
    """
    total = spine.rows + events.rows
    hot_rows = max(hot_rows, total // _MOST_HOT_KEYS)
    if total < hot_rows:
        return None
    keys, share = _names(spine), min(1.0, _SAMPLE_ROWS / total)
    both = _ordered(spine, _ROW).select(*keys, _TIME).unionByName(_ordered(events, _EVENT).select(*keys, _TIME))
    sample = both.sample(fraction=share, seed=1) if share < 1 else both
    with translated("looking for keys with very many rows"):
        hot = sample.groupBy(*keys).count().where(F.col("count") >= hot_rows * share)
        hot = hot.orderBy(F.desc("count")).limit(_MOST_HOT_KEYS)
        most = max((row["count"] for row in hot.collect()), default=0)
        if not most:
            return None
        spans = min(_MOST_SPANS, math.ceil(most / share / hot_rows) + 1)
        at = F.percentile_approx(_TIME, [n / spans for n in range(1, spans)], 10_000)
        cut = sample.join(F.broadcast(hot.drop("count")), keys).groupBy(*keys).agg(F.array_distinct(at).alias(_CUTS))
        # Fixed here: made anew, the cuts may differ, and a row be in one span and its event in another.
        return Spans(spine.frame.sparkSession.createDataFrame(cut.collect(), cut.schema))


def _names(side: Side) -> list[str]:
    return [f"__key{part}" for part in range(len(side.keys))]


def _ordered(side: Side, kind: int) -> DataFrame:
    """Add what the common order is by."""
    keys = dict(zip(_names(side), side.keys, strict=True))
    return side.frame.withColumns({**keys, _TIME: side.time, _KIND: F.lit(kind), _PLACE: side.place})


def _span(bounds: Column) -> Column:
    """Number the span of a row's time: how many cuts are at or before it; 0 for a key that is not cut."""
    upto = F.size(F.filter(bounds, lambda cut: cut <= F.col(_TIME)))
    return F.when(bounds.isNull(), F.lit(0)).otherwise(upto)


def _carried(known: DataFrame, spans: DataFrame, keys: list[str], into: str) -> DataFrame:
    """Make for each span of each hot key the event that it begins with: the last of all spans before."""
    newest: Any = F.max_by(into, F.struct(_TIME, _PLACE))
    hot = known.join(F.broadcast(spans.select(*keys)), keys, "left_semi")
    last = hot.groupBy(*keys, _SPAN).agg(newest.alias(into))
    grid = spans.select(*keys, F.explode(F.sequence(F.lit(0), F.size(_CUTS))).alias(_SPAN))
    before = Window.partitionBy(*keys).orderBy(_SPAN).rowsBetween(Window.unboundedPreceding, -1)
    carried = grid.join(last, [*keys, _SPAN], "left").withColumn(into, F.last(into, ignorenulls=True).over(before))
    first = {_TIME: F.lit(_BEFORE_ALL), _KIND: F.lit(_EVENT), _PLACE: F.lit(-1).cast("long")}
    return carried.where(F.col(into).isNotNull()).withColumns(first).select(known.columns)
