"""Reference tables: read whole, and refused whole where anything is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from scoreline.app.table import TableSpec
from scoreline.errors import TableError
from scoreline.tables.fetch import Source
from scoreline.tables.read import LINE, TableFile
from scoreline.tables.rejected import Rejected
from scoreline.tables.source import file_names

_SHOWN = 3
_BYTES_A_ROW = 4096
_LEAST_BYTES = 1 << 20


def most_bytes(spec: TableSpec) -> int:
    """Return how large a reference table's file may be: some kilobytes for each row that it may have."""
    assert spec.reference is not None
    return max(_LEAST_BYTES, spec.reference.rows[1] * _BYTES_A_ROW)


def fetch_references(source: Source, specs: Sequence[TableSpec], into: Path) -> None:
    """Bring the files of reference tables into a folder.

    Raises
    ------
    SourceAwayError, SourceContentError
        As `Source.fetch` does.
    """
    for spec in specs:
        source.fetch(file_names(spec), into, known_etag=None, max_bytes=most_bytes(spec))


def read_reference(spec: TableSpec, folder: Path) -> pa.Table:
    """Read a reference table's file in `folder`; columns in declared order with their Arrow types.

    Raises
    ------
    TableError
        Anything is wrong with the file: its head, a row, a key that comes twice, its number of
        rows, or a last line that is cut off.
    """
    file = TableFile(spec, folder)
    chunks = list(file.chunks())
    rows = pa.concat_tables([chunk.rows for chunk in chunks]) if chunks else None
    rejected = [row for chunk in chunks for row in chunk.rejected]
    rows_read = sum(chunk.rows_read for chunk in chunks)
    if rows is not None:
        rejected += _doubles(spec, file.path.name, rows)
    refuse_bad_reference(spec, file.path, rows_read, rejected)
    assert rows is not None  # no rows at all are refused above
    return rows.drop_columns([LINE])


def refuse_bad_reference(spec: TableSpec, path: Path, rows_read: int, rejected: Sequence[Rejected]) -> None:
    """Raise TableError unless a reference table's rows are all good, as many as declared, and the file is whole."""
    assert spec.reference is not None
    where = f"reference table '{spec.name}', {path.name}"
    if rejected:
        shown = "; ".join(_say(row) for row in rejected[:_SHOWN])
        more = f"; and {len(rejected) - _SHOWN:,} more" if len(rejected) > _SHOWN else ""
        raise TableError(
            f"{where}: {len(rejected):,} of {rows_read:,} rows are bad, no bad row is tolerated: {shown}{more}"
        )
    least, most = spec.reference.rows
    if not least <= rows_read <= most:
        raise TableError(f"{where}: has {rows_read:,} rows; app.py declares from {least:,} to {most:,}")
    if path.suffix == ".csv" and _last_byte(path) != b"\n":
        raise TableError(
            f"{where}: its last line has no line end, so the file may have been cut off; expected a line end"
        )


def _say(row: Rejected) -> str:
    column = f", column '{row.column}'" if row.column else ""
    return f"line {row.line}{column}: {row.why}"


def _doubles(spec: TableSpec, file: str, rows: pa.Table) -> list[Rejected]:
    seen: dict[tuple[object, ...], int] = {}
    doubles = []
    keys = zip(*(rows.column(name).to_pylist() for name in spec.key), strict=True)
    for key, line in zip(keys, rows.column(LINE).to_pylist(), strict=True):
        first = seen.setdefault(key, line)
        if first != line:
            why = f"the key ({', '.join(spec.key)}) was there before, in line {first}"
            doubles.append(Rejected(file, line, spec.key[0], why, key=key, is_duplicate=True))
    return doubles


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1))
        return file.read(1)
