"""Plain DuckDB SQL that does the same job, as one would write it by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
from builds.tables import TABLES, TIME, Table

PARQUET = "(FORMAT parquet, COMPRESSION zstd)"
CSV = "(HEADER, TIMESTAMPFORMAT '%Y-%m-%dT%H:%M:%S.%fZ')"
FEATURES = """
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


def build_with_sql(data: Path, out: Path, threads: int, moment: str = TIME) -> dict[str, Any]:
    """Read the tables, set bad rows aside, join, write CSV and Parquet.

    Parameters
    ----------
    moment : what times are read as; TIMESTAMP drops their zones
    """
    out.mkdir(parents=True)
    db = duckdb.connect(str(out / "tables.duckdb"))
    for setting in (f"threads = {threads}", f"temp_directory = '{out}/spill'", "enable_progress_bar = false"):
        db.execute(f"SET {setting}")
    db.execute("SET TimeZone = 'UTC'")
    for name, table in TABLES.items():
        _read(db, name, table, data, moment)
        _set_aside(db, name, table, out)
    db.execute(FEATURES)
    features = "SELECT * EXCLUDE (order_fulfilled) FROM feature"
    db.execute(f"COPY ({features}) TO '{out}/feature.parquet' {PARQUET}")
    db.execute(f"COPY ({features}) TO '{out}/feature.csv' {CSV}")
    db.execute(f"COPY (SELECT order_fulfilled FROM feature) TO '{out}/targets.parquet' {PARQUET}")
    ((rows,),) = db.execute("SELECT count(*) FROM feature").fetchall()
    db.close()
    return {"rows": rows}


def _read(db: duckdb.DuckDBPyConnection, name: str, table: Table, data: Path, moment: str) -> None:
    """Read a table as text and cast it; a row with a value that does not fit has its text in `bad`.

    Quotes are read as text, since a torn one takes good rows with it; rows that hold one are set aside.
    """
    text = ", ".join(f"'{column}': 'VARCHAR'" for column in table.columns)
    typed = ", ".join(
        f"TRY_CAST({column} AS {moment})::TIMESTAMP AS {column}"
        if kind == TIME
        else f"TRY_CAST({column} AS {kind}) AS {column}"
        for column, kind in table.columns.items()
    )
    raw = ", ".join(f"{column} AS raw_{column}" for column in table.columns)
    bad = [f"{column} IS NULL" for column in table.required]
    bad += [f"(raw_{c} IS NOT NULL AND {c} IS NULL)" for c, kind in table.columns.items() if kind != "VARCHAR"]
    bad += [f"contains(raw_{column}, '\"')" for column in table.columns]
    shown = ", ".join(f"coalesce(raw_{column}, '')" for column in table.columns)
    db.execute(
        f"CREATE TABLE {name} AS SELECT {', '.join(table.columns)}, "
        f"CASE WHEN {' OR '.join(bad)} THEN concat_ws(',', {shown}) END AS bad "
        f"FROM (SELECT {typed}, {raw} FROM read_csv('{data}/{name}.csv', header = true, columns = {{{text}}}, "
        f"delim = ',', quote = '', escape = '', auto_detect = false, store_rejects = true, "
        f"rejects_table = '{name}_rejects', rejects_scan = '{name}_scan'))"
    )


def _set_aside(db: duckdb.DuckDBPyConnection, name: str, table: Table, out: Path) -> None:
    """List the bad rows in a file and drop them, and duplicates too."""
    db.execute(
        f"COPY (SELECT rowid AS row, bad FROM {name} WHERE bad IS NOT NULL "
        f"UNION ALL SELECT line, csv_line FROM {name}_rejects) TO '{out}/{name}.rejected.json' (FORMAT json)"
    )
    db.execute(f"DELETE FROM {name} WHERE bad IS NOT NULL")
    if table.is_unique:
        db.execute(
            f"DELETE FROM {name} WHERE rowid IN (SELECT unnest(list_sort(list(rowid))[2:]) "
            f"FROM {name} GROUP BY {', '.join(table.key)} HAVING count(*) > 1)"
        )
