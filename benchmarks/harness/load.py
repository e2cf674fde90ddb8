"""Load from wrk: one thread, so many connections, for some seconds; what came back is counted in `requests.lua`."""

from __future__ import annotations

import json
import shutil
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
    whole_s = max(1, round(seconds))  # wrk takes no fractions
    arguments = [requests.file, start, requests.path, requests.content_type, requests.before, requests.after]
    command = [wrk, "-t1", f"-c{connections}", f"-d{whole_s}s", f"--timeout={TIMEOUT_S}s", f"-s{SCRIPT}"]
    command += [f"http://127.0.0.1:{port}{requests.path}", "--", *map(str, [*arguments, *requests.lengths])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=whole_s + 60, check=False)
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"wrk did not end within {whole_s + 60} s") from error
    return read_load(done.stdout, done.stderr)


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
