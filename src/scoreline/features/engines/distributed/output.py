"""What the engine spark writes where there is no folder of this machine: Parquet or CSV in parts, at any address."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, types

from scoreline.distributed.trouble import translated
from scoreline.errors import FeatureError
from scoreline.features.engines.distributed.columns import PLACE, in_order, record_batch, schema
from scoreline.features.engines.distributed.engine import SparkEngine
from scoreline.features.engines.distributed.functions import feature_frame
from scoreline.features.engines.distributed.source import files_at
from scoreline.features.plan import Plan
from scoreline.features.written import as_written

FORMATS = ("parquet", "csv")
FEATURES, TARGETS, REJECTED, STAMP = "feature", "targets", "rejected", "stamp"


@dataclass(frozen=True)
class Output:
    """An address that gets `feature/`, `targets/`, `rejected/` and, at the end, `stamp/`.

    Parameters
    ----------
    file_format : `parquet` or `csv`
    """

    session: SparkSession
    address: str
    file_format: str = "parquet"

    def refuse_finished(self) -> None:
        """Raise FeatureError where a build is at the address already: what may be read is never written over."""
        for name in (FEATURES, TARGETS, STAMP):
            if self._holds(name):
                raise FeatureError(
                    f"{self.address}: holds {name}/ of a build already; nothing was written. Name another address for "
                    "each build, or remove that one."
                )

    def write_features(self, plan: Plan, engine: SparkEngine) -> int:
        """Write the feature table and the targets; return how many rows there are.

        The targets stand beside the key, in rows of their own: files of two tables are not aligned.
        """
        rows = engine.loads[plan.spine.name].rows
        if plan.targets:
            spine = engine.loads[plan.spine.name]
            names = dict.fromkeys([*plan.spine.key, *plan.targets])
            chosen = spine.good.select(*(spine.column(name).alias(name) for name in names), PLACE)
            self._write(in_order(chosen, rows).drop(PLACE), TARGETS)
        frame = feature_frame(plan, engine)
        if self.file_format == "csv":
            frame = frame.mapInArrow(CsvStep(len(plan.columns)), _as_text(frame.schema, len(plan.columns)))
        named = [frame[f"f{i}"].alias(name) for i, name in enumerate(plan.columns)]
        self._write(frame.select(*named), FEATURES)
        return rows

    def write_lines(self, frame: DataFrame, name: str) -> None:
        """Write lines of JSON, in place of those that a run before has left."""
        with translated(f"writing {self.address}/{name}"):
            frame.write.mode("overwrite").text(f"{self.address}/{name}")

    def write_stamp(self, stamp: dict[str, Any]) -> None:
        """Write the stamp, last of all: what has none is not whole."""
        line = json.dumps(stamp, ensure_ascii=False)
        frame = self.session.createDataFrame([(line,)], "value string").coalesce(1)
        with translated(f"writing {self.address}/{STAMP}"):
            frame.write.mode("overwrite").text(f"{self.address}/{STAMP}")

    def read_features(self) -> DataFrame:
        """Return the feature table as it was written, of the format Parquet."""
        return self.session.read.parquet(f"{self.address}/{FEATURES}")

    def _write(self, frame: DataFrame, name: str) -> None:
        writer = frame.write.mode("overwrite")  # what a run that was ended has left: `refuse_finished` saw no build
        with translated(f"writing {self.address}/{name}"):
            if self.file_format == "csv":
                writer.option("header", "true").option("escape", '"').csv(f"{self.address}/{name}")
            else:
                writer.option("compression", "zstd").parquet(f"{self.address}/{name}")

    def _holds(self, name: str) -> bool:
        return bool(files_at(self.session, f"{self.address}/{name}"))


@dataclass(frozen=True)
class CsvStep:
    """Writes times as text, as in CSV of another engine; runs on the workers."""

    columns: int

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Give the feature table's columns."""
        for batch in batches:
            yield record_batch({f"f{i}": as_written(batch.column(f"f{i}")) for i in range(self.columns)})


def _as_text(given: types.StructType, columns: int) -> types.StructType:
    kinds = [(name, given[name].dataType) for name in (f"f{i}" for i in range(columns))]
    return schema((n, types.StringType() if isinstance(k, types.TimestampNTZType) else k) for n, k in kinds)
