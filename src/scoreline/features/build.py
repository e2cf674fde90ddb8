"""The `feature` verb: raw tables to feature table, targets and online store, checked and stamped."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from scoreline.app.declaration import App
from scoreline.errors import TableError
from scoreline.features.arrays import apply_functions
from scoreline.features.engines.embedded import EmbeddedEngine
from scoreline.features.engines.interface import Load
from scoreline.features.engines.loads import TableLoad
from scoreline.features.history import History, arrivals
from scoreline.features.plan import Plan, make_plan
from scoreline.features.selfcheck import check_features
from scoreline.features.stamp import CSV_FILE, PARQUET_FILE, STAMP_FILE, TARGETS_FILE, Stamp, describe_file
from scoreline.features.written import as_written, csv_schema, feature_schema
from scoreline.files import sha256_of, staged
from scoreline.progress import Progress
from scoreline.store.embedded import FORMAT as STORE_FORMAT
from scoreline.store.merged import Events
from scoreline.store.writer import StoreWriter
from scoreline.tables.read import LINE, TableFile
from scoreline.tables.reference import refuse_bad_reference
from scoreline.tables.rejected import most_bad_rows, too_many, write_lines, write_rejected
from scoreline.tables.typed import arrow_type

STORE_FOLDER = "store"
REJECTED_FOLDER = "rejected"
REACHED_FILE = "reached.jsonl"
STORES_KEPT = 2  # the current one and the one before, which a server may still be reading
BUILDING_STORE = "building.lmdb"


@dataclass
class FeatureReport:
    """What a `feature` run came to.

    Attributes
    ----------
    reached : table -> how many spine rows its rows set aside would have reached
    unplaced : table -> how many of its rows set aside have no readable key, so that nobody can tell
    checked : feature rows compared with the plain loop
    states : digest of the joined tables' rows in the online store; empty without one
    events : number of the last ingested row that was folded in; 0 for none
    """

    loads: Sequence[Load]
    rows: int = 0
    digest: str = ""
    reached: dict[str, int] = field(default_factory=dict)
    unplaced: dict[str, int] = field(default_factory=dict)
    checked: int = 0
    states: str = ""
    events: int = 0


def build_features(
    app: App,
    data: Path,
    results: Path,
    *,
    threads: int,
    max_bad_percent: float,
    max_bad_rows: int,
    reference_data: Path | None = None,
    history_days: int | None = None,
    events: Events | None = None,
) -> FeatureReport:
    """Build the feature table, the targets and the online store of an app.

    An app with a declared request has no online store: a request brings all that its features need. Any other's
    also keeps the rows of the joined tables, for rows of the spine that come later.

    Bad rows are written to `results/rejected/` first. Then everything is built aside, checked, and
    put in place at once; on any error the last good results stay.

    Parameters
    ----------
    max_bad_percent, max_bad_rows : a table may have the larger of the two of unreadable rows
    reference_data : folder with the reference tables' files; None: they are in `data` too
    history_days : the store keeps so many days of those rows, back from the newest row of all; None: all of them
    events : rows that were ingested since, which are folded in; None: there are none

    Raises
    ------
    TableError
        A table can't be read, or has too many unreadable rows.
    FeatureError
        A feature function fails, or the result fails its own check.
    """
    plan = make_plan(app)
    folders = {spec.name: reference_data or data if spec.reference else data for spec in plan.tables}
    files = {
        spec.name: TableFile(spec, folders[spec.name]) for spec in plan.tables
    }  # all heads, before any row is read
    has_store = app.declared_request is None
    with staged(results) as staging, contextlib.ExitStack() as stack:
        work = staging / "work"
        work.mkdir()
        engine = stack.enter_context(EmbeddedEngine(work, threads))
        upto = 0 if events is None else events.last
        loads = [_load(engine, plan, files[spec.name], events, upto) for spec in plan.tables]
        report = FeatureReport(loads, events=upto)
        _set_aside(plan, engine, report, loads, results / REJECTED_FOLDER)
        _refuse_bad_tables(loads, results / REJECTED_FOLDER, max_bad_percent, max_bad_rows)
        store = staging / BUILDING_STORE if has_store else None
        history = History(plan, engine, loads, history_days)
        batches = _feature_batches(plan, engine)
        lines, report.states = write_tables(plan, batches, engine.count(plan.spine), staging, store, history)
        report.rows = len(lines)
        report.checked = check_features(plan, engine, staging / PARQUET_FILE, store, lines, since_us=history.since_us)
        stamp_tables(plan, history, report, staging)
        stack.close()
        for left in sorted(work.rglob("*"), reverse=True):
            left.unlink() if left.is_file() else left.rmdir()
        work.rmdir()
    remove_old_stores(results / STORE_FOLDER)
    return report


def _load(engine: EmbeddedEngine, plan: Plan, file: TableFile, events: Events | None, upto: int) -> TableLoad:
    is_unique = file.spec is plan.spine or file.spec.time is None
    load = engine.load(file, unique_key=is_unique)
    if events is not None and any(join.table is file.spec for join in plan.kept):
        load.ingested = engine.add(file.spec, arrivals(file.spec, events, upto))
    return load


def _set_aside(
    plan: Plan, engine: EmbeddedEngine, report: FeatureReport, loads: Sequence[TableLoad], folder: Path
) -> None:
    """Write the rows set aside, and which spine rows those of other tables would have reached."""
    reached: list[dict[str, Any]] = []
    joins = {join.table.name: join for join in plan.joins}
    for load in loads:
        name = load.spec.name
        write_rejected(folder, name, load.rejected)
        if name in joins and load.spec.reference is None:  # a reference table with such a row is refused whole
            rows = engine.reached(plan, joins[name], load.unreadable)
            at = {row.place: {"table": name, "file": row.file, "line": row.line} for row in load.unreadable}
            reached += [{**at[row.pop(LINE)], "reaches": row} for row in rows]
            report.reached[name] = len({tuple(row[part] for part in plan.spine.key) for row in rows})
            report.unplaced[name] = sum(row.key is None for row in load.unreadable)
    write_lines(folder / REACHED_FILE, reached)


def _refuse_bad_tables(loads: Sequence[TableLoad], folder: Path, percent: float, at_least: int) -> None:
    errors = []
    for load in loads:
        if load.spec.reference is not None:
            refuse_bad_reference(load.spec, load.file, load.rows_read, load.rejected)
        allowed = most_bad_rows(load.rows_read, percent, at_least)
        if len(load.unreadable) > allowed:
            where = folder / f"{load.spec.name}.jsonl"
            bad, first = len(load.unreadable), min(load.unreadable, key=lambda row: row.place)
            errors.append(too_many(load.spec.name, load.file.name, load.rows_read, bad, first, allowed, where))
    if errors:
        raise TableError("\n".join(str(error) for error in errors))


def write_tables(
    plan: Plan,
    batches: Iterator[tuple[pa.RecordBatch, pa.RecordBatch]],
    rows: int,
    staging: Path,
    store_file: Path | None,
    history: History,
) -> tuple[np.ndarray[Any, Any], str]:
    """Write feature table, targets and store; return each row's line in the spine's file, and what the states are.

    Parameters
    ----------
    batches : what holds the targets and `LINE`, and the feature table's columns in order
    rows : how many there are in all
    """
    schema = feature_schema(plan)
    target_schema = pa.schema([(name, arrow_type(plan.spine.columns[name])) for name in plan.targets])
    written = csv_schema(schema)
    meta = {
        "plan": plan.digest,
        "columns": {name: kind.describe() for name, kind in plan.columns.items()},
        **history.describe(),
    }
    lines = [np.array([], np.int64)]
    with (
        pq.ParquetWriter(staging / PARQUET_FILE, schema, compression="zstd") as parquet,
        pq.ParquetWriter(staging / TARGETS_FILE, target_schema, compression="zstd") as targets,
        pyarrow.csv.CSVWriter(staging / CSV_FILE, written, write_options=_csv_options(written.names)) as csv,
        contextlib.nullcontext() if store_file is None else StoreWriter(store_file, len(plan.spine.key), meta) as store,
        contextlib.ExitStack() as stack,
    ):
        progress = stack.enter_context(Progress("features", rows, "rows"))
        for joined, batch in batches:
            parquet.write_batch(batch)
            targets.write_batch(
                pa.record_batch([joined.column(name) for name in plan.targets], schema=target_schema)
            ) if plan.targets else None
            csv.write_batch(pa.record_batch([as_written(column) for column in batch.columns], schema=written))
            if store is not None:
                store.add_batch(_with_matched(plan, joined, batch))
            lines.append(joined.column(LINE).to_numpy())
            progress.advance(batch.num_rows)
        stack.close()
        if store is not None:
            history.write(store)
    return np.concatenate(lines), "" if store is None else f"{store.states_digest} {history.since_us}"


def _with_matched(plan: Plan, joined: pa.RecordBatch, batch: pa.RecordBatch) -> pa.RecordBatch:
    for name in plan.matched_by:
        batch = batch.append_column(name, joined.column(name))
    return batch


def _feature_batches(plan: Plan, engine: EmbeddedEngine) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    schema = feature_schema(plan)
    for joined in engine.joined(plan):
        columns = {name: joined.column(name) for name in joined.schema.names}
        features = apply_functions(plan, columns, joined.num_rows)
        yield joined, pa.record_batch(list(features.values()), schema=schema)


def stamp_tables(plan: Plan, history: History, report: FeatureReport, staging: Path) -> None:
    """Stamp what was built aside, and give the store the name of its content."""
    csv_digest = sha256_of(staging / CSV_FILE)
    has_store = (staging / BUILDING_STORE).exists()
    # A store of another format, or with other rows for what comes later, is other content: with the digest of old,
    # servers would go on with the file of old.
    content = f"{plan.digest} {csv_digest}" + (f" store {STORE_FORMAT} {report.states}" if has_store else "")
    report.digest = hashlib.sha256(content.encode()).hexdigest()
    store = None
    if has_store:
        store = f"{STORE_FOLDER}/{report.digest[:12]}.lmdb"
        (staging / STORE_FOLDER).mkdir()
        (staging / BUILDING_STORE).rename(staging / store)
    named = (CSV_FILE, PARQUET_FILE, TARGETS_FILE, *((store,) if store else ()))
    stamp = Stamp(
        digest=report.digest,
        plan=plan.digest,
        rows=report.rows,
        columns={name: kind.describe() for name, kind in plan.columns.items()},
        files={name: describe_file(staging / name) for name in named},
        store=store,
        events=report.events,
        tables={
            load.spec.name: {
                "file": load.file.name,
                "rows_read": load.rows_read,
                "set_aside": load.set_aside,
                "newest_us": history.newest_us[load.spec.name],
            }
            for load in report.loads
        },
    )
    (staging / STAMP_FILE).write_bytes(stamp.encode())


def remove_old_stores(folder: Path) -> None:
    """Remove all stores but the newest few."""
    stores: Sequence[Path] = sorted(folder.glob("*.lmdb"), key=lambda path: path.stat().st_mtime_ns)
    for old in stores[:-STORES_KEPT]:
        old.unlink(missing_ok=True)


def _csv_options(names: Sequence[str]) -> pyarrow.csv.WriteOptions:
    """Leave a plain head bare; with `needed`, pyarrow quotes every name."""
    is_plain = not any(char in name for name in names for char in ',"\r\n')
    return pyarrow.csv.WriteOptions(quoting_style="needed", quoting_header="none" if is_plain else "needed")
