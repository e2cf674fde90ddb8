"""The embedded online store: one LMDB file that is written once and read by every worker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import lmdb
import msgspec

from scoreline.errors import StoreError
from scoreline.store.events import EVENTS_FROM
from scoreline.store.keys import RESERVED, encode_key
from scoreline.store.opened import Opened
from scoreline.store.states import STATE, UNTIMED_US, State, StateTable, Wanted, newest_at, state_key, time_and_order

FORMAT = 3
META_KEY = RESERVED + b"meta"
_AFTER_STATES = bytes([STATE[0] + 1])

Key = tuple[str | int, ...]
Row = list[Any]  # key parts, event time if any, features, in the feature table's order; times in microseconds, UTC


class EmbeddedStore(Opened):
    """Reads a store file. Opened at first use in each process, so that it may be made before a fork.

    Raises
    ------
    StoreError
        The file is missing, is no store, or is of another format.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._decode = msgspec.msgpack.Decoder(list).decode

    def read_meta(self) -> dict[str, Any]:
        """Return what the writer was told to keep."""
        with (self._env or self._open()).begin() as transaction:
            raw = transaction.get(META_KEY)
        meta: dict[str, Any] = msgspec.msgpack.decode(raw) if raw else {}
        if meta.get("format") != FORMAT:
            raise StoreError(
                f"{self.path}: is store format {meta.get('format', 'unknown')}; this version reads {FORMAT}. "
                "Run `scoreline feature` again."
            )
        return meta

    def get(self, key: Key) -> Row | None:
        """Return the row of a key, None if there is none. Never another key's row."""
        with (self._env or self._open()).begin() as transaction:
            raw = transaction.get(encode_key(key))
        if raw is None:
            return None
        row: Row = self._decode(raw)
        return row if tuple(row[: len(key)]) == key else None

    def get_many(self, keys: Sequence[Key]) -> list[Row | None]:
        """Return the rows of keys, in order, None for a key that has none."""
        return [self.get(key) for key in keys]

    @cached_property
    def tables(self) -> Mapping[str, StateTable]:
        """How the rows of other tables are kept, by table."""
        return tables_in(self.read_meta().get("states", {}))

    @cached_property
    def history_from_us(self) -> int | None:
        """The moment before which rows of other tables are not kept; None: all are."""
        since: int | None = self.read_meta().get("history_from_us")
        return since

    def newest(self, wanted: Iterable[Wanted]) -> list[State | None]:
        """Return for each question the newest row of the key at or before the moment, None where there was none.

        Of a table without time, the row of the key. Never another key's row.
        """
        tables, found = self.tables, []
        with (self._env or self._open()).begin() as transaction, transaction.cursor() as cursor:
            for name, key, as_of_us in wanted:
                table = tables[name]
                begin = state_key(table.number, key)
                state = None
                at = newest_at(cursor, begin, as_of_us if table.is_timed else UNTIMED_US)
                if at is not None:
                    row = self._decode(cursor.value())
                    if row[: table.width] == [*key]:
                        state = State(*at, row[table.width :])
                found.append(state)
        return found

    @property
    def as_built(self) -> EmbeddedStore:
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

    @cached_property
    def _aside(self) -> Mapping[str, StateTable]:
        return tables_in(self.read_meta().get("set_aside", {}))

    def _trail(self, table: StateTable, key: Key) -> list[State]:
        begin, found = state_key(table.number, key), []
        with (self._env or self._open()).begin() as transaction, transaction.cursor() as cursor:
            there = cursor.set_range(begin)
            while there and (at := time_and_order(cursor.key(), begin)) is not None:
                state = self._state(table, key, at, cursor.value())
                found += [] if state is None else [state]
                there = cursor.next()
        return found

    def _state(self, table: StateTable, key: Key, at: tuple[int, int], raw: bytes) -> State | None:
        row: Row = self._decode(raw)
        return State(*at, row[table.width :]) if tuple(row[: table.width]) == key else None

    def first(self) -> Row | None:
        """Return the row of the smallest key, None where the store is empty."""
        with (self._env or self._open()).begin() as transaction, transaction.cursor() as cursor:
            there = cursor.first()
            while there and (cursor.key() == META_KEY or cursor.key().startswith(STATE)):
                there = cursor.next() if cursor.key() == META_KEY else cursor.set_range(_AFTER_STATES)
            row: Row | None = self._decode(cursor.value()) if there else None
            return row

    def _open_file(self) -> lmdb.Environment:
        try:
            return lmdb.open(str(self.path), subdir=False, readonly=True, lock=False, max_dbs=0)
        except lmdb.Error as error:
            raise StoreError(f"{self.path}: can't be opened as an online store ({error})") from error


def tables_in(described: Mapping[str, Any]) -> dict[str, StateTable]:
    """Return how tables are kept, as a store's meta describes it."""
    return {name: StateTable(**{**table, "columns": tuple(table["columns"])}) for name, table in described.items()}
