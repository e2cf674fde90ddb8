"""Paths and addresses as Spark takes them, on a real session."""

from __future__ import annotations

from pathlib import Path

import pytest

from scoreline.distributed.addresses import address_of
from scoreline.distributed.hadoop import is_there

pytestmark = [pytest.mark.slow, pytest.mark.needs("java")]


def test_s3_has_the_name_that_the_cluster_knows(spark):
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    assert address_of(spark, "s3://shop/orders/") == "s3a://shop/orders"
    hadoop.set("fs.s3.impl", "com.amazon.ws.emr.hadoop.fs.EmrFileSystem")
    try:
        assert address_of(spark, "s3://shop/orders/") == "s3://shop/orders"
    finally:
        hadoop.unset("fs.s3.impl")


def test_what_is_there_is_known_without_reading_it(spark, tmp_path):
    (tmp_path / "orders").mkdir()
    assert is_there(spark, f"file://{tmp_path}/orders")
    assert not is_there(spark, f"file://{tmp_path}/payments")


def test_a_path_is_of_this_machine_whatever_the_clusters_default_is(spark, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert address_of(spark, Path("orders")) == f"file://{tmp_path.resolve()}/orders"
    assert address_of(spark, "hdfs://host/orders") == "hdfs://host/orders"
