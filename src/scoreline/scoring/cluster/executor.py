"""What runs on the machines of a cluster, over Arrow batches of a partition. No pyspark but for where files are."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scoreline.app.declaration import App
from scoreline.app.reply import Decision
from scoreline.errors import ScoringError
from scoreline.predictor import InputRow
from scoreline.scoring.cluster.bundle import Site
from scoreline.scoring.reading import Columns, Piece, json_piece, text_piece
from scoreline.scoring.score import Entry, Failed, Scorer, at_once
from scoreline.scoring.source import Format
from scoreline.scoring.writing import Layout, as_batch, as_cells, as_line
from scoreline.serving.kinds import SpineRow
from scoreline.serving.problems import Problem
from scoreline.serving.records import Records
from scoreline.tables.csv_lines import names_in
from scoreline.tables.typed import arrow_type

# Columns beside a record's own: its file, its place there (null where that is not known), and of text files the line
# and where the block of the file begins that the line is in.
FILE, PLACE, LINE, BLOCK = "__file", "__place", "__line", "__block"
KEY, FEATURE, FOUND, APART = "__key_", "__feature_", "__found", "__apart"
SALT = "__salt"  # 0 where there is a key; else any number, so that records without one do not meet on one machine
IS_ERROR, DECISION = "__is_error", "__decision_"
VALUE = "value"  # of text files, on the way in and out
_EPOCH_TYPE = pa.int64()


class Apart(msgspec.Struct, frozen=True):
    """A record that has no key to be joined by: inputs of the heads, or a problem and what could be read beside it."""

    values: list[Any] | None = None
    problem: dict[str, Any] | None = None
    given: dict[str, Any] | None = None


@dataclass(frozen=True)
class Reading:
    """How the records of a batch are read.

    Attributes
    ----------
    header : the line above the records of a CSV file, without what ends it
    columns : of Parquet files, those that are read
    """

    archive: str
    format: Format
    header: bytes = b""
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Writing:
    """How replies are given to Spark's writers: typed columns, lines of JSON, or cells of text."""

    format: Format
    request: bool
    inputs: bool
    top: int | None


@functools.lru_cache(maxsize=2)
def site_of(archive: str) -> Site:
    """Return what answers on this machine; opened once in a process."""
    from pyspark import SparkFiles

    return Site(Path(SparkFiles.get(archive)))


@functools.lru_cache(maxsize=2)
def layout_of(archive: str, writing: Writing) -> Layout:
    """Return how replies look; made once in a process."""
    return Layout(site_of(archive).app, request=writing.request, inputs=writing.inputs)


def read_keys(reading: Reading, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Give the key of each record for a join, and what has none apart."""
    site = site_of(reading.archive)
    schema = key_schema(site.app)
    spec = site.app.spine.spec
    for file, piece in _pieces(site, reading, batches, at_once(site.parts)):
        rows: list[dict[str, Any]] = []
        for number, record in enumerate(piece.records.records):
            row: dict[str, Any] = {FILE: file, PLACE: piece.places[number]}
            key = record.key if type(record) is SpineRow else record if type(record) is tuple else None
            if key is None:
                row[APART], row[SALT] = msgspec.msgpack.encode(_apart(record, piece.given(number))), number + 1
            else:
                row |= {SALT: 0} | {f"{KEY}{name}": part for name, part in zip(spec.key, key, strict=True)}
            rows.append(row)
        yield pa.RecordBatch.from_pylist(rows, schema=schema)


def score_keys(archive: str, writing: Writing, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Score records beside the feature rows that were joined to them."""
    site = site_of(archive)
    keys = [f"{KEY}{name}" for name in site.app.spine.spec.key]
    for batch in batches:
        for at in range(0, batch.num_rows, at_once(site.parts)):
            some = batch.slice(at, at_once(site.parts))
            parts = list(zip(*(some.column(name).to_pylist() for name in keys), strict=True))
            aparts = [
                None if a is None else msgspec.msgpack.decode(a, type=Apart) for a in some.column(APART).to_pylist()
            ]
            site.rows.by_key = _joined(some, parts)
            records = [key if apart is None else _record_of(apart) for key, apart in zip(parts, aparts, strict=True)]
            given = functools.partial(_given_of, site.app.spine.spec.key, parts, aparts)
            piece = Piece(Records(records, "list"), some.column(PLACE).to_pylist(), given)
            yield _replies(site, archive, writing, some.column(FILE).to_pylist(), piece)


def score_requests(reading: Reading, writing: Writing, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Score records that bring all that their features need."""
    site = site_of(reading.archive)
    for file, piece in _pieces(site, reading, batches, at_once(site.parts)):
        yield _replies(site, reading.archive, writing, [file] * len(piece.places), piece)


def key_schema(app: App) -> pa.Schema:
    """Return the columns that `read_keys` gives."""
    spec = app.spine.spec
    keys = {f"{KEY}{name}": arrow_type(spec.columns[name]) for name in spec.key}
    return pa.schema({FILE: pa.string(), PLACE: pa.int64(), SALT: pa.int32(), **keys, APART: pa.binary()})


def reply_schema(app: App, layout: Layout, format: Format) -> pa.Schema:
    """Return the columns that scoring gives: those of the output, whether it is an error, and each decision."""
    out = {"parquet": {field.name: field.type for field in layout.schema}, "jsonl": {VALUE: pa.string()}}
    columns = out.get(format) or {name: pa.string() for name in (*layout.columns, "error")}
    return pa.schema(
        {**columns, IS_ERROR: pa.bool_(), **{f"{DECISION}{name}": pa.string() for name in decisions_of(app)}}
    )


def decisions_of(app: App) -> list[str]:
    """Return the reply fields that hold a decision."""
    return [name for name, kind in app.reply_fields.items() if isinstance(kind, Decision)]


def _replies(site: Site, archive: str, writing: Writing, files: Sequence[str], piece: Piece) -> pa.RecordBatch:
    layout = layout_of(archive, writing)
    scorer = Scorer(site, site.parts, "", writing.top)
    entries: list[Entry] = [
        Failed({**entry.error, "file": file.rpartition("/")[2]}, entry.given) if isinstance(entry, Failed) else entry
        for entry, file in zip(scorer.score(piece), files, strict=True)
    ]
    if scorer.report.failure:
        print(f"score: the app's own code failed: {scorer.report.failure}")  # into the executor's log
    schema = reply_schema(site.app, layout, writing.format)
    if writing.format == "parquet":
        columns = list(as_batch(entries, layout).columns)
    elif writing.format == "jsonl":
        columns = [pa.array([as_line(entry, layout).decode() for entry in entries], pa.string())]
    else:
        rows = [as_cells(entry, layout) for entry in entries]
        columns = [pa.array([_text(row[c]) for row in rows], pa.string()) for c in range(len(layout.columns) + 1)]
    columns.append(pa.array([isinstance(entry, Failed) for entry in entries], pa.bool_()))
    for name in decisions_of(site.app):
        columns.append(pa.array([None if isinstance(e, Failed) else e.get(name) for e in entries], pa.string()))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _text(cell: Any) -> str | None:
    return None if cell is None or cell == "" else str(cell)


def _pieces(site: Site, reading: Reading, batches: Iterable[pa.RecordBatch], size: int) -> Iterator[tuple[str, Piece]]:
    """Read records, a file's after another's; a piece has those of one file alone."""
    if reading.format == "parquet":
        columns = Columns(site.app, site.schema, reading.columns, "the input")
        for batch in batches:
            for file, run in _runs(batch, size):
                rows = list(zip(*columns.values([run.column(name) for name in columns.names]), strict=True))
                yield file, columns.piece(rows, run.column(PLACE).to_pylist())
        return
    table = None
    if reading.format == "csv":
        table = Columns(site.app, site.schema, names_in(reading.header, "the input"), "the input")
    for file, lines in _lines(reading, batches, size):
        nowhere: list[Any] = [None] * len(lines)
        if table is None:
            yield file, json_piece(site.schema, lines, nowhere)
        else:
            fields = len(names_in(reading.header, file))
            piece = text_piece(table, fields, lines)
            yield file, Piece(piece.records, [None] * len(piece.places), piece.given)


def _lines(reading: Reading, batches: Iterable[pa.RecordBatch], size: int) -> Iterator[tuple[str, list[bytes]]]:
    """Give the lines of text files without the header that stands at each file's begin, and without blank ones."""
    before: tuple[str, int] | None = None
    for batch in batches:
        for file, run in _runs(batch, size):
            lines = [line.removesuffix(b"\r") for line in run.column(LINE).to_pylist()]
            block = run.column(BLOCK)[0].as_py()
            if reading.format == "csv" and block == 0 and before != (file, 0):
                if _bare(lines[0]) != _bare(reading.header):
                    raise ScoringError(f"{file}: its header is another than that of the first file")
                lines = lines[1:]
            before = (file, block)
            lines = [line for line in lines if line.strip()]
            if lines:
                yield file, lines


def _runs(batch: pa.RecordBatch, size: int) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Cut a batch where another file, or another block of one, begins, and behind every so many rows."""
    files = batch.column(FILE)
    changes = pc.not_equal(files[1:], files[:-1])
    if BLOCK in batch.schema.names:
        blocks = batch.column(BLOCK)
        changes = pc.or_(changes, pc.not_equal(blocks[1:], blocks[:-1]))
    edges = [0, *(np.flatnonzero(changes.to_numpy(zero_copy_only=False)) + 1).tolist(), batch.num_rows]
    for begin, end in itertools.pairwise(edges):
        for at in range(begin, end, size):
            yield files[at].as_py(), batch.slice(at, min(size, end - at))


def _bare(line: bytes) -> bytes:
    return line.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")


def _apart(record: Any, given: Mapping[str, Any]) -> Apart:
    if isinstance(record, InputRow):
        return Apart(values=list(record.values))
    assert isinstance(record, Problem)
    plain = {name: value for name, value in given.items() if value is None or isinstance(value, (str, int, float))}
    problem = {"status": record.status, "kind": record.kind, "detail": record.detail, "field": record.field}
    return Apart(problem=problem, given=plain)


def _record_of(apart: Apart) -> Any:
    return InputRow(tuple(apart.values)) if apart.values is not None else Problem(**(apart.problem or {}))


def _given_of(
    key: Sequence[str], parts: Sequence[tuple[Any, ...]], aparts: Sequence[Apart | None], number: int
) -> Mapping[str, Any]:
    apart = aparts[number]
    return dict(zip(key, parts[number], strict=True)) if apart is None else apart.given or {}


def _joined(batch: pa.RecordBatch, keys: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], list[Any]]:
    """Return the feature rows in a batch by key, as the online store gives them."""
    names = [name for name in batch.schema.names if name.startswith(FEATURE)]
    columns = [batch.column(name) for name in names]
    plain = [c.cast(_EPOCH_TYPE) if pa.types.is_timestamp(c.type) else c for c in columns]
    rows = zip(*(column.to_pylist() for column in plain), strict=True)
    found = batch.column(FOUND).to_pylist()
    return {key: list(row) for key, row, there in zip(keys, rows, found, strict=True) if there}
