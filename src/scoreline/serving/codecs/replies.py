"""Replies on their way out: what they are, and the table that they make where a client asks for one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from scoreline.app.columns import Boolean, Integer, Number
from scoreline.app.declaration import App
from scoreline.app.heads import TreesHead
from scoreline.app.reply import Count, Echo, OutsideSupport, Probabilities, Probability, Ranked, ReplyField, of_heads
from scoreline.serving.problems import Problem
from scoreline.serving.records import Shape

Cell = str | int | float | bool | None
_NUMERIC = (Integer, Number, Boolean)
_NUMBERS = (Probability, Probabilities, OutsideSupport)


@dataclass(frozen=True)
class ReplyTable:
    """Replies of one kind as rows.

    Attributes
    ----------
    columns : name -> path of a reply field; two names: a field of the first entry of a list, or a member of an object
    is_numeric : every value is a number, true, false or null
    """

    columns: Mapping[str, tuple[str, ...]]
    is_numeric: bool

    def row(self, reply: Mapping[str, Any]) -> list[Cell]:
        """Return a reply as cells: a reason is its rule's name, a list or another object is JSON.

        Examples
        --------
        >>> table = ReplyTable({"id": ("id",), "best": ("cards", "name"), "why": ("why",)}, False)
        >>> table.row({"id": "a,b", "cards": [{"name": "Plus"}], "why": {"rule": "clear", "stock": 5}})
        ['a,b', 'Plus', 'clear']
        """
        return [_cell(reply, path) for path in self.columns.values()]


@dataclass(frozen=True)
class ReplyTables:
    """The table of replies to what the app asks for, and that of replies to the inputs of its heads.

    Attributes
    ----------
    first_alone : of a ranked list no more than the first entry is shown, so that no more need be made
    """

    request: ReplyTable
    inputs: ReplyTable
    first_alone: bool = False


class Replies(NamedTuple):
    """What a body is answered with: one entry a record, in order.

    Attributes
    ----------
    entries : the reply of each record, or its problem
    shape : how the records came
    stale : names of the reference tables that are older than declared
    of_inputs : places of the records that were inputs of the heads, and of a header above such
    """

    entries: Sequence[dict[str, Any] | Problem]
    shape: Shape
    tables: ReplyTables
    stale: Sequence[str] = ()
    of_inputs: frozenset[int] = frozenset()

    def described(self) -> list[dict[str, Any]]:
        """Return all entries as JSON-able data."""
        more = {"stale": self.stale} if self.stale else {}
        return [
            entry.describe() if isinstance(entry, Problem) else ({**entry, **more} if more else entry)
            for entry in self.entries
        ]

    def problems(self) -> list[Problem]:
        """Return the entries that are problems."""
        return [entry for entry in self.entries if isinstance(entry, Problem)]

    def are_all_bad(self) -> bool:
        """Whether there is no reply but problems."""
        return all(isinstance(entry, Problem) for entry in self.entries)

    def are_numeric(self) -> bool:
        """Whether an array of numbers can hold the replies to these records."""
        return all(
            self.table_of(place).is_numeric
            for place, entry in enumerate(self.entries)
            if not isinstance(entry, Problem)
        )

    def table_of(self, place: int) -> ReplyTable:
        """Return the table that an entry is a row of."""
        return self.tables.inputs if place in self.of_inputs else self.tables.request


def reply_tables(app: App) -> ReplyTables:
    """Return the tables of an app's replies: as `app.csv_reply` declares them, else all fields of the reply."""
    heads = of_heads(app.reply_fields)
    said = {name: path[-1:] for name, path in app.csv_columns.items() if _field_at(app, path) is heads.get(path[-1])}
    return ReplyTables(
        _table(app.csv_columns or _columns_of(app, app.reply_fields), lambda path: _is_numeric(app, path)),
        _table(said or _columns_of(app, heads), lambda path: isinstance(heads[path[0]], _NUMBERS)),
        first_alone=bool(app.csv_columns),
    )


def _table(columns: Mapping[str, tuple[str, ...]], is_numeric: Callable[[tuple[str, ...]], bool]) -> ReplyTable:
    return ReplyTable(columns, all(is_numeric(path) for path in columns.values()))


def _columns_of(app: App, fields: Mapping[str, ReplyField]) -> dict[str, tuple[str, ...]]:
    """Return a column for each field, and for the probabilities of several classes one for each class."""
    columns: dict[str, tuple[str, ...]] = {}
    for name, given in fields.items():
        head = app.heads[given.head] if isinstance(given, Probabilities) else None
        if isinstance(head, TreesHead):
            columns |= {f"{name}.{one}": (name, one) for one in head.classes}
        else:
            columns[name] = (name,)
    return columns


def _field_at(app: App, path: tuple[str, ...]) -> ReplyField:
    outer = app.reply_fields[path[0]]
    return outer.fields[path[1]] if isinstance(outer, Ranked) and len(path) == 2 else outer


def _is_numeric(app: App, path: tuple[str, ...]) -> bool:
    given = _field_at(app, path)
    if isinstance(given, Echo):
        request = app.declared_request
        table = app.spine if request is None else request.table
        if len(path) == 2 and request is not None and request.each is not None:
            table = request.each
        return isinstance(table.spec.columns[given.column], _NUMERIC)
    return isinstance(given, (*_NUMBERS, Count))


def _cell(reply: Mapping[str, Any], path: tuple[str, ...]) -> Cell:
    value = reply[path[0]]
    if len(path) == 2:
        inner = value[0] if value and isinstance(value, list) else value
        value = inner[path[1]] if inner else None
    if isinstance(value, dict) and "rule" in value:
        return value["rule"]
    return msgspec.json.encode(value).decode() if isinstance(value, (dict, list)) else value
