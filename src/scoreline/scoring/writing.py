"""Parts of the output: replies as JSON Lines, CSV or Parquet, each row in its record's place."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from scoreline.app.declaration import App
from scoreline.app.reply import Echo
from scoreline.scoring.schema import ERROR, reply_columns
from scoreline.scoring.score import Entry, Failed
from scoreline.scoring.source import Format
from scoreline.serving.codecs import ReplyTables, reply_tables
from scoreline.serving.kinds import INT64

_GROUP_BYTES = 32 << 20
_GROUP_ROWS = 1 << 16
_encode = msgspec.json.Encoder().encode


class Writer(Protocol):
    """Writes entries to one file."""

    def write(self, entries: Sequence[Entry]) -> None:
        """Write the entries behind those before."""

    def close(self) -> None:
        """End the file."""


class Layout:
    """How the replies of an app look in each format.

    Parameters
    ----------
    request, inputs : there may be records as the app asks for them; inputs of its heads
    """

    def __init__(self, app: App, *, request: bool, inputs: bool) -> None:
        spec = (app.spine if app.declared_request is None else app.declared_request.table).spec
        self.key = spec.key
        self.schema = reply_columns(app, request=request, inputs=inputs)
        self.tables: ReplyTables = reply_tables(app)
        names = dict.fromkeys(self.tables.request.columns if request else ())
        self.columns = list(names | dict.fromkeys(self.tables.inputs.columns if inputs else ()))
        self._echoes = {
            name: given.column
            for name, given in app.reply_fields.items()
            if isinstance(given, Echo) and given.column in spec.columns and name in self.schema.names
        }
        self._is_inputs = inputs and not request
        self._of_request = frozenset(app.reply_fields)

    def key_of(self, failed: Failed) -> dict[str, Any]:
        """Return the key columns of a record that could not be scored, as far as it has them."""
        return {name: failed.given[name] for name in self.key if name in failed.given}

    def echo_of(self, failed: Failed) -> dict[str, Any]:
        """Return the fields of a reply that the record itself gives."""
        given = {name: failed.given.get(of) for name, of in self._echoes.items()}
        return {name: value for name, value in given.items() if _fits(value, self.schema.field(name).type)}

    def cells_of(self, reply: Mapping[str, Any]) -> dict[str, Any]:
        """Return a reply as a row of CSV, by column."""
        of_inputs = self._is_inputs or not self._of_request <= reply.keys()
        table = self.tables.inputs if of_inputs else self.tables.request
        return dict(zip(table.columns, table.row(reply), strict=True))


def open_writer(path: Path, format: Format, layout: Layout) -> Writer:
    """Return the writer of a new file."""
    if format == "jsonl":
        return JsonLinesWriter(path, layout)
    return CsvWriter(path, layout) if format == "csv" else ParquetWriter(path, layout)


class JsonLinesWriter:
    """A reply a line; a record that could not be scored is a line with its key and an `error`, as in results.json."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._layout, self._file = layout, path.open("wb")

    def write(self, entries: Sequence[Entry]) -> None:
        """Write the entries behind those before."""
        self._file.write(b"".join([as_line(entry, self._layout) + b"\n" for entry in entries]))

    def close(self) -> None:
        """End the file."""
        self._file.close()


class CsvWriter:
    """A reply a line, with the columns that it has over HTTP, a header, and `error`: the problem as JSON."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._layout, self._file = layout, path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow([*layout.columns, ERROR])

    def write(self, entries: Sequence[Entry]) -> None:
        """Write the entries behind those before."""
        self._writer.writerows([as_cells(entry, self._layout) for entry in entries])

    def close(self) -> None:
        """End the file."""
        self._file.close()


class ParquetWriter:
    """A reply a row, typed as the reply is declared; a reason is a struct, a ranked list a list of structs."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._layout = layout
        self._file = pq.ParquetWriter(path, layout.schema, compression="zstd")
        self._waiting: list[pa.RecordBatch] = []
        self._bytes = self._rows = 0

    def write(self, entries: Sequence[Entry]) -> None:
        """Write the entries behind those before."""
        batch = as_batch(entries, self._layout)
        self._waiting.append(batch)
        self._bytes += batch.nbytes
        self._rows += batch.num_rows
        if self._bytes >= _GROUP_BYTES or self._rows >= _GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        """End the file."""
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._rows:
            self._file.write_table(pa.Table.from_batches(self._waiting), row_group_size=self._rows)
        self._waiting, self._bytes, self._rows = [], 0, 0


def as_line(entry: Entry, layout: Layout) -> bytes:
    """Return an entry as a line of JSON, without its end."""
    return _encode({**layout.key_of(entry), ERROR: entry.error} if isinstance(entry, Failed) else entry)


def as_cells(entry: Entry, layout: Layout) -> list[Any]:
    """Return an entry as a row of CSV."""
    if isinstance(entry, Failed):
        cells, error = layout.echo_of(entry), _encode(entry.error).decode()
    else:
        cells, error = layout.cells_of(entry), None
    return [*[_written(cells.get(name)) for name in layout.columns], error]


def as_batch(entries: Sequence[Entry], layout: Layout) -> pa.RecordBatch:
    """Return entries as a batch of the schema of replies."""
    rows = [{**layout.echo_of(e), ERROR: e.error} if isinstance(e, Failed) else e for e in entries]
    columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in layout.schema]
    return pa.RecordBatch.from_arrays(columns, schema=layout.schema)


def assemble(parts: Sequence[Path], path: Path, format: Format, layout: Layout) -> None:
    """Write one file with what all parts hold, in their order and in bounded memory."""
    if not parts:
        open_writer(path, format, layout).close()
    elif format == "parquet":
        with pq.ParquetWriter(path, layout.schema, compression="zstd") as out:
            for part in parts:
                with pq.ParquetFile(part) as file:
                    for group in range(file.num_row_groups):
                        out.write_table(file.read_row_group(group))
    else:
        with path.open("wb") as out:
            for number, part in enumerate(parts):
                with part.open("rb") as file:
                    if number and format == "csv":
                        file.readline()  # each part has the header; column names hold no newline
                    while block := file.read(io.DEFAULT_BUFFER_SIZE << 7):
                        out.write(block)


def _fits(value: Any, kind: pa.DataType) -> bool:
    """Whether a value that came with a bad record can stand in its row."""
    return type(value) is str if pa.types.is_string(kind) else type(value) is int and value in INT64


def _written(cell: Any) -> Any:
    return {True: "true", False: "false"}[cell] if isinstance(cell, bool) else cell
