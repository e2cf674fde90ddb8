"""Ingest: new rows of joined tables, from a file or a request's body into the event log of a state folder."""

from __future__ import annotations

import hashlib
import io
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from scoreline.app.declaration import App
from scoreline.app.moments import now_us
from scoreline.app.table import TableSpec
from scoreline.errors import TableError, did_you_mean
from scoreline.features.plan import make_plan
from scoreline.store.events import Table, column_bytes, event_log
from scoreline.store.merged import Events
from scoreline.tables.rejected import Rejected

if TYPE_CHECKING:
    from scoreline.tables.incoming import Incoming

Format = Literal["csv", "json-lines"]
SHOWN = 100  # rows set aside that a report lists
_BATCH_NAME = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass
class IngestReport:
    """What an ingest came to.

    Attributes
    ----------
    batch : its name
    rows : how many are in the log now
    known : of them, how many were there before, from the same batch
    """

    table: str
    batch: str
    rows: int = 0
    known: int = 0
    rejected: list[Rejected] = field(default_factory=list)

    def describe(self) -> dict[str, Any]:
        """Return the report as JSON-able data, as the route answers it."""
        described = {"table": self.table, "batch": self.batch, "rows": self.rows, "known": self.known}
        return {
            **described,
            "set_aside": len(self.rejected),
            "rejected": [
                {"line": row.line, "column": row.column, "why": row.why} for row in self.rejected[:SHOWN]
            ],
        }  # fmt: skip


def ingestable_tables(app: App) -> dict[str, TableSpec]:
    """Return the tables that rows can be ingested for: those joined to the spine but for reference tables."""
    if app.new_row is None:
        return {}
    return {join.table.name: join.table for join in make_plan(app).kept}


class Ingest:
    """Appends rows to the event log. What is reported is in it and seen by every worker.

    Parameters
    ----------
    state : the state folder
    events : the log to append to; None: that of the state folder
    """

    def __init__(self, app: App, state: Path, events: Events | None = None) -> None:
        self._app, self._state, self._events = app, state, events

    def append_file(self, table: str, path: Path, batch: str | None = None, kind: Format | None = None) -> IngestReport:
        """Append the rows of a file, a transaction for each some thousand.

        A file that is sent again after a crash goes on where it ended: rows that are there are not doubled.

        Parameters
        ----------
        batch : the name of the batch; None: the SHA-256 of the file
        kind : None: by the file's suffix, else by its first character

        Raises
        ------
        TableError
            The table can't be ingested for, or the file can't be read.
        StoreError
            The batch's name was used for other rows.
        """
        from scoreline.tables.incoming import read_csv, read_json_lines  # loads pyarrow

        spec = self._spec_of(table)
        try:
            name = _checked(batch) or _digest_of(path)
            is_json = (kind or _kind_of(path)) == "json-lines"
            if not is_json:
                return self._append(spec, name, read_csv(spec, path))
            with path.open("rb") as file:
                return self._append(spec, name, read_json_lines(spec, file, path.name))
        except OSError as error:
            raise TableError(f"{path}: can't be read ({error.strerror})") from error

    def append_body(self, table: str, body: bytes, kind: Format, batch: str | None = None) -> IngestReport:
        """Append the rows of a request's body; as `append_file`."""
        from scoreline.tables.incoming import read_csv, read_json_lines

        spec = self._spec_of(table)
        name = _checked(batch) or hashlib.sha256(body).hexdigest()
        if kind == "json-lines":
            return self._append(spec, name, read_json_lines(spec, io.BytesIO(body), "the body"))
        with tempfile.NamedTemporaryFile(dir=self._state, prefix=".body-") as file:
            file.write(body)
            file.flush()
            try:
                return self._append(spec, name, read_csv(spec, Path(file.name)))
            except TableError as error:
                said = str(error).replace(file.name, "the body").replace(Path(file.name).name, "the body")
                raise TableError(said) from error

    def _spec_of(self, table: str) -> TableSpec:
        refusal = self.refusal_of(table)
        if refusal is not None:
            raise TableError(refusal)
        return ingestable_tables(self._app)[table]

    def refusal_of(self, table: str) -> str | None:
        """Say why no rows can be ingested for a table; None where they can."""
        tables = ingestable_tables(self._app)
        if table in tables:
            return None
        known = f"Rows can be ingested for {', '.join(tables) or 'no table of this app'}."
        if table == self._app.spine.spec.name:
            return f"table '{table}' is the spine: its rows go to /invocations, and into its file. {known}"
        if table in self._app.reference_tables:
            return f"table '{table}' is a reference table: it is refreshed as a whole. {known}"
        return f"no table '{table}' is joined to the spine. {known}{did_you_mean(table, tables)}"

    def _append(self, spec: TableSpec, batch: str, pieces: Iterator[Incoming]) -> IngestReport:
        report, log = IngestReport(spec.name, batch), self._events or event_log(self._state)
        table = Table(spec.name, spec.key, spec.time)
        for number, piece in enumerate(pieces):
            report.rejected += piece.rejected
            if piece.rows:
                digest = hashlib.sha256(column_bytes(piece.rows)).hexdigest()
                part = batch if number == 0 else f"{batch}#{number}"
                appended = log.append(table, piece.rows, part, digest, now_us())
                report.rows += appended.rows
                report.known += appended.rows if appended.is_known else 0
        return report


def kind_of_text(start: bytes) -> Format:
    """Tell JSON Lines from CSV by how a text begins."""
    return "json-lines" if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{" else "csv"


def spooled(stream: IO[bytes], folder: Path) -> Path:
    """Write a stream to a file of its own, which the caller removes."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".stream-", delete=False) as file:
        while block := stream.read(1 << 20):
            file.write(block)
    return Path(file.name)


def _kind_of(path: Path) -> Format:
    if path.suffix in (".jsonl", ".ndjson", ".json"):
        return "json-lines"
    if path.suffix == ".csv":
        return "csv"
    with path.open("rb") as file:
        return kind_of_text(file.read(64))


def _checked(batch: str | None) -> str | None:
    if batch is not None and not _BATCH_NAME.fullmatch(batch):
        raise TableError("batch: expected a name of 1 to 128 printable characters of ASCII, without spaces")
    return batch


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
