"""Cutting a batch into partitions: a file, or a range of records of a large one. Each makes one part of the output."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scoreline.errors import ScoringError
from scoreline.files import sha256_of
from scoreline.progress import Progress
from scoreline.scoring.source import Format, InputFile

_BLOCK_BYTES = 4 << 20
_NEWLINE = 0x0A


class Partition(msgspec.Struct, frozen=True):
    """Some records of one file.

    Attributes
    ----------
    name : of its part in the output, without an ending
    begin, end : bytes of a text file, row groups of a Parquet file; both -1: all of it
    first : place of its first record in the file, from 0
    records : how many there are; None where that is not known before they are read
    """

    name: str
    file: str
    path: str
    format: Format
    begin: int
    end: int
    first: int
    records: int | None
    etag: str | None = None


@dataclass(frozen=True)
class Cut:
    """A file and where it is cut: (begin, end, place of the first record, records)."""

    digest: str
    ranges: Sequence[tuple[int, int, int, int | None]]


def cut_input(files: Sequence[InputFile], records: int, *, multiline: bool) -> tuple[list[Partition], dict[str, str]]:
    """Read through the files once: cut them into partitions, and take their digests.

    An object at s3:// is one partition, and its ETag is its digest: it is not fetched for this.

    Parameters
    ----------
    records : of a partition, at the most; of a Parquet file it has whole row groups, at least one
    multiline : quoted fields of CSV files may hold newlines, so that such a file can't be cut

    Returns
    -------
    The partitions, and the digest of each file by its name.
    """
    partitions: list[Partition] = []
    digests: dict[str, str] = {}
    total = sum(Path(file.path).stat().st_size for file in files if file.is_here)
    with Progress("score: looking at the input", total, "bytes") as progress:
        for file in files:
            cut = _cut(file, records, progress, multiline=multiline)
            digests[file.name] = cut.digest
            for begin, end, first, count in cut.ranges:
                name = f"part-{len(partitions):05d}"
                part = Partition(name, file.name, file.path, file.format, begin, end, first, count, file.etag)
                partitions.append(part)
    return partitions, digests


def _cut(file: InputFile, records: int, progress: Progress, *, multiline: bool) -> Cut:
    if file.etag is not None:
        return Cut(file.etag, [(-1, -1, 0, None)])
    path = Path(file.path)
    try:
        if file.format == "parquet":
            ranges = list(_row_groups(path, records))
            progress.advance(path.stat().st_size)
            return Cut(sha256_of(path), ranges)
        cut = _cut_lines(path, records, progress, header=file.format == "csv")
    except (OSError, pa.ArrowException) as error:
        raise ScoringError(f"{path}: can't be read ({error})") from error
    return Cut(cut.digest, [(-1, -1, 0, None)]) if multiline and file.format == "csv" else cut


def _row_groups(path: Path, records: int) -> Iterator[tuple[int, int, int, int]]:
    with pq.ParquetFile(path) as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
    begin = first = count = 0
    for group, size in enumerate(sizes):
        if count and count + size > records:
            yield begin, group, first, count
            begin, first, count = group, first + count, 0
        count += size
    if count:
        yield begin, len(sizes), first, count


def _cut_lines(path: Path, records: int, progress: Progress, *, header: bool) -> Cut:
    """Cut a file of lines behind every so many, counted below the header; what is behind the last newline is a line."""
    digest, at, seen, ends_with_newline = hashlib.sha256(), 0, 0, True
    above = 1 if header else 0
    begins = [] if header else [0]
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            ends = np.flatnonzero(np.frombuffer(block, np.uint8) == _NEWLINE)
            # the newlines that end the header, and each last line of a partition: numbers above - 1 + k * records
            first = (above - 1 - seen) % records
            begins += [at + int(end) + 1 for end in ends[first::records]]
            at, seen = at + len(block), seen + len(ends)
            ends_with_newline = block.endswith(b"\n")
            progress.advance(len(block))
    lines = seen + (not ends_with_newline) - above
    begins = [begin for begin in begins if begin < at]
    edges = [*begins, at]
    ranges = [
        (begin, end, place * records, min(records, lines - place * records))
        for place, (begin, end) in enumerate(itertools.pairwise(edges))
    ]
    return Cut(digest.hexdigest(), ranges)
