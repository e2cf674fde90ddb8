"""The event log: rows of other tables that came since `feature` ran, seen by every worker as soon as they are in.

One LMDB file in the state folder, beside the generations. A batch is one transaction, on disk before it is
acknowledged: its rows in the order of arrival, an index of them by key and time as the online store has it, and the
batch's name, so that a batch that is sent again changes nothing.
"""

from __future__ import annotations

import struct
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import lmdb
import msgspec

from scoreline.errors import StoreError
from scoreline.store.opened import Opened
from scoreline.store.states import (
    UNTIMED_US,
    Wanted,
    newest_at,
    state_key,
    suffix_of,
    time_and_order,
)

EVENTS_FILE = "events.lmdb"
EVENTS_FROM = 1 << 39  # a row's order is this and its number of arrival: behind every line of a file
_MAP_BYTES = 1 << 36  # of address space; the file takes what is in it
_READERS = 1024
_LOG, _TABLE, _BATCH, _NEWEST, _NEXT = b"L", b"T", b"B", b"W", b"N"
_number = struct.Struct(">Q")
_encode = msgspec.msgpack.Encoder().encode


Arrived = tuple[int, int, dict[str, Any]]  # time, order, values


class Event(NamedTuple):
    """A row in the log.

    Attributes
    ----------
    table : number of its table in the log
    batch, row : where it came from
    values : column -> plain value; times in microseconds, UTC
    """

    table: int
    time_us: int
    arrived_us: int
    batch: str
    row: int
    values: dict[str, Any]


@dataclass(frozen=True)
class Appended:
    """What became of a batch: `rows` that are in the log, now or since before (`is_known`)."""

    rows: int
    is_known: bool


class Table(NamedTuple):
    """What the log must know of a table to index its rows."""

    name: str
    key: tuple[str, ...]
    time: str | None


class EventLog(Opened):
    """Rows in the order of their arrival. Any process may read and append; use `event_log` to get one.

    Raises
    ------
    StoreError
        The file can't be opened, or a batch's name was used for other rows.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._decode = msgspec.msgpack.Decoder(list).decode
        self._numbers: dict[str, int] = {}

    def append(self, table: Table, rows: Sequence[Mapping[str, Any]], batch: str, digest: str, now_us: int) -> Appended:
        """Append a batch; when this returns it is on disk and every reader sees it.

        Parameters
        ----------
        rows : plain values of all columns of the table; times in microseconds, UTC
        batch : its name; one that is known is not appended again
        digest : of its content
        """
        with (self._env or self._open()).begin(write=True) as transaction:
            number = self._number_for(transaction, table.name)
            name = _BATCH + bytes([number]) + batch.encode()
            known = transaction.get(name)
            if known is not None:
                count, was = self._decode(known)[:2]
                if was != digest:
                    raise StoreError(f"batch '{batch}' of table '{table.name}' is known with other rows; name it anew")
                return Appended(count, True)
            first = self._next(transaction)
            log, index, newest = [], [], None
            for row, values in enumerate(rows):
                time_us = UNTIMED_US if table.time is None else values[table.time]
                event = (number, time_us, now_us, batch, row + 1, values)
                log.append((_LOG + _number.pack(first + row), _encode(event)))
                key = state_key(number, tuple([values[part] for part in table.key]))
                index.append((key + suffix_of(time_us, EVENTS_FROM + first + row), b""))
                if time_us <= now_us:  # one in the future says nothing of how old the table is
                    newest = time_us if newest is None else max(newest, time_us)
            with transaction.cursor() as cursor:
                cursor.putmulti(log, append=False)
                cursor.putmulti(sorted(index))
            transaction.put(name, _encode([len(rows), digest, now_us]))
            transaction.put(_NEXT, _number.pack(first + len(rows)))
            if newest is not None and table.time is not None:
                self._note_newest(transaction, number, newest)
        return Appended(len(rows), False)

    def newest(
        self, wanted: Sequence[Wanted], timed: Mapping[str, bool]
    ) -> list[tuple[int, int, dict[str, Any]] | None]:
        """Return for each question time, order and values of the newest row by then, None without one.

        Parameters
        ----------
        timed : table -> whether its rows happen in time
        """
        found: list[Arrived | None] = [None] * len(wanted)
        with (self._env or self._open()).begin() as transaction:
            if transaction.get(_TABLE) is None:  # nothing has come yet
                return found
            with transaction.cursor() as cursor:
                for place, (table, key, as_of_us) in enumerate(wanted):
                    number = self._number_of(transaction, table)
                    if number is not None:
                        at = newest_at(cursor, state_key(number, key), as_of_us if timed[table] else UNTIMED_US)
                        if at is not None:
                            found[place] = (*at, self._event(transaction, at[1]).values)
        return found

    def trail(self, table: str, key: tuple[str | int, ...]) -> list[tuple[int, int, dict[str, Any]]]:
        """Return time, order and values of all rows of a key, the newest first."""
        found: list[tuple[int, int, dict[str, Any]]] = []
        with (self._env or self._open()).begin() as transaction, transaction.cursor() as cursor:
            number = self._number_of(transaction, table)
            begin = b"" if number is None else state_key(number, key)
            there = bool(begin) and cursor.set_range(begin)
            while there and (at := time_and_order(cursor.key(), begin)) is not None:
                found.append((*at, self._event(transaction, at[1]).values))
                there = cursor.next()
        return found

    def origin_of(self, order: int) -> dict[str, Any]:
        """Return the batch that a row came in, and which of its rows it was; null where it is not kept any more."""
        with (self._env or self._open()).begin() as transaction:
            raw = transaction.get(_LOG + _number.pack(order - EVENTS_FROM))
        event = None if raw is None else Event(*self._decode(raw))
        return {"batch": event and event.batch, "row": event and event.row}

    def newest_us(self, table: str) -> int | None:
        """Return the newest event time of a table that was not in the future when it came, None without one."""
        with (self._env or self._open()).begin() as transaction:
            number = self._number_of(transaction, table)
            raw = None if number is None else transaction.get(_NEWEST + bytes([number]))
        return None if raw is None else int.from_bytes(raw, "big", signed=True)

    @property
    def last(self) -> int:
        """The number of the last row that arrived; 0 before the first."""
        with (self._env or self._open()).begin() as transaction:
            return self._next(transaction) - 1

    def rows_of(self, table: str, upto: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield order and values of a table's rows up to a number of arrival, in the order of arrival."""
        with (self._env or self._open()).begin() as transaction, transaction.cursor() as cursor:
            number = self._number_of(transaction, table)
            there = number is not None and cursor.set_range(_LOG)
            while there and cursor.key().startswith(_LOG):
                (place,) = _number.unpack(cursor.key()[1:])
                if place > upto:
                    return
                event = Event(*self._decode(cursor.value()))
                if event.table == number:
                    yield EVENTS_FROM + place, event.values
                there = cursor.next()

    def drop(self, upto: int, arrived_before_us: int, keys: Mapping[str, Table]) -> int:
        """Drop rows up to a number of arrival that came before a moment; return how many."""
        dropped = 0
        with (self._env or self._open()).begin(write=True) as transaction, transaction.cursor() as cursor:
            by_number = {self._number_of(transaction, name): table for name, table in keys.items()}
            there = cursor.set_range(_LOG)
            while there and cursor.key().startswith(_LOG):
                (place,) = _number.unpack(cursor.key()[1:])
                event = Event(*self._decode(cursor.value()))
                if place > upto or event.arrived_us >= arrived_before_us or event.table not in by_number:
                    break
                key = tuple([event.values[part] for part in by_number[event.table].key])
                transaction.delete(state_key(event.table, key) + suffix_of(event.time_us, EVENTS_FROM + place))
                there = cursor.delete()
                dropped += 1
        return dropped

    def _event(self, transaction: Any, order: int) -> Event:
        return Event(*self._decode(transaction.get(_LOG + _number.pack(order - EVENTS_FROM))))

    def _next(self, transaction: Any) -> int:
        raw = transaction.get(_NEXT)
        return 1 if raw is None else _number.unpack(raw)[0]

    def _number_of(self, transaction: Any, table: str) -> int | None:
        if table not in self._numbers:
            raw = transaction.get(_TABLE + table.encode())
            if raw is None:
                return None
            self._numbers[table] = raw[0]
        return self._numbers[table]

    def _number_for(self, transaction: Any, table: str) -> int:
        number = self._number_of(transaction, table)
        if number is None:
            raw = transaction.get(_TABLE)
            number = 0 if raw is None else raw[0]
            transaction.put(_TABLE, bytes([number + 1]))
            transaction.put(_TABLE + table.encode(), bytes([number]))
        return number

    def _note_newest(self, transaction: Any, number: int, time_us: int) -> None:
        name = _NEWEST + bytes([number])
        raw = transaction.get(name)
        if raw is None or int.from_bytes(raw, "big", signed=True) < time_us:
            transaction.put(name, time_us.to_bytes(8, "big", signed=True))

    def _open_file(self) -> lmdb.Environment:
        try:
            env = lmdb.open(str(self.path), subdir=False, map_size=_MAP_BYTES, max_dbs=0, max_readers=_READERS)
            env.reader_check()  # workers that were killed leave their places behind
        except lmdb.Error as error:
            raise StoreError(f"{self.path}: can't be opened as an event log ({error})") from error
        return env


_logs: weakref.WeakValueDictionary[Path, EventLog] = weakref.WeakValueDictionary()


def event_log(state: Path) -> EventLog:
    """Return the event log of a state folder; one object a process, since LMDB opens a file once."""
    path = (state / EVENTS_FILE).resolve()
    log = _logs.get(path)
    if log is None:
        log = _logs[path] = EventLog(path)
    return log


def column_bytes(events: Iterable[Mapping[str, Any]]) -> bytes:
    """Return rows as bytes, equal for equal rows: what a batch's digest is of."""
    return _encode([dict(event) for event in events])
