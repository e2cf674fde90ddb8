"""gunicorn's configuration under `scoreline serve`; the supervisor passes what varies in the environment."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Any

from scoreline.serving.plan import socket_paths
from scoreline.serving.process import RUN_DIR_VARIABLE, SCOREBOARD, WORKER_CLASS_VARIABLE, end_with_parent
from scoreline.serving.refusals import speak_problems
from scoreline.serving.scoreboard import Scoreboard

LOG_LEVEL_VARIABLE = "SAGEMAKER_CONTAINER_LOG_LEVEL"
KEEPALIVE_S = 75  # longer than nginx's for its upstreams, 60 s: it must not find a connection just closed

_run_dir = Path(os.environ[RUN_DIR_VARIABLE])
_timeout_s = int(os.environ["MODEL_SERVER_TIMEOUT"])
_board = Scoreboard(_run_dir / SCOREBOARD)

workers = int(os.environ["MODEL_SERVER_WORKERS"])
worker_class = os.environ[WORKER_CLASS_VARIABLE]
bind = [f"unix:{path}" for path in socket_paths(_run_dir, worker_class, workers)]
keepalive = KEEPALIVE_S
asgi_loop = "asyncio"  # pinned: `auto` would take uvloop wherever it happens to be installed
asgi_lifespan = "off"
http_parser = "python"  # pinned as well
# How large a head may be is nginx's to say, in our words; these let through whatever it does.
limit_request_line = 0
limit_request_fields = 32768
limit_request_field_size = 16 << 10
preload_app = True  # the trees and the app are loaded once and shared; stores are opened after the fork
timeout = _timeout_s + 5  # nginx answers 504 at the deadline itself; this only replaces the stuck worker
graceful_timeout = 25
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 (heartbeats, off the disk)
control_socket_disable = True  # gunicorn would put it in the home folder, which may be read-only
# Its own `info` would be a few lines at each start that nobody has a use for.
loglevel = {"debug": "debug", "info": "warning"}.get(_level := os.environ[LOG_LEVEL_VARIABLE], _level)
accesslog = None
speak_problems(worker_class)


def on_starting(server: Any) -> None:
    """End with the supervisor, even if that was killed with -9."""
    end_with_parent()


def when_ready(server: Any) -> None:
    """Leave what was loaded out of collections: the first in a worker would write to all of it, and unshare it."""
    gc.collect()
    gc.freeze()


def pre_fork(server: Any, worker: Any) -> None:
    """Take a slot on the scoreboard, in the master, so that no two workers take one."""
    worker.scoreline_slot = _board.claim(-1)


def post_fork(server: Any, worker: Any) -> None:
    """Put the worker's name on its slot, and leave it the one socket that is its own."""
    _board.name(worker.scoreline_slot, os.getpid())
    if len(worker.sockets) > 1:
        worker.sockets = [worker.sockets[worker.scoreline_slot % len(worker.sockets)]]
    shell = sys.modules.get("scoreline.serving.asgi")
    if shell is not None:
        slot = worker.scoreline_slot
        shell.app.busy = lambda since: _board.end(slot) if since is None else _board.begin(slot, since)


def child_exit(server: Any, worker: Any) -> None:
    """Free the slot of a worker that is gone."""
    _board.free(worker.pid)


def _begin(worker: Any, request: Any) -> None:
    """Note the start of a request."""
    _board.begin(worker.scoreline_slot)


def _end(worker: Any, request: Any, environ: Any, response: Any) -> None:
    """Note the end of a request."""
    _board.end(worker.scoreline_slot)


if worker_class == "sync":  # the ASGI shell notes it itself: several requests may be in flight there
    pre_request, post_request = _begin, _end
