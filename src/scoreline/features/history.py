"""What the online store keeps of the joined tables: for rows of the spine that come later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scoreline.features.engines.embedded import EmbeddedEngine, TableLoad
from scoreline.features.plan import Plan
from scoreline.progress import Progress
from scoreline.store.states import StateTable
from scoreline.store.writer import StoreWriter

_DAY_US = 86_400_000_000


class History:
    """The joined tables' rows on their way into the store.

    Parameters
    ----------
    days : so many are kept, back from the newest row of any table; None: all

    Attributes
    ----------
    since_us : the moment before which rows are not kept, in microseconds; None: all are
    """

    def __init__(self, plan: Plan, engine: EmbeddedEngine, loads: Sequence[TableLoad], days: int | None) -> None:
        self._plan, self._engine = plan, engine
        self._files = {load.spec.name: load.files for load in loads}
        self._newest = {spec.name: engine.newest(spec) for spec in plan.tables}
        known = [moment for moment in self._newest.values() if moment is not None]
        self.since_us = None if days is None or not known else max(known) - days * _DAY_US

    def describe(self) -> dict[str, Any]:
        """Return what the store's meta says of it."""
        tables = {
            join.table.name: StateTable(
                number, join.taken, len(join.table.key), join.table.time is not None, self._files[join.table.name]
            ).describe()
            for number, join in enumerate(self._plan.kept)
        }
        return {"states": tables, "history_from_us": self.since_us, "newest_us": self._newest}

    def write(self, store: StoreWriter) -> None:
        """Add the rows to a store."""
        for number, join in enumerate(self._plan.kept):
            with Progress(f"{join.table.name} for new rows", self._engine.count(join.table), "rows") as progress:
                for batch in self._engine.states(join, self.since_us):
                    store.add_states(batch, number, len(join.table.key))
                    progress.advance(batch.num_rows)
