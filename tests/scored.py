"""What batch scoring wrote, as rows."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq


def lines_of(path):
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def rows_of(path):
    """Return the rows of a Parquet file or of all parts in a folder, without what is null."""
    paths = sorted(Path(path).glob("part-*")) if Path(path).is_dir() else [path]
    return [without_nulls(row) for part in paths for row in pq.read_table(part).to_pylist()]


def without_nulls(value):
    """Return a value without members that are null: a row of Parquet has all that its type has."""
    if isinstance(value, dict):
        return {name: without_nulls(member) for name, member in value.items() if member is not None}
    return [without_nulls(member) for member in value] if isinstance(value, list) else value
