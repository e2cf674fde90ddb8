"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scoreline.errors import ScorelineError

_COMMIT = ".commit"
_STAGING_PREFIX = ".building-"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file beside its place and rename it in, flushed to disk first."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # mkstemp gives 0600, but others (a mounted container, say) read results
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Give an empty folder to build files in; when the block ends well, put them all into `folder` at once.

    The one rename of the staging folder to `.commit` is the moment of change: a crash before it
    leaves what was there, a crash after it is completed by the next `finish_commit`. Files of the
    same relative path are replaced, others stay. One builder at a time holds the folder.

    Raises
    ------
    ScorelineError
        Another process is building here, or the folder can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a")
    except OSError as error:
        raise ScorelineError(
            f"{folder}: can't be written ({error.strerror}); this is user {os.getuid()}. Name another folder, or make "
            "this one and give it to that user."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ScorelineError(
                f"{folder}: another scoreline command is building here; wait for it to end, then try again"
            ) from error
        finish_commit(folder)
        for left in folder.glob(f"{_STAGING_PREFIX}*"):  # by a builder that was killed: we hold the lock
            shutil.rmtree(left)
        staging = Path(tempfile.mkdtemp(dir=folder, prefix=_STAGING_PREFIX))
        try:
            yield staging
            for path in staging.rglob("*"):
                if path.is_file():
                    flush(path)
            os.replace(staging, folder / _COMMIT)
            flush(folder)
            finish_commit(folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def finish_commit(folder: Path) -> None:
    """Complete a change that a crash cut short after its moment of change. Safe to call at any time."""
    commit = folder / _COMMIT
    if not commit.is_dir():
        return
    try:
        for path in sorted(commit.rglob("*")):
            target = folder / path.relative_to(commit)
            if path.is_dir():
                target.mkdir(exist_ok=True)
            else:
                with contextlib.suppress(FileNotFoundError):  # another process is completing it too
                    os.chmod(path, 0o644)
                    os.replace(path, target)
        shutil.rmtree(commit, ignore_errors=True)
    except OSError as error:
        raise ScorelineError(
            f"{folder}: a change that was cut short can't be completed here ({error.strerror}). "
            "Make the folder writable once and run the command again."
        ) from error


def flush(path: Path) -> None:
    """Have the disk keep what was written to a file or a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
