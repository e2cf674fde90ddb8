"""Rows set aside on Spark, as the lines that are written of them, and what they would have reached."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from scoreline.distributed.trouble import translated
from scoreline.features.engines.distributed.blocks import Blocks
from scoreline.features.engines.distributed.columns import COLUMN, PLACE, WHY, in_order
from scoreline.features.engines.distributed.engine import SparkLoad
from scoreline.tables.rejected import Rejected, double

_TEXT = "value string"


def rejected_lines(load: SparkLoad) -> DataFrame:
    """Return the lines of `rejected/<table>.jsonl`, in the order of the files."""
    first = F.lit(None).cast("long").alias("first")
    rows = load.aside.select(PLACE, COLUMN, WHY, first)
    if load.doubles is not None:
        none = F.lit(None).cast("string")
        rows = rows.unionByName(
            load.doubles.select(PLACE, none.alias(COLUMN), none.alias(WHY), F.col("__first").alias("first"))
        )
    return in_order(rows, load.set_aside).mapInArrow(RejectedLines(load.spec.key, load.blocks), _TEXT)


def reached_lines(load: SparkLoad, reached: DataFrame, key: tuple[str, ...], rows: int) -> DataFrame:
    """Return the lines of `rejected/reached.jsonl` of one table.

    Parameters
    ----------
    reached : `aside`, `PLACE` and the spine's key as `k0`, `k1`, ...
    rows : how many those are
    """
    step = ReachedLines(load.spec.name, load.blocks, key)
    return in_order(reached, rows, "aside").mapInArrow(step, _TEXT)


def unreadable_rows(load: SparkLoad, most: int | None = None) -> list[Rejected]:
    """Return the rows of a table that could not be read, in order; `most` of them."""
    if not load.unreadable_rows:
        return []
    frame = load.aside.orderBy(PLACE)
    names = load.spec.required
    chosen = frame.select(*(load.column(n).alias(f"n{i}") for i, n in enumerate(names)), PLACE, COLUMN, WHY)
    with translated(f"reading rows set aside of table '{load.spec.name}'"):
        rows = (chosen if most is None else chosen.limit(most)).toArrow().to_pylist()
    return [_rejected(load, row) for row in rows]


def _rejected(load: SparkLoad, row: dict[str, Any]) -> Rejected:
    name, line = load.blocks.place_of(row[PLACE])
    key = tuple(row[f"n{i}"] for i in range(len(load.spec.key)))
    time = row[f"n{len(load.spec.key)}"] if load.spec.time else None
    return Rejected(
        name, line, row[COLUMN], row[WHY], key=None if None in key else key, time_us=time, position=row[PLACE]
    )


@dataclass(frozen=True)
class RejectedLines:
    """Writes rows set aside as JSON; runs on the workers. There are few: a table with many is refused."""

    key: tuple[str, ...]
    blocks: Blocks

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Give a line for each row."""
        for batch in batches:
            rows = (self._row(row) for row in batch.to_pylist())
            lines = [json.dumps(row.as_json(), ensure_ascii=False) for row in rows]
            yield pa.record_batch([pa.array(lines, pa.string())], names=["value"])

    def _row(self, row: dict[str, Any]) -> Rejected:
        if row["first"] is not None:
            return double(self.key, self.blocks, row[PLACE], row["first"])
        name, line = self.blocks.place_of(row[PLACE])
        return Rejected(name, line, row[COLUMN], row[WHY])


@dataclass(frozen=True)
class ReachedLines:
    """Writes what rows set aside would have reached as JSON; runs on the workers."""

    table: str
    blocks: Blocks
    key: tuple[str, ...]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Give a line for each row."""
        for batch in batches:
            lines = [json.dumps(self._row(row), ensure_ascii=False) for row in batch.to_pylist()]
            yield pa.record_batch([pa.array(lines, pa.string())], names=["value"])

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        name, line = self.blocks.place_of(row["aside"])
        reaches = {part: row[f"k{i}"] for i, part in enumerate(self.key)}
        return {"table": self.table, "file": name, "line": line, "reaches": reaches}
