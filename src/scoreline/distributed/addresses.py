"""A path or an address as Spark takes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scoreline.distributed.hadoop import has_java

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def is_address(text: str) -> bool:
    """Whether a text is an address such as `s3a://bucket/tables`, and not a path."""
    return "://" in text


def address_of(session: SparkSession, root: str | Path) -> str:
    """Return a file or a folder as Spark takes it, whatever its own default is.

    A path as `file://`; `s3://` as it is where Hadoop has a file system of that name, as on EMR, else as `s3a://`.
    """
    text = str(root)
    if not is_address(text):
        return f"file://{Path(text).resolve()}"
    if text.startswith("s3://") and not _knows_s3(session):
        text = f"s3a://{text.removeprefix('s3://')}"
    return text.rstrip("/")


def _knows_s3(session: SparkSession) -> bool:
    return not has_java(session) or bool(session.sparkContext._jsc.hadoopConfiguration().get("fs.s3.impl"))
