"""The feature build of order triage beside plain DuckDB SQL and pandas, on the same tables.

    PYTHONPATH=src python benchmarks/feature_build.py --orders 1000000 [--skus 1000] [--json feature_build.json]

- ours: `build_features`: feature.csv, feature.parquet, targets, the online store, rows set aside, self-check and stamp.
- sql: the same tables read, rows that can't be read set aside and listed, duplicates too, both as-of joins and the
  lookup, the order of the file kept, CSV and Parquet written. No line numbers of what is set aside, no store or check.
- sql-no-zones: the same with times cast to TIMESTAMP, which is faster and drops their zones: wrong for these tables.
- pandas: `merge_asof`; bad rows left out, not listed; the same files written. It runs where pandas is installed.

Each side runs in a process of its own, with two threads. Their values are compared (all but those without zones agree).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from child import REPOSITORY, cache_folder, machine, run_part

THREADS = 2
COMPARED = ["order_id", "customer_id", "sku_code", "zip_code", "inventory", "payment_status", "quantity"]
TABLES: dict[str, tuple[dict[str, str], list[str], bool]] = {  # columns, key, whether it has a time
    "orders": (
        {
            "order_id": "VARCHAR",
            "customer_id": "VARCHAR",
            "timestamp": "TIMESTAMPTZ",
            "sku_code": "VARCHAR",
            "quantity": "BIGINT",
            "zip_code": "VARCHAR",
            "order_fulfilled": "BOOLEAN",
        },
        ["order_id", "customer_id", "sku_code", "zip_code"],
        True,
    ),
    "inventory": ({"sku_code": "VARCHAR", "timestamp": "TIMESTAMPTZ", "inventory": "BIGINT"}, ["sku_code"], True),
    "payments": (
        {
            "order_id": "VARCHAR",
            "customer_id": "VARCHAR",
            "timestamp": "TIMESTAMPTZ",
            "payment_method": "VARCHAR",
            "payment_status": "VARCHAR",
        },
        ["order_id", "customer_id"],
        True,
    ),
    "zip_codes": ({"zip_code": "VARCHAR", "available_from": "TIMESTAMPTZ"}, ["zip_code"], False),
}


def ours(data: Path, out: Path) -> dict[str, Any]:
    """Build as `scoreline feature` does; say what the store and the self-check took of it."""
    from scoreline.app.load import load_app
    from scoreline.features import build
    from scoreline.store.writer import StoreWriter

    extra = {"store_cpu_s": 0.0, "store_wall_s": 0.0, "check_cpu_s": 0.0, "check_wall_s": 0.0}

    def timed(name: str, function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            begin = time.perf_counter(), time.process_time()
            try:
                return function(*arguments)
            finally:
                extra[f"{name}_wall_s"] += time.perf_counter() - begin[0]
                extra[f"{name}_cpu_s"] += time.process_time() - begin[1]

        return call

    StoreWriter.add_batch = timed("store", StoreWriter.add_batch)  # type: ignore[method-assign]
    StoreWriter.__exit__ = timed("store", StoreWriter.__exit__)  # type: ignore[method-assign]
    build.check_features = timed("check", build.check_features)
    app = load_app(REPOSITORY / "apps/order_triage")
    report = build.build_features(app, data, out, threads=THREADS, max_bad_percent=1.0, max_bad_rows=20)
    return {"rows": report.rows, **{name: round(value, 2) for name, value in extra.items()}}


def sql(data: Path, out: Path, moment: str = "TIMESTAMPTZ") -> dict[str, Any]:
    """Do the same in plain DuckDB SQL, as one would write it by hand."""
    import duckdb

    out.mkdir(parents=True)
    db = duckdb.connect(str(out / "tables.duckdb"))
    for setting in (f"threads = {THREADS}", f"temp_directory = '{out}/spill'", "enable_progress_bar = false"):
        db.execute(f"SET {setting}")
    db.execute("SET TimeZone = 'UTC'")  # a cast to TIMESTAMP would drop the zones
    for table, (columns, key, has_time) in TABLES.items():
        text = ", ".join(f"'{name}': 'VARCHAR'" for name in columns)
        typed = ", ".join(
            f"TRY_CAST({name} AS {moment})::TIMESTAMP AS {name}"
            if kind == "TIMESTAMPTZ"
            else f"TRY_CAST({name} AS {kind}) AS {name}"
            for name, kind in columns.items()
        )
        raw = ", ".join(f"{name} AS raw_{name}" for name in columns)
        bad = [f"{name} IS NULL" for name in (*key, *(["timestamp"] if has_time else []))]
        bad += [f"(raw_{n} IS NOT NULL AND {n} IS NULL)" for n, kind in columns.items() if kind != "VARCHAR"]
        bad += [f"contains(raw_{name}, '\"')" for name in columns]
        shown = ", ".join(f"coalesce(raw_{name}, '')" for name in columns)
        # quotes are read as text, since a torn one takes good rows with it; rows that hold one are set aside
        db.execute(
            f"CREATE TABLE {table} AS SELECT {', '.join(columns)}, "
            f"CASE WHEN {' OR '.join(bad)} THEN concat_ws(',', {shown}) END AS bad "
            f"FROM (SELECT {typed}, {raw} FROM read_csv('{data}/{table}.csv', header = true, columns = {{{text}}}, "
            f"delim = ',', quote = '', escape = '', auto_detect = false, store_rejects = true, "
            f"rejects_table = '{table}_rejects', rejects_scan = '{table}_scan'))"
        )
        db.execute(
            f"COPY (SELECT rowid AS row, bad FROM {table} WHERE bad IS NOT NULL "
            f"UNION ALL SELECT line, csv_line FROM {table}_rejects) TO '{out}/{table}.rejected.json' (FORMAT json)"
        )
        db.execute(f"DELETE FROM {table} WHERE bad IS NOT NULL")
        if table in ("orders", "zip_codes"):
            db.execute(
                f"DELETE FROM {table} WHERE rowid IN (SELECT unnest(list_sort(list(rowid))[2:]) "
                f"FROM {table} GROUP BY {', '.join(key)} HAVING count(*) > 1)"
            )
    db.execute(
        """
        CREATE TABLE feature AS
        SELECT
            o.order_id, o.customer_id, o.sku_code, o.zip_code, o.timestamp,
            extract(hour FROM o.timestamp) AS order_hour_of_day, i.v.inventory AS inventory,
            p.v.payment_status AS payment_status,
            coalesce(o.timestamp >= z.available_from, false) AS zip_code_available,
            o.quantity, p.v.payment_method AS payment_method, z.available_from, o.order_fulfilled
        FROM orders o
        ASOF LEFT JOIN (  -- of several rows at one instant the last in the file
            SELECT sku_code, timestamp, arg_max(struct_pack(inventory := inventory), rowid) AS v
            FROM inventory GROUP BY ALL
        ) i ON o.sku_code = i.sku_code AND o.timestamp >= i.timestamp
        ASOF LEFT JOIN (
            SELECT order_id, customer_id, timestamp,
                arg_max(struct_pack(payment_status := payment_status, payment_method := payment_method), rowid) AS v
            FROM payments GROUP BY ALL
        ) p ON o.order_id = p.order_id AND o.customer_id = p.customer_id AND o.timestamp >= p.timestamp
        LEFT JOIN zip_codes z ON o.zip_code = z.zip_code
        ORDER BY o.rowid
        """
    )
    parquet, written = "(FORMAT parquet, COMPRESSION zstd)", "'%Y-%m-%dT%H:%M:%S.%fZ'"
    features = "SELECT * EXCLUDE (order_fulfilled) FROM feature"
    db.execute(f"COPY ({features}) TO '{out}/feature.parquet' {parquet}")
    db.execute(f"COPY ({features}) TO '{out}/feature.csv' (HEADER, TIMESTAMPFORMAT {written})")
    db.execute(f"COPY (SELECT order_fulfilled FROM feature) TO '{out}/targets.parquet' {parquet}")
    rows = db.execute("SELECT count(*) FROM feature").fetchone()
    db.close()
    return {"rows": rows[0] if rows else 0}


def pandas(data: Path, out: Path) -> dict[str, Any]:
    """Do it with pandas: `merge_asof` wants both sides sorted by time, and the file's order is brought back after."""
    import pandas as pd

    out.mkdir(parents=True)

    def read(table: str) -> pd.DataFrame:
        columns, key, has_time = TABLES[table]
        frame = pd.read_csv(
            data / f"{table}.csv", dtype=str, keep_default_na=False, na_values=[""], on_bad_lines="skip", quoting=3
        )
        bad = pd.Series(False, index=frame.index)
        for name, kind in columns.items():
            if kind == "TIMESTAMPTZ":
                values = pd.to_datetime(frame[name], format="ISO8601", utc=True, errors="coerce").dt.tz_localize(None)
            elif kind == "BIGINT":
                values = pd.to_numeric(frame[name], errors="coerce")
            else:
                values, bad = frame[name], bad | frame[name].str.contains('"', regex=False, na=False)
            bad |= values.isna() & frame[name].notna()
            frame[name] = values
        frame["line"] = range(len(frame))
        frame = frame[~bad].dropna(subset=[*key, *(["timestamp"] if has_time else [])])
        return frame if table in ("inventory", "payments") else frame.drop_duplicates(key)

    orders = read("orders")
    rows = orders.sort_values("timestamp", kind="stable")
    for table in ("inventory", "payments"):
        events = read(table).sort_values(["timestamp", "line"]).drop(columns="line")
        rows = pd.merge_asof(rows, events, on="timestamp", by=TABLES[table][1])
    rows = rows.merge(read("zip_codes").drop(columns="line"), on="zip_code", how="left").sort_values("line")
    rows["order_hour_of_day"] = rows["timestamp"].dt.hour
    rows["zip_code_available"] = rows["timestamp"] >= rows["available_from"]
    targets = rows.pop("order_fulfilled").to_frame()
    rows = rows.drop(columns="line")
    rows.to_parquet(out / "feature.parquet", compression="zstd", index=False)
    targets.to_parquet(out / "targets.parquet", compression="zstd", index=False)
    rows.to_csv(out / "feature.csv", index=False, date_format="%Y-%m-%dT%H:%M:%S.%fZ")
    return {"rows": len(rows)}


def digest(path: Path) -> str:
    """Return a digest of the values of a feature table, and of their order."""
    import hashlib

    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    values = hashlib.sha256()
    for batch in pq.ParquetFile(path).iter_batches(1 << 16, columns=COMPARED):
        columns = [pc.fill_null(batch.column(name).cast(pa.string()), "-") for name in COMPARED]
        columns = [pc.replace_substring_regex(column, r"\.0$", "") for column in columns]  # pandas' whole numbers
        values.update("\n".join(pc.binary_join_element_wise(*columns, ",").to_pylist()).encode() + b"\n")
    return values.hexdigest()[:12]


def make_tables(orders: int, skus: int | None) -> Path:
    """Make the tables, once for all runs, with the bad rows planted."""
    folder = cache_folder() / f"orders-{orders}-skus-{skus or 'default'}"
    if not folder.exists():
        script = REPOSITORY / "apps/order_triage/make_sample.py"
        making = folder.with_name(folder.name + ".making")
        shutil.rmtree(making, ignore_errors=True)
        command = [sys.executable, str(script), "--orders", str(orders), "--bad-rows", "--out", str(making)]
        subprocess.run([*command, *(["--skus", str(skus)] if skus else [])], check=True, stdout=sys.stderr)
        making.rename(folder)
    return folder


def compare(orders: int, skus: int | None, sides: list[str], runs: int) -> dict[str, Any]:
    """Run every side, in turns; keep each side's run with the least CPU."""
    data = make_tables(orders, skus)
    best: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(dir=cache_folder()) as folder:
        for turn in range(runs):
            for side in sides:
                out = Path(folder) / f"{side}-{turn}"
                taken = run_part(__file__, "--part", side, "--data", str(data), "--out", str(out))
                taken["values"] = digest(out / "feature.parquet")
                shutil.rmtree(out)
                if side not in best or taken["cpu_s"] < best[side]["cpu_s"]:
                    best[side] = taken
    if len({taken["values"] for side, taken in best.items() if side != "sql-no-zones"}) > 1:
        raise SystemExit(f"the sides differ: {best}")
    whole, alone = best["ours"], dict(best["ours"])
    for clock in ("wall_s", "cpu_s"):
        alone[clock] = round(whole[clock] - whole[f"store_{clock}"] - whole[f"check_{clock}"], 2)
    best["ours without store and check"] = alone
    for taken in best.values():
        taken["wall_to_sql"] = round(taken["wall_s"] / best["sql"]["wall_s"], 2)
        taken["cpu_to_sql"] = round(taken["cpu_s"] / best["sql"]["cpu_s"], 2)
    return {"orders": orders, "skus": skus, "sides": best}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--skus", type=int, help="number of skus; default: a 40th of the orders")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        parts = {"ours": ours, "sql": sql, "sql-no-zones": partial(sql, moment="TIMESTAMP"), "pandas": pandas}
        print(json.dumps(parts[options.part](options.data, options.out)))
        return
    os.environ["OMP_NUM_THREADS"] = str(THREADS)
    before = machine()
    cache_folder().mkdir(parents=True, exist_ok=True)
    has_pandas = subprocess.run([sys.executable, "-c", "import pandas"], capture_output=True).returncode == 0
    sides = ["sql", "ours", "sql-no-zones", *(["pandas"] if has_pandas else [])]
    figures = compare(options.orders, options.skus, sides, options.runs)
    for side, taken in figures["sides"].items():
        print(
            f"{side:30} wall {taken['wall_s']:7.2f} s ({taken['wall_to_sql']:.2f})   "
            f"CPU {taken['cpu_s']:7.2f} s ({taken['cpu_to_sql']:.2f})   peak {taken['peak_mb']:,} MB   "
            f"values {taken['values']}"
        )
    if options.json:
        options.json.write_text(json.dumps({**figures, "machine": before}, indent=2) + "\n")


if __name__ == "__main__":
    main()
