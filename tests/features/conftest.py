"""Building feature tables from small tables that stand in the test."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from scoreline.features.build import build_features

HEADS = {
    "orders": "order_id,customer_id,timestamp,sku_code,quantity,zip_code",
    "inventory": "sku_code,timestamp,inventory",
    "payments": "order_id,customer_id,timestamp,payment_method,payment_status",
    "zip_codes": "zip_code,available_from",
}


@pytest.fixture
def data(tmp_path):
    """The data folder."""
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def results(tmp_path):
    """The results folder."""
    return tmp_path / "results"


@pytest.fixture
def write(data):
    """Give a function that writes the tables of order triage: each a list of lines below its head."""

    def write_tables(**tables):
        for name, head in HEADS.items():
            if name in tables or not (data / f"{name}.csv").exists():
                (data / f"{name}.csv").write_text("\n".join([head, *tables.get(name, [])]) + "\n")

    return write_tables


@pytest.fixture
def build(data, results):
    """Give a function that builds an app's features; by default it may have 20 bad rows in a table."""

    def build_app(app, *, max_bad_percent=1.0, max_bad_rows=20):
        return build_features(app, data, results, threads=1, max_bad_percent=max_bad_percent, max_bad_rows=max_bad_rows)

    return build_app


@pytest.fixture
def features(order_triage, write, build, results):
    """Give a function from the tables of order triage to its feature rows, each a dict."""

    def feature_rows(**tables):
        write(**tables)
        build(order_triage)
        return pq.read_table(results / "feature.parquet").to_pylist()

    return feature_rows
