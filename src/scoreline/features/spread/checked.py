"""The check of what was written in parts: random rows, against what they come to another way."""

from __future__ import annotations

import random
from pathlib import Path

from pyspark.sql import functions as F
from pyspark.sql import types

from scoreline.distributed.trouble import translated
from scoreline.errors import FeatureError
from scoreline.features.engines.distributed.brought import Brought
from scoreline.features.engines.distributed.columns import PLACE, schema, written_type
from scoreline.features.engines.distributed.output import FEATURES, Output
from scoreline.features.plan import Plan
from scoreline.features.selfcheck import ROWS, plain_rows
from scoreline.features.spread.steps import Build


def check_output(plan: Plan, build: Build, output: Output) -> int:
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


def _key_schema(plan: Plan) -> types.StructType:

    return schema((name, written_type(plan.spine.columns[name])) for name in plan.spine.key)
