"""The embedded online store: one LMDB file that is written once and read by every worker."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import lmdb
import msgspec

from scoreline.errors import StoreError
from scoreline.store.keys import RESERVED, encode_key

FORMAT = 2
META_KEY = RESERVED + b"meta"

Key = tuple[str | int, ...]
Row = list[Any]  # key parts, event time if any, features, in the feature table's order; times in microseconds, UTC


class EmbeddedStore:
    """Reads a store file. Opened at first use in each process, so that it may be made before a fork.

    Raises
    ------
    StoreError
        The file is missing, is no store, or is of another format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._env: lmdb.Environment | None = None
        self._pid = 0
        self._decode = msgspec.msgpack.Decoder(list).decode

    def read_meta(self) -> dict[str, Any]:
        """Return what the writer was told to keep."""
        raw = self._read(META_KEY)
        meta: dict[str, Any] = msgspec.msgpack.decode(raw) if raw else {}
        if meta.get("format") != FORMAT:
            raise StoreError(
                f"{self.path}: is store format {meta.get('format', 'unknown')}; this version reads {FORMAT}. "
                "Run `scoreline feature` again."
            )
        return meta

    def get(self, key: Key) -> Row | None:
        """Return the row of a key, None if there is none. Never another key's row."""
        raw = self._read(encode_key(key))
        if raw is None:
            return None
        row = self._decode(raw)
        return row if tuple(row[: len(key)]) == key else None

    @property
    def is_open(self) -> bool:
        """Whether the file is open in this process."""
        return self._env is not None and self._pid == os.getpid()

    def close(self) -> None:
        """Close the file in this process."""
        if self._env is not None and self.is_open:
            self._env.close()
        self._env = None

    def _read(self, key: bytes) -> bytes | None:
        if self._pid != os.getpid() or self._env is None:
            self._open()
        assert self._env is not None
        with self._env.begin() as transaction:
            value: bytes | None = transaction.get(key)
        return value

    def _open(self) -> None:
        self._env = None  # one that came through a fork goes first: LMDB takes its path for open here too
        try:
            self._env = lmdb.open(str(self.path), subdir=False, readonly=True, lock=False, max_dbs=0)
        except lmdb.Error as error:
            raise StoreError(f"{self.path}: can't be opened as an online store ({error})") from error
        self._pid = os.getpid()
