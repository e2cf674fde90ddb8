"""The signals that end a command."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

ended_by: list[int] = []  # those that came through `terminate`


class Terminated(BaseException):
    """SIGTERM, or Ctrl-C where `interrupted_as_terminated`: ends a command, cleaning up on the way."""


def terminate(number: int, frame: FrameType | None) -> None:
    """Handle a signal: raise Terminated where the command is."""
    ended_by.append(number)
    raise Terminated


@contextlib.contextmanager
def interrupted_as_terminated() -> Iterator[None]:
    """Have Ctrl-C raise Terminated too: KeyboardInterrupt py4j takes to be its own, and it asks Java again."""
    before = signal.signal(signal.SIGINT, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
