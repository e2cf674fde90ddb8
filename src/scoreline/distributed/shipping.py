"""How our code, and an app's own, reach the Python processes of Spark's workers."""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scoreline.distributed.session import is_local
from scoreline.distributed.trouble import translated
from scoreline.errors import SparkError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_PACKAGE = Path(__file__).parents[1]
_asked: set[str] = set()  # applications whose workers have what they need
_TASKS = 8  # so that most likely each worker gets one


def ensure_package(session: SparkSession) -> None:
    """See to it that the workers run this very Scoreline: where one has none, or another, ours is sent.

    Raises
    ------
    SparkError
        A worker runs another version of Python, or lacks a package.
    """
    application = session.sparkContext.applicationId
    if application in _asked:
        return
    ours = _Found(_make_probe()("scoreline", ("numpy", "pandas", "pyarrow")))
    for found in (told := _ask(session)):
        if found.missing:
            raise SparkError(
                f"Python on a Spark worker lacks {found.missing}. Install it there: pip install {found.missing}"
            )
        if found.python != ours.python:
            raise SparkError(
                f"a Spark worker runs Python {found.python}, here it is {ours.python}: expected the same. Install the "
                "same image on both, or name the workers' Python with PYSPARK_PYTHON."
            )
    if any(found.digest != ours.digest for found in told):
        _send(session)
    _asked.add(application)


class _Found:
    """What a Python has: a digest of its Scoreline, its own version, and the first package that it lacks."""

    def __init__(self, said: str) -> None:
        self.digest, self.python, self.missing = said.split(" ")


def send_by_value(folder: Path) -> None:
    """Let what is sent to workers hold the functions of an app's own files, which no worker can import."""
    from pyspark import cloudpickle

    inside = folder.resolve()
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and Path(file).resolve().is_relative_to(inside):
            cloudpickle.register_pickle_by_value(module)


def _ask(session: SparkSession) -> list[_Found]:
    """Ask the Python of each worker what it has."""
    tasks = 1 if is_local(session) else _TASKS
    look = _make_probe()

    def probe(batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow

        for _ in batches:
            yield pyarrow.record_batch([[look("scoreline", ("numpy", "pandas", "pyarrow"))]], names=["said"])

    probe.__module__ = look.__module__
    with translated("asking the workers for their Python"):
        rows = session.range(0, tasks, 1, tasks).mapInArrow(probe, "said string").distinct().collect()
    return [_Found(row.said) for row in rows]


def _make_probe() -> Callable[[str, tuple[str, ...]], str]:
    """Make a function that looks at the Python that it runs in; it travels whole, and needs nothing of ours there."""

    def look(package: str, needed: tuple[str, ...]) -> str:
        import hashlib
        import importlib.util
        import pathlib
        import sys

        missing = next((name for name in needed if importlib.util.find_spec(name) is None), "")
        spec = importlib.util.find_spec(package)
        digest = hashlib.sha256()
        if spec is not None and spec.origin and pathlib.Path(spec.origin).is_file():
            folder = pathlib.Path(spec.origin).parent
            for file in sorted(folder.rglob("*.py")):
                digest.update(f"{file.relative_to(folder)}\n".encode() + file.read_bytes())
        return f"{digest.hexdigest()[:16]} {sys.version_info[0]}.{sys.version_info[1]} {missing}"

    look.__module__ = "__main__"  # what pickles it takes that for a module that nobody else can import
    return look


def _send(session: SparkSession) -> None:
    """Give the workers our package as a zip file."""
    folder = tempfile.mkdtemp(prefix="scoreline-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # a worker that comes late fetches it late
    path = Path(folder) / "scoreline.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(_PACKAGE.rglob("*.py")):
            archive.write(file, file.relative_to(_PACKAGE.parent))
    session.sparkContext.addPyFile(str(path))
