"""Loading the Python files of an app's folder, with mistakes reported by file and line."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from scoreline.app.declaration import App
from scoreline.errors import AppError, SettingError


def load_app(folder: Path) -> App:
    """Load `app.py` of `folder` and return the one `App` that it declares, checked.

    Raises
    ------
    AppError
        No such file, or any mistake in it: the message names the file and, where known, the line.
    SettingError
        There is no such folder.
    """
    path = find_app_file(folder)
    module = load_module(path)
    apps = list(dict.fromkeys(value for value in vars(module).values() if isinstance(value, App)))
    if len(apps) != 1:
        raise AppError(f"{shown(path)}: expected one App at the top level, found {len(apps)}. Write: app = App('name')")
    try:
        apps[0].check()
    except AppError as error:
        raise AppError(f"{shown(path)}: {error}") from error
    return apps[0]


def find_app_file(folder: Path) -> Path:
    """Return the path of `app.py` in an app's folder.

    Raises
    ------
    AppError
        There is no such file.
    SettingError
        There is no such folder.
    """
    if not folder.is_dir():
        raise SettingError(f"SCORELINE_APP={shown(folder)} (or --app): expected a folder with an app.py, there is none")
    path = folder / "app.py"
    if not path.is_file():
        raise AppError(f"{shown(folder)}: no app.py here. Name the app's folder with --app DIR or SCORELINE_APP.")
    return path


def load_module(path: Path) -> ModuleType:
    """Import one Python file of an app folder by its path; AppError names file and line."""
    folder = str(path.parent.resolve())
    name = f"scoreline_app_{hashlib.sha256(folder.encode()).hexdigest()[:8]}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise AppError(f"{shown(path)}: can't be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if folder not in sys.path:
        sys.path.append(folder)  # helper modules beside app.py; last, so that none shadows a library
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        file = Path(error.filename) if error.filename and Path(error.filename).is_file() else path
        line = f", line {error.lineno}" if error.lineno else ""
        raise AppError(f"{shown(file)}{line}: {error.msg}") from error  # the file may be a helper that it imports
    except (Exception, SystemExit) as error:  # importing runs the user's code: whatever it raises is the app's mistake
        kind = "" if isinstance(error, AppError) else f"{type(error).__name__}: "
        raise AppError(f"{shown(path)}{_line_in(spec.origin, error)}: {kind}{error}") from error
    return module


def shown(path: Path) -> str:
    """Return the path as a user would type it: relative to the current folder where it lies below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, FileNotFoundError):  # it lies elsewhere, or the current folder was removed
        return str(path)


def _line_in(file: str | None, error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f", line {frames[-1].lineno}" if frames else ""
