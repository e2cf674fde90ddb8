"""The event log in the networked store: one log for all servers, who see a batch as soon as it is acknowledged.

    scoreline:{app}:events     a sorted set of one score: table, key, time, arrival, then the values; a mark at its end
    scoreline:{app}:log        a stream with an entry a batch, named by the number of its first row
    scoreline:{app}:batches    a hash: table and batch -> how many rows, and their digest
    scoreline:{app}:about      a hash: the next number, and the newest event time of each table

A batch is one script: all of it or nothing, and nothing if it is known by its name.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from scoreline.errors import StoreError, StoreLostError
from scoreline.store.events import EVENTS_FROM, Appended, Arrived, Table
from scoreline.store.keys import encode_key
from scoreline.store.layout import STATE_MARK, Names
from scoreline.store.link import Command, Link
from scoreline.store.networked import all_behind
from scoreline.store.states import (
    LATEST_US,
    MAX_STATE_KEY_BYTES,
    SUFFIX_BYTES,
    UNTIMED_US,
    Wanted,
    seek_key,
    suffix_of,
    time_and_order,
)

_APPEND = b"""
local known = redis.call('HGET', KEYS[4], ARGV[1])
if known then return {1, known} end
local first = tonumber(redis.call('HGET', KEYS[2], 'next') or '1')
local rows = (#ARGV - 6) / 3
local members = {0, ARGV[2]}
for row = 0, rows - 1 do
  local order = 549755813888 + first + row
  local turned = struct.pack('>I4I4', 4294967295 - math.floor(order / 4294967296), 4294967295 - order % 4294967296)
  members[#members + 1] = 0
  members[#members + 1] = ARGV[7 + 3 * row] .. ARGV[8 + 3 * row] .. turned .. ARGV[9 + 3 * row]
  if #members >= 1000 then
    redis.call('ZADD', KEYS[1], unpack(members))
    members = {0, ARGV[2]}
  end
end
redis.call('ZADD', KEYS[1], unpack(members))
if rows > 0 then redis.call('XADD', KEYS[3], string.format('%.0f-1', first), 'e', ARGV[3]) end
redis.call('HSET', KEYS[4], ARGV[1], ARGV[4])
redis.call('HSET', KEYS[2], 'next', string.format('%.0f', first + rows))
if ARGV[5] ~= '' then
  local was = redis.call('HGET', KEYS[2], ARGV[5])
  if not was or tonumber(was) < tonumber(ARGV[6]) then redis.call('HSET', KEYS[2], ARGV[5], ARGV[6]) end
end
return {0, ''}
"""
_READ_AT_ONCE, _DROPPED_AT_ONCE = 16, 1_000
_encode, _decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode
_moment = struct.Struct(">Q")


class NetworkedEvents:
    """The event log of an app; see `EventLog`, which it stands for.

    Raises
    ------
    StoreAwayError
        The store can't be reached: nothing was appended, or, where the answer got lost, all of it; send it again.
    StoreLostError
        The log was there and is not any more.
    StoreError
        A batch's name was used for other rows.
    """

    def __init__(self, link: Link, names: Names) -> None:
        self.link = link
        self._events, self._about, self._log, self._batches = (
            names.of_events(part) for part in ("events", "about", "log", "batches")
        )

    def prepare(self) -> None:
        """Make the log where there is none yet; from then on one that is gone is told from an empty one."""
        self.link.ask((b"ZADD", self._events, 0, STATE_MARK))

    def append(self, table: Table, rows: Sequence[Mapping[str, Any]], batch: str, digest: str, now_us: int) -> Appended:
        """Append a batch; when this returns every reader sees it. See `EventLog.append`."""
        times = [UNTIMED_US if table.time is None else row[table.time] for row in rows]
        items = [
            (_begin(table.name, key), _moment.pack(LATEST_US - time), _encode([key, row]))
            for row, time in zip(rows, times, strict=True)
            for key in [_key_of(table, row)]
        ]
        entry = _encode([table.name, batch, now_us, [dict(row) for row in rows]])
        by_now = [] if table.time is None else [time for time in times if time <= now_us]
        newest = (f"newest {table.name}".encode(), max(by_now)) if by_now else (b"", 0)
        known, raw = self.link.ask(
            (b"EVAL", _APPEND, 4, self._events, self._about, self._log, self._batches, _name(table.name, batch),
             STATE_MARK, entry, _encode([len(rows), digest]), *newest, *(part for item in items for part in item))
        )[0]  # fmt: skip
        if not known:
            return Appended(len(rows), False)
        count, was = _decode(raw)
        if was != digest:
            raise StoreError(f"batch '{batch}' of table '{table.name}' is known with other rows; name it anew")
        return Appended(count, True)

    def newest(self, wanted: Sequence[Wanted], timed: Mapping[str, bool]) -> list[Arrived | None]:
        """Return for each question time, order and values of the newest row by then, None without one."""
        return self.told(wanted, self.link.ask(*self.ask(wanted, timed))) if wanted else []

    def ask(self, wanted: Iterable[Wanted], timed: Mapping[str, bool]) -> list[Command]:
        """Return the commands that ask for the newest rows by then, one each."""
        commands: list[Command] = []
        for name, key, as_of_us in wanted:
            seek = seek_key(_begin(name, key), as_of_us if timed[name] else UNTIMED_US)
            commands.append((b"ZRANGEBYLEX", self._events, b"[" + seek, b"+", b"LIMIT", b"0", b"1"))
        return commands

    def told(self, wanted: Sequence[Wanted], replies: Sequence[Any]) -> list[Arrived | None]:
        """Return what the answers to `ask` hold."""
        found = []
        for (name, key, _), members in zip(wanted, replies, strict=True):
            if not members:
                raise StoreLostError(
                    f"the online store at {self.link.where} no longer holds what was ingested: it was evicted, or the "
                    "server lost its data. Run `scoreline feature --publish` again, and send what came since once more."
                )
            found.append(_arrived(_begin(name, key), key, members[0]))
        return found

    def trail(self, table: str, key: tuple[str | int, ...]) -> list[Arrived]:
        """Return time, order and values of all rows of a key, the newest first."""
        begin = _begin(table, key)
        (members,) = self.link.ask((b"ZRANGEBYLEX", self._events, b"[" + begin, all_behind(begin)))
        found = [_arrived(begin, key, member) for member in members]
        return [arrived for arrived in found if arrived is not None]

    def origin_of(self, order: int) -> dict[str, Any]:
        """Return the batch that a row came in, and which of its rows it was; null where it is not kept any more."""
        number = order - EVENTS_FROM
        (entries,) = self.link.ask((b"XREVRANGE", self._log, f"{number}-1", b"-", b"COUNT", 1))
        for first, (_, batch, _, rows) in map(_entry, entries):
            if number < first + len(rows):
                return {"batch": batch, "row": number - first + 1}
        return {"batch": None, "row": None}

    def newest_us(self, table: str) -> int | None:
        """Return the newest event time of a table that was not in the future when it came, None without one."""
        (raw,) = self.link.ask((b"HGET", self._about, f"newest {table}"))
        return None if raw is None else int(raw)

    @property
    def last(self) -> int:
        """The number of the last row that arrived; 0 before the first."""
        (raw,) = self.link.ask((b"HGET", self._about, b"next"))
        return 0 if raw is None else int(raw) - 1

    def rows_of(self, table: str, upto: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield order and values of a table's rows up to a number of arrival, in the order of arrival."""
        for first, (name, _, _, rows) in self._entries(upto):
            if name == table:
                for number, row in enumerate(rows, start=first):
                    if number <= upto:
                        yield EVENTS_FROM + number, row

    def drop(self, upto: int, arrived_before_us: int, keys: Mapping[str, Table]) -> int:
        """Drop batches that came before a moment, all rows up to a number of arrival; return how many rows."""
        dropped = 0
        for first, (name, _, arrived_us, rows) in self._entries(upto):
            after = first + len(rows)
            if after - 1 > upto or arrived_us >= arrived_before_us or name not in keys:
                break
            table, members = keys[name], []
            for number, row in enumerate(rows, start=first):
                time_us = UNTIMED_US if table.time is None else row[table.time]
                key = _key_of(table, row)
                suffix = suffix_of(time_us, EVENTS_FROM + number)
                members.append(_begin(name, key) + suffix + _encode([key, row]))
            for at in range(0, len(members), _DROPPED_AT_ONCE):
                self.link.ask((b"ZREM", self._events, *members[at : at + _DROPPED_AT_ONCE]))
            self.link.ask((b"XTRIM", self._log, b"MINID", f"{after}-0"))
            dropped += len(rows)
        return dropped

    def close(self) -> None:
        """Close this thread's connection."""
        self.link.close()

    def _entries(self, upto: int) -> Iterator[tuple[int, list[Any]]]:
        begin = "-"
        while True:
            (entries,) = self.link.ask((b"XRANGE", self._log, begin, f"{upto}-1", b"COUNT", _READ_AT_ONCE))
            yield from map(_entry, entries)
            if len(entries) < _READ_AT_ONCE:
                return
            begin = f"({entries[-1][0].decode()}"


def _begin(table: str, key: tuple[str | int, ...]) -> bytes:
    return encode_key((table, *key), MAX_STATE_KEY_BYTES)


def _name(table: str, batch: str) -> bytes:
    return encode_key((table, batch), 1 << 20)


def _arrived(begin: bytes, key: tuple[str | int, ...], member: bytes) -> Arrived | None:
    end = len(begin) + SUFFIX_BYTES
    at = time_and_order(member[:end], begin)
    if at is None:
        return None
    whole, row = _decode(member[end:])
    return (*at, row) if tuple(whole) == key else None


def _key_of(table: Table, row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple([row[part] for part in table.key])


def _entry(raw: Sequence[Any]) -> tuple[int, list[Any]]:
    name, (_, value) = raw
    return int(name.partition(b"-")[0]), _decode(value)
