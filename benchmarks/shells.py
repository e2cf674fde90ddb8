"""The two worker classes of `scoreline serve`, side by side: which is the default, and why.

    python benchmarks/shells.py                                       # about two minutes
    python benchmarks/shells.py --seconds 1 --rounds 1 --orders 2000  # does it work?

Order triage by key, 2 workers. For each class: requests/s and p99 at 16 connections; what the busiest worker took of
the CPU time; p99 of single records at 8 connections while 2 others send lists of a thousand; and how long SIGTERM takes
with 50 idle connections open.
"""

from __future__ import annotations

import argparse
import http.client
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from harness.answers import read_triage_corpus, wait_until_right
from harness.command import end_in_order, whole
from harness.load import Load, Loading, Requests, find_wrk, put_load
from harness.prepare import cache_folder, prepare_triage
from harness.processes import Processes
from harness.report import as_text
from harness.sides import SIDES, Place, free_port

HERE = Path(__file__).parent
NAMES = ("triage", "triage-flask")  # ASGI, and Flask on sync
WORKERS, MANY, FEW, LISTS, IDLE = 2, 16, 8, 2, 50
START_S, STOP_S = 60, 40
LENGTHS = (1, 10**8)  # replies are held against the estimator by run.py


@dataclass(frozen=True)
class Found:
    """What one worker class came to in one round.

    Attributes
    ----------
    busiest : share of the CPU time of all workers that the busiest one took; 0.5 is fair
    beside_lists : of single records, while lists of a thousand are answered too
    stop_s : from SIGTERM to the end, with idle connections open
    """

    many: Load
    busiest: float
    beside_lists: Load
    stop_s: float


def main() -> int:
    """Measure both, in turn, and print a table."""
    arguments = parse()
    end_in_order()
    wrk, folder = find_wrk(), prepare_triage(arguments.cache, arguments.orders)
    found: dict[str, list[Found]] = defaultdict(list)
    for number in range(arguments.rounds):
        for name in NAMES if number % 2 == 0 else reversed(NAMES):
            found[name].append(measure(name, folder, wrk, arguments.seconds))
            print(f"bench: round {number + 1}: {name}: {found[name][-1].many.per_second:,.0f}/s", file=sys.stderr)
    print(as_text(table(found)))
    return 0


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--orders", type=whole, default=20_000, help="orders in the online store")
    parser.add_argument("--seconds", type=whole, default=4, help="of each load")
    parser.add_argument("--rounds", type=whole, default=3, help="how often each is run")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="folder for what is made once")
    return parser.parse_args()


def measure(name: str, folder: Path, wrk: str, seconds: int) -> Found:
    """Measure one worker class once; whatever was started is ended."""
    side = next(side for side in SIDES if side.name == name)
    single, listed = (
        Requests(folder / f"{stem}.keys", "/invocations", "application/json", before, after, LENGTHS)
        for stem, before, after in (("records", "", ""), ("lists", "[", "]"))
    )
    with tempfile.TemporaryDirectory(prefix="scoreline-bench-", dir="/tmp") as run:
        Path(run).chmod(0o711)  # nginx's workers, another user when we are root, must reach the sockets
        place = Place(free_port(), WORKERS, Path(run), folder, folder)
        with Processes(side.start(place), Path(run)) as processes:
            wait_until_right(place.port, side, read_triage_corpus(folder), processes.ended, START_S)
            put_load(wrk, place.port, single, MANY, 1, 0)
            before = processes.cpu_seconds()
            many = put_load(wrk, place.port, single, MANY, seconds, 0)
            after = processes.cpu_seconds()
            with Loading(wrk, place.port, listed, LISTS, seconds + 1) as lists:
                beside = put_load(wrk, place.port, single, FEW, seconds, 0)
                lists.ended()
            return Found(many, busiest(before, after), beside, stop(processes, place.port))


def busiest(before: dict[int, float], after: dict[int, float]) -> float:
    """Return the share of the busiest worker; the two that took the most are the workers, nginx has two of less."""
    spent = sorted((after[pid] - before.get(pid, 0.0) for pid in after), reverse=True)[:WORKERS]
    return spent[0] / sum(spent)


def stop(processes: Processes, port: int) -> float:
    """Return the seconds that SIGTERM takes while connections are open that nobody uses."""
    idle = [http.client.HTTPConnection("127.0.0.1", port, timeout=10) for _ in range(IDLE)]
    for connection in idle:
        connection.request("GET", "/ping")
        connection.getresponse().read()
    began = time.monotonic()
    processes.look()[0].send_signal(signal.SIGTERM)
    while processes.ended() is None and time.monotonic() < began + STOP_S:
        time.sleep(0.01)
    seconds = time.monotonic() - began
    for connection in idle:
        connection.close()
    return seconds


def table(found: dict[str, list[Found]]) -> list[list[str]]:
    """Return medians of the rounds, and the ratio of each to the second class."""
    columns = {
        "requests/s": lambda one: one.many.per_second,
        "p99 ms": lambda one: one.many.p99_ms,
        "busiest worker": lambda one: one.busiest,
        "p99 ms beside lists": lambda one: one.beside_lists.p99_ms,
        "requests/s beside lists": lambda one: one.beside_lists.per_second,
        "wrong": lambda one: one.many.wrong + one.beside_lists.wrong,
        "SIGTERM s": lambda one: one.stop_s,
    }
    middles = {name: [statistics.median(map(of, found[name])) for of in columns.values()] for name in NAMES}
    rows = [["", *columns], *([name, *(f"{value:,.4g}" for value in middles[name])] for name in NAMES)]
    ratios = [f"{a / b:.2f}" if b else "" for a, b in zip(*(middles[name] for name in NAMES), strict=True)]
    return [*rows, ["ratio", *ratios]]


if __name__ == "__main__":
    sys.exit(main())
