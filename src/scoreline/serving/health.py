"""Health: `/ping`, answered by the supervisor's own process while the pool may be busy.

Busy is not ill. The pool is well when golden rows were answered by it within the last two seconds, or
when every worker is inside a request that is younger than the timeout, or was a moment ago: with more
requests waiting than the pool answers in two seconds, golden rows wait too, while workers go from one
request to the next.
"""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from scoreline.serving.problems import Problem
from scoreline.serving.scoreboard import Scoreboard
from scoreline.serving.unix_http import Handler, UnixServer

STORE_HEADER = "X-Scoreline-Store"  # there while lookups can't be answered: `away` or `lost`
FEATURES_HEADER = "X-Scoreline-Features"  # so that a batch client sees whether its feature table is the one served
GOLDEN_FRESH_S = 2.0
PROBE_EVERY_S = 0.5
_WITH_STORE = "store"  # /ping?store is 503 too while the store is away: for what only sends requests elsewhere
_STARTING_EVERY_S = 0.02  # until the first good answer


class Health:
    """Watches the pool. `verdict` may be called from any thread.

    Parameters
    ----------
    sockets : of the workers, all of which are probed
    probe_path : path that answers 200 when golden rows were scored right
    timeout_s : a request older than this is past its deadline
    workers : so many must have come before the first 200; a request would wait at the socket of one that has not
    """

    def __init__(
        self, sockets: Sequence[Path], probe_path: str, board: Scoreboard, timeout_s: int, workers: int = 1
    ) -> None:
        self._sockets, self._probe_path = list(sockets), probe_path
        self._board, self._timeout_s = board, timeout_s
        self._awaited = workers
        self._last_good = float("-inf")
        self._wrong: set[Path] = set()
        self._stop = threading.Event()

    def verdict(self) -> str | None:
        """Return None when the pool is well, else what is wrong with it."""
        if self._wrong:
            return "golden rows were answered wrongly"
        workers = self._board.workers()
        if not workers:
            return "there is no worker"
        if len(workers) < self._awaited:
            return f"{len(workers)} of {self._awaited} workers have come"
        self._awaited = 1  # from now on one that is being replaced keeps nobody away
        late = [worker.pid for worker in workers if worker.busy_s is not None and worker.busy_s > self._timeout_s]
        if late:
            return f"worker {late[0]} is past the deadline of its request"
        if time.monotonic() - self._last_good <= GOLDEN_FRESH_S:
            return None
        if all(worker.idle_s is None or worker.idle_s <= GOLDEN_FRESH_S for worker in workers):
            return None if self._last_good > 0 else "golden rows were never answered yet"
        return "golden rows were not answered within the last 2 s"

    def watch(self) -> None:
        """Start probing, each socket in a thread of its own: one may have to wait for its worker."""
        for path in self._sockets:
            threading.Thread(target=self._watch, args=(path,), name="health", daemon=True).start()

    def stop(self) -> None:
        """End the probing."""
        self._stop.set()

    def _watch(self, path: Path) -> None:
        while not self._stop.is_set():
            self._probe(path)
            self._stop.wait(PROBE_EVERY_S if self._last_good > 0 else _STARTING_EVERY_S)

    def _probe(self, path: Path) -> None:
        connection = _UnixConnection(path, timeout=self._timeout_s)
        try:
            connection.request("GET", self._probe_path)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return  # no answer: freshness and the scoreboard tell
        finally:
            connection.close()
        if status == 200 or status == 404:  # 404: an app's own wsgi.py without our route; it does answer
            self._last_good = time.monotonic()
            self._wrong.discard(path)
        else:
            self._wrong.add(path)


class HealthServer(UnixServer):
    """Answers `/ping` on a socket of its own: 200 with an empty body, or 503 with the reason.

    Parameters
    ----------
    features : tells the digest of the feature table that is served, None where there is none
    store : tells what is wrong with the networked store, `away` or `lost`; empty where nothing is
    """

    def __init__(
        self,
        path: Path,
        health: Health,
        features: Callable[[], str | None] = lambda: None,
        store: Callable[[], str] = lambda: "",
    ) -> None:
        self.health, self.features, self.store = health, features, store
        super().__init__(path, _PingHandler)


class _PingHandler(Handler):
    server: HealthServer

    def do_GET(self) -> None:
        wrong, store = self.server.health.verdict(), self.server.store()
        told = {STORE_HEADER: store} if store else {}
        if wrong is None and store and self.path.partition("?")[2] == _WITH_STORE:
            self.answer_problem(
                Problem(503, "store-away", f"nothing can be looked up: the online store is {store}"), told
            )
        elif wrong is None:
            features = self.server.features()
            self.answer(200, b"", told if features is None else {FEATURES_HEADER: features, **told})
        else:
            self.answer_problem(Problem(503, "not-ready", wrong), told)

    do_HEAD = do_GET


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
