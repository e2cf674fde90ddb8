"""The tables of order triage: what is in them, and how they are made; and whether two feature tables are alike."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from harness.child import REPOSITORY

SCRIPT = REPOSITORY / "apps/order_triage/make_sample.py"
TIME = "TIMESTAMPTZ"


@dataclass(frozen=True)
class Table:
    """A raw table.

    Attributes
    ----------
    columns : name -> type in SQL, in the file's order
    is_unique : of rows with one key the first stays
    """

    columns: dict[str, str]
    key: tuple[str, ...]
    is_unique: bool = False

    @property
    def required(self) -> tuple[str, ...]:
        """The columns that no good row lacks."""
        return (*self.key, *(["timestamp"] if "timestamp" in self.columns else []))


TABLES = {
    "orders": Table(
        {
            "order_id": "VARCHAR",
            "customer_id": "VARCHAR",
            "timestamp": TIME,
            "sku_code": "VARCHAR",
            "quantity": "BIGINT",
            "zip_code": "VARCHAR",
            "order_fulfilled": "BOOLEAN",
        },
        ("order_id", "customer_id", "sku_code", "zip_code"),
        is_unique=True,
    ),
    "inventory": Table({"sku_code": "VARCHAR", "timestamp": TIME, "inventory": "BIGINT"}, ("sku_code",)),
    "payments": Table(
        {
            "order_id": "VARCHAR",
            "customer_id": "VARCHAR",
            "timestamp": TIME,
            "payment_method": "VARCHAR",
            "payment_status": "VARCHAR",
        },
        ("order_id", "customer_id"),
    ),
    "zip_codes": Table({"zip_code": "VARCHAR", "available_from": TIME}, ("zip_code",), is_unique=True),
}


def make_tables(cache: Path, orders: int, skus: int | None) -> Path:
    """Make the tables with bad rows planted, once for all runs; return their folder.

    Parameters
    ----------
    skus : None: a 40th of the orders
    """
    folder = cache / f"orders-{orders}-skus-{skus or 'default'}"
    stamp, wanted = folder / "stamp", hashlib.sha256(SCRIPT.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return folder
    print(f"bench: making the tables of {orders:,} orders (once)", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, str(SCRIPT), "--orders", str(orders), "--bad-rows", "--out", str(folder)]
    subprocess.run([*command, *(["--skus", str(skus)] if skus else [])], check=True, stdout=sys.stderr)
    stamp.write_text(wanted)
    return folder


def digest(path: Path) -> str:
    """Return a digest of the values of a feature table, and of their order, whoever wrote it."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    values = hashlib.sha256()
    with pq.ParquetFile(path) as file:
        names = sorted(file.schema_arrow.names)
        for batch in file.iter_batches(1 << 16, columns=names):
            columns = [batch.column(name) for name in names]
            columns = [c.cast(pa.timestamp("us")) if pa.types.is_timestamp(c.type) else c for c in columns]
            texts = [pc.fill_null(column.cast(pa.string()), "-") for column in columns]
            texts = [pc.replace_substring_regex(text, r"\.0$", "") for text in texts]  # pandas' whole numbers
            values.update("\n".join(pc.binary_join_element_wise(*texts, ",").to_pylist()).encode() + b"\n")
    return values.hexdigest()[:12]
