"""What the last steps of a build ask of an engine, whichever it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from scoreline.app.table import TableSpec
from scoreline.features.plan import Join, Plan
from scoreline.tables.rejected import Rejected


class Load(Protocol):
    """What reading one table came to; see `TableLoad`."""

    spec: TableSpec
    file: Path
    rows_read: int
    ingested: int
    unknown: dict[str, dict[str, int]]

    @property
    def files(self) -> Mapping[str, int]:
        """Each file -> the place of the line before its first."""

    @property
    def set_aside(self) -> int:
        """How many rows are set aside."""

    @property
    def unreadable(self) -> Sequence[Rejected]:
        """The rows that could not be read."""


class Engine(Protocol):
    """Loaded tables, to be written, checked and kept for new rows. See `EmbeddedEngine` for what each method gives."""

    def count(self, spec: TableSpec) -> int:
        """Return how many good rows a table has."""

    def newest(self, spec: TableSpec, until_us: int) -> int | None:
        """Return the newest event time of a table by a moment, in microseconds."""

    def states(self, join: Join, since_us: int | None) -> Iterator[pa.RecordBatch]:
        """Yield a joined table's rows as the online store keeps them."""

    def rows_at(self, spec: TableSpec, lines: Sequence[int]) -> list[dict[str, Any]]:
        """Return the rows at some places, in order."""

    def rows_of(self, spec: TableSpec, rows: Sequence[dict[str, Any]]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table whose key is that of one of `rows`."""

    def all_rows(self, spec: TableSpec) -> Iterator[pa.RecordBatch]:
        """Yield all rows of a table."""


class FindsNewest(Protocol):
    """What finds the newest event of some rows of the spine, apart from the join that the features come from."""

    def __call__(
        self, plan: Plan, join: Join, engine: Engine, rows: Sequence[dict[str, Any]]
    ) -> list[dict[str, Any] | None]:
        """Return for each row the newest event of its key by then; of several at one instant the last in the file."""
