"""CSV, one physical line at a time where it matters.

CSV readers lose good rows around a torn quote, each different ones. Here a line stands for itself: a
line whose quoting is torn, that has too many or too few fields, or that is not UTF-8 is set aside
alone. Lines are sorted into good and bad in bulk, over megabytes at a time; pyarrow parses the good.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from scoreline.errors import TableError

CHUNK_BYTES = 32 << 20
_MULTILINE_ROWS = 1 << 16
_BOM = b"\xef\xbb\xbf"
_QUOTE, _COMMA, _NEWLINE, _RETURN, _NUL = b'"', 0x2C, 0x0A, 0x0D, 0x00
_FIELD = r'("([^"]|"")*"|[^",]*)'
_WELL_QUOTED = f"^{_FIELD}(,{_FIELD})*$"


@dataclass(frozen=True)
class Lines:
    """A chunk of a CSV file.

    Attributes
    ----------
    columns : one string array for each wanted column, null where the field is empty
    line : int64 array, the line of each row in the file (the header is line 1)
    torn : (line, why) of the lines that are no rows
    """

    columns: list[pa.Array]
    line: pa.Array
    torn: list[tuple[int, str]]


def read_header(path: Path) -> list[str]:
    """Return the column names in the first line of a CSV file, spaces around them removed.

    Raises
    ------
    TableError
        The file is empty, not UTF-8, can't be opened, or its first line is no list of names.
    """
    try:
        with path.open("rb") as file:
            first = file.readline()
    except OSError as error:
        raise TableError(f"{path}: can't be read ({error.strerror})") from error
    return names_in(first, path)


def names_in(first: bytes, path: Path | str) -> list[str]:
    """Return the column names in a first line, as `read_header` does; `path` is for its errors."""
    if first[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise TableError(f"{path}: is UTF-16; expected UTF-8. Save it as CSV UTF-8.")
    try:
        text = first.removeprefix(_BOM).decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise TableError(f"{path}, line 1: the header is not UTF-8. Save the file as CSV UTF-8.") from error
    if not text.strip():
        raise TableError(f"{path}: is empty; expected a line with column names first")
    if "\r" in text:
        raise TableError(
            f"{path}, line 1: the header holds a lone carriage return. Save the file with LF or CRLF line ends."
        )
    try:
        return [name.strip() for name in next(csv.reader([text]))]
    except csv.Error as error:
        raise TableError(f"{path}, line 1: can't be read as column names ({error})") from error


@dataclass(frozen=True)
class Span:
    """Some lines of a file: from which byte to which, and the number of the first."""

    begin: int
    end: int
    line: int


def read_lines(
    path: Path, fields: int, wanted: Sequence[int], chunk_bytes: int = CHUNK_BYTES, span: Span | None = None
) -> Iterator[Lines]:
    """Read all lines below the header in chunks, in the order of the file, in bounded memory.

    Parameters
    ----------
    fields : how many fields a line has
    wanted : positions of the columns to give
    span : read these lines alone; None: all below the header
    """
    with path.open("rb") as file:
        if span is None:
            file.readline()
        else:
            file.seek(span.begin)
        line, carried = 2 if span is None else span.line, b""
        while block := file.read(chunk_bytes if span is None else min(chunk_bytes, span.end - file.tell())):
            block = carried + block
            end = block.rfind(b"\n") + 1
            block, carried = block[:end], block[end:]
            if block:
                yield split_block(block, line, fields, wanted)
                line += block.count(b"\n")
        if carried:
            yield split_block(carried + b"\n", line, fields, wanted)


def read_multiline(path: Path, fields: int, wanted: Sequence[int]) -> Iterator[Lines]:
    """Read a file whose quoted fields may hold newlines, in chunks of rows; a row's line is its first.

    Raises
    ------
    TableError
        Torn quoting or bytes that are not UTF-8: no line after them can be trusted.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, strict=True)
        try:
            next(rows, None)
            while chunk := list(islice(_numbered(rows), _MULTILINE_ROWS)):
                yield _gather(chunk, fields, wanted)
        except (csv.Error, UnicodeDecodeError) as error:
            raise TableError(
                f"{path}, record before line {rows.line_num + 1}: can't be read ({error}). The table is declared "
                "multiline=True, so what follows can't be read either. Mend the quoting."
            ) from error


def _numbered(rows: Any) -> Iterator[tuple[int, list[str]]]:
    while True:
        line = rows.line_num + 1
        row = next(rows, None)
        if row is None:
            return
        if row:
            yield line, row


def _gather(chunk: Sequence[tuple[int, list[str]]], fields: int, wanted: Sequence[int]) -> Lines:
    good = [(line, row) for line, row in chunk if len(row) == fields]
    columns = [pa.array([row[position] or None for _, row in good], pa.string()) for position in wanted]
    torn = [(line, f"expected {fields} fields, got {len(row)}") for line, row in chunk if len(row) != fields]
    return Lines(columns, pa.array([line for line, _ in good], pa.int64()), torn)


def split_block(block: bytes, first_line: int, fields: int, wanted: Sequence[int]) -> Lines:
    """Split whole lines below the header into rows and torn lines; the block ends in a newline.

    Parameters
    ----------
    first_line : the number of the block's first line in its file
    fields, wanted : as in `read_lines`
    """
    if b"\r\n" in block:
        block = block.replace(b"\r\n", b"\n")
    if (columns := _parse_plain(block, fields, wanted)) is not None:
        line = pa.array(np.arange(first_line, first_line + len(columns[0])), pa.int64())
        return Lines(columns, line, [])
    layout = _Layout.of(block)
    usual = (layout.commas == fields - 1) & ~layout.odd & ~layout.blank
    why: dict[int, str] = {}
    is_quoted = np.zeros(len(usual), bool)
    for position in np.flatnonzero(layout.odd):
        why[int(position)] = _why_odd(layout.content(int(position)))
    _check_quoted(layout, fields, why, is_quoted, usual)
    for position in np.flatnonzero(~usual & ~layout.blank):
        if int(position) not in why:
            got = int(layout.commas[position]) + 1
            why[int(position)] = f"expected {fields} fields, got {got}"
    columns = _parse(layout.keep(usual), fields, wanted, quoted=bool(is_quoted.any()))
    line = pa.array(np.flatnonzero(usual) + first_line, pa.int64())
    return Lines(columns, line, [(position + first_line, why[position]) for position in sorted(why)])


@dataclass(frozen=True)
class _Layout:
    """Where the lines of a block are, and what is in them."""

    block: bytes
    starts: np.ndarray[Any, Any]
    ends: np.ndarray[Any, Any]  # of the newline
    commas: np.ndarray[Any, Any]
    blank: np.ndarray[Any, Any]
    odd: np.ndarray[Any, Any]  # a NUL, a lone carriage return, or not UTF-8

    @classmethod
    def of(cls, block: bytes) -> _Layout:
        data = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(data == _NEWLINE)
        starts = np.concatenate(([0], ends[:-1] + 1))
        commas = _count_per_line(data == _COMMA, ends)
        odd = np.zeros(len(ends), bool)
        for byte in (_NUL, _RETURN):
            if bytes([byte]) in block:
                odd |= _count_per_line(data == byte, ends) > 0
        if not _is_utf8(block):
            suspects = np.flatnonzero((_count_per_line(data >= 0x80, ends) > 0) & ~odd)
            for position in suspects:
                odd[position] = not _is_utf8(block[starts[position] : ends[position]])
        return cls(block, starts, ends, commas, starts == ends, odd)

    def content(self, position: int) -> bytes:
        return self.block[self.starts[position] : self.ends[position]]

    def keep(self, mask: np.ndarray[Any, Any]) -> bytes:
        """Return the lines that `mask` keeps, each with its newline."""
        if mask.all():
            return self.block
        edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
        view = memoryview(self.block)
        runs = zip(edges[::2], edges[1::2], strict=True)
        return b"".join(view[self.starts[first] : self.ends[last - 1] + 1] for first, last in runs)


def _count_per_line(hits: np.ndarray[Any, Any], ends: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    upto = np.searchsorted(np.flatnonzero(hits), ends)
    return np.diff(upto, prepend=0)


def _is_utf8(block: bytes) -> bool:
    if block.isascii():
        return True
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True


def _why_odd(content: bytes) -> str:
    if b"\0" in content:
        return "the line holds a NUL byte"
    if b"\r" in content:
        return "the line holds a lone carriage return"
    return "the line is not UTF-8"


def _check_quoted(
    layout: _Layout,
    fields: int,
    why: dict[int, str],
    is_quoted: np.ndarray[Any, Any],
    usual: np.ndarray[Any, Any],
) -> None:
    """Judge the lines that hold a quote: mark well-formed ones in `usual`, explain the others in `why`."""
    if _QUOTE not in layout.block:
        return
    quotes = _count_per_line(np.frombuffer(layout.block, np.uint8) == _QUOTE[0], layout.ends)
    positions = np.flatnonzero((quotes > 0) & ~layout.odd)
    is_quoted[positions] = True
    quoted = _Layout.of(layout.keep((quotes > 0) & ~layout.odd))
    texts = pa.array([quoted.content(line) for line in range(len(positions))], pa.binary()).cast(pa.string())
    is_well = pc.match_substring_regex(texts, _WELL_QUOTED).to_numpy(zero_copy_only=False)
    got = _count_fields(quoted)
    usual[positions] = is_well & (got == fields)
    for index in np.flatnonzero(~usual[positions]):
        why[int(positions[index])] = (
            f"expected {fields} fields, got {got[index]}"
            if is_well[index]
            else "torn quoting: a quote is not closed on its line, or text stands beside a quoted field"
        )


def _count_fields(layout: _Layout) -> np.ndarray[Any, Any]:
    """Count the fields of each well-quoted line: a comma parts two where the quotes before it are even in number."""
    data = np.frombuffer(layout.block, np.uint8)
    quote_at, comma_at = np.flatnonzero(data == _QUOTE[0]), np.flatnonzero(data == _COMMA)
    line = np.searchsorted(layout.ends, comma_at)
    before = np.searchsorted(quote_at, comma_at) - np.searchsorted(quote_at, layout.starts)[line]
    return np.bincount(line[before % 2 == 0], minlength=len(layout.ends)) + 1


def _parse_plain(block: bytes, fields: int, wanted: Sequence[int]) -> list[pa.Array] | None:
    """Parse a block in which every line is a row and nothing is quoted, as most are; None for any other."""
    if any(byte in block for byte in (_QUOTE, b"\r", b"\0")) or not _is_utf8(block):
        return None
    try:
        columns = _parse(block, fields, wanted, quoted=False)
    except pa.ArrowInvalid:  # a line with too many or too few fields
        return None
    return columns if len(columns[0]) == block.count(b"\n") else None  # a blank line is no row


def _parse(content: bytes, fields: int, wanted: Sequence[int], *, quoted: bool) -> list[pa.Array]:
    """Parse lines that are known to be well formed into string columns."""
    if not content:
        return [pa.array([], pa.string()) for _ in wanted]
    if content.startswith(_BOM):  # pyarrow takes one away; in the middle of a file it belongs to the text
        content = _BOM + content
    names = [str(position) for position in range(fields)]
    table = pyarrow.csv.read_csv(
        pa.BufferReader(content),
        read_options=pyarrow.csv.ReadOptions(column_names=names, block_size=len(content) + 1, use_threads=True),
        parse_options=pyarrow.csv.ParseOptions(
            quote_char='"' if quoted else False, double_quote=True, escape_char=False, newlines_in_values=False
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={name: pa.string() for name in names},
            include_columns=[str(position) for position in wanted],
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        ),
    )
    return [table.column(index).combine_chunks() for index in range(len(wanted))]
