"""Files as one `tar.gz`, of the same bytes for the same content."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

Content = Mapping[str, Path | bytes]  # name in the archive -> its file, or its bytes
_LEVEL = 6  # of gzip: most of the gain for a third of the time of the best


def write_archive(path: Path, content: Content) -> None:
    """Write an archive beside its place and rename it in.

    Names are in order; times, owners and modes are all alike, so that nothing of this machine or moment is in it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            with (
                gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed,
                tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
            ):
                for name in sorted(content):
                    _add(archive, name, content[name])
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def size_of(part: Path | bytes) -> int:
    """Return the size of a part of an archive in bytes."""
    return len(part) if isinstance(part, bytes) else part.stat().st_size


def _add(archive: tarfile.TarFile, name: str, part: Path | bytes) -> None:
    entry = tarfile.TarInfo(name)  # mode 0644, no owner, time 0
    entry.size = size_of(part)
    with io.BytesIO(part) if isinstance(part, bytes) else part.open("rb") as file:
        archive.addfile(entry, file)
