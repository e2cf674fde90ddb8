"""The feature functions on Spark's workers: over Arrow batches, by the very code that runs them on one machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import DataFrame, types

from scoreline.app.columns import ColumnType
from scoreline.features.arrays import apply_functions
from scoreline.features.engines.distributed.columns import PLACE, in_order, record_batch, schema, typed, written_type
from scoreline.features.engines.distributed.engine import SparkEngine
from scoreline.features.plan import Plan


def beside_features(plan: Plan) -> tuple[str, ...]:
    """Return the spine's columns that go beside the feature table: targets, and what a store has for explanations."""
    return tuple(dict.fromkeys((*plan.targets, *plan.matched_by)))


def feature_frame(plan: Plan, engine: SparkEngine) -> DataFrame:
    """Return the feature table in the order of the spine.

    Its columns are `f0`, `f1`, ... in the plan's order, then those of `beside_features` as `t0`, ..., and `PLACE`.
    """
    spine = engine.loads[plan.spine.name]
    names = [*(n for n in plan.spine.columns if not _is_hidden(plan, n)), *(f.name for f in plan.features)]
    direct = [n for n in dict.fromkeys(names) if not _is_computed(plan, n)]
    known = [engine.source_of(plan, name).alias(f"p{i}") for i, name in enumerate(direct)]
    targets = [spine.column(name).alias(f"t{i}") for i, name in enumerate(beside_features(plan))]
    joined = engine.joined(plan).select(*known, *targets, PLACE)
    types_of = dict(plan.spine.columns) | {f.name: f.type for f in plan.features if not f.is_function}
    step = FunctionStep(plan, {name: types_of[name] for name in direct})
    return in_order(joined, spine.rows).mapInArrow(step, _schema(plan))


@dataclass(frozen=True)
class FunctionStep:
    """Computes the function features; runs on the workers.

    Attributes
    ----------
    known : name -> type of what comes in as `p0`, `p1`, ...
    """

    plan: Plan
    known: dict[str, ColumnType]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Give the feature table's rows."""
        for batch in batches:
            columns = {name: typed(batch.column(f"p{i}"), kind) for i, (name, kind) in enumerate(self.known.items())}
            features = apply_functions(self.plan, columns, batch.num_rows)
            arrays = {f"f{i}": values for i, values in enumerate(features.values())}
            for i, name in enumerate(beside_features(self.plan)):
                arrays[f"t{i}"] = typed(batch.column(f"t{i}"), self.plan.spine.columns[name])
            yield record_batch({**arrays, PLACE: batch.column(PLACE)})


def _is_hidden(plan: Plan, name: str) -> bool:
    return any(f.name == name and not f.is_function for f in plan.features)


def _is_computed(plan: Plan, name: str) -> bool:
    """Whether a name stands for nothing but a function's result."""
    return name not in plan.spine.columns and any(f.name == name and f.is_function for f in plan.features)


def _schema(plan: Plan) -> types.StructType:
    features = [(f"f{i}", written_type(kind)) for i, kind in enumerate(plan.columns.values())]
    targets = [(f"t{i}", written_type(plan.spine.columns[name])) for i, name in enumerate(beside_features(plan))]
    return schema([*features, *targets, (PLACE, types.LongType())])
