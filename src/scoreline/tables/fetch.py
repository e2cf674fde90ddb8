"""Where a reference table's file comes from: a folder, or a folder in S3.

A source is asked again and again whether its file has changed. What it gives is a copy, so that nobody reads a file
that somebody else is writing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

from scoreline.errors import ScorelineError, SettingError, SourceAwayError, SourceContentError

if TYPE_CHECKING:
    from scoreline.aws.s3 import S3Folder

_QUIET_S = 0.3  # a file that was written less than this ago may still be being written
_TRIES = 4  # with a pause of _QUIET_S each
_CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class Fetched:
    """A copy of a source's file.

    Attributes
    ----------
    path : the copy
    etag : opaque, not the same for other content; what to pass as `known_etag` the next time
    name : the file name that was found at the source
    """

    path: Path
    etag: str
    name: str


class Source(Protocol):
    """Where a file comes from."""

    @property
    def where(self) -> str:
        """The folder or the s3:// address, as shown to people."""

    def fetch(self, names: Sequence[str], into: Path, *, known_etag: str | None, max_bytes: int) -> Fetched | None:
        """Copy the file into the folder `into`, whole or not at all.

        Parameters
        ----------
        names : the names that the file may have
        known_etag : of the copy that the caller has; None if it has none

        Returns
        -------
        The copy; None if the file is the one that the caller knows.

        Raises
        ------
        SourceAwayError
            The source can't be reached, or doesn't let us in.
        SourceContentError
            It is reached, but the file is not there, too large, or not whole.
        """

    def close(self) -> None:
        """Let go of connections. The source can still be used."""


def open_source(url: str | None, folder: Path) -> Source:
    """Return the source at a URL or path, `folder` if there is none. Reaches for nothing yet.

    Raises
    ------
    SettingError
        The URL is none of `s3://bucket/prefix/`, `file:///folder` and a path.

    Examples
    --------
    >>> open_source(None, Path("data")).where
    'data'
    >>> open_source("file:///srv/cards", Path("data")).where
    '/srv/cards'
    """
    if not url:
        return FolderSource(folder)
    scheme, separator, _ = url.partition("://")
    if not separator and not scheme.lower().startswith(("s3:", "file:")):
        return FolderSource(Path(url))
    if separator and scheme.lower() == "s3":
        return S3Source(url)
    parts = urlsplit(url)
    if separator and scheme.lower() == "file" and parts.netloc in ("", "localhost") and parts.path:
        return FolderSource(Path(url2pathname(parts.path)))
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"  # no password, no signature
    raise SettingError(f"'{shown}...' is no source: expected s3://bucket/prefix/, file:///folder or a folder's path")


@dataclass
class FolderSource:
    """A folder that somebody puts files into.

    A file that is renamed into place is always taken whole. One that is written in place is taken
    once it has been still for a moment. The ETag is made from the content: a file that is merely
    touched or put there anew has not changed.
    """

    folder: Path
    pause: Callable[[float], None] = time.sleep
    _known: tuple[tuple[int, ...], str] | None = field(default=None, init=False)  # stamp of a file, and its etag

    @property
    def where(self) -> str:
        """The folder."""
        return str(self.folder)

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def fetch(self, names: Sequence[str], into: Path, *, known_etag: str | None, max_bytes: int) -> Fetched | None:
        """Copy the file into `into`. See `Source.fetch`."""
        for _ in range(_TRIES):
            path = self._find(names)
            with _opened(path) as file:
                before = _state(file, path)
                if known_etag and self._known == (_stamp(before), known_etag):
                    return None
                if time.time() - before.st_mtime < _QUIET_S:  # also where its time is in the future
                    self.pause(_QUIET_S)
                digest = hashlib.sha256()
                size = _state(file, path).st_size
                with _saved(_chunks(file, path, digest), into, path.name, str(path), size, max_bytes) as copy:
                    if not _is_untouched(before, _state(file, path)):
                        continue
                    etag = f"sha256-{digest.hexdigest()}"
                    self._known = (_stamp(before), etag)
                    if etag == known_etag:
                        return None
                    os.replace(copy, into / path.name)
                    return Fetched(into / path.name, etag, path.name)
        raise SourceContentError(
            f"{path}: is being written; expected a file that is still. Write beside it, rename it in, then try again."
        )

    def _find(self, names: Sequence[str]) -> Path:
        with _reading(self.folder):
            if not self.folder.is_dir():
                raise SourceAwayError(f"{self.folder}: no such folder. Make it, or name another one.")
            present = [name for name in names if (self.folder / name).exists()]
        if len(present) > 1:
            raise SourceContentError(
                f"{self.folder}: {' and '.join(present)} are both there; expected one of them. Remove the others."
            )
        if not present:
            raise SourceContentError(
                f"{self.folder}: no such file; expected {' or '.join(names)}. Put it there, or name another folder."
            )
        path = self.folder / present[0]
        if not path.is_file():  # a pipe would keep us waiting
            raise SourceContentError(f"{path}: is not a file. Put a file there.")
        return path


class S3Source:
    """A folder in S3. boto3 is loaded here, and only here."""

    def __init__(self, url: str) -> None:
        from scoreline.aws.s3 import S3Folder

        self._folder: S3Folder = S3Folder(url)

    @property
    def where(self) -> str:
        """Its s3:// address."""
        return self._folder.where

    def close(self) -> None:
        """Close the connections."""
        self._folder.close()

    def fetch(self, names: Sequence[str], into: Path, *, known_etag: str | None, max_bytes: int) -> Fetched | None:
        """Download the first of the names that is there into `into`. See `Source.fetch`."""
        with self._folder.open(names, known_etag=known_etag) as found:
            if found is None:
                return None
            with _saved(found.chunks, into, found.name, found.where, found.size, max_bytes) as copy:
                os.replace(copy, into / found.name)
            return Fetched(into / found.name, found.etag, found.name)


@contextlib.contextmanager
def _saved(
    chunks: Iterator[bytes], into: Path, name: str, where: str, size: int | None, max_bytes: int
) -> Iterator[Path]:
    """Give a file in `into` with all the chunks; it is removed at the end unless it was renamed."""
    if size is not None and size > max_bytes:
        raise _too_large(where, f"is {size:,} bytes", max_bytes)
    try:
        handle, copy = tempfile.mkstemp(dir=into, prefix=f".{name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                for chunk in chunks:
                    if file.tell() + len(chunk) > max_bytes:
                        raise _too_large(where, "is larger", max_bytes)
                    file.write(chunk)
            os.chmod(copy, 0o644)  # mkstemp gives 0600
            yield Path(copy)
        finally:
            Path(copy).unlink(missing_ok=True)
    except OSError as error:
        raise ScorelineError(
            f"{into}: can't be written ({error.strerror}). Make room, or name another folder."
        ) from error


def _too_large(where: str, came: str, max_bytes: int) -> SourceContentError:
    return SourceContentError(
        f"{where}: {came}, expected at most {max_bytes:,} bytes. Put a smaller file there, or raise the limit."
    )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with _reading(path):
        file = path.open("rb", buffering=0)
    with file:
        yield file


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise SourceContentError(f"{path}: was taken away while it was looked at. Try again.") from error
    except OSError as error:
        raise SourceAwayError(f"{path}: can't be read ({error.strerror}). Let this user read it.") from error


def _state(file: IO[bytes], path: Path) -> os.stat_result:
    with _reading(path):
        return os.fstat(file.fileno())


def _stamp(state: os.stat_result) -> tuple[int, ...]:
    """Return what changes when a file is written or replaced; no program can set the change time back."""
    return (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


def _is_untouched(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether an open file was not written to. That another took its place alters the change time alone."""
    is_same_size_and_time = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    was_replaced = after.st_nlink < before.st_nlink
    return is_same_size_and_time and (was_replaced or before.st_ctime_ns == after.st_ctime_ns)


def _chunks(file: IO[bytes], path: Path, digest: hashlib._Hash) -> Iterator[bytes]:
    with _reading(path):
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            yield chunk
