"""Reference tables on their way into a generation: fetched, read, written as they are held in memory."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import msgspec
import pyarrow as pa

from scoreline.app.table import TableSpec
from scoreline.errors import GenerationError, ScorelineError, SourceAwayError, TableError
from scoreline.generations.manifest import TABLES_FOLDER, Collected, Generation, TableContent
from scoreline.generations.package import Package
from scoreline.generations.state import StateFolder, utc_now
from scoreline.tables.fetch import Source
from scoreline.tables.reference import most_bytes, read_reference
from scoreline.tables.source import file_names


class TableCollector:
    """Brings reference tables into a staging folder.

    Parameters
    ----------
    current : the published generation, whose copies are taken where nothing changed
    copies_will_do : where the source gives no good file, take the copy and say so
    package : has copies for a start without a published generation
    """

    def __init__(
        self,
        state: StateFolder,
        source: Source,
        current: Generation | None,
        *,
        copies_will_do: bool,
        package: Package | None = None,
    ) -> None:
        self._state, self._source, self._current, self._package = state, source, current, package
        self._copies_will_do = copies_will_do

    def collect(self, spec: TableSpec, staging: Path) -> Collected:
        """Bring one table into `staging`.

        Raises
        ------
        SourceAwayError
            The source can't be reached.
        ScorelineError
            Its file is not good.
        """
        folder = staging / TABLES_FOLDER / spec.name
        folder.mkdir(parents=True)
        known = self._state.source(spec.name)
        copy = self._copy_of(spec)
        is_known = copy is not None and known.get("where") == self._source.where
        is_known = is_known and copy is not None and known.get("digest") == copy[1].digest
        try:
            fetched = self._source.fetch(
                file_names(spec), folder, known_etag=known.get("etag") if is_known else None, max_bytes=most_bytes(spec)
            )
            if fetched is None and copy is not None:
                content = self._take_copy(spec, folder, copy)
            else:
                assert fetched is not None
                content = self._read(spec, folder, fetched.path, fetched.etag)
        except ScorelineError as error:
            self._state.note_source(spec.name, error=str(error), failed_at=utc_now())
            said = str(error).rstrip(".")
            if copy is None and isinstance(error, SourceAwayError):
                raise SourceAwayError(f"{said}. There is no copy of '{spec.name}' at hand.") from error
            if copy is None or not self._copies_will_do:
                raise
            for left in folder.iterdir():
                left.unlink()
            try:
                content = self._take_copy(spec, folder, copy)
            except ScorelineError as unfit:
                raise GenerationError(f"{said}. The copy at hand will not do: {unfit}") from unfit
            return Collected(content, f"{said}. Going on with the copy at hand.")
        return Collected(content)

    def _copy_of(self, spec: TableSpec) -> tuple[Path, TableContent] | None:
        if self._current is None or spec.name not in self._current.tables:
            return None if self._package is None else self._package.copy_of(spec.name)
        content = self._current.tables[spec.name]
        path = self._state.folder_of(self._current.number) / TABLES_FOLDER / spec.name / content.file
        return (path, content) if path.is_file() else None

    def _take_copy(self, spec: TableSpec, folder: Path, copy: tuple[Path, TableContent]) -> TableContent:
        path, content = copy
        return self._read(spec, folder, Path(shutil.copy2(path, folder / content.file)), content.etag, content.source)

    def _read(self, spec: TableSpec, folder: Path, path: Path, etag: str, source: str | None = None) -> TableContent:
        try:
            rows = read_reference(spec, folder)
        except TableError as error:  # some name the path, which here is that of the staging folder
            raise TableError(str(error).replace(str(path), f"reference table '{spec.name}', {path.name}")) from error
        encoded = msgspec.msgpack.encode(_plain_columns(spec, rows))
        (folder.parent / f"{spec.name}.msgpack").write_bytes(encoded)
        digest = hashlib.sha256(encoded).hexdigest()
        return TableContent(path.name, digest, rows.num_rows, etag, source or self._source.where)


def _plain_columns(spec: TableSpec, rows: pa.Table) -> dict[str, list[object]]:
    """Return the columns as plain values in the order of the key, so that equal content has equal bytes."""
    rows = rows.sort_by([(name, "ascending") for name in spec.key])
    columns = {name: rows.column(name) for name in rows.column_names}
    return {
        name: (values.cast(pa.int64()) if pa.types.is_timestamp(values.type) else values).to_pylist()
        for name, values in columns.items()
    }
