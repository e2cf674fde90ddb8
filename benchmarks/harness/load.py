"""Load from wrk: one thread, so many connections, for some seconds; what came back is counted in `requests.lua`."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("requests.lua")
TIMEOUT_S = 10  # of one request
MICROSECONDS = 1_000_000  # of a second


class LoadError(RuntimeError):
    """wrk is missing, or did not end as it should."""


@dataclass(frozen=True)
class Requests:
    """What is sent: each line of `file` between `before` and `after`.

    Attributes
    ----------
    lengths : shortest and longest good reply in bytes
    """

    file: Path
    path: str
    content_type: str
    before: str
    after: str
    lengths: tuple[int, int]


@dataclass(frozen=True)
class Load:
    """What a load came to.

    Attributes
    ----------
    wrong : replies whose status is not 200 or whose length can't be right, and requests that failed or timed out
    position : where in the file the next load goes on
    """

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    wrong: int
    position: int

    @property
    def per_second(self) -> float:
        """Good replies a second."""
        return max(0, self.requests - self.wrong) / self.seconds


def find_wrk() -> str:
    """Return the wrk to run; LoadError says how to get one."""
    found = shutil.which("wrk")
    if found is None:
        raise LoadError("wrk is not on PATH. It makes the load: install the package `wrk` of Debian or Ubuntu.")
    return found


def put_load(wrk: str, port: int, requests: Requests, connections: int, seconds: float, start: int) -> Load:
    """Send requests over so many connections for some seconds."""
    with Loading(wrk, port, requests, connections, seconds, start) as loading:
        return loading.ended()


class Loading:
    """A load that goes on while something else is done. A context manager: wrk is ended with it.

    Parameters
    ----------
    seconds : the longest that it goes on
    start : where in the file it begins
    """

    def __init__(
        self, wrk: str, port: int, requests: Requests, connections: int, seconds: float, start: int = 0
    ) -> None:
        self._most_s = max(1, round(seconds))  # wrk takes no fractions
        arguments = [requests.file, start, requests.path, requests.content_type, requests.before, requests.after]
        self._command = [wrk, "-t1", f"-c{connections}", f"-d{self._most_s}s", f"--timeout={TIMEOUT_S}s", f"-s{SCRIPT}"]
        self._command += [f"http://127.0.0.1:{port}{requests.path}", "--"]
        self._command += map(str, [*arguments, *requests.lengths])

    def __enter__(self) -> Loading:
        self._wrk = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        with self._wrk:  # closes its pipes, and waits
            if self._wrk.poll() is None:
                self._wrk.kill()

    def ended(self) -> Load:
        """Return what it came to, when its time is over."""
        try:
            return read_load(*self._wrk.communicate(timeout=self._most_s + 60))
        except subprocess.TimeoutExpired as error:
            raise LoadError(f"wrk did not end within {self._most_s + 60} s") from error

    def stopped(self) -> Load:
        """Stop it now, and return what it came to; LoadError where it ended before."""
        if self._wrk.poll() is not None:
            raise LoadError(f"the load was over, after {self._most_s} s, before what it was there for")
        self._wrk.send_signal(signal.SIGINT)  # wrk then gives its result, as at its end
        return self.ended()


def read_load(printed: str, complained: str = "") -> Load:
    """Read what wrk printed; LoadError if the line that `requests.lua` writes is not there."""
    lines = [line for line in printed.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise LoadError(f"wrk gave no result: {(complained or printed).strip()[-300:]}")
    found = json.loads(lines[-1].removeprefix("RESULT "))
    failed = sum(found[name] for name in ("connect", "read", "write", "timeout"))
    return Load(
        requests=found["requests"],
        seconds=found["duration_us"] / MICROSECONDS,
        p50_ms=found["p50_us"] / 1000,
        p99_ms=found["p99_us"] / 1000,
        max_ms=found["max_us"] / 1000,
        wrong=found["bad_status"] + found["bad_length"] + failed,
        position=found["position"],
    )
