"""Running one part of a benchmark in a process of its own, so that its time and its memory are its own."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]


def run_part(script: str, *arguments: str) -> dict[str, Any]:
    """Run `script` with some arguments; return what it printed as JSON, and what it took.

    Returns
    -------
    dict
        `wall_s`, `cpu_s` (user and system, all threads, children not counted) and `peak_mb`, beside the script's own.
    """
    paths = [str(REPOSITORY / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, script, *arguments], stdout=subprocess.PIPE, env=environment, text=True)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{script} {' '.join(arguments)}: ended with {process.returncode}")
    taken = {
        "wall_s": round(time.perf_counter() - begin, 3),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
        "peak_mb": round(usage.ru_maxrss / 1024),
    }
    return taken | json.loads(printed.splitlines()[-1])


def machine() -> dict[str, Any]:
    """Return what figures should be read with."""
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),
    }


def cache_folder() -> Path:
    """Return the folder where made-up tables wait for the next run: outside the repository."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "scoreline-benchmarks"
