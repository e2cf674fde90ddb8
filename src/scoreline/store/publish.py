"""Publishing: what an embedded store's file holds, into the networked store, some thousand rows a round trip."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import lmdb

from scoreline.errors import StoreError
from scoreline.progress import Progress
from scoreline.store.embedded import META_KEY, EmbeddedStore
from scoreline.store.layout import ROW_MARK, STATE_MARK, Layout, bucket_of
from scoreline.store.link import Command
from scoreline.store.publications import Publication, Publications
from scoreline.store.states import STATE, SUFFIX_BYTES

CHUNK_BYTES = 8 << 20  # of rows, sorted into buckets before they are sent
_SENT_BYTES = 512 << 10  # of rows in one round trip: the server answers others in between
_PREPARED_AT_ONCE = 500  # buckets
_ITEM_BYTES = 64  # of a command around a row


def publish(
    publications: Publications,
    path: Path,
    digest: str,
    *,
    rows: int,
    columns: Sequence[str],
    events: int,
    newest: Mapping[str, int | None],
) -> Publication:
    """Write an embedded store's file as a generation, and make it the current one.

    An interruption at any point leaves the one before; what was written goes by itself.

    Parameters
    ----------
    digest : of the feature table; where that is the current one, and whole, nothing is written
    rows : of the feature table

    Raises
    ------
    StoreAwayError
        The server can't be reached.
    StoreError
        It is full or not fit for this, another publish runs, or rows were lost on the way.
    """
    store = EmbeddedStore(path)
    try:
        layout = Layout(
            digest, rows, _entries(path) - rows - 1, tuple(columns), events, newest, store.first(), store.read_meta()
        )
    finally:
        store.close()
    with publications.alone() as mine:
        writer, now = _Writer(publications, layout), publications.current()
        if now is not None and now.digest == digest and writer.count() == writer.expected:
            publications.let_stay(layout)  # should the last publish have ended before that
            return now
        writer.write(path)
        return publications.make_current(layout, mine)


class _Writer:
    def __init__(self, publications: Publications, layout: Layout) -> None:
        self._publications, self._layout = publications, layout
        self._link, self._renew = publications.link, publications.renewed_lock()
        *self._buckets, self._meta = layout.keys(publications.names)
        self._rows, self._states = self._buckets[: layout.row_buckets], self._buckets[layout.row_buckets :]

    def write(self, path: Path) -> None:
        self._prepare()
        with Progress("publish", self._layout.rows + self._layout.states, "rows") as progress:
            for rows, states in _chunks(path, self._layout):
                self._send(b"HSET", self._rows, rows, progress)
                self._send(b"ZADD", self._states, states, progress)
        self._check()
        self._link.ask((b"SET", self._meta, self._layout.encode(), b"EX", self._publications.keep_s))

    def _prepare(self) -> None:
        """Make all buckets, each with its mark and, in one transaction with it, an end to its life."""
        marked: list[Command] = [(b"HSET", bucket, ROW_MARK, b"") for bucket in self._rows]
        marked += [(b"ZADD", bucket, 0, STATE_MARK) for bucket in self._states]
        for at in range(0, len(marked), _PREPARED_AT_ONCE):
            some = marked[at : at + _PREPARED_AT_ONCE]
            ends: list[Command] = [(b"EXPIRE", command[1], self._publications.keep_s) for command in some]
            self._link.ask((b"MULTI",), *some, *ends, (b"EXEC",))

    def _send(
        self, command: bytes, buckets: Sequence[bytes], items: Mapping[int, list[bytes | int]], progress: Progress
    ) -> None:
        some: list[Command] = []
        size = 0
        for bucket, values in items.items():
            some.append((command, buckets[bucket], *values))
            size += sum(len(value) for value in values if isinstance(value, bytes)) + _ITEM_BYTES
            if size >= _SENT_BYTES:
                self._link.ask(self._renew, *some)
                some, size = [], 0
        if some:
            self._link.ask(self._renew, *some)
        progress.advance(sum(len(values) for values in items.values()) // 2)

    @property
    def expected(self) -> int:
        """How many entries its buckets must have, marks among them."""
        return self._layout.rows + self._layout.states + len(self._buckets)

    def count(self) -> int:
        """Count the entries that are there."""
        rows = ((b"HLEN", bucket) for bucket in self._rows)
        return sum(self._publications.ask_all([*rows, *((b"ZCARD", bucket) for bucket in self._states)]))

    def _check(self) -> None:
        """Hold what is there against what was sent: an eviction on the way would have taken rows."""
        missing = self.expected - self.count()
        if missing:
            raise StoreError(
                f"the online store at {self._link.where}: {missing:,} of {self.expected:,} rows are missing after they "
                "were sent; the server dropped them. Give it more memory, and set maxmemory-policy noeviction."
            )


def _chunks(path: Path, layout: Layout) -> Iterator[tuple[dict[int, list[Any]], dict[int, list[Any]]]]:
    """Yield rows and states by bucket, as HSET and ZADD take them; holds some megabytes."""
    rows: dict[int, list[Any]] = defaultdict(list)
    states: dict[int, list[Any]] = defaultdict(list)
    row_buckets, state_buckets, size = layout.row_buckets, layout.state_buckets, 0
    with _opened(path) as env, env.begin() as transaction, transaction.cursor() as cursor:
        for key, value in cursor:
            if key.startswith(STATE):
                states[bucket_of(key[:-SUFFIX_BYTES], state_buckets)] += (0, key + value)
            elif key != META_KEY:
                rows[bucket_of(key, row_buckets)] += (key, value)
            size += len(key) + len(value)
            if size >= CHUNK_BYTES:
                yield rows, states
                rows, states, size = defaultdict(list), defaultdict(list), 0
    yield rows, states


def _entries(path: Path) -> int:
    with _opened(path) as env:
        entries: int = env.stat()["entries"]
        return entries


def _opened(path: Path) -> lmdb.Environment:
    return lmdb.open(str(path), subdir=False, readonly=True, lock=False, max_dbs=0)
