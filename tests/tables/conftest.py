"""Reading one small table: `read(content, k=Text, v=Integer)`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scoreline import App, Text
from scoreline.tables.read import LINE, TableFile


@dataclass
class Outcome:
    """What reading came to.

    Attributes
    ----------
    rows : the good rows, each a tuple of its columns
    lines : the line of each good row
    bad : (line, column, why) of the rows set aside
    """

    rows: list[tuple[Any, ...]]
    lines: list[int]
    bad: list[tuple[int, str | None, str]]

    @property
    def bad_lines(self) -> list[int]:
        return [line for line, _, _ in self.bad]


@pytest.fixture
def table_file(tmp_path):
    """Give a function that writes `prices.csv` (bytes) or `prices.parquet` (Arrow table) and opens it."""

    def open_table(content, *, key="k", time=None, multiline=False, **columns):
        table = App("x").table("prices", key=key, time=time, columns={"k": Text, **columns}, multiline=multiline)
        for former in tmp_path.glob("prices.*"):
            former.unlink()
        if isinstance(content, pa.Table):
            pq.write_table(content, tmp_path / "prices.parquet")
        else:
            (tmp_path / "prices.csv").write_bytes(content)
        return TableFile(table.spec, tmp_path)

    return open_table


@pytest.fixture
def read(table_file):
    """Give a function that writes a table and reads it: the key `k` is Text, other columns are named."""

    def read_table(content, *, chunk_bytes=32 << 20, **declared):
        outcome = Outcome([], [], [])
        for chunk in table_file(content, **declared).chunks(chunk_bytes):
            names = [name for name in chunk.rows.column_names if name != LINE]
            outcome.rows += [tuple(row[name] for name in names) for row in chunk.rows.to_pylist()]
            outcome.lines += chunk.rows.column(LINE).to_pylist()
            outcome.bad += [(row.line, row.column, row.why) for row in chunk.rejected]
        return outcome

    return read_table
