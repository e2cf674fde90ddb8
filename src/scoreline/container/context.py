"""The build context: all that the Dockerfile copies, in one folder.

A checkout that holds the app is one as it is. For an app anywhere else, and for Scoreline installed from a
wheel, one is laid out: the installed package, the files that the wheel carries for this, and the app.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import scoreline
from scoreline.errors import ContainerError

_PACKAGE = Path(scoreline.__file__).parent
_FILES = _PACKAGE / "container/files"  # in a checkout links to its root, in a wheel the files themselves
_NOT_OF_AN_APP = ("results", "state", "__pycache__", ".git", ".venv", ".env", "model.tar.gz")


@dataclass(frozen=True)
class Context:
    """A build context.

    Attributes
    ----------
    folder : what docker is given
    app : the app's folder in it
    is_checkout : it is there as it is, and stays
    """

    folder: Path
    app: str
    is_checkout: bool


def find_context(folder: Path) -> Context:
    """Return the context that an app is built from; `lay_out` makes it where it is not there yet."""
    folder, root = folder.resolve(), (_FILES / "Dockerfile").resolve().parent
    if (root / "src/scoreline").resolve() == _PACKAGE.resolve() and (root / "apps") in folder.parents:
        return Context(root, folder.relative_to(root).as_posix(), is_checkout=True)
    mark = hashlib.sha256(f"{os.getuid()} {folder}".encode()).hexdigest()[:8]  # others build apps of that name too
    return Context(Path(tempfile.gettempdir(), f"scoreline-build-{folder.name}-{mark}"), "app", is_checkout=False)


def clear(context: Context) -> None:
    """Remove what `lay_out` wrote."""
    if not context.is_checkout:
        shutil.rmtree(context.folder, ignore_errors=True)


def lay_out(context: Context, folder: Path) -> None:
    """Write the context of an app that is not in a checkout, anew.

    Raises
    ------
    ContainerError
        What Scoreline brings for this is not there, or the folder can't be written.
    """
    if context.is_checkout:
        return
    if not (_FILES / "Dockerfile").is_file():
        raise ContainerError(f"{_FILES}: holds no Dockerfile. Install Scoreline again, from its wheel or a checkout.")
    try:
        shutil.rmtree(context.folder, ignore_errors=True)
        context.folder.mkdir(parents=True, mode=0o700)  # it has the app's data
        for file in filter(Path.is_file, _FILES.iterdir()):  # beside them is what pip compiled
            shutil.copyfile(file, context.folder / file.name)
        (context.folder / "README.md").write_text("Scoreline, as it was installed where this image was built.\n")
        ignore = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(_PACKAGE, context.folder / "src/scoreline", ignore=ignore)
        shutil.copytree(folder, context.folder / context.app, ignore=shutil.ignore_patterns(*_NOT_OF_AN_APP))
    except OSError as error:
        raise ContainerError(f"{context.folder}: can't be written ({error}). TMPDIR names another place.") from error
