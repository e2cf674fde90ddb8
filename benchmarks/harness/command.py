"""What the benchmarks' commands have in common: values of options, an end in order, the programs that they run."""

from __future__ import annotations

import argparse
import signal
import sys
from types import FrameType

from harness.load import find_wrk
from harness.machine import printed


def whole(text: str) -> int:
    """Read an option that is a whole number above 0."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text}")
    return value


def end_in_order() -> None:
    """Let the first SIGINT or SIGTERM end this process by way of its `finally` and `with`."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def program_versions() -> dict[str, str]:
    """Return the versions of the programs that no package brings."""
    from scoreline.serving.nginx import find_nginx

    nginx = printed([find_nginx(), "-v"]).rpartition("/")[2].split(" ")[0]
    wrk = printed([find_wrk(), "-v"]).split("\n")[0].removeprefix("wrk ").split(" ")[0]
    return {"nginx": nginx, "wrk": wrk.rpartition("/")[2]}


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End on the first signal; a second one must not keep servers from being ended."""
    for handled in (signal.SIGINT, signal.SIGTERM):
        signal.signal(handled, signal.SIG_IGN)
    print("\nbench: stopping; what was started is ended", file=sys.stderr)
    raise SystemExit(128 + number)
