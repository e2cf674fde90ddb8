"""Reading a table as declared: chunks of typed good rows, and the bad rows set aside."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scoreline.app.columns import ColumnType
from scoreline.app.table import TableSpec
from scoreline.errors import TableError, did_you_mean
from scoreline.tables import csv_lines, parquet
from scoreline.tables.rejected import Rejected
from scoreline.tables.source import find_file, find_parts, is_csv
from scoreline.tables.typed import Typed, arrow_type, convert_strings

LINE = "__line"  # the row's line, or place: ties at one instant are settled by it


@dataclass(frozen=True)
class Chunk:
    """A piece of a table, in the order of the file.

    Attributes
    ----------
    rows : the good rows; columns in declared order with their Arrow types, and `LINE` (int64), their place
        in the table: the line in its file, going on from file to file where there are several
    rejected : the rows set aside
    """

    rows: pa.Table
    rejected: list[Rejected]

    @property
    def rows_read(self) -> int:
        """Good and bad rows together."""
        return self.rows.num_rows + len(self.rejected)


class TableFile:
    """A table's file, or the files in its folder, their heads checked against the declaration.

    Attributes
    ----------
    path : the file or the folder
    present : declared columns that at least one of the files has

    Raises
    ------
    TableError
        No file or more than one, an unreadable one, a missing or repeated column, or (Parquet) a
        column of another type.
    """

    def __init__(self, spec: TableSpec, data_dir: Path) -> None:
        self.spec = spec
        self.path = find_file(spec, data_dir)
        self._parts = [_Part(spec, path) for path in find_parts(spec, self.path)]
        self._starts = [0]  # of the files that were read, or are being read: the place of the line before their first
        self.present = [name for name in spec.columns if any(name in part.present for part in self._parts)]

    @property
    def absent(self) -> list[str]:
        """Declared optional columns that a file does not have."""
        return [name for name in self.spec.columns if any(name not in part.present for part in self._parts)]

    @property
    def files(self) -> dict[str, int]:
        """Each file that was read -> the place of the line before its first."""
        return {part.path.name: start for part, start in zip(self._parts, self._starts, strict=False)}

    def chunks(self, chunk_bytes: int = csv_lines.CHUNK_BYTES) -> Iterator[Chunk]:
        """Read the files one after the other, in bounded memory; places go on from file to file."""
        self._starts = [0]
        for part in self._parts:
            last = start = self._starts[-1]
            for chunk in part.chunks(chunk_bytes):
                placed = _placed(chunk, start) if start else chunk
                last = max(last, _last_place(placed))
                yield placed
            self._starts.append(last)

    def place_of(self, place: int) -> tuple[str, int]:
        """Return the file name and the line that a place (`LINE`, `Rejected.place`) stands for."""
        index = min(bisect.bisect_left(self._starts, place) - 1, len(self._parts) - 1)
        return self._parts[index].path.name, place - self._starts[index]


def read_file(spec: TableSpec, path: Path) -> Iterator[Chunk]:
    """Read one file as that of a table, whatever its name; TableError where its head does not fit."""
    return _Part(spec, path).chunks()


def _placed(chunk: Chunk, start: int) -> Chunk:
    """Return a chunk of a further file: its places begin where those of the file before end."""
    column = chunk.rows.schema.get_field_index(LINE)
    rows = chunk.rows.set_column(column, LINE, pc.add(chunk.rows.column(column), start))
    return Chunk(rows, [replace(row, position=start + row.line) for row in chunk.rejected])


def _last_place(chunk: Chunk) -> int:
    rejected = max((row.place for row in chunk.rejected), default=0)
    return max(rejected, pc.max(chunk.rows.column(LINE)).as_py() or 0)


class _Part:
    """One file of a table."""

    def __init__(self, spec: TableSpec, path: Path) -> None:
        self.spec, self.path = spec, path
        self.is_csv = is_csv(path)
        self._header = csv_lines.read_header(self.path) if self.is_csv else parquet.read_schema(self.path).names
        self.present = [name for name in spec.columns if name in self._header]
        self._check_head()

    def chunks(self, chunk_bytes: int = csv_lines.CHUNK_BYTES) -> Iterator[Chunk]:
        """Read the file, in bounded memory."""
        if self.is_csv:
            wanted = [self._header.index(name) for name in self.present]
            if self.spec.multiline:
                pieces = csv_lines.read_multiline(self.path, len(self._header), wanted)
            else:
                pieces = csv_lines.read_lines(self.path, len(self._header), wanted, chunk_bytes)
            for lines in pieces:
                yield sort_lines(self.spec, self.path.name, self.present, lines)
        else:
            yield from self._parquet_chunks()

    def _parquet_chunks(self) -> Iterator[Chunk]:
        first = 1
        for batch in parquet.read_batches(self.path, self.present):
            raw = {name: batch.column(name) for name in self.present}
            line = pa.array(np.arange(first, first + batch.num_rows), pa.int64())
            yield sort_columns(self.spec, self.path.name, raw, line)
            first += batch.num_rows

    def _check_head(self) -> None:
        where = f"table '{self.spec.name}', {self.path.name}"
        check_names(where, self.spec, self._header)
        if not self.is_csv:
            schema = parquet.read_schema(self.path)
            for name in self.present:
                parquet.check_type(f"{where}, column '{name}'", schema.field(name).type, self.spec.columns[name])


def check_names(where: str, spec: TableSpec, header: list[str]) -> None:
    """Raise TableError unless a file's head has each declared column once, but for optional ones."""
    for name, kind in spec.columns.items():
        if name not in header and not kind.optional:
            raise TableError(
                f"{where}: has no column '{name}'.{did_you_mean(name, header)} "
                f"Its head has: {', '.join(header)}.{_separator_hint(header)}"
            )
        if header.count(name) > 1:
            raise TableError(f"{where}: has {header.count(name)} columns named '{name}'; expected one")


def sort_lines(spec: TableSpec, file: str, present: Sequence[str], lines: csv_lines.Lines) -> Chunk:
    """Convert and part lines of a CSV file; `present` are the names of the columns in `lines`."""
    typed = {
        name: convert_strings(strings, spec.columns[name]) for name, strings in zip(present, lines.columns, strict=True)
    }
    torn = [Rejected(file, line, None, why) for line, why in lines.torn]
    return sort_rows(spec, file, typed, lines.columns, lines.line, torn)


def sort_columns(spec: TableSpec, file: str, raw: Mapping[str, pa.Array], line: pa.Array) -> Chunk:
    """Convert and part rows of a Parquet file, given the declared columns that it has."""
    typed = {name: parquet.convert_column(values, spec.columns[name]) for name, values in raw.items()}
    return sort_rows(spec, file, typed, list(raw.values()), line)


def sort_rows(
    spec: TableSpec,
    file: str,
    columns: Mapping[str, Typed],
    raw: Sequence[pa.Array],
    line: pa.Array,
    torn: Sequence[Rejected] = (),
) -> Chunk:
    """Part rows into good ones and those to be set aside.

    Parameters
    ----------
    file : the file's name, for what is set aside
    columns : the table's columns that the file has, converted
    raw : the same columns as they were, in the same order
    line : int64, the line of each row
    torn : lines that are no rows at all
    """
    arrays = {
        name: columns[name].values if name in columns else pa.nulls(len(line), arrow_type(kind))
        for name, kind in spec.columns.items()
    }
    table = pa.table({**arrays, LINE: line})
    bad = _bad_mask(spec, columns, len(line))
    if not bad.any():
        return Chunk(table, list(torn))
    where = pa.array(np.flatnonzero(bad))
    shown = (parquet.as_shown(column).take(where) for column in raw)
    values = dict(zip(columns, shown, strict=True))
    rows = table.take(where).to_pylist()
    rejected = [_reject(spec, file, row, {n: v[i].as_py() for n, v in values.items()}) for i, row in enumerate(rows)]
    return Chunk(table.filter(pa.array(~bad)), [*torn, *rejected])


def _bad_mask(spec: TableSpec, columns: Mapping[str, Typed], rows: int) -> np.ndarray[Any, Any]:
    bad = np.zeros(rows, bool)
    for typed in columns.values():
        if typed.bad is not None:
            bad |= pc.fill_null(typed.bad, False).to_numpy(zero_copy_only=False)
    for name in spec.required:
        if columns[name].values.null_count:
            bad |= pc.is_null(columns[name].values).to_numpy(zero_copy_only=False)
    return bad


def _reject(spec: TableSpec, file: str, row: dict[str, Any], raw: dict[str, Any]) -> Rejected:
    """Say why a row is bad: its first column, in declared order, that does not fit."""
    key = tuple(row[name] for name in spec.key)
    time = row[spec.time] if spec.time else None
    for name in raw:
        if row[name] is None and (raw[name] not in (None, "") or name in spec.required):
            return Rejected(
                file,
                row[LINE],
                name,
                _why(spec.columns[name], raw[name], is_key=name in spec.key),
                key=None if None in key else key,
                time_us=None if time is None else int(np.datetime64(time, "us").astype(np.int64)),
            )
    raise AssertionError("a row was marked as bad and every column fits")


def _why(kind: ColumnType, raw: object, *, is_key: bool) -> str:
    if raw is None or raw == "":
        return f"expected {kind.expects}, got nothing" + (": a key column can't be empty" if is_key else "")
    text = str(raw)
    return f"expected {kind.expects}, got {text[:40] + '...' if len(text) > 40 else text!r}"


def _separator_hint(header: list[str]) -> str:
    for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(header) == 1 and separator in header[0]:
            return f" The fields seem to be separated by {name}; expected commas."
    return ""
