"""What each machine of a cluster needs to score: app, model, reference tables.

One archive, the same bytes for the same content. The online store is not in it: feature rows are joined to the records.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import msgspec

from scoreline.app.declaration import App
from scoreline.app.load import load_app
from scoreline.generations.manifest import MODEL_FOLDER, TABLES_FOLDER, Generation
from scoreline.generations.parts import Parts
from scoreline.model.artifact import MANIFEST_FILE, check_belongs, files_of, load_artifact
from scoreline.predictor import InputScorer, LiveScorer, ReferenceData, RowSource, StoredScorer
from scoreline.serving.codecs import ReplyTables, reply_tables
from scoreline.serving.records import RequestSchema, schema_of
from scoreline.serving.service import make_predictor

_APP_FOLDER, _TOLD_FILE = "app", "told.json"
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip knows


class Told(msgspec.Struct, frozen=True):
    """What goes with the files.

    Attributes
    ----------
    columns : of feature rows, in order; none where requests bring all
    stale : names of the tables that were older than declared as the run began
    runtime : the one runtime that may score trees; None: the fastest that was proved
    """

    columns: list[str]
    stale: list[str]
    runtime: str | None = None


class Rows:
    """The feature rows that were joined to the records at hand; stands for the online store."""

    def __init__(self) -> None:
        self.by_key: Mapping[tuple[str | int, ...], list[object]] = {}

    def get(self, key: tuple[str | int, ...]) -> list[object] | None:
        """Return the row that was joined to a key."""
        return self.by_key.get(key)


class Site:
    """The bundle as it is opened on a machine: what answers there.

    Attributes
    ----------
    rows : feature rows of the records at hand
    """

    def __init__(self, folder: Path) -> None:
        told = msgspec.json.decode((folder / _TOLD_FILE).read_bytes(), type=Told)
        self.app: App = load_app(folder / _APP_FOLDER)
        self.schema: RequestSchema = schema_of(self.app)
        self.tables: ReplyTables = reply_tables(self.app)
        self.rows = Rows()
        self._stale = told.stale
        self.parts = _load_parts(self.app, folder, self.rows, told)

    def stale(self) -> list[str]:
        """Return the tables that were older than declared as the run began."""
        return self._stale


def pack(app: Path, model: Path, tables: Sequence[Path], told: Told) -> tuple[str, bytes]:
    """Return an archive's name, which tells its content, and the archive."""
    files = {f"{_APP_FOLDER}/{path.relative_to(app)}": path for path in _modules(app)}
    files |= {f"{MODEL_FOLDER}/{name}": model / name for name in (MANIFEST_FILE, *files_of(model))}
    files |= {f"{TABLES_FOLDER}/{path.name}": path for path in tables}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _EARLIEST), files[name].read_bytes())
        archive.writestr(zipfile.ZipInfo(_TOLD_FILE, _EARLIEST), msgspec.json.encode(told))
    content = out.getvalue()
    return f"scoreline-{hashlib.sha256(content).hexdigest()[:16]}.zip", content


def _modules(app: Path) -> list[Path]:
    """Return an app's own code: the Python files in its folder, and in packages below it."""
    found = list(app.glob("*.py"))
    for package in app.glob("*/__init__.py"):
        found += package.parent.rglob("*.py")
    return sorted(found)


def _load_parts(app: App, folder: Path, rows: Rows, told: Told) -> Parts:
    artifact = load_artifact(folder / MODEL_FOLDER, runtime=told.runtime)
    check_belongs(artifact, app)
    predictor = make_predictor(folder / _APP_FOLDER, app, artifact)
    tables = {
        name: ReferenceData(
            table.spec,
            msgspec.msgpack.decode(
                (folder / TABLES_FOLDER / f"{name}.msgpack").read_bytes(), type=dict[str, list[object]]
            ),
        )
        for name, table in app.reference_tables.items()
        if app.declared_request is not None
    }
    scorer: StoredScorer | LiveScorer
    if app.declared_request is None:
        scorer = StoredScorer(app, artifact, predictor, cast(RowSource, rows), told.columns)
    else:
        scorer = LiveScorer(app, artifact, predictor, tables)
    nameless = cast(Generation, SimpleNamespace(name=""))
    direct = InputScorer(app, artifact, predictor)
    return Parts(nameless, artifact, predictor, None, {n: ("", t) for n, t in tables.items()}, scorer, direct)
