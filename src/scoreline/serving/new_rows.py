"""What stands beside a key in a record: read only where the key is not in the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from scoreline.app.columns import Category, ColumnType, Text, Time
from scoreline.app.declaration import App
from scoreline.app.moments import moment_of, written
from scoreline.app.reply import LIVE, ORIGINS, TABLE
from scoreline.predictor import Missing, NewRow, Options
from scoreline.serving.kinds import EXPLAIN, EXPLAIN_LEVELS, Field, How, SpineRow, kind_of
from scoreline.serving.problems import Problem

_decode = msgspec.json.Decoder().decode


class RowField(Field):
    """A column of a new row: what a table takes, text for a time, and null where the table may have none."""

    def __init__(self, name: str, kind: ColumnType) -> None:
        self._is_time = isinstance(kind, Time)
        super().__init__(name, Text() if isinstance(kind, (Category, Time)) else kind, "row", in_key=False)
        self._expected = kind.expects

    def take(self, value: Any) -> Any:
        """Return a decoded value as feature rows hold it (a time as microseconds), or the Problem with it."""
        if not self._is_time:
            taken = super().take(value)
            return None if taken == "" else taken  # tables have no empty text
        if value is None or value == "":
            return None
        moment = moment_of(value) if isinstance(value, str) else None
        got = "text that is none" if isinstance(value, str) else kind_of(value)
        return self._problem(f"expected {self._expected}, got {got}") if moment is None else moment


class NewRowSchema:
    """Reads new rows of an app's spine.

    Attributes
    ----------
    names : of the columns that may stand beside a key
    """

    def __init__(self, app: App) -> None:
        self._spine = app.spine.spec
        new = app.new_row
        assert new is not None
        self._time, self._table_of = new.time, new.table_of
        times = {new.time: Time()} if new.time else {}
        self._columns = {name: RowField(name, kind) for name, kind in {**times, **new.columns}.items()}
        self._brought = {name: RowField(name, kind) for name, kind in new.brought.items()}
        self._asked = frozenset(name for name, kind in new.columns.items() if not kind.optional)
        own = (*self._spine.columns, *app.feature_types)
        self.names = (*new.names, *((EXPLAIN,) if EXPLAIN not in own else ()))

    def read_options(self, asked: Mapping[str, str]) -> Options | Problem:
        """Read `features_from` and `explain` from a query; other names are passed over, as ever."""
        origin, explain = asked.get("features_from", TABLE), asked.get(EXPLAIN, "false")
        if origin not in ORIGINS:
            return Problem(400, "bad-option", f"query, features_from: expected {' or '.join(ORIGINS)}")
        if explain not in EXPLAIN_LEVELS:
            return Problem(400, "bad-option", f"query, {EXPLAIN}: expected one of {', '.join(EXPLAIN_LEVELS)}")
        return Options(live=origin == LIVE, explain=EXPLAIN_LEVELS[explain])

    def read(self, record: SpineRow, now_us: int, since_us: int | None) -> NewRow | Missing | Problem:
        """Return the row that a record is.

        Parameters
        ----------
        now_us : its time, where it has none
        since_us : the moment before which nothing can be said; None: there is none

        Returns
        -------
        NewRow, `Missing` with the columns that it lacks, or the Problem with it
        """
        given = record.given
        if "" in record.key:
            name = self._spine.key[record.key.index("")]
            return Problem(400, "bad-record", f"{name}: a key can't be empty", field=name)
        if not self._asked <= given.keys():
            return Missing(record.key, tuple(name for name in self._columns if name in self._asked - given.keys()))
        columns: dict[str, Any] = dict(zip(self._spine.key, record.key, strict=True))
        read = _READERS[record.how]
        for name, kind in self._columns.items():
            value = columns[name] = read(kind, given[name]) if name in given else None
            if type(value) is Problem:
                return value
        brought: dict[str, dict[str, Any]] = {}
        if not self._brought.keys().isdisjoint(given):
            for name, kind in self._brought.items():
                if name in given:
                    value = brought.setdefault(self._table_of[name], {})[name] = read(kind, given[name])
                    if type(value) is Problem:
                        return value
        if self._time is not None:
            as_of_us = columns[self._time] = now_us if columns[self._time] is None else columns[self._time]
            if since_us is not None and as_of_us < since_us:
                return _before_history(self._time, since_us)
        return NewRow(columns, brought)


def _read_json(field: RowField, given: msgspec.Raw) -> Any:
    try:
        return field.take(_decode(given))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return Problem(400, "bad-record", f"{field.name}: expected JSON that can be read", field=field.name)


_READERS: dict[How, Callable[[RowField, Any], Any]] = {
    "text": RowField.take_text, "values": RowField.take, "json": _read_json,
}  # fmt: skip


def _before_history(time: str, since_us: int) -> Problem:
    detail = (
        f"{time}: expected {written(since_us)} or later: how things stood before that is not kept "
        "(SCORELINE_HISTORY_DAYS)"
    )
    return Problem(400, "before-history", detail, field=time)
