"""The model package: all that serving needs, in the one folder that a hosting platform brings."""

from __future__ import annotations

import contextlib
import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scoreline.app.declaration import App
from scoreline.app.load import load_app
from scoreline.errors import AppError
from scoreline.features.stamp import STAMP_FILE, read_stamp
from scoreline.files import staged, write_atomically
from scoreline.generations.builder import Builder
from scoreline.generations.manifest import MODEL_FOLDER, STORE_FILE, TABLES_FOLDER, Generation, TableContent
from scoreline.generations.package import APP_FOLDER, DATA_FOLDER, RESULTS_FOLDER, describe_package
from scoreline.generations.state import StateFolder
from scoreline.sagemaker.archive import Content, size_of
from scoreline.sagemaker.own_files import own_files
from scoreline.serving.service import make_predictor
from scoreline.settings import PACKAGE_FILE
from scoreline.tables.fetch import Source

_IMPORT = "import pathlib, sys; from scoreline.app.load import load_app; load_app(pathlib.Path(sys.argv[1]))"
_ROOMS = ("heads/", "app/", "data/", "results/")
_HERE = "the package"  # as a table's source, where it was a folder of the machine that packed


@dataclass(frozen=True)
class PackageContent:
    """What goes into a package. Its files are there as long as `collect_package` holds.

    Attributes
    ----------
    parts : name in the package -> its file, or its bytes
    digest : of the content that it serves, as in a generation's name
    notes : what a person should know of its reference tables
    """

    parts: Content
    digest: str
    notes: Sequence[str]

    @property
    def sizes(self) -> dict[str, int]:
        """Name in the package -> size in bytes."""
        return {name: size_of(part) for name, part in self.parts.items()}


@contextlib.contextmanager
def collect_package(
    folder: Path, model: Path, results: Path, source: Source, work: Path, more: Sequence[str] = ()
) -> Iterator[PackageContent]:
    """Collect what serving an app needs, as of now, and prove that it serves.

    Everything goes the way of a generation first: artifact, store and reference tables are checked
    against the app and against one another, golden rows and golden requests are scored. The app's own files are
    loaded from a folder of their own, so that one that is missing is found now and not on an endpoint.

    Parameters
    ----------
    folder : the app's
    source : where reference tables are fetched from
    work : a folder on the disk of `results`, where copies are made; they are gone at the end
    more : files of the app's folder that are opened rather than imported

    Raises
    ------
    ScorelineError
        Something is missing, damaged, or does not belong to the app: the message says what to run.
    """
    app = load_app(folder)
    with tempfile.TemporaryDirectory(prefix=".packing-", dir=work) as inside:
        state = StateFolder(Path(inside, "state"))
        builder = Builder(app, state, model, results, source, lambda a, m: make_predictor(folder, a, m))
        report = builder.refresh("start")
        generation = state.current()
        assert generation is not None
        parts: dict[str, Path | bytes] = _artifact(state.folder_of(generation.number) / MODEL_FOLDER)
        parts |= _store(app, results, state.folder_of(generation.number) / STORE_FILE)
        parts |= _tables(generation, state.folder_of(generation.number) / TABLES_FOLDER)
        own = {f"{APP_FOLDER}/{file.as_posix()}": (folder / file).read_bytes() for file in own_files(folder, more)}
        _prove_own_files(own, Path(inside, "own"))
        version = importlib.metadata.version("scoreline")
        tables = {name: _portable(content) for name, content in generation.tables.items()}
        parts |= own | {PACKAGE_FILE: describe_package(app.name, version, tables)}
        yield PackageContent(parts, generation.digest, report.notes)


def put_package(content: PackageContent, folder: Path) -> None:
    """Put a package into a folder unpacked, all of it at once, and remove what a former one left there."""
    with staged(folder) as staging:
        for name, part in content.parts.items():
            path = staging / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(part, bytes):
                path.write_bytes(part)
            else:
                shutil.copyfile(part, path)
    for room in {name.partition("/")[0] for name in (*content.parts, *_ROOMS) if "/" in name}:
        for path in sorted((folder / room).rglob("*")):
            if path.is_file() and path.relative_to(folder).as_posix() not in content.parts:
                path.unlink()
    (folder / ".lock").unlink(missing_ok=True)  # nobody else builds here, and the folder becomes an archive


def _artifact(model: Path) -> dict[str, Path | bytes]:
    return {path.relative_to(model).as_posix(): path for path in model.rglob("*") if path.is_file()}


def _store(app: App, results: Path, store: Path) -> dict[str, Path | bytes]:
    """Return the online store, and the stamp of the feature table without the files that only training reads."""
    if app.declared_request is not None:
        return {}
    stamp = read_stamp(results, verify=False)  # it was verified as the generation was built
    assert stamp.store is not None
    alone = replace(stamp, files={stamp.store: stamp.files[stamp.store]})
    return {f"{RESULTS_FOLDER}/{STAMP_FILE}": alone.encode(), f"{RESULTS_FOLDER}/{stamp.store}": store}


def _tables(generation: Generation, folder: Path) -> dict[str, Path | bytes]:
    return {
        f"{DATA_FOLDER}/{content.file}": folder / name / content.file for name, content in generation.tables.items()
    }


def _portable(content: TableContent) -> TableContent:
    """Leave out where this machine keeps a file: packages of equal content are equal."""
    return content if "://" in content.source else replace(content, source=_HERE)


def _prove_own_files(own: Content, folder: Path) -> None:
    for name, content in own.items():
        assert isinstance(content, bytes)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    command = [sys.executable, "-c", _IMPORT, str(folder / APP_FOLDER)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        why = (why.partition("AppError: ")[2] or why).removeprefix(f"{APP_FOLDER}/")
        raise AppError(
            f"the app does not load from its own files alone: {why}. Taken: {', '.join(sorted(own))}. Name what is "
            "missing with --add."
        )
