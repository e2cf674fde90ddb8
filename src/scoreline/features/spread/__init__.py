"""The `feature` verb on Spark: the same plan, the same rules for bad rows, and the same results."""

from __future__ import annotations

import functools
import hashlib
import shutil
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from scoreline.app.declaration import App
from scoreline.distributed.addresses import address_of
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
from scoreline.features.engines.distributed.aside import rejected_lines, unreadable_rows
from scoreline.features.engines.distributed.brought import Brought
from scoreline.features.engines.distributed.output import REJECTED, Output
from scoreline.features.history import History
from scoreline.features.plan import Plan, make_plan
from scoreline.features.selfcheck import check_features
from scoreline.features.spread.aside import write_rejected
from scoreline.features.spread.checked import check_output
from scoreline.features.spread.steps import Build, Tables
from scoreline.features.stamp import PARQUET_FILE
from scoreline.files import staged
from scoreline.progress import note

__all__ = ["Tables", "build_features_at", "build_features_in"]
_STAMP_FORMAT = 1


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
    with Build(plan, session, tables) as build, staged(results) as staging:
        work = staging / "work"
        work.mkdir(mode=0o777)
        build.load()
        write_rejected(build, work, results / REJECTED_FOLDER)
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
    with Build(plan, session, tables) as build:
        output = Output(build.session, address_of(build.session, address), file_format)
        output.refuse_finished()
        build.load()
        reached = []
        for load in build.loads:
            output.write_lines(rejected_lines(load), f"{REJECTED}/{load.spec.name}.jsonl")
            if (lines := build.reached(load)) is not None:
                reached.append(lines)
        if reached:
            together = functools.reduce(DataFrame.unionByName, reached)
            output.write_lines(together, f"{REJECTED}/{REACHED_FILE}")
        build.refuse_bad_tables(f"{output.address}/{REJECTED}")
        note("feature: joining on Spark")
        build.report.rows = output.write_features(plan, build.engine)
        if file_format == "parquet":
            build.report.checked = check_output(plan, build, output)
        build.report.digest = hashlib.sha256(f"{plan.digest} {output.address}".encode()).hexdigest()
        output.write_stamp(_stamp(plan, build.report, file_format))
    return build.report


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
