"""What a refresh came to, as the refresh route and `scoreline refresh` tell it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from scoreline.generations.manifest import Generation, TableContent


@dataclass
class RefreshReport:
    """What a refresh came to.

    Attributes
    ----------
    generation : name of what is answered from now
    changed : whether a generation was published; in a dry run, would have been
    tables : reference table -> rows, changed, etag
    model, store : whether they changed
    notes : what a person should know: copies taken since a source gave no good file, values and keys
        that nothing else knows
    pinned : the number that a rollback holds on to, so that this would not be published
    """

    generation: str
    changed: bool = False
    dry_run: bool = False
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    model: bool = False
    store: bool = False
    notes: list[str] = field(default_factory=list)
    pinned: int | None = None

    def describe(self) -> dict[str, Any]:
        """Return the report as JSON-able data, as the refresh route answers it."""
        described: dict[str, Any] = {
            "generation": self.generation,
            "changed": self.changed,
            "tables": self.tables,
            "model": {"changed": self.model},
            "store": {"changed": self.store},
        }
        more = {"notes": self.notes, "dry_run": self.dry_run, "pinned": self.pinned}
        return {**described, **{name: value for name, value in more.items() if value}}


def table_report(content: TableContent, current: Generation | None, name: str) -> dict[str, Any]:
    """Return how a reference table differs from that of the published generation."""
    before = None if current is None else current.tables.get(name)
    is_changed = before is None or before.digest != content.digest
    rows_before = {} if before is None or before.rows == content.rows else {"rows_before": before.rows}
    return {"rows": content.rows, **rows_before, "changed": is_changed, "etag": content.etag}


def unchanged(current: Generation) -> dict[str, dict[str, Any]]:
    """Return the reports of all tables of a generation that goes on."""
    return {name: table_report(content, current, name) for name, content in current.tables.items()}


def why(report: RefreshReport, current: Generation | None) -> str:
    """Say in a few words why a generation is published."""
    if current is None:
        return "the first"
    parts = [*(["model"] if report.model else []), *(["store"] if report.store else [])]
    parts += [name for name, table in report.tables.items() if table["changed"]]
    return f"changed: {', '.join(parts) or 'app.py'}"
