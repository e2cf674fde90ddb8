"""One part of a benchmark in a process of its own, so that its time and its memory are its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]


class PartError(RuntimeError):
    """A part can't be run; the message says which."""


def run_part(script: Path, *arguments: object, python: str | Path = sys.executable) -> dict[str, Any]:
    """Run `script` with some arguments; return what it printed as JSON in its last line, and what it took.

    Returns
    -------
    dict
        `wall_s`, `cpu_s` (user and system, all threads, children not counted) and `peak_mb` (resident, with the pages
        of mapped files that it touched), beside the script's own.

    Raises
    ------
    PartError
        It ended with another code than 0.
    """
    paths = [str(REPOSITORY / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [str(python), str(script), *map(str, arguments)]
    begin = time.perf_counter()
    # Not subprocess.run: what a process took is known to whoever waits for it, once.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    assert process.stdout is not None
    with process.stdout as output:
        lines = output.read().splitlines()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise PartError(f"{script.name} {' '.join(map(str, arguments))}: ended with {process.returncode}")
    taken = {
        "wall_s": round(time.perf_counter() - begin, 3),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
        "peak_mb": round(usage.ru_maxrss / 1024),
    }
    return taken | json.loads(lines[-1])
