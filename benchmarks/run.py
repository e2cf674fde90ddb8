"""All sides in one go: Scoreline, empty handlers behind the same nginx, and its peers; a table with ratios at the end.

    python benchmarks/run.py [--only NAMES] [--seconds N] [--rounds N] [--out benchmarks/last.json]

What is measured, and how the sides are set up: benchmarks/README.md. Everything listens on the loopback, and whatever
is started is ended, on Ctrl-C too.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from harness import plot, prepare, report
from harness.answers import Corpus, read_plain_corpus, read_triage_corpus
from harness.load import LoadError, find_wrk
from harness.machine import describe_commit, describe_machine, printed
from harness.measure import Options, Positions, SideError, measure
from harness.sides import SIDES, Place, Side
from peers.install import Peer, install

HERE = Path(__file__).parent
README = HERE / "README.md"
BUSY = 1.0  # load average before anything is measured
OURS = ("flask", "gunicorn", "lmdb", "msgspec", "numpy", "scikit-learn", "treelite")


@dataclass(frozen=True)
class Ready:
    """What was made before anything is measured.

    Attributes
    ----------
    absent : side -> why it can't be run
    """

    model: Path
    triage: Path
    corpora: dict[str, Corpus]
    peers: dict[str, Peer]
    absent: dict[str, str]


def main() -> int:
    """Run what is asked for; return the exit code."""
    arguments = parse()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        wrk = find_wrk()
        sides = choose(arguments.only)
        ready = make_ready(sides, arguments.cache, arguments.orders)
    except (LoadError, prepare.PrepareError, ChildProcessError, ValueError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    options = Options(arguments.seconds, arguments.workers, wrk)
    results = describe_run(arguments, sides, ready)
    if (load := results["machine"]["load_before"]) > BUSY:
        print(f"bench: others use this machine (load {load:.1f}); trust no figure of this run", file=sys.stderr)
    try:
        run_rounds(sides, ready, options, arguments.rounds, results)
    finally:
        if any(side["rounds"] for side in results["sides"].values()):
            finish(results, arguments)
    return 0


def parse() -> argparse.Namespace:
    """Read the options."""
    names = ", ".join(side.name for side in SIDES)
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--only", help=f"sides to run, parted by commas: {names}")
    parser.add_argument("--seconds", type=_whole, default=5, help="of each load")
    parser.add_argument("--rounds", type=_whole, default=3, help="how often each side is run")
    parser.add_argument("--workers", type=_whole, default=2, help="worker processes of every side")
    parser.add_argument("--orders", type=_whole, default=1_000_000, help="orders in the online store")
    parser.add_argument("--out", type=Path, default=HERE / "last.json", help="results; the plot goes beside it")
    parser.add_argument("--cache", type=Path, default=prepare.cache_folder(), help="folder for what is made once")
    parser.add_argument("--update-readme", action="store_true", help="write the tables into benchmarks/README.md too")
    return parser.parse_args()


def choose(only: str | None) -> list[Side]:
    """Return the sides of these names, in their usual order; ValueError names one that there is not."""
    wanted = {side.name for side in SIDES} if only is None else set(filter(None, only.replace(" ", "").split(",")))
    known = [side.name for side in SIDES]
    if strangers := sorted(wanted - set(known)):
        raise ValueError(f"--only {strangers[0]}: no such side. There are: {', '.join(known)}.")
    if not wanted:
        raise ValueError(f"--only: expected names, parted by commas, of {', '.join(known)}")
    return [side for side in SIDES if side.name in wanted]


def make_ready(sides: list[Side], cache: Path, orders: int) -> Ready:
    """Make models, records and environments; what can't be made leaves out the sides that need it."""
    model = prepare.prepare_plain_model(cache)
    # The empty handlers are sent the keys of the orders too.
    triage = prepare.prepare_triage(cache, orders)
    corpora = {"plain": read_plain_corpus(model), "triage": read_triage_corpus(triage)}
    peers: dict[str, Peer] = {}
    absent: dict[str, str] = {}
    for side in sides:
        try:
            if side.name == report.PLAIN:
                prepare.prepare_plain_app(model)
            if side.peer is not None and side.peer not in peers:
                peers[side.peer] = install(side.peer, cache, model)
        except (prepare.PrepareError, ChildProcessError, RuntimeError, subprocess.SubprocessError) as error:
            absent[side.name] = str(error)
            print(f"bench: {side.name} is not run: {error}", file=sys.stderr)
    return Ready(model, triage, corpora, peers, absent)


def run_rounds(sides: list[Side], ready: Ready, options: Options, rounds: int, results: dict[str, Any]) -> None:
    """Run every side once a round, in turn forwards and backwards; a side that fails is left out from then on."""
    positions = Positions()
    for number in range(rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            content = results["sides"][side.name]
            if content["why"]:
                continue
            peer = ready.peers.get(side.peer or "")
            place = Place(0, options.workers, ready.model, ready.model, ready.triage, peer)
            try:
                measured = measure(side, place, ready.corpora[side.corpus or "triage"], options, positions)
            except SideError as error:
                content["why"] = f"round {number + 1}: {error}"
                print(f"bench: {side.name} failed in {content['why']}", file=sys.stderr)
                continue
            content["rounds"].append(measured.describe())
            print(
                f"bench: round {number + 1} of {rounds}: {side.name}: {measured.many.per_second:,.0f} requests/s, "
                f"p99 {measured.many.p99_ms:.1f} ms",
                file=sys.stderr,
                flush=True,
            )


def describe_run(arguments: argparse.Namespace, sides: list[Side], ready: Ready) -> dict[str, Any]:
    """Return the results as they are before the first round: the machine, the versions, the sides."""
    return {
        **describe_commit(),
        "machine": describe_machine(),
        "settings": {name: getattr(arguments, name) for name in ("seconds", "rounds", "workers", "orders")},
        "versions": {name: importlib.metadata.version(name) for name in OURS} | _programs(),
        "sides": {
            side.name: {
                "title": side.title,
                "kind": side.kind,
                "why": ready.absent.get(side.name, ""),
                "versions": ready.peers[side.peer].versions if side.peer in ready.peers else {},
                "rounds": [],
            }
            for side in sides
        },
    }


def finish(results: dict[str, Any], arguments: argparse.Namespace) -> None:
    """Print the tables, and write the results, the plot and, if asked for, the README's block."""
    for rows in report.tables(results).values():
        print(report.as_text(rows), end="\n\n")
    for name, why in report.not_run(results).items():
        print(f"not run: {name}: {why}")
    arguments.out.write_text(json.dumps(results, indent=1) + "\n")
    arguments.out.with_suffix(".svg").write_text(plot.draw(results))
    if arguments.update_readme:
        README.write_text(report.rewrite_block(README.read_text(), report.as_page(results)))


def _programs() -> dict[str, str]:
    """Return the versions of the programs that no package brings."""
    from scoreline.serving.nginx import find_nginx

    nginx = printed([find_nginx(), "-v"]).rpartition("/")[2].split(" ")[0]
    wrk = printed([find_wrk(), "-v"]).split("\n")[0].removeprefix("wrk ").split(" ")[0]
    return {"nginx": nginx, "wrk": wrk.rpartition("/")[2]}


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text}")
    return value


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End in order on the first signal; a second one must not keep servers from being ended."""
    for handled in (signal.SIGINT, signal.SIGTERM):
        signal.signal(handled, signal.SIG_IGN)
    print("\nbench: stopping; what was started is ended", file=sys.stderr)
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
