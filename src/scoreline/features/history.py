"""What the online store keeps of the joined tables: for rows of the spine that come later."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from scoreline.app.moments import now_us
from scoreline.app.table import TableSpec
from scoreline.features.engines.interface import Engine, Load
from scoreline.features.plan import Join, Plan
from scoreline.progress import Progress
from scoreline.store.merged import Events
from scoreline.store.states import UNTIMED_US, StateTable
from scoreline.store.writer import StoreWriter
from scoreline.tables.read import LINE
from scoreline.tables.typed import arrow_type

_DAY_US = 86_400_000_000
_ROWS_AT_ONCE = 100_000
_ASIDE = 128  # from this number on: rows set aside, told in explanations alone
_OF_ASIDE = ("column", "why")


class History:
    """The joined tables' rows on their way into the store.

    Parameters
    ----------
    days : so many are kept, back from the newest row of any table; None: all

    Attributes
    ----------
    since_us : the moment before which rows are not kept, in microseconds; None: all are
    newest_us : table -> time of its newest row that is not in the future, in microseconds; None without one
    """

    def __init__(self, plan: Plan, engine: Engine, loads: Sequence[Load], days: int | None) -> None:
        self._plan, self._engine = plan, engine
        self._files = {load.spec.name: load.files for load in loads}
        self._aside = {load.spec.name: load.unreadable for load in loads}
        now = now_us()
        self.newest_us = {spec.name: engine.newest(spec, now) for spec in plan.tables}
        known = [moment for moment in self.newest_us.values() if moment is not None]
        self.since_us = None if days is None or not known else max(known) - days * _DAY_US

    def describe(self) -> dict[str, Any]:
        """Return what the store's meta says of it."""
        tables = {
            join.table.name: StateTable(
                number, join.taken, len(join.table.key), join.table.time is not None, self._files[join.table.name]
            ).describe()
            for number, join in enumerate(self._plan.kept)
        }
        aside = {
            join.table.name: StateTable(
                _ASIDE + number, _OF_ASIDE, len(join.table.key), join.table.time is not None, {}
            ).describe()
            for number, join in enumerate(self._plan.kept)
        }
        kept = {"states": tables, "set_aside": aside}
        return {**kept, "history_from_us": self.since_us, "newest_us": self.newest_us}

    def write(self, store: StoreWriter) -> None:
        """Add the rows to a store."""
        for number, join in enumerate(self._plan.kept):
            with Progress(f"{join.table.name} for new rows", self._engine.count(join.table), "rows") as progress:
                for batch in self._engine.states(join, self.since_us):
                    store.add_states(batch, number, len(join.table.key))
                    progress.advance(batch.num_rows)
            store.add_states(self._set_aside(join), _ASIDE + number, len(join.table.key))

    def _set_aside(self, join: Join) -> pa.RecordBatch:
        """Return the rows set aside whose key and time could be read, so that an explanation can name them."""
        spec = join.table
        is_timed = spec.time is not None
        # one whose time can't be read may have counted at any time, and is told as such
        rows = [
            row
            for row in self._aside[spec.name]
            if row.key is not None and (is_timed == (row.time_us is not None) or row.column == spec.time)
        ]
        arrays = [
            pa.array([row.key[part] for row in rows if row.key], arrow_type(spec.columns[name]))
            for part, name in enumerate(spec.key)
        ]
        arrays += [pa.array([getattr(row, name) for row in rows], pa.string()) for name in _OF_ASIDE]
        times = [UNTIMED_US if row.time_us is None else row.time_us for row in rows]
        arrays += [pa.array(times, pa.int64()), pa.array([row.place for row in rows], pa.int64())]
        return pa.record_batch(arrays, names=[str(place) for place in range(len(arrays))])


def arrivals(spec: TableSpec, events: Events, upto: int) -> Iterator[pa.Table]:
    """Yield what was ingested for a table up to a number of arrival, as rows behind those of its files."""
    types = {name: arrow_type(kind) for name, kind in spec.columns.items()}
    rows = events.rows_of(spec.name, upto)
    while some := list(itertools.islice(rows, _ROWS_AT_ONCE)):
        columns = {
            name: pa.array([values.get(name) for _, values in some], _stored(kind)).cast(kind)
            for name, kind in types.items()
        }
        yield pa.table({**columns, LINE: pa.array([order for order, _ in some], pa.int64())})


def _stored(kind: pa.DataType) -> pa.DataType:
    return pa.int64() if pa.types.is_timestamp(kind) else kind
