"""A folder at any address that Spark knows, by Hadoop's own file systems: small files, names, moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def has_java(session: SparkSession) -> bool:
    """Whether a session has Java of its own; over Spark Connect the server alone knows Hadoop's file systems."""
    return getattr(session, "_jsparkSession", None) is not None


def is_there(session: SparkSession, address: str) -> bool:
    """Whether there is anything at an address; True where that can't be asked, over Spark Connect.

    Spark itself, told to read what is not there, shows two screens of Java's words before it says so.
    """
    return not has_java(session) or HadoopFolder(session, address).has("")


class HadoopFolder:
    """A folder at an address; what is in it is named by its path from there.

    Parameters
    ----------
    session : one that `has_java`
    """

    def __init__(self, session: SparkSession, address: str) -> None:
        context: Any = session.sparkContext
        self.address = address.rstrip("/")
        self._java: Any = context._jvm
        self._files: Any = self._path("").getFileSystem(context._jsc.hadoopConfiguration())

    def names(self, inside: str = "") -> list[str]:
        """Return the names in the folder, in order; none where it is not there."""
        path = self._path(inside)
        if not self._files.exists(path):
            return []
        return sorted(status.getPath().getName() for status in self._files.listStatus(path))

    def has(self, name: str) -> bool:
        """Whether a file or a folder is there."""
        return bool(self._files.exists(self._path(name)))

    def read(self, name: str) -> bytes | None:
        """Return what is in a small file; None where it is not there."""
        path = self._path(name)
        if not self._files.exists(path):
            return None
        stream = self._files.open(path)
        try:
            return bytes(self._java.org.apache.commons.io.IOUtils.toByteArray(stream))
        finally:
            stream.close()

    def write(self, name: str, content: bytes) -> None:
        """Write a small file, over one that is there. Whoever reads it must see by its content whether it is whole."""
        stream = self._files.create(self._path(name), True)
        try:
            stream.write(bytearray(content))
        finally:
            stream.close()

    def move(self, name: str, to: str) -> bool:
        """Give a file another name; False where that is taken."""
        return bool(self._files.rename(self._path(name), self._path(to)))

    def remove(self, name: str) -> None:
        """Remove a file, or a folder and all in it, if it is there."""
        self._files.delete(self._path(name), True)

    def _path(self, name: str) -> Any:
        return self._java.org.apache.hadoop.fs.Path(f"{self.address}/{name}".rstrip("/"))
