"""The signals that end a command."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType

ended_by: list[int] = []  # those that came through `terminate`
_AGAIN_S = 1.0  # until a signal comes again, if nobody handles it


class Terminated(BaseException):
    """SIGTERM, or Ctrl-C where `interrupted_as_terminated`: ends a command, cleaning up on the way."""


def terminate(number: int, frame: FrameType | None) -> None:
    """Handle a signal: raise Terminated where the command is, and again until somebody handles it.

    What is imported may catch all there is and go on, and C code may drop it.
    """
    ended_by.append(number)
    come_soon(_AGAIN_S)
    raise Terminated


def come_soon(within_s: float) -> None:
    """Have `come_again` run, by SIGALRM."""
    signal.setitimer(signal.ITIMER_REAL, within_s)


def come_again(number: int, frame: FrameType | None) -> None:
    """Raise once more what ends the command, but not where an exception is being handled: that may be it."""
    come_soon(_AGAIN_S)
    if sys.exception() is None:
        raise Terminated if ended_by else KeyboardInterrupt


def settle() -> None:
    """Let what ends the command come no more: it is handled."""
    come_soon(0)


@contextlib.contextmanager
def interrupted_as_terminated() -> Iterator[None]:
    """Have Ctrl-C raise Terminated too: KeyboardInterrupt py4j takes to be its own, and it asks Java again."""
    before = signal.signal(signal.SIGINT, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
