"""Reading a table on Spark, as declared: by the very functions that read it on one machine, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession, types

from scoreline.app.table import TableSpec
from scoreline.distributed.trouble import translated
from scoreline.errors import TableError
from scoreline.features.engines.distributed import columns as held_columns
from scoreline.features.engines.distributed.blocks import NUMBER, Blocks, File, count_blocks, numbered
from scoreline.features.engines.distributed.columns import COLUMN, PLACE, WHY, held, held_type, own, record_batch
from scoreline.features.engines.distributed.source import Location
from scoreline.tables.csv_lines import Lines, names_in, split_block
from scoreline.tables.parquet import check_type
from scoreline.tables.read import LINE, Chunk, check_names, sort_columns, sort_lines
from scoreline.tables.rejected import Rejected
from scoreline.tables.typed import arrow_type

_TEXT = "value"


def read_table(session: SparkSession, spec: TableSpec, where: Location) -> tuple[DataFrame, Blocks]:
    """Read a table; good rows and those set aside in one frame, since reading is what takes time.

    Returns
    -------
    The rows: the declared columns by place, `PLACE`, and for a row set aside `COLUMN` and `WHY` (a good row has no
    `WHY`); of such a row the key and the time alone, where they could be read. And the blocks, which tell where it was.

    Raises
    ------
    TableError
        A head does not fit the declaration, or the table is declared multiline=True.
    """
    if where.is_csv and spec.multiline:
        raise TableError(
            f"table '{spec.name}', {where.name}: is declared multiline=True, which can't be read in pieces. Convert it "
            "to Parquet, or use --engine duckdb."
        )
    with translated(f"reading table '{spec.name}'"):
        if where.is_csv:
            raw = session.read.option("lineSep", "\n").text(where.address)
        else:
            raw = session.read.option("mergeSchema", "true").parquet(where.address)
        return _read_csv(spec, raw) if where.is_csv else _read_parquet(spec, raw, where)


def _read_csv(spec: TableSpec, raw: DataFrame) -> tuple[DataFrame, Blocks]:
    folders = [name for name in raw.columns if name != _TEXT]
    blocks = count_blocks(spec.name, raw, head=_TEXT, folders=folders)
    if not blocks.files:
        raise TableError(f"table '{spec.name}': its files are empty; expected a line with column names first")
    heads = [_Head(spec, file) for file in blocks.files]
    lines = numbered(raw).selectExpr(f"cast({_TEXT} AS binary) AS {_TEXT}", NUMBER)
    return lines.mapInArrow(CsvRows(spec, blocks, heads), _schema(spec)), blocks


def _read_parquet(spec: TableSpec, raw: DataFrame, where: Location) -> tuple[DataFrame, Blocks]:
    from pyspark.sql.pandas.types import to_arrow_type

    where_said = f"table '{spec.name}', {where.name}"
    check_names(where_said, spec, list(raw.columns))
    present = [name for name in spec.columns if name in raw.columns]
    for name in present:
        check_type(f"{where_said}, column '{name}'", to_arrow_type(raw.schema[name].dataType), spec.columns[name])
    blocks = count_blocks(spec.name, raw, head=None)
    rows = numbered(raw).select(*(f"`{name.replace('`', '``')}`" for name in present), NUMBER)
    rows = rows.toDF(*(own(index) for index in range(len(present))), NUMBER)
    return rows.mapInArrow(ParquetRows(spec, blocks, present), _schema(spec)), blocks


class _Head:
    """The head of one CSV file: which of its fields are wanted, and which columns its folder names."""

    def __init__(self, spec: TableSpec, file: File) -> None:
        names = names_in(file.head or b"", file.name)
        if (file.head or b"").startswith(b"PAR1"):
            raise TableError(f"table '{spec.name}', {file.name}: is Parquet; expected a name that ends in .parquet")
        folders = [name for name in file.folders if name not in names]
        check_names(f"table '{spec.name}', {file.name}", spec, [*names, *folders])
        self.fields = len(names)
        self.present = [name for name in spec.columns if name in names]
        self.wanted = [names.index(name) for name in self.present]
        self.constant = {name: file.folders[name] for name in spec.columns if name in folders}


@dataclass(frozen=True)
class CsvRows:
    """Turns lines of CSV files into rows; runs on the workers, a batch of lines at a time."""

    spec: TableSpec
    blocks: Blocks
    heads: list[_Head]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Give the rows of some lines, which come in the order of their files."""
        for batch in batches:
            numbers = batch.column(NUMBER).to_numpy()
            for rows, file, line in self.blocks.runs(numbers):
                lines = batch.column(_TEXT).slice(rows.start, rows.stop - rows.start)
                if line == 1:  # the head
                    lines, line = lines.slice(1), 2
                if len(lines):
                    yield from _emit(self.spec, self._sort(lines, line, file), file)

    def _sort(self, lines: pa.Array, first: int, file: File) -> Chunk:
        head = self.heads[file.index]
        split = split_block(_joined(lines), first, head.fields, head.wanted)
        constants = [pa.array([value] * len(split.line), pa.string()) for value in head.constant.values()]
        everything = Lines([*split.columns, *constants], split.line, split.torn)
        return sort_lines(self.spec, file.name, [*head.present, *head.constant], everything)


@dataclass(frozen=True)
class ParquetRows:
    """Brings rows of Parquet files to the declared types; runs on the workers."""

    spec: TableSpec
    blocks: Blocks
    present: Sequence[str]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Give the rows of some batches, which come in the order of their files."""
        for batch in batches:
            numbers = batch.column(NUMBER).to_numpy()
            for rows, file, line in self.blocks.runs(numbers):
                some = batch.slice(rows.start, rows.stop - rows.start)
                raw = {name: some.column(own(index)) for index, name in enumerate(self.present)}
                places = pa.array(np.arange(line, line + some.num_rows), pa.int64())
                yield from _emit(self.spec, sort_columns(self.spec, file.name, raw, places), file)


def _joined(lines: pa.Array) -> bytes:
    """Return lines as one block of bytes, each with its newline."""
    everything = pa.ListArray.from_arrays(pa.array([0, len(lines)], pa.int32()), lines)
    return bytes(pc.binary_join(everything, b"\n")[0].as_py()) + b"\n"


def _emit(spec: TableSpec, chunk: Chunk, file: File) -> Iterator[pa.RecordBatch]:
    good = chunk.rows.combine_chunks()
    if good.num_rows:
        arrays = {own(i): held(good.column(name)) for i, name in enumerate(spec.columns)}
        place = pc.add(good.column(LINE).combine_chunks(), file.start)
        none = pa.nulls(good.num_rows, pa.string())
        yield record_batch({**arrays, PLACE: place, COLUMN: none, WHY: none})
    if chunk.rejected:
        yield _aside(spec, chunk.rejected, file.start)


def _aside(spec: TableSpec, rejected: Sequence[Rejected], start: int) -> pa.RecordBatch:
    """Return rows set aside; of what was in them the key and the time, where they could be read."""
    values: dict[str, list[Any]] = {name: [None] * len(rejected) for name in spec.columns}
    for part, name in enumerate(spec.key):
        values[name] = [None if row.key is None else row.key[part] for row in rejected]
    if spec.time:
        values[spec.time] = [row.time_us for row in rejected]
    kinds = {name: held_columns.held(pa.nulls(0, arrow_type(kind))).type for name, kind in spec.columns.items()}
    arrays = {own(i): pa.array(values[name], kinds[name]) for i, name in enumerate(spec.columns)}
    place = pa.array([row.place + start for row in rejected], pa.int64())
    column, why = (pa.array([getattr(row, name) for row in rejected], pa.string()) for name in (COLUMN, WHY))
    return record_batch({**arrays, PLACE: place, COLUMN: column, WHY: why})


def _schema(spec: TableSpec) -> types.StructType:
    kinds = [(own(index), held_type(kind)) for index, kind in enumerate(spec.columns.values())]
    beside = [(PLACE, types.LongType()), (COLUMN, types.StringType()), (WHY, types.StringType())]
    return held_columns.schema([*kinds, *beside])
