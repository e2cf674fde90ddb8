"""What reading one table into an engine came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from scoreline.app.table import TableSpec
from scoreline.tables.rejected import Rejected


@dataclass
class TableLoad:
    """What reading one table came to.

    Attributes
    ----------
    unknown : category column -> value outside its list -> how many rows have it
    files : name of each file -> the place of the line before its first
    ingested : rows that were added from the event log
    """

    spec: TableSpec
    file: Path
    rows_read: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    unknown: dict[str, dict[str, int]] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    ingested: int = 0

    @property
    def set_aside(self) -> int:
        """How many rows are set aside, duplicates among them."""
        return len(self.rejected)

    @property
    def unreadable(self) -> list[Rejected]:
        """The rows set aside that could not be read; duplicates are not among them."""
        return [row for row in self.rejected if not row.is_duplicate]
