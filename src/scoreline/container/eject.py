"""Our files that an app's folder may replace, copied there to start from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import scoreline
from scoreline.errors import AppError
from scoreline.files import write_atomically

_PACKAGE = Path(scoreline.__file__).parent
_SERVE = "`serve` takes it from now on; `scoreline doctor` checks it."


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
    "nginx.conf": File("serving/nginx.conf.template", _SERVE),
    "wsgi.py": File("container/files/wsgi.py", _SERVE + " Delete it to get the ASGI workers back."),
    "predictor.py": File("container/files/predictor.py", _SERVE + " Then: scoreline train."),
    "Dockerfile": File("container/files/Dockerfile", "docker build takes it with --file; `scoreline build` uses ours."),
    "docker-compose.yml": File("container/files/docker-compose.yml", "Its paths are seen from where it lies."),
    "kubernetes.yaml": File("container/files/kubernetes.yaml", "Put in the image's name, then: kubectl apply -f."),
}


def eject(name: str, folder: Path, *, force: bool = False) -> tuple[Path, str]:
    """Copy one of `FILES` into an app's folder; return where it is, and what to do with it.

    Raises
    ------
    AppError
        There is one already, or no such folder.
    """
    path, file = folder / name, FILES[name]
    if not folder.is_dir():
        raise AppError(f"{folder}: no such folder. Name the app's folder with --app DIR or SCORELINE_APP.")
    if path.exists() and not force:
        raise AppError(f"{path}: is there already. Move it away, or replace it with --force.")
    write_atomically(path, (_PACKAGE / file.source).read_bytes())
    return path, file.hint
