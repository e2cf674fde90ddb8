"""Progress of work that takes over a second: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import NoReturn

from tqdm import tqdm

_FIRST_AFTER_S = 1.0
_LINE_EVERY_S = 5.0
_STATUS_EVERY_S = 30.0


def note(message: str) -> None:
    """Say on stderr what begins now and can't be counted."""
    print(message, file=sys.stderr, flush=True)


class Progress:
    """Count towards a total on stderr. Use as a context manager and call `advance`.

    Parameters
    ----------
    label : str
        What is being done, for example `inference`.
    total : int or None
        How much there is, where it is known.
    unit : str
        What is counted, in the plural: `records`, `bytes`.
    """

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._done = 0
        self._next_line_at = time.monotonic() + _FIRST_AFTER_S
        self._bar: tqdm[NoReturn] | None = None
        if sys.stderr.isatty():
            self._bar = tqdm(
                desc=label, total=total, unit=f" {unit}", unit_scale=True, delay=_FIRST_AFTER_S, leave=False
            )

    def advance(self, count: int = 1) -> None:
        """Add to what is done."""
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
        elif time.monotonic() >= self._next_line_at:
            self._next_line_at = time.monotonic() + _LINE_EVERY_S
            share = f" of {self._total:,} ({100 * self._done // self._total} %)" if self._total else ""
            print(f"{self._label}: {self._done:,}{share} {self._unit}", file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


class StatusLine:
    """Say on stderr how long something has been in a state.

    On a terminal that is one line that changes, elsewhere a line now and then.

    Use as a context manager.

    Parameters
    ----------
    label : str
        What is waited for, for example `deploy: cards is`.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._started = time.monotonic()
        self._state, self._next_line_at = "", 0.0
        self._is_terminal = sys.stderr.isatty()

    def show(self, state: str) -> None:
        """Say which state it is in now."""
        now = time.monotonic()
        line = f"{self._label} {state}, {now - self._started:.0f} s"
        if self._is_terminal:
            print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)
        elif state != self._state or now >= self._next_line_at:
            note(line)
            self._next_line_at = now + _STATUS_EVERY_S
        self._state = state

    def __enter__(self) -> StatusLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_terminal and self._state:
            note("")
