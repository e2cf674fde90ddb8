"""The networked online store: one generation of it in Redis, read in one round trip however much is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec

from scoreline.errors import StoreLostError
from scoreline.store.embedded import Key, Row, tables_in
from scoreline.store.events import EVENTS_FROM
from scoreline.store.keys import encode_key
from scoreline.store.layout import ROW_MARK, Layout, Names, bucket_of
from scoreline.store.link import Command, Link
from scoreline.store.states import (
    SUFFIX_BYTES,
    UNTIMED_US,
    State,
    StateTable,
    Wanted,
    seek_key,
    state_key,
    time_and_order,
)

_decode = msgspec.msgpack.Decoder(list).decode


class NetworkedStore:
    """Reads one generation. What it says of itself is at hand; nothing is asked before the first row is.

    Raises
    ------
    StoreAwayError
        The store can't be reached.
    StoreLostError
        It no longer holds this generation, or not all of it.
    """

    is_open = False  # there is no file of it

    def __init__(self, link: Link, names: Names, layout: Layout) -> None:
        self.link, self.layout = link, layout
        self._rows, self._states = names.of(layout.digest, "r:"), names.of(layout.digest, "s:")
        self._meta = names.of(layout.digest, "meta")
        self._row_buckets, self._state_buckets = layout.row_buckets, layout.state_buckets

    def read_meta(self) -> Mapping[str, Any]:
        """Return what the writer was told to keep."""
        return self.layout.meta

    def close(self) -> None:
        """Close this thread's connection."""
        self.link.close()

    def get(self, key: Key) -> Row | None:
        """Return the row of a key, None if there is none. Never another key's row."""
        return self.get_many([key])[0]

    def get_many(self, keys: Sequence[Key]) -> list[Row | None]:
        """Return the rows of keys, in order, None for a key that has none; in one round trip."""
        return self.rows_told(keys, self.link.ask(*self.ask_rows(keys))) if keys else []

    def ask_rows(self, keys: Iterable[Key]) -> list[Command]:
        """Return the commands that ask for the rows of keys, one each."""
        rows, buckets = self._rows, self._row_buckets
        encoded = [encode_key(key) for key in keys]
        return [(b"HMGET", b"%s%d" % (rows, bucket_of(key, buckets)), key, ROW_MARK) for key in encoded]

    def rows_told(self, keys: Sequence[Key], replies: Sequence[Any]) -> list[Row | None]:
        """Return the rows that the answers to `ask_rows` hold."""
        found: list[Row | None] = []
        for key, (raw, mark) in zip(keys, replies, strict=True):
            if mark is None:
                raise self._lost()
            row: Row | None = None if raw is None else _decode(raw)
            found.append(row if row is not None and tuple(row[: len(key)]) == key else None)
        return found

    def look(self) -> None:
        """Raise what a lookup would raise: ask for what the generation says of itself, and the marks of two buckets."""
        buckets = [b"%s%d" % (self._rows, bucket) for bucket in {0, self._row_buckets - 1}]
        replies = self.link.ask((b"EXISTS", self._meta), *((b"HEXISTS", bucket, ROW_MARK) for bucket in buckets))
        if not all(replies):
            raise self._lost()

    @cached_property
    def tables(self) -> Mapping[str, StateTable]:
        """How the rows of other tables are kept, by table."""
        return tables_in(self.layout.meta.get("states", {}))

    @cached_property
    def history_from_us(self) -> int | None:
        """The moment before which rows of other tables are not kept; None: all are."""
        since: int | None = self.layout.meta.get("history_from_us")
        return since

    def newest(self, wanted: Sequence[Wanted]) -> list[State | None]:
        """Return for each question the newest row of the key at or before the moment, None where there was none."""
        return self.states_told(wanted, self.link.ask(*self.ask_states(wanted))) if wanted else []

    def ask_states(self, wanted: Iterable[Wanted]) -> list[Command]:
        """Return the commands that ask for the newest rows by then, one each."""
        commands: list[Command] = []
        for name, key, as_of_us in wanted:
            table = self.tables[name]
            begin = state_key(table.number, key)
            seek = seek_key(begin, as_of_us if table.is_timed else UNTIMED_US)
            commands.append((b"ZRANGEBYLEX", self._bucket(begin), b"[" + seek, b"+", b"LIMIT", b"0", b"1"))
        return commands

    def states_told(self, wanted: Sequence[Wanted], replies: Sequence[Any]) -> list[State | None]:
        """Return the states that the answers to `ask_states` hold."""
        found: list[State | None] = []
        for (name, key, _), members in zip(wanted, replies, strict=True):
            if not members:
                raise self._lost()
            found.append(self._state(self.tables[name], key, members[0]))
        return found

    @property
    def as_built(self) -> NetworkedStore:
        """The rows as they were when the feature table was made: these."""
        return self

    def trail(self, wanted: Wanted) -> list[State]:
        """Return all rows of a key, whenever they happened, the newest first."""
        return self._trail(self.tables[wanted.table], wanted.key)

    def set_aside(self, wanted: Wanted) -> list[State]:
        """Return the rows of a key that could not be read but for key and time; values: the column, and why."""
        return self._trail(self._aside[wanted.table], wanted.key)

    def origin_of(self, table: str, order: int) -> dict[str, Any]:
        """Return the file and the line that a row came from."""
        if order >= EVENTS_FROM:
            return {"batch": None, "row": None}
        file, line = self.tables[table].place_of(order)
        return {"file": file, "line": line}

    def first(self) -> Row | None:
        """Return the row of the smallest key, None where the store is empty."""
        return self.layout.first

    @cached_property
    def _aside(self) -> Mapping[str, StateTable]:
        return tables_in(self.layout.meta.get("set_aside", {}))

    def _trail(self, table: StateTable, key: Key) -> list[State]:
        begin = state_key(table.number, key)
        (members,) = self.link.ask((b"ZRANGEBYLEX", self._bucket(begin), b"[" + begin, all_behind(begin)))
        states = [self._state(table, key, member) for member in members]
        return [state for state in states if state is not None]

    def _state(self, table: StateTable, key: Key, member: bytes) -> State | None:
        begin = state_key(table.number, key)
        end = len(begin) + SUFFIX_BYTES
        at = time_and_order(member[:end], begin)
        if at is None or len(key) != table.width:  # no key is the beginning of another of the same width
            return None
        row: Row = _decode(member[end:])
        return State(*at, row[table.width :]) if tuple(row[: table.width]) == key else None

    def _bucket(self, begin: bytes) -> bytes:
        return b"%s%d" % (self._states, bucket_of(begin, self._state_buckets))

    def _lost(self) -> StoreLostError:
        return StoreLostError(
            f"the online store at {self.link.where} no longer holds all rows of {self.layout.digest[:12]}: they were "
            "evicted, or the server lost its data. Run `scoreline feature --publish` again; docs/redis.md tells how a "
            "server is set up."
        )


def all_behind(begin: bytes) -> bytes:
    """Return the end of a range in a sorted set, behind all members that begin so."""
    return b"[" + begin + b"\xff" * (SUFFIX_BYTES + 1)
