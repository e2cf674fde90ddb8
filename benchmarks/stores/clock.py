"""A clock with names: what each part of a piece of work takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Clock:
    """Adds up wall and CPU time by name."""

    def __init__(self) -> None:
        self.wall_s: dict[str, float] = {}
        self.cpu_s: dict[str, float] = {}

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Count what happens inside."""
        begin = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall_s[name] = self.wall_s.get(name, 0.0) + time.perf_counter() - begin[0]
            self.cpu_s[name] = self.cpu_s.get(name, 0.0) + time.process_time() - begin[1]

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function whose calls count."""

        def call(*arguments: Any) -> Any:
            with self.of(name):
                return function(*arguments)

        return call

    def describe(self, whole: str, rest: str) -> dict[str, Any]:
        """Return the time of `whole` and of its parts, with what none of them took as `rest`."""
        clocks = {"wall_s": self.wall_s, "cpu_s": self.cpu_s}
        parts = {
            name: {clock: round(taken[name], 3) for clock, taken in clocks.items()}
            for name in self.wall_s
            if name != whole
        }
        parts[rest] = {clock: round(2 * taken[whole] - sum(taken.values()), 3) for clock, taken in clocks.items()}
        return {f"build_{clock}": round(taken[whole], 3) for clock, taken in clocks.items()} | {"parts": parts}
