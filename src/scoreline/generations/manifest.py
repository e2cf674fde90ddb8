"""What a generation holds, as its folder says it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from scoreline.app.declaration import App
from scoreline.errors import GenerationError
from scoreline.features.plan import make_plan
from scoreline.model.artifact import describe_app

FORMAT = 1
MANIFEST_FILE = "generation.json"
MODEL_FOLDER, TABLES_FOLDER, STORE_FILE = "model", "tables", "store.lmdb"
NETWORKED_FILE = "store.networked"  # in its place: what a generation of the networked store says of itself


@dataclass(frozen=True)
class TableContent:
    """A reference table in a generation.

    Attributes
    ----------
    file : name of its raw file in the folder `tables`; the rows as they are held in memory lie beside it
    digest : SHA-256 of those rows
    etag : of the source's file that it was made from
    source : where that came from
    """

    file: str
    digest: str
    rows: int
    etag: str
    source: str


@dataclass(frozen=True)
class Collected:
    """A reference table in the staging folder; `note` says why it is a copy, where the source gave no good file."""

    content: TableContent
    note: str | None = None


@dataclass(frozen=True)
class Generation:
    """One consistent set of model, online store and reference tables.

    Attributes
    ----------
    number : 0 before it is published
    digest : SHA-256 of the content, equal on two hosts with equal content
    app : digest of the app that it was made for
    app_name : that app's name
    model : digest of the artifact
    store : digest of the feature table that the online store was built with; None without a store
    columns : columns of the store's rows, in order
    why : what led to it, for people
    created_at : UTC, `YYYY-MM-DDTHH:MM:SS.ffffffZ`
    events : number of the last ingested row that is in the store; those behind it are in the event log
    newest : table -> newest event time in the store's data, in microseconds; None without rows or time
    store_at : when a networked store made it current; empty for a file
    """

    number: int
    digest: str
    app: str
    model: str
    store: str | None
    columns: tuple[str, ...]
    tables: Mapping[str, TableContent]
    why: str
    created_at: str
    app_name: str = ""
    events: int = 0
    newest: Mapping[str, int | None] = field(default_factory=dict)
    store_at: str = ""
    format: int = FORMAT

    @cached_property
    def name(self) -> str:
        """`<number>-<first six of the digest>`, as replies name it."""
        return f"{self.number}-{self.digest[:6]}"

    def numbered(self, number: int, **changes: Any) -> Generation:
        """Return the same content under another number."""
        return replace(self, number=number, **changes)

    def write(self, folder: Path) -> None:
        """Write the manifest into the generation's folder."""
        (folder / MANIFEST_FILE).write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")


def content_digest(model: str, store: str | None, tables: Mapping[str, TableContent]) -> str:
    """Return the digest of a generation's content."""
    parts = [model, store or "", *(f"{name}={tables[name].digest}" for name in sorted(tables))]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def app_digest(app: App) -> str:
    """Return the digest of what an app declares: a generation is made for one app as it is."""
    described = {**describe_app(app), "plan": make_plan(app).digest, "tables": _reference_columns(app)}
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _reference_columns(app: App) -> dict[str, Any]:
    return {
        name: {column: kind.describe() for column, kind in table.spec.columns.items()}
        for name, table in app.reference_tables.items()
    }


def read_manifest(folder: Path) -> Generation:
    """Read a generation's manifest; GenerationError where it can't be."""
    try:
        content = json.loads((folder / MANIFEST_FILE).read_bytes())
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}, this version reads {FORMAT}")
        tables = {name: TableContent(**table) for name, table in content["tables"].items()}
        return Generation(**{**content, "tables": tables, "columns": tuple(content["columns"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GenerationError(f"{folder}: can't be read as a generation ({error}). Remove the folder.") from error
