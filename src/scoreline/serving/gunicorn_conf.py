"""gunicorn's configuration under `scoreline serve`; the supervisor passes what varies in the environment."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path
from typing import Any

from scoreline.serving.scoreboard import Scoreboard

# What the supervisor passes: SCORELINE_RUN_DIR, and the worker plan and timeout that it worked out.
RUN_DIR_VARIABLE = "SCORELINE_RUN_DIR"
SOCKET, SCOREBOARD = "app.sock", "scoreboard"
_PR_SET_PDEATHSIG = 1

_run_dir = Path(os.environ[RUN_DIR_VARIABLE])
_timeout_s = int(os.environ["MODEL_SERVER_TIMEOUT"])
_board = Scoreboard(_run_dir / SCOREBOARD)

bind = f"unix:{_run_dir / SOCKET}"
workers = int(os.environ["MODEL_SERVER_WORKERS"])
worker_class = "sync"
preload_app = True  # the trees and the app are loaded once and shared; stores are opened after the fork
timeout = _timeout_s + 5  # nginx answers 504 at the deadline itself; this only replaces the stuck worker
graceful_timeout = 25
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 (heartbeats, off the disk)
control_socket_disable = True  # gunicorn would put it in the home folder, which may be read-only
loglevel = "warning"
accesslog = None


def on_starting(server: Any) -> None:
    """End with the supervisor, even if that was killed with -9."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def pre_fork(server: Any, worker: Any) -> None:
    """Take a slot on the scoreboard, in the master, so that no two workers take one."""
    worker.scoreline_slot = _board.claim(-1)


def post_fork(server: Any, worker: Any) -> None:
    """Put the worker's name on its slot."""
    _board.name(worker.scoreline_slot, os.getpid())


def child_exit(server: Any, worker: Any) -> None:
    """Free the slot of a worker that is gone."""
    _board.free(worker.pid)


def pre_request(worker: Any, request: Any) -> None:
    """Note the start of a request."""
    _board.begin(worker.scoreline_slot)


def post_request(worker: Any, request: Any, environ: Any, response: Any) -> None:
    """Note the end of a request."""
    _board.end(worker.scoreline_slot)
