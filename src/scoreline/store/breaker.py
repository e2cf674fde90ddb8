"""A circuit breaker: while a server is away nobody waits for it, and one thread finds out when it is back."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from scoreline.errors import StoreAwayError

FAILURES = 2  # in a row, after which it opens: one may be a hiccup
PROBE_S = 0.1  # between two looks whether the server is back
_log = logging.getLogger("scoreline.store")


class Breaker:
    """Counts failures of a server in a row. Open: every request is refused at once, until the server answers a probe.

    Parameters
    ----------
    where : the server, as messages name it
    answers : asks the server whether it is there; called from a thread of its own
    """

    def __init__(self, where: str, answers: Callable[[], bool]) -> None:
        self._where, self._answers = where, answers
        self._failures, self._why = 0, ""
        self._lock = threading.Lock()
        self.is_open = False

    def refuse(self) -> None:
        """Raise StoreAwayError if it is open."""
        if self.is_open:
            raise StoreAwayError(
                f"the online store at {self._where} can't be reached ({self._why}); it is not asked now"
            )

    def worked(self) -> None:
        """Note an answer."""
        self._failures = 0

    def failed(self, why: str) -> None:
        """Note that no answer came; the second in a row opens it."""
        with self._lock:
            self._failures += 1
            self._why = why.rstrip(".")
            if self.is_open or self._failures < FAILURES:
                return
            self.is_open = True
        _log.info("the online store at %s can't be reached (%s): nothing is looked up", self._where, self._why)
        threading.Thread(target=self._probe, name="store-probe", daemon=True).start()

    def _probe(self) -> None:
        pause = threading.Event()
        while not self._looks_well():
            pause.wait(PROBE_S)
        with self._lock:
            self._failures, self.is_open = 0, False
        _log.info("the online store at %s answers again", self._where)

    def _looks_well(self) -> bool:
        try:
            return self._answers()
        except Exception:  # were this thread to end, nobody would ever look again
            _log.exception("looking whether the online store is back")
            return False
