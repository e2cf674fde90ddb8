"""What the processes of `serve` have in common: the variables that pass from one to another, and ending together."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal

RUN_DIR_VARIABLE = "SCORELINE_RUN_DIR"  # folder of the sockets and the scoreboard
WORKER_CLASS_VARIABLE = "SCORELINE_WORKER_CLASS"
PUBLISHED_VARIABLE = "SCORELINE_PUBLISHED"  # set by the supervisor, which has looked at the sources just before
SCOREBOARD = "scoreboard"  # its file in that folder
_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Let the kernel stop this process when the one that started it is killed with -9."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def let_others_finish() -> None:
    """Let this process and its children wait for a core rather than take it from who is at work.

    For nginx: it wakes at every answer of a worker, and as it is scheduled by default it interrupts that worker
    each time, thousands of times a second. Waiting, it finds several answers at once.
    """
    with contextlib.suppress(OSError):  # a sandbox may forbid it; it costs speed alone
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
