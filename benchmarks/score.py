"""`scoreline score` beside `scoreline inference` over HTTP: the same orders, the same replies, in one run.

    python benchmarks/score.py                                 # 200,000 orders: about three minutes
    python benchmarks/score.py --orders 20000 --rounds 1       # does it work?

Order triage by key, each in turn: `inference` asks a server of 2 workers, a record a request, with 8 in flight; `score`
with one process and with two, into JSON Lines and into Parquet. Records a second are as the commands print them; CPU is
the time of all processes for a record, the server's among them; wall is the whole command, with reading, digests and
start. The peak is of the process with the most memory (RSS, the mapped store counts in it) and of all of them. What
`score` writes as JSON Lines is compared byte by byte with results.json.
"""

from __future__ import annotations

import argparse
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
from harness.answers import read_triage_corpus, wait_until_right
from harness.command import end_in_order, whole
from harness.prepare import cache_folder, prepare_triage
from harness.processes import Processes
from harness.report import as_text
from harness.sides import SIDES, TRIAGE_APP, Place, free_port, scoreline_environment

WORKERS, PARTS, START_S, LOOK_EVERY_S = 2, 20, 60, 0.1
SAME = "score, 1 process, JSON Lines"
HTTP = "inference over HTTP"


@dataclass(frozen=True)
class Ran:
    """One run of a command.

    Attributes
    ----------
    per_second : records a second as it printed them
    cpu_s : CPU time of all its processes, and of the server's where there is one
    largest_mb, all_mb : peak RSS of one of its processes, and of all
    """

    per_second: float
    cpu_s: float
    wall_s: float
    largest_mb: float
    all_mb: float


def main() -> int:
    """Measure both, and print the table."""
    arguments = parse()
    end_in_order()
    folder = prepare_triage(arguments.cache, arguments.orders)
    found: dict[str, list[Ran]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="scoreline-bench-", dir="/tmp") as run:
        Path(run).chmod(0o711)
        for number in range(arguments.rounds):
            work = Path(run) / str(number)
            work.mkdir()
            found[HTTP].append(over_http(folder, work))
            for name, options in sides().items():
                found[name].append(scored(folder, work, name, options, arguments.orders))
            compare(work)
    print(as_text(table(found, arguments.orders)))
    return 0


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--orders", type=whole, default=200_000, help="orders to score")
    parser.add_argument("--rounds", type=whole, default=1, help="how often each is run")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="folder for what is made once")
    return parser.parse_args()


def sides() -> dict[str, list[str]]:
    """Return the ways to score, each with its options."""
    return {
        SAME: ["--workers", "1", "--format", "jsonl"],
        f"score, {WORKERS} processes, JSON Lines": ["--workers", str(WORKERS), "--format", "jsonl"],
        f"score, {WORKERS} processes, Parquet": ["--workers", str(WORKERS), "--format", "parquet"],
    }


def over_http(folder: Path, work: Path) -> Ran:
    """Ask a server with `scoreline inference`."""
    side = next(side for side in SIDES if side.name == "triage")
    served = work / "server"
    served.mkdir(mode=0o711)
    place = Place(free_port(), WORKERS, served, folder, folder)
    with Processes(side.start(place), served) as processes:
        wait_until_right(place.port, side, read_triage_corpus(folder), processes.ended, START_S)
        options = ["--url", f"http://127.0.0.1:{place.port}", "--results", str(work / "results")]
        before = sum(processes.cpu_seconds().values())
        ran = command(folder, ["inference", *options], r"([\d,]+) requests/s")
        return replace(ran, cpu_s=ran.cpu_s + sum(processes.cpu_seconds().values()) - before)


def scored(folder: Path, work: Path, name: str, options: list[str], orders: int) -> Ran:
    """Score the same file without a server."""
    arguments = ["--input", str(folder / "data/orders.csv"), "--output", str(work / name.replace(" ", "-"))]
    arguments += ["--part-records", str(max(1, orders // PARTS))]
    return command(folder, ["score", *arguments, *options], r"([\d,]+) records/s")


def command(folder: Path, arguments: list[str], pattern: str) -> Ran:
    """Run a command of ours; look at its processes' memory while it runs."""
    own = {"data": folder / "data", "model-dir": folder / "model", "results": folder / "results"}
    given = [part for name, path in own.items() if f"--{name}" not in arguments for part in (f"--{name}", str(path))]
    started, cpu_before = time.monotonic(), cpu_of_children()
    line = [sys.executable, "-m", "scoreline", arguments[0], "--app", str(TRIAGE_APP), *given, *arguments[1:]]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=scoreline_environment()) as process:
        largest = together = 0.0
        while process.poll() is None:
            sizes = memory_mb(process.pid)
            largest, together = max(largest, *sizes, 0.0), max(together, sum(sizes))
            time.sleep(LOOK_EVERY_S)
        assert process.stdout is not None
        printed = process.stdout.read()
    match = re.search(pattern, printed)
    if process.returncode or match is None:
        raise SystemExit(f"bench: {' '.join(arguments)} ended with {process.returncode}: {printed}")
    wall_s = time.monotonic() - started
    return Ran(float(match[1].replace(",", "")), cpu_of_children() - cpu_before, wall_s, largest, together)


def cpu_of_children() -> float:
    """Return the CPU time of the processes that ended, and of those that they waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def memory_mb(pid: int) -> list[float]:
    """Return the resident memory of a process and of those that it started."""
    try:
        parent = psutil.Process(pid)
        return [process.memory_info().rss / 1e6 for process in (parent, *parent.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def compare(work: Path) -> None:
    """Stop where `score` wrote other bytes than `inference`."""
    parts = sorted((work / SAME.replace(" ", "-")).glob("part-*"))
    if b"".join(part.read_bytes() for part in parts) != (work / "results/results.json").read_bytes():
        raise SystemExit("bench: score wrote other replies than inference")


def table(found: dict[str, list[Ran]], orders: int) -> list[list[str]]:
    """Return medians of the rounds, and the ratios to HTTP within each round."""
    rows = [
        [f"{orders:,} orders", "records/s", "/ HTTP", "CPU us", "/ HTTP", "wall s", "/ HTTP", "largest MB", "all MB"]
    ]
    for name, runs in found.items():
        pairs = list(zip(runs, found[HTTP], strict=True))
        middle = {field: statistics.median(getattr(run, field) for run in runs) for field in vars(runs[0])}
        rows.append(
            [
                name,
                f"{middle['per_second']:,.0f}",
                f"{statistics.median(run.per_second / http.per_second for run, http in pairs):.1f}",
                f"{middle['cpu_s'] / orders * 1e6:.0f}",
                f"{statistics.median(run.cpu_s / http.cpu_s for run, http in pairs):.3f}",
                f"{middle['wall_s']:.1f}",
                f"{statistics.median(run.wall_s / http.wall_s for run, http in pairs):.2f}",
                f"{middle['largest_mb']:,.0f}",
                f"{middle['all_mb']:,.0f}",
            ]
        )
    return rows


if __name__ == "__main__":
    sys.exit(main())
