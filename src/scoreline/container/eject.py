"""Our files that an app's folder may replace, copied there to start from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import scoreline
from scoreline.app.load import find_app_file, shown
from scoreline.errors import AppError
from scoreline.files import write_atomically

_PACKAGE = Path(scoreline.__file__).parent
_COMPOSE = "Next: scoreline build --tag my-app, mkdir -p results, docker compose up."
_SERVE = "`serve` takes it from now on, `scoreline doctor` checks it."


@dataclass(frozen=True)
class File:
    """One of our files.

    Attributes
    ----------
    source : in the package
    hint : what to do with it
    """

    source: str
    hint: str


FILES = {
    "nginx.conf": File("serving/nginx.conf.template", f"{_SERVE} Keep its values in double braces."),
    "wsgi.py": File("container/files/wsgi.py", f"{_SERVE} It runs on sync workers; without it, ASGI workers do."),
    "predictor.py": File("container/files/predictor.py", f"{_SERVE} Once it answers otherwise: scoreline train."),
    "Dockerfile": File("container/files/Dockerfile", "`scoreline build` takes it from now on."),
    "docker-compose.yml": File("container/files/compose-of-an-app.yml", _COMPOSE),
    "kubernetes.yaml": File("container/files/kubernetes.yaml", "Put in the image's name, then: kubectl apply -f FILE"),
}


def eject(name: str, folder: Path, *, force: bool = False) -> Path:
    """Copy one of `FILES` into an app's folder; return where it is.

    Parameters
    ----------
    force : replace a file that is there

    Raises
    ------
    AppError
        There is one already, or the folder has no app.py.
    SettingError
        There is no such folder.
    """
    path = find_app_file(folder).with_name(name)
    if path.is_dir():
        raise AppError(f"{shown(path)}: is a folder; expected no such name here. Move it away.")
    if os.path.lexists(path) and not force:
        raise AppError(f"{shown(path)}: is there already. Move it away, or replace it with --force.")
    write_atomically(path, (_PACKAGE / FILES[name].source).read_bytes())
    return path
