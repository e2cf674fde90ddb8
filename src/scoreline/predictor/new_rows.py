"""Rows of the spine that are not in the feature table: their features are made as the table's were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from scoreline.app.arrays import as_array, locked, plain_of
from scoreline.app.declaration import App
from scoreline.app.features import Feature
from scoreline.app.table import Column
from scoreline.features.plan import Join, make_plan
from scoreline.predictor.live_features import LiveFeatures
from scoreline.predictor.one_row import OneRow
from scoreline.predictor.reference import ReferenceData
from scoreline.store.states import UNTIMED_US, State, StateTable, Wanted

Columns = Mapping[str, Sequence[Any]]
_NOTHING: Mapping[str, Any] = {}


class StateSource(Protocol):
    """Where the rows of other tables are found as they were at a moment: the online store."""

    @property
    def tables(self) -> Mapping[str, StateTable]:
        """How each table's rows are kept."""

    @property
    def history_from_us(self) -> int | None:
        """The moment before which rows are not kept; None: all are."""

    def newest(self, wanted: Sequence[Wanted]) -> list[State | None]:
        """Return for each question the newest row of the key at or before the moment."""


class NewRow(msgspec.Struct, frozen=True, gc=False):
    """A row of the spine that a client sent.

    Attributes
    ----------
    columns : spine column -> plain value, of those that features are made from; key and time among them
    brought : table -> feature -> value, where the client brought that table's row
    """

    columns: Mapping[str, Any]
    brought: Mapping[str, Mapping[str, Any]] = {}


class NewRows:
    """Makes feature rows of new rows, by the plan and with the functions that made the feature table.

    Parameters
    ----------
    states : has the rows of the tables that the plan joins
    columns : the columns of a feature row, in order
    tables : name -> reference table

    Attributes
    ----------
    since_us : the moment before which nothing can be said, in microseconds; None: there is none
    """

    def __init__(
        self, app: App, states: StateSource, columns: Sequence[str], tables: Mapping[str, ReferenceData]
    ) -> None:
        plan = make_plan(app)
        self._states, self._columns = states, tuple(columns)
        self.since_us = states.history_from_us
        self._joins = [_Join.of(join) for join in plan.kept]
        self._time, self._types = plan.spine.time, plan.spine.columns
        self._feature_types = app.feature_types
        self._own = {f.name: f.source.name for f in plan.features if isinstance(f.source, Column)}
        joined = {name for join in plan.kept for name in join.columns}
        self._made = tuple(f for f in plan.features if f.name not in self._own and f.name not in joined)
        self._live = LiveFeatures(app, tables, only={feature.name for feature in self._made})
        self._one = OneRow(app, self._live, tables)
        needed = {name for feature in self._made for name in _makings(feature)}
        self._needed = {name: kind for name, kind in self._types.items() if name in needed}
        self._needed_features = tuple(name for name in self._feature_types if name in needed & (joined | {*self._own}))

    def make(self, rows: Sequence[NewRow]) -> list[list[Any]]:
        """Return the feature row of each, in order, as the feature table would have it.

        Raises
        ------
        FeatureError
            A feature function fails.
        """
        if len(rows) == 1:
            return [self._make_one(rows[0])]
        plain: dict[str, Sequence[Any]] = {
            name: [row.columns[column] for row in rows] for name, column in self._own.items()
        }
        self._join(rows, plain)
        if self._made:
            plain |= self._call(rows, plain)
        for name in self._columns:
            if name not in plain:
                plain[name] = [row.columns[name] for row in rows]
        return [list(values) for values in zip(*[plain[name] for name in self._columns], strict=True)]

    def wanted(self, rows: Sequence[NewRow]) -> list[Wanted]:
        """Return what `make` asks for of other tables."""
        asked = [self._wanted(row, join) for join in self._joins for row in rows]
        return [wanted for wanted in asked if wanted is not None]

    def _make_one(self, row: NewRow) -> list[Any]:
        """Return one row, as most requests have it, without lists of one; what `make` gives for it among others."""
        columns = row.columns
        plain = {name: columns[column] for name, column in self._own.items()}
        joins, asked = [], []
        for join in self._joins:
            wanted = self._wanted(row, join)
            if wanted is None:
                given = row.brought.get(join.table, _NOTHING)
                for name, _ in join.features:
                    plain[name] = given.get(name)
            else:
                joins.append(join)
                asked.append(wanted)
        for join, state in zip(joins, self._states.newest(asked), strict=True):
            for name, position in join.features:
                plain[name] = None if state is None else state.values[position]
        self._one.extend(columns, plain)
        return [plain[name] if name in plain else columns[name] for name in self._columns]

    def _join(self, rows: Sequence[NewRow], plain: dict[str, Any]) -> None:
        """Find for each row what the other tables had by then."""
        asked = [self._wanted(row, join) for join in self._joins for row in rows]
        found = iter(self._states.newest([wanted for wanted in asked if wanted is not None]))
        states = iter([None if wanted is None else next(found) for wanted in asked])
        for join in self._joins:
            found_rows = [(row.brought.get(join.table), next(states)) for row in rows]
            for name, position in join.features:
                plain[name] = [_value(name, position, brought, state) for brought, state in found_rows]

    def _wanted(self, row: NewRow, join: _Join) -> Wanted | None:
        """Return what is asked of a table; None where the client brought its row, or no row can match a null."""
        key: tuple[Any, ...] = tuple([row.columns[part] for part in join.key])
        if join.table in row.brought or None in key:
            return None
        return Wanted(join.table, key, row.columns[self._time] if self._time is not None else UNTIMED_US)

    def _call(self, rows: Sequence[NewRow], plain: Columns) -> dict[str, list[Any]]:
        """Call the feature functions, and look up in reference tables."""
        columns = {n: locked(as_array([row.columns[n] for row in rows], k)) for n, k in self._needed.items()}
        known = {n: locked(as_array(plain[n], self._feature_types[n])) for n in self._needed_features}
        made = self._live.extend(columns, known)
        return {f.name: plain_of(f, made[f.name]) for f in self._made}


@dataclass(frozen=True)
class _Join:
    """A join of the plan, laid out for one row after the other.

    Attributes
    ----------
    features : each with the place of its value among the columns that are kept
    """

    table: str
    key: tuple[str, ...]
    features: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, join: Join) -> _Join:
        places = tuple((name, join.taken.index(column)) for name, column in join.columns.items())
        return cls(join.table.name, join.table.key, places)


def _value(name: str, position: int, brought: Mapping[str, Any] | None, state: State | None) -> Any:
    """Return a joined feature's value: of the row that the client brought, or of the one that there was, else null."""
    if brought is not None:
        return brought.get(name)
    return None if state is None else state.values[position]


def _makings(feature: Feature) -> tuple[str, ...]:
    return feature.arguments if feature.is_function else feature.source.column.table.spec.key  # type: ignore[union-attr]
