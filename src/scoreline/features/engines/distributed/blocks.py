"""Which line of which file a row is: from the files' blocks, of which there are few, counted once.

Spark reads a file in blocks, and the rows of a block in order, each with a number that grows by one. A block's first
number, its file and the rows before it in the file tell the line of each of its rows; none carries a file name.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from scoreline.distributed.trouble import translated
from scoreline.errors import TableError

NUMBER = "number"


@dataclass(frozen=True)
class Block:
    """A piece of a file.

    Attributes
    ----------
    first : the number of its first row
    before : how many rows of the file are before it
    """

    first: int
    rows: int
    file: int
    before: int


@dataclass(frozen=True)
class File:
    """One file of a table.

    Attributes
    ----------
    start : the place of the line before its first; places go on from file to file
    head : its first line in CSV, None in Parquet
    folders : for a file in folders named `column=value`, the values as text
    """

    index: int
    name: str
    start: int
    rows: int
    head: bytes | None
    folders: dict[str, str | None]


class Blocks:
    """The blocks of a table's files."""

    def __init__(self, table: str, files: Sequence[File], blocks: Sequence[Block]) -> None:
        self._table = table
        self.files = list(files)
        self._blocks = sorted(blocks, key=lambda block: block.first)
        self._first = np.array([block.first for block in self._blocks], np.int64)
        self._starts = np.array([file.start for file in self.files], np.int64)

    def runs(self, numbers: np.ndarray[Any, Any]) -> Iterator[tuple[slice, File, int]]:
        """Part the rows of a batch by file.

        Yields
        ------
        Which rows of the batch, their file, and the line in it of the first (the file's first line is 1).
        """
        of = np.searchsorted(self._first, numbers, side="right") - 1
        edges = [0, *(np.flatnonzero(np.diff(of)) + 1).tolist(), len(numbers)]
        for begin, end in itertools.pairwise(edges):
            if begin == end:
                continue
            block = self._blocks[int(of[begin])]
            line = int(numbers[begin]) - block.first + 1
            if int(of[begin]) < 0 or line + end - begin - 1 > block.rows:
                raise TableError(f"table '{self._table}': its files changed while they were read. Run it again.")
            yield slice(begin, end), self.files[block.file], block.before + line

    def place_of(self, place: int) -> tuple[str, int]:
        """Return the file name and the line that a place stands for."""
        index = int(np.searchsorted(self._starts, place, side="left")) - 1
        index = min(max(index, 0), len(self.files) - 1)
        return self.files[index].name, place - self.files[index].start


def numbered(frame: DataFrame) -> DataFrame:
    """Add the number of each row; it must be the first step over a table as it is read."""
    return frame.withColumn(NUMBER, F.monotonically_increasing_id())


def count_blocks(table: str, frame: DataFrame, *, head: str | None, folders: Sequence[str] = ()) -> Blocks:
    """Read a table's files once, counting; what comes to this machine is a line for each block.

    Parameters
    ----------
    frame : the table as it is read
    head : its column of lines in CSV; None in Parquet
    folders : its columns that stand in the names of folders
    """
    path, start = F.col("_metadata.file_path"), F.col("_metadata.file_block_start")
    first = F.when(start == 0, F.col(head).cast("binary")) if head else F.lit(None).cast("binary")
    wanted = [path.alias("path"), start.alias("start"), F.monotonically_increasing_id().alias(NUMBER)]
    wanted += [first.alias("head"), *(F.col(f"`{name}`").alias(f"f{i}") for i, name in enumerate(folders))]
    firsts = [F.first(name).alias(name) for name in ("head", *(f"f{i}" for i in range(len(folders))))]
    counted = (
        frame.select(*wanted)
        .groupBy("path", "start")
        .agg(F.min(NUMBER).alias("first"), F.count(F.lit(1)).alias("rows"), *firsts)
    )
    with translated(f"reading table '{table}'"):
        rows = sorted(counted.collect(), key=lambda row: (row.path, row.start))
    files: list[File] = []
    blocks: list[Block] = []
    paths: list[str] = []
    for row in rows:
        if not paths or paths[-1] != row.path:
            at = files[-1].start + files[-1].rows if files else 0
            values = {name: row[f"f{i}"] for i, name in enumerate(folders)}
            name = unquote(row.path.rsplit("/", 1)[-1])
            files.append(File(len(files), name, at, 0, None if row.head is None else bytes(row.head), values))
            paths.append(row.path)
        file = files[-1]
        blocks.append(Block(row.first, row["rows"], len(files) - 1, file.rows))
        files[-1] = replace(file, rows=file.rows + row["rows"])
    return Blocks(table, files, blocks)
