"""The rows of other tables as `feature` kept them, and those that were ingested since, as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scoreline.store.embedded import EmbeddedStore
from scoreline.store.events import EVENTS_FROM, Arrived, EventLog
from scoreline.store.link import Command
from scoreline.store.networked import NetworkedStore
from scoreline.store.networked_events import NetworkedEvents
from scoreline.store.states import State, StateTable, Trail, Wanted

OnlineStore = EmbeddedStore | NetworkedStore
Events = EventLog | NetworkedEvents


class MergedStates:
    """Finds rows in an online store and in an event log. Of two at one instant the one that was ingested counts."""

    def __init__(self, store: OnlineStore, events: Events) -> None:
        self._store, self._events = store, events
        self.tables: Mapping[str, StateTable] = store.tables
        self.history_from_us = store.history_from_us
        self._timed = {name: table.is_timed for name, table in self.tables.items()}

    def newest(self, wanted: Sequence[Wanted]) -> list[State | None]:
        """Return for each question the newest row of the key at or before the moment, None where there was none."""
        store, events = self._store, self._events
        if isinstance(store, NetworkedStore) and isinstance(events, NetworkedEvents):
            replies = store.link.ask(*self.commands(wanted)) if wanted else []
            kept = store.states_told(wanted, replies[: len(wanted)])
            since = events.told(wanted, replies[len(wanted) :])
        else:
            kept, since = store.newest(wanted), events.newest(wanted, self._timed)
        for place, event in enumerate(since):
            if event is not None:
                state = kept[place]
                if state is None or event[:2] >= state[:2]:
                    kept[place] = self._state(wanted[place].table, event)
        return kept

    @property
    def as_built(self) -> Trail:
        """The rows as they were when the feature table was made."""
        return _AsBuilt(self._store, self)

    def commands(self, wanted: Sequence[Wanted]) -> list[Command]:
        """Return what a networked store is asked for that, none of a file."""
        if isinstance(self._store, NetworkedStore) and isinstance(self._events, NetworkedEvents):
            return [*self._store.ask_states(wanted), *self._events.ask(wanted, self._timed)]
        return []

    def trail(self, wanted: Wanted) -> Sequence[State]:
        """Return all rows of a key, whenever they happened, the newest first."""
        since = [self._state(wanted.table, event) for event in self._events.trail(wanted.table, wanted.key)]
        known = {state[:2] for state in since}  # those that were folded in are in both
        kept = [state for state in self._store.trail(wanted) if state[:2] not in known]
        return sorted([*since, *kept], key=lambda state: state[:2], reverse=True)

    def set_aside(self, wanted: Wanted) -> Sequence[State]:
        """Return the rows of a key that were set aside by `feature`."""
        return self._store.set_aside(wanted)

    def origin_of(self, table: str, order: int) -> dict[str, Any]:
        """Return where a row came from: file and line, or batch."""
        return self._events.origin_of(order) if order >= EVENTS_FROM else self._store.origin_of(table, order)

    def _state(self, table: str, event: Arrived) -> State:
        time, order, values = event
        return State(time, order, [values.get(column) for column in self.tables[table].columns])


class _AsBuilt:
    """The store alone; what was folded in of the log is told by its batch."""

    def __init__(self, store: OnlineStore, merged: MergedStates) -> None:
        self._store, self._merged = store, merged
        self.history_from_us = store.history_from_us

    @property
    def as_built(self) -> Trail:
        return self

    def trail(self, wanted: Wanted) -> Sequence[State]:
        return self._store.trail(wanted)

    def set_aside(self, wanted: Wanted) -> Sequence[State]:
        return self._store.set_aside(wanted)

    def origin_of(self, table: str, order: int) -> dict[str, Any]:
        return self._merged.origin_of(table, order)
