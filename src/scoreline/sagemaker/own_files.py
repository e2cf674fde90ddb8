"""Which files of an app's folder serving needs: those that Scoreline looks for, and the modules that they import."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

from scoreline.app.load import shown
from scoreline.errors import AppError

OWN_FILES = ("app.py", "predictor.py", "wsgi.py", "nginx.conf")


def own_files(folder: Path, more: Sequence[str] = ()) -> list[Path]:
    """Return the files that serving an app needs, relative to its folder, in the order of their names.

    Imports are read, not run. A package that is imported is taken whole, with what else is in its folder;
    a file that is merely opened is not found: name it in `more`.

    Parameters
    ----------
    more : further files, or folders taken whole, relative to the app's folder

    Raises
    ------
    AppError
        A file of `more` is not in the folder, or a module can't be parsed: the message names file and line.
    """
    found: set[Path] = set()
    waiting = [Path(name) for name in OWN_FILES if (folder / name).is_file()]
    waiting += [file for name in more for file in _named(folder, name)]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            if file.suffix == ".py":
                waiting += [own for name in _imported(folder / file) for own in _module(folder, name)]
    return sorted(found)


def _named(folder: Path, name: str) -> list[Path]:
    path = (folder / name).resolve()
    if not path.exists() or not path.is_relative_to(folder.resolve()):
        raise AppError(f"--add {name}: expected a file in the app's folder {shown(folder)}")
    return [Path(name)] if path.is_file() else _whole(folder, Path(name))


def _module(folder: Path, name: str) -> list[Path]:
    """Return the files of a module or package in the folder; none where it comes from elsewhere."""
    if (folder / f"{name}.py").is_file():
        return [Path(f"{name}.py")]
    return _whole(folder, Path(name)) if any((folder / name).glob("*.py")) else []


def _whole(folder: Path, part: Path) -> list[Path]:
    files = [path.relative_to(folder) for path in (folder / part).rglob("*") if path.is_file()]
    return [file for file in files if not any(name[0] == "." or name == "__pycache__" for name in file.parts)]


def _imported(path: Path) -> set[str]:
    """Return the first names of all modules that a file imports, anywhere in it."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise AppError(f"{shown(path)}{line}: can't be parsed ({error})") from error
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names
