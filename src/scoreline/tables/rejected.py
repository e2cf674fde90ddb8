"""Rows set aside: what is kept of them, where it is written, and how many are too many."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from scoreline.errors import TableError
from scoreline.files import write_atomically


@dataclass(frozen=True)
class Rejected:
    """One row that is set aside.

    Attributes
    ----------
    line : int
        Line in a CSV file (the header is line 1), row in a Parquet file (the first is row 1).
    column : str or None
        The first column that is wrong; None where the line as a whole can't be read.
    key, time_us : the row's key and event time (microseconds, UTC) where they could be read, else None
    is_duplicate : the row can be read, but its key was there before
    position : its place in a table of several files, where that is not its line
    """

    file: str
    line: int
    column: str | None
    why: str
    key: tuple[Any, ...] | None = None
    time_us: int | None = None
    is_duplicate: bool = False
    position: int | None = None

    @property
    def place(self) -> int:
        """Its place in the table, as good rows have one in `LINE`: unique, and ascending as rows are read."""
        return self.line if self.position is None else self.position

    def as_json(self) -> dict[str, Any]:
        """Return what is written to `results/rejected/<table>.jsonl`."""
        return {"file": self.file, "line": self.line, "column": self.column, "why": self.why}


class Places(Protocol):
    """What knows the file and the line that a place stands for."""

    def place_of(self, place: int) -> tuple[str, int]:
        """Return the file name and the line."""


def double(
    key_names: Sequence[str], places: Places, place: int, first: int, key: tuple[Any, ...] | None = None
) -> Rejected:
    """Make the row set aside whose key was there before, at the place `first`."""
    (name, line), (first_name, first_line) = places.place_of(place), places.place_of(first)
    where = f"line {first_line}" if first_name == name else f"line {first_line} of {first_name}"
    why = f"the key ({', '.join(key_names)}) was there before, in {where}: the first stays"
    return Rejected(name, line, key_names[0], why, key=key, is_duplicate=True, position=place)


def write_rejected(folder: Path, table: str, rejected: Iterable[Rejected]) -> Path | None:
    """Write `<folder>/<table>.jsonl`, in the order of the file; remove a former one if there is nothing."""
    ordered = sorted(rejected, key=lambda row: row.place)
    return write_lines(folder / f"{table}.jsonl", [row.as_json() for row in ordered])


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> Path | None:
    """Write JSON Lines atomically; with no rows, remove the file and return None."""
    if not rows:
        path.unlink(missing_ok=True)
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_atomically(path, text.encode())
    return path


def most_bad_rows(rows_read: int, percent: float, at_least: int) -> int:
    """Return how many rows of a table may be unreadable: the larger of a share and a number.

    Examples
    --------
    >>> most_bad_rows(500, 1.0, 20), most_bad_rows(100_000, 1.0, 20)
    (20, 1000)
    """
    return max(math.floor(rows_read * percent / 100), at_least)


def too_many(
    table: str, file: str, rows_read: int, bad_rows: int, first: Rejected, allowed: int, where: Path | str
) -> TableError:
    """Make the error for a table with more unreadable rows than allowed; `first` is the first of them."""
    of_file = "" if first.file == file else f"{first.file}, "
    column = f", column '{first.column}'" if first.column else ""
    return TableError(
        f"table '{table}': {bad_rows} of {rows_read} rows of {file} can't be read, more than the {allowed} allowed. "
        f"The first: {of_file}line {first.line}{column}: {first.why}. All are listed in {where}. Mend the file, or "
        "raise SCORELINE_MAX_BAD_PERCENT or SCORELINE_MAX_BAD_ROWS; the last good results are untouched."
    )
