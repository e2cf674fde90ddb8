"""States: the rows of other tables by key and time, so that what was known at a moment is found with one seek.

A state's key is a prefix for its table, the row's own key, its time and its order among rows of that instant (its
line, or a number of arrival). The last two are turned round, so that of a key the newest row comes first: the first
one at or after a moment is the newest that was there by then, and of several at one instant the last.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from scoreline.store.keys import MAX_KEY_BYTES, encode_key

STATE = b"\xc7"  # no MessagePack text or number begins with it, so that no row's key does
UNTIMED_US = 0  # the time of rows of a table without time
SUFFIX_BYTES = 16
MAX_STATE_KEY_BYTES = MAX_KEY_BYTES - 2 - SUFFIX_BYTES
LATEST_US, LAST = 2**63 - 1, 2**64 - 1
_PREFIXES = [STATE + bytes([number]) for number in range(256)]
_suffix, _moment = struct.Struct(">QQ"), struct.Struct(">Q")

Key = tuple[str | int, ...]


class State(NamedTuple):
    """A row of another table as a store keeps it.

    Attributes
    ----------
    order : its place among the rows of that instant: a line, or a number of arrival
    values : its columns, as the store's layout names them
    """

    time_us: int
    order: int
    values: Sequence[Any]


class Wanted(NamedTuple):
    """A question: the newest row of a key at or before a moment."""

    table: str
    key: Key
    as_of_us: int


class Trail(Protocol):
    """Where all rows of a key are found: the online store, and what was ingested since."""

    @property
    def history_from_us(self) -> int | None:
        """The moment before which rows are not kept; None: all are."""

    @property
    def as_built(self) -> Trail:
        """The rows as they were when the feature table was made."""

    def trail(self, wanted: Wanted) -> Sequence[State]:
        """Return the rows of a key whenever they happened, the newest first."""

    def set_aside(self, wanted: Wanted) -> Sequence[State]:
        """Return the rows of a key that were set aside, the newest first; values: column and why."""

    def origin_of(self, table: str, order: int) -> dict[str, Any]:
        """Return where a row came from: file and line, or batch."""


@dataclass(frozen=True)
class StateTable:
    """How a store keeps one table's rows.

    Attributes
    ----------
    number : stands for the table in keys
    columns : the columns kept, in order
    width : how many columns the key has
    is_timed : rows happen in time; else there is one row a key
    files : name of each file it was read from -> the place of the line before its first
    """

    number: int
    columns: tuple[str, ...]
    width: int
    is_timed: bool
    files: Mapping[str, int]

    def describe(self) -> dict[str, Any]:
        """Return the layout as a store's meta has it."""
        return {
            "number": self.number,
            "columns": list(self.columns),
            "width": self.width,
            "is_timed": self.is_timed,
            "files": dict(self.files),
        }

    def place_of(self, order: int) -> tuple[str, int]:
        """Return the file and the line that a row's order stands for."""
        name = max((start, name) for name, start in self.files.items() if start < order)[1]
        return name, order - self.files[name]


def prefix_of(number: int) -> bytes:
    """Return what the keys of a table's states begin with."""
    return _PREFIXES[number]


def state_key(number: int, key: Sequence[str | int]) -> bytes:
    """Return what the states of one key begin with; no other key's do."""
    return _PREFIXES[number] + encode_key(key, MAX_STATE_KEY_BYTES)


def suffix_of(time_us: int, order: int) -> bytes:
    """Return what follows a key: time and order, the newest first."""
    return _suffix.pack(LATEST_US - time_us, LAST - order)


def seek_key(begin: bytes, as_of_us: int) -> bytes:
    """Return where the states of a key are that happened at or before a moment: the newest of them is the next one."""
    return begin + _moment.pack(LATEST_US - as_of_us)


def newest_at(cursor: Any, begin: bytes, as_of_us: int) -> tuple[int, int] | None:
    """Place an LMDB cursor on the newest state at or before a moment; return its time and order, None without one."""
    if not cursor.set_range(begin + _moment.pack(LATEST_US - as_of_us)):
        return None
    return time_and_order(cursor.key(), begin)


def time_and_order(key: bytes, begin: bytes) -> tuple[int, int] | None:
    """Return time and order of a state's key, None where it is not one of the key that `begin` stands for."""
    if key[:-SUFFIX_BYTES] != begin:
        return None
    time, order = _suffix.unpack(key[-SUFFIX_BYTES:])
    return LATEST_US - time, LAST - order
