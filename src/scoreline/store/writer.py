"""Writing an online store: rows in any order, put into the file in the order of their keys, in bounded memory.

LMDB fills its pages best, and fastest, when keys come in order. So rows are sorted in memory, run by run; where there
is more than one run, runs wait in files without a name beside the store and are merged at the end, a piece of each at
a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import lmdb
import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from scoreline.errors import StoreError
from scoreline.store.embedded import FORMAT, META_KEY, Row
from scoreline.store.encode import ENCODED, HEAD_BYTES, as_list, encode_batch, encode_rows, encode_states, row_order
from scoreline.store.keys import MAX_KEY_BYTES, hash_key
from scoreline.store.states import STATE, SUFFIX_BYTES

_FIRST_MAP_BYTES = 64 << 20
_BATCH_BYTES = 128 << 20  # Arrow's arrays of bytes end at 2 GiB
_RUN_BYTES = 64 << 20  # held twice while it is sorted; longer runs save no time
_PIECE_BYTES = 4 << 20
_ROWS_AT_ONCE = 1 << 14  # of those that come one by one


class StoreWriter:
    """Writes a new store file. A context manager, at whose end the file is whole; nothing else may have it open.

    Parameters
    ----------
    key_width : int
        How many of a row's first values are its key.
    meta : mapping
        What the store says of itself; `read_meta` returns it.

    Raises
    ------
    StoreError
        Two rows have one key.
    """

    def __init__(self, path: Path, key_width: int, meta: Mapping[str, Any]) -> None:
        self._env = lmdb.open(
            str(path), subdir=False, lock=False, map_size=_FIRST_MAP_BYTES, sync=False, metasync=False, max_dbs=0
        )
        self._path, self._width, self._map_bytes = path, key_width, _FIRST_MAP_BYTES
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_bytes = 0
        self._runs: list[Iterator[pa.RecordBatch]] = []
        self._files = contextlib.ExitStack()
        self._states, self._long_states = hashlib.sha256(), 0
        self._meta = msgspec.msgpack.encode({"format": FORMAT, **meta})

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        try:
            if kind is None:
                self._finish()
                self._env.sync(True)
        finally:
            self._files.close()
            self._env.close()

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows of plain values; their keys must be new."""
        rows = iter(rows)
        while some := list(itertools.islice(rows, _ROWS_AT_ONCE)):
            self._take(encode_rows(some, self._width))

    def add_batch(self, batch: pa.RecordBatch) -> None:
        """Add rows of text, int64, float64, boolean and timestamp("us") columns; their keys must be new."""
        for part in _parts(batch):
            self._take(encode_batch(part, self._width))

    def add_states(self, batch: pa.RecordBatch, number: int, key_width: int) -> None:
        """Add rows of another table as states; see `encode_states`."""
        for part in _parts(batch):
            self._take(encode_states(part, number, key_width))

    @property
    def states_digest(self) -> str:
        """SHA-256 of the states that were put, whatever the order in which they came and the lines they stood in."""
        return hashlib.sha256(f"{self._states.hexdigest()} {self._long_states:x}".encode()).hexdigest()

    def _take(self, encoded: pa.RecordBatch) -> None:
        is_long = pc.greater(encoded["key_bytes"], MAX_KEY_BYTES)
        if pc.any(is_long).as_py():
            keys, values = _items(encoded.filter(is_long))
            self._put_long([_shortened(key) for key in keys], values)
            encoded = encoded.filter(pc.invert(is_long))
        self._waiting.append(encoded)
        self._waiting_bytes += encoded.nbytes
        if self._waiting_bytes >= _RUN_BYTES:
            file = tempfile.TemporaryFile(dir=self._path.parent)  # noqa: SIM115 (`_files` closes it)
            self._files.push(file)
            self._runs.append(_spooled(self._sort_waiting(), file))

    def _sort_waiting(self) -> Iterator[pa.RecordBatch]:
        if not self._waiting:
            return iter(())
        rows, self._waiting, self._waiting_bytes = pa.concat_batches(self._waiting), [], 0
        return _sorted_pieces(rows)

    def _finish(self) -> None:
        last = self._sort_waiting()
        for piece in _merged([*self._runs, last]) if self._runs else last:
            keys, values = _items(piece)
            states = [(key[:-8], value) for key, value in zip(keys, values, strict=True) if key.startswith(STATE)]
            self._states.update(b"".join(itertools.chain.from_iterable(states)))
            self._put(keys, values)
        self._put([META_KEY], [self._meta])  # last: a store without it is not whole

    def _put_long(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        for key, value in zip(keys, values, strict=True):
            if key.startswith(STATE):  # they come in no order, so that their digests are added up
                self._long_states += int.from_bytes(hashlib.sha256(key[:-8] + value).digest())
        self._put(keys, values)

    def _put(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        while True:
            try:
                with self._env.begin(write=True) as transaction, transaction.cursor() as cursor:
                    _, added = cursor.putmulti(zip(keys, values, strict=True), overwrite=False)
                break
            except lmdb.MapFullError:
                self._map_bytes *= 2
                self._env.set_mapsize(self._map_bytes)
        if added != len(keys):
            raise StoreError(f"{self._path}: {len(keys) - added} rows have the key of another row")


def _parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cut a batch into parts that Arrow's arrays of bytes can hold."""
    if batch.nbytes > _BATCH_BYTES and len(batch) > 1:
        middle = len(batch) // 2
        yield from _parts(batch[:middle])
        yield from _parts(batch[middle:])
    else:
        yield batch


def _shortened(key: bytes) -> bytes:
    """Return what stands in for a key that is too long: of a state's, what its row's own key is alone is replaced."""
    if not key.startswith(STATE):
        return hash_key(key)
    begin, end = len(STATE) + 1, len(key) - SUFFIX_BYTES
    return key[:begin] + hash_key(key[begin:end]) + key[end:]


def _items(encoded: pa.RecordBatch) -> tuple[list[bytes], list[bytes]]:
    """Return the keys and the values of rows."""
    values = as_list(encoded["row"])
    ends = (encoded["key_bytes"].to_numpy() + HEAD_BYTES).tolist()
    keys = [value[HEAD_BYTES:end] for value, end in zip(values, ends, strict=True)]
    if any(key.startswith(STATE) for key in keys):  # their key stands before the row
        values = [
            value[:HEAD_BYTES] + value[end:] if key.startswith(STATE) else value
            for key, value, end in zip(keys, values, ends, strict=True)
        ]
    return keys, values


def _sorted_pieces(encoded: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    order = row_order(encoded["row"])
    step = max(1, _PIECE_BYTES * len(order) // max(1, encoded.nbytes))
    for first in range(0, len(order), step):
        yield encoded.take(pa.array(order[first : first + step]))


def _spooled(pieces: Iterator[pa.RecordBatch], file: IO[bytes]) -> Iterator[pa.RecordBatch]:
    """Write pieces to a file; return what reads them back."""
    with pa.ipc.new_stream(file, ENCODED) as stream:
        for piece in pieces:
            stream.write_batch(piece)
    file.seek(0)
    return iter(pa.ipc.open_stream(file))


def _merged(runs: Sequence[Iterator[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    """Merge sorted runs; holds a piece of each."""
    heads = [(run, piece) for run in runs if (piece := next(run, None)) is not None]
    while heads:
        lasts = [_after_head(piece, len(piece) - 1) for _, piece in heads]
        limit = min(lasts)
        upto = [
            len(piece) if last == limit else bisect_right(range(len(piece)), limit, key=partial(_after_head, piece))
            for (_, piece), last in zip(heads, lasts, strict=True)
        ]
        together = pa.concat_batches([piece[:count] for (_, piece), count in zip(heads, upto, strict=True)])
        yield together.take(pa.array(row_order(together["row"])))
        rest = [
            (run, piece[count:] if count < len(piece) else next(run, None))
            for (run, piece), count in zip(heads, upto, strict=True)
        ]
        heads = [(run, piece) for run, piece in rest if piece is not None]


def _after_head(encoded: pa.RecordBatch, position: int) -> bytes:
    row: bytes = encoded["row"][position].as_py()
    return row[HEAD_BYTES:]
