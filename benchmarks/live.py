"""A server in the course of its life: what its workers hold, what a refresh does to a load, how soon it answers.

    python benchmarks/live.py                                                    # about a quarter of an hour
    python benchmarks/live.py --orders 20000 --reloads 2 --seconds 1 --rounds 1  # does it all work?

What is measured: benchmarks/README.md. Everything listens on the loopback, and whatever is started is ended, on
Ctrl-C too.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

from harness.answers import AnswerError
from harness.command import end_in_order, program_versions, whole
from harness.load import LoadError, find_wrk
from harness.machine import describe_commit, describe_machine
from harness.prepare import PrepareError, cache_folder, prepare_triage
from harness.report import as_text, rewrite_block
from harness.sides import GTIL, KERNEL
from services import figures, parts
from services.server import LiveError

from scoreline.errors import ScorelineError

HERE = Path(__file__).parent
README = HERE / "README.md"
SAMPLE_ORDERS = 2_000  # as many as the sample in apps/order_triage has
OURS = ("gunicorn", "lmdb", "msgspec", "treelite")
FAILURES = (AnswerError, LoadError, LiveError, PrepareError, ChildProcessError, ScorelineError, OSError, ValueError)


def main() -> int:
    """Run what is asked for; return the exit code."""
    arguments = parse()
    end_in_order()
    try:
        options = make_ready(arguments)
    except FAILURES as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    results = describe_run(arguments)
    try:
        for runtime, found in results["runtimes"].items():
            measure(options, arguments.workers, runtime, found)
    except FAILURES as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        if any(found["starts"] for found in results["runtimes"].values()):
            finish(results, arguments)
    return 0


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--orders", type=whole, default=1_000_000, help="orders in the online store")
    parser.add_argument("--workers", type=whole, nargs="+", default=[1, 2, 8], help="servers to look at the memory of")
    parser.add_argument("--runtimes", nargs="+", choices=(KERNEL, GTIL), default=[KERNEL, GTIL], help="score trees")
    parser.add_argument("--reloads", type=whole, default=10, help="before memory is looked at again")
    parser.add_argument("--starts", type=whole, default=5, help="of a server as large as the sample")
    parser.add_argument("--seconds", type=whole, default=5, help="of each load before and after a refresh")
    parser.add_argument("--rounds", type=whole, default=3, help="how often a server is refreshed under load")
    parser.add_argument("--out", type=Path, default=HERE / "last.live.json", help="results")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="folder for what is made once")
    parser.add_argument("--update-readme", action="store_true", help="write the tables into benchmarks/README.md too")
    return parser.parse_args()


def make_ready(arguments: argparse.Namespace) -> parts.Options:
    """Make what the servers answer from."""
    wrk = find_wrk()
    sample, folder = (prepare_triage(arguments.cache, orders) for orders in (SAMPLE_ORDERS, arguments.orders))
    names = ("reloads", "starts", "seconds", "rounds")
    return parts.Options(folder, sample, wrk=wrk, **{name: getattr(arguments, name) for name in names})


def describe_run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the results as they are before anything is measured."""
    settings = ("orders", "workers", "reloads", "starts", "seconds", "rounds")
    return {
        **describe_commit(),
        "machine": describe_machine(),
        "settings": {name: getattr(arguments, name) for name in settings},
        "versions": {name: importlib.metadata.version(name) for name in OURS} | program_versions(),
        "runtimes": {
            runtime: {"memory": [], "refresh": {"rounds": []}, "starts": []} for runtime in arguments.runtimes
        },
    }


def measure(options: parts.Options, workers: list[int], runtime: str, found: dict[str, Any]) -> None:
    """Take all measures of one runtime, into `found` as they come."""
    _say(f"{runtime}: starts")
    found["starts"] = parts.measure_starts(options, runtime)
    for number in workers:
        _say(f"{runtime}: memory of {number} workers")
        found["memory"].append(parts.measure_memory(options, number, runtime))
    _say(f"{runtime}: refreshes under load")
    found["refresh"] = parts.measure_refresh(options, runtime)


def finish(results: dict[str, Any], arguments: argparse.Namespace) -> None:
    """Print the tables, and write the results and, if asked for, the README's block."""
    for rows in figures.tables(results):
        print(as_text(rows), end="\n\n")
    arguments.out.write_text(json.dumps(results, indent=1) + "\n")
    if arguments.update_readme:
        README.write_text(rewrite_block(README.read_text(), figures.as_page(results), "live"))


def _say(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
