"""The embedded online store: one LMDB file that is written once and read by every worker."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lmdb
import msgspec

from scoreline.errors import StoreError
from scoreline.store.keys import encode_key

FORMAT = 1
_META_KEY = b"\x00meta"
_FIRST_MAP_BYTES = 64 << 20

Key = tuple[str | int, ...]
Row = list[Any]  # key parts, event time if any, features, in the feature table's order; times in microseconds, UTC


class StoreWriter:
    """Writes a new store file. A context manager; nothing else may have the file open.

    Parameters
    ----------
    key_width : int
        How many of a row's first values are its key.
    meta : mapping
        What the store says of itself; `read_meta` returns it.
    """

    def __init__(self, path: Path, key_width: int, meta: Mapping[str, Any]) -> None:
        self._env = lmdb.open(
            str(path), subdir=False, lock=False, map_size=_FIRST_MAP_BYTES, sync=False, metasync=False, max_dbs=0
        )
        self._width, self._map_bytes = key_width, _FIRST_MAP_BYTES
        self._encode = msgspec.msgpack.Encoder().encode
        self._put([(_META_KEY, self._encode({"format": FORMAT, **meta}))])

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._env.sync(True)
        self._env.close()

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows; their keys must be new."""
        width, encode = self._width, self._encode
        # in key order, since LMDB fills its pages best so
        self._put(sorted((encode_key(row[:width]), encode(row)) for row in rows))

    def _put(self, items: Sequence[tuple[bytes, bytes]]) -> None:
        while True:
            try:
                with self._env.begin(write=True) as transaction, transaction.cursor() as cursor:
                    cursor.putmulti(items)
                return
            except lmdb.MapFullError:
                self._map_bytes *= 2
                self._env.set_mapsize(self._map_bytes)


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
        self._opening = threading.Lock()  # two threads may be the first at once, and LMDB opens a file once a process
        self._decode = msgspec.msgpack.Decoder(list).decode

    def read_meta(self) -> dict[str, Any]:
        """Return what the writer was told to keep."""
        raw = self._read(_META_KEY)
        meta: dict[str, Any] = msgspec.msgpack.decode(raw) if raw else {}
        if meta.get("format") != FORMAT:
            raise StoreError(f"{self.path}: is store format {meta.get('format')}; this version reads {FORMAT}")
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
        if not self.is_open:
            with self._opening:
                if not self.is_open:
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
