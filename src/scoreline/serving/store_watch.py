"""Watching a networked store from the supervisor, so that `/ping` tells what is true of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal

from scoreline.errors import ScorelineError, StoreLostError
from scoreline.generations.manifest import NETWORKED_FILE, Generation
from scoreline.generations.state import StateFolder
from scoreline.store.layout import Names, read_layout
from scoreline.store.link import Link
from scoreline.store.networked import NetworkedStore

LOOK_EVERY_S = 0.5
Condition = Literal["", "away", "lost"]


class StoreWatch:
    """Asks the store twice a second for what the published generation needs of it.

    Parameters
    ----------
    say : takes a line when that changes

    Attributes
    ----------
    condition : empty while lookups can be answered; `away`: it does not answer; `lost`: it has no such rows any more
    """

    def __init__(self, link: Link, state: StateFolder, say: Callable[[str], None]) -> None:
        self.condition: Condition = ""
        self._link, self._state, self._say = link, state, say
        self._stop = threading.Event()
        self._store: tuple[int, NetworkedStore | None] = (0, None)

    def watch(self) -> None:
        """Start looking."""
        threading.Thread(target=self._watch, name="store", daemon=True).start()

    def stop(self) -> None:
        """End the looking."""
        self._stop.set()

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            condition, why = self._look()
            if condition != self.condition:
                self._say(f"serve: {why}; lookups are answered 503" if why else "serve: lookups are answered again")
            self.condition = condition

    def _look(self) -> tuple[Condition, str]:
        try:
            store = self._served()
            if store is not None:
                store.look()
        except StoreLostError as error:
            return "lost", str(error).rstrip(".")
        except ScorelineError as error:
            return "away", str(error).rstrip(".")
        return "", ""

    def _served(self) -> NetworkedStore | None:
        """Return the store of the published generation; made anew when that changes."""
        number = self._state.number
        if self._store[0] != number:
            current = self._state.current()
            self._store = (number, None if current is None else self._open(current))
        return self._store[1]

    def _open(self, generation: Generation) -> NetworkedStore | None:
        path = self._state.folder_of(generation.number) / NETWORKED_FILE
        if not path.exists():
            return None
        return NetworkedStore(self._link, Names(generation.app_name), read_layout(path.read_bytes(), str(path)))
