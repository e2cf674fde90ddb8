"""The records of a batch as Spark reads them: which files there are, in which groups, and what is in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from scoreline.app.declaration import App
from scoreline.errors import ScoringError
from scoreline.scoring.cluster.executor import BLOCK, FILE, LINE, PLACE, Reading
from scoreline.scoring.reading import Columns
from scoreline.scoring.source import FORMATS, Format
from scoreline.serving.records import schema_of
from scoreline.tables import parquet
from scoreline.tables.csv_lines import names_in

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, DataFrameReader, SparkSession

_WILD = re.compile(r"[*?\[{]")


class File(msgspec.Struct, frozen=True):
    """A file of the batch.

    Attributes
    ----------
    stamp : its size and when it was changed, as the file system says
    """

    path: str
    size: int
    stamp: str


@dataclass(frozen=True)
class Input:
    """Where records are, and how they are read there.

    Attributes
    ----------
    files : in the order of their paths
    kinds : which kinds of record there may be: `request`, `inputs`
    """

    session: SparkSession
    given: str
    files: Sequence[File]
    reading: Reading
    kinds: frozenset[str]

    def groups(self, least_bytes: int, most: int) -> list[list[File]]:
        """Part the files, in order, into groups of about one size: those that are scored together.

        Parameters
        ----------
        least_bytes : of a group, but for the last
        most : groups there may be
        """
        wanted = max(least_bytes, sum(file.size for file in self.files) // most + 1)
        groups: list[list[File]] = [[]]
        held = 0
        for file in self.files:
            if held >= wanted:
                groups.append([])
                held = 0
            groups[-1].append(file)
            held += file.size
        return groups

    @property
    def _is_folder(self) -> bool:
        one = len(self.files) == 1 and self.files[0].path.endswith(f"/{self.given.rstrip('/').rpartition('/')[2]}")
        return not one and not _WILD.search(self.given)

    def rows(self, files: Sequence[File]) -> DataFrame:
        """Return the columns that `executor` reads records from, of some of the files."""
        from pyspark.sql.functions import col

        path = col("_metadata.file_path").alias(FILE)
        paths = [file.path for file in files]  # by name: the folder may have got others since
        reader = _by_name(self.session)
        if self._is_folder:
            reader = reader.option("basePath", self.given)  # so that folders named `column=value` stay columns
        if self.reading.format == "parquet":
            place = col("_metadata.row_index").alias(PLACE)
            quoted = [f"`{name.replace('`', '``')}`" for name in self.reading.columns]
            return reader.parquet(*paths).select(*quoted, path, place)
        block = col("_metadata.file_block_start").alias(BLOCK)
        lines = reader.option("lineSep", "\n").text(paths)
        return lines.select(col("value").cast("binary").alias(LINE), path, block)


def open_input(session: SparkSession, app: App, given: str, archive: str, say: Callable[[str], None]) -> Input:
    """Look at the files of a batch, and at their heads.

    Parameters
    ----------
    archive : the name of what scores, on the machines
    say : told what a person should know

    Raises
    ------
    ScoringError
        There is no file, they are of several kinds, or what is in them can't be records.
    """
    files = files_of(session, given)
    format = _format_of(files, given)
    schema = schema_of(app)
    if format == "jsonl":  # each record says itself what it is
        kinds = {"request"} if schema.inputs is None else {"request", "inputs"}
        return Input(session, given, files, Reading(archive, format), frozenset(kinds))
    if format == "parquet":
        from pyspark.sql.pandas.types import to_arrow_schema

        held = session.read.parquet(given)
        columns = Columns(app, schema, held.columns, given)
        for field, kind in zip(to_arrow_schema(held.select(*columns.names).schema), columns.types, strict=True):
            parquet.check_type(f"{given}, column '{field.name}'", field.type, kind)
        reading = Reading(archive, format, columns=tuple(columns.names))
    else:
        first = _by_name(session).option("lineSep", "\n").text(files[0].path).first()
        header = (first[0] if first else "").encode()
        columns = Columns(app, schema, names_in(header, files[0].path), given)
        reading = Reading(archive, format, header)
    if columns.unused:
        say(f"score: no record has a column {', '.join(columns.unused)}: passed over")
    return Input(session, given, files, reading, frozenset({"inputs" if columns.of_inputs else "request"}))


def _by_name(session: SparkSession) -> DataFrameReader:
    """Return a reader that takes a bracket in a file's name for what it is, and not for a pattern."""
    return session.read.option("__globPaths__", "false")


def files_of(session: SparkSession, given: str) -> list[File]:
    """Return the files at an address, in the order of their paths; none is opened for it."""
    listed = session.read.format("binaryFile").load(given).select("path", "length", "modificationTime")
    rows = sorted(listed.selectExpr("path", "length", "unix_micros(modificationTime) AS at").collect())
    return [File(row["path"], row["length"], f"{row['length']} bytes of {row['at']}") for row in rows]


def _format_of(files: Sequence[File], given: str) -> Format:
    endings = {Path(file.path.removesuffix(".gz")).suffix.lower() for file in files}
    if not files:
        raise ScoringError(f"--input {given}: no file there; expected files that end in {', '.join(FORMATS)}")
    if len(endings) > 1 or not endings <= FORMATS.keys():
        raise ScoringError(
            f"--input {given}: expected files of one ending of {', '.join(FORMATS)}, got {', '.join(sorted(endings))}"
        )
    return FORMATS[endings.pop()]
