"""The networked store beside the file: lookups, requests, publishing and memory, in one run.

    python benchmarks/networked.py                                       # a million orders: about four minutes
    python benchmarks/networked.py --seconds 1 --rounds 1 --orders 2000  # does it work?

One Redis server of this machine, asked over TCP and over a unix socket; beside it the LMDB file of the same features.
In one process: one key a question, then a hundred, then the states of three tables. Then `scoreline serve` of each,
2 workers, 16 connections, in turn: keys singly and in lists of a thousand. The server shares the cores with the rest.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.answers import read_triage_corpus, wait_until_right
from harness.command import end_in_order, whole
from harness.load import Requests, find_wrk, put_load
from harness.prepare import SEED, TRIAGE_APP, cache_folder, prepare_triage
from harness.processes import Processes
from harness.report import as_text
from harness.sides import SIDES, Place, free_port

from scoreline.app.load import load_app
from scoreline.features.stamp import read_stamp
from scoreline.generations.online import open_online
from scoreline.settings import Settings, resolve_settings
from scoreline.store.embedded import EmbeddedStore
from scoreline.store.networked import NetworkedStore
from scoreline.store.states import Wanted

WORKERS, CONNECTIONS, START_S = 2, 16, 120
CALLS, AT_ONCE = 20_000, 100
SINGLE, LISTS = "keys singly", "lists of 1,000 keys"
Rows = list[list[str]]


def main() -> int:
    """Measure all of it, and print tables."""
    arguments = parse()
    end_in_order()
    folder = prepare_triage(arguments.cache, arguments.orders)
    with tempfile.TemporaryDirectory(prefix="scoreline-bench-", dir="/tmp") as run:
        Path(run).chmod(0o711)
        with redis_server(arguments.server, Path(run)) as urls:
            print(as_text(published(folder, urls)), end="\n\n")
            for rows in looked_up(folder, urls, arguments.rounds):
                print(as_text(rows), end="\n\n")
            print(as_text(served(folder, urls, Path(run), arguments.seconds, arguments.rounds)))
    return 0


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--orders", type=whole, default=1_000_000, help="orders in the online store")
    parser.add_argument("--seconds", type=whole, default=4, help="of each load")
    parser.add_argument("--rounds", type=whole, default=3, help="how often each is run")
    parser.add_argument("--server", default="redis-server", help="the program that is asked")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="folder for what is made once")
    return parser.parse_args()


@contextmanager
def redis_server(program: str, folder: Path) -> Iterator[dict[str, str]]:
    """Run a server that keeps nothing on disk; give the ways to it."""
    port, socket = free_port(), folder / "redis.sock"
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--unixsocket", str(socket), "--save", ""]
    with (folder / "redis.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            until = time.monotonic() + START_S
            while not socket.exists() and time.monotonic() < until:
                time.sleep(0.02)
            yield {"redis, unix socket": f"unix://{socket}", "redis, TCP": f"redis://127.0.0.1:{port}"}
        finally:
            process.kill()


def settings_of(folder: Path, **others: Any) -> Settings:
    """Return settings of order triage's folders."""
    own = {name: folder / name for name in ("data", "model", "results", "state")}
    return resolve_settings({"app": TRIAGE_APP, **own, **others}, {})


def published(folder: Path, urls: dict[str, str]) -> Rows:
    """Publish the features, and tell what they take."""
    app, stamp = load_app(TRIAGE_APP), read_stamp(folder / "results")
    online = open_online(settings_of(folder, store=next(iter(urls.values()))), app)
    assert online is not None
    assert stamp.store is not None
    before = _memory(online.link)
    begin = time.perf_counter()
    online.publish(folder / "results", lambda line: None)
    seconds = time.perf_counter() - begin
    _, layout = online.current()
    rows, taken = layout.rows + layout.states, _memory(online.link) - before
    file = (folder / "results" / stamp.store).stat().st_size
    return [
        ["published", "rows and states", "s", "rows/s", "MB", "bytes a row", "MB in the file"],
        ["", f"{rows:,}", f"{seconds:.1f}", f"{rows / seconds:,.0f}", f"{taken / 2**20:,.0f}", f"{taken / rows:.0f}",
         f"{file / 2**20:,.0f}"],
    ]  # fmt: skip


def looked_up(folder: Path, urls: dict[str, str], rounds: int) -> Iterator[Rows]:
    """Look keys up in one process, in turn in each store."""
    app, stamp = load_app(TRIAGE_APP), read_stamp(folder / "results", verify=False)
    assert stamp.store is not None
    stores: dict[str, EmbeddedStore | NetworkedStore] = {"file (LMDB)": EmbeddedStore(folder / "results" / stamp.store)}
    for name, url in urls.items():
        online = open_online(settings_of(folder, store=url), app)
        assert online is not None
        stores[name] = NetworkedStore(online.link, online.publications.names, online.current()[1])
    keys = _keys(folder)
    chance = random.Random(SEED)
    wanted = [
        [Wanted("inventory", (key[2],), 2**60), Wanted("payments", key[:2], 2**60), Wanted("zip_codes", (key[3],), 0)]
        for key in keys
    ]
    batches = [chance.sample(keys, AT_ONCE) for _ in range(CALLS // AT_ONCE)]
    questions: dict[str, tuple[Callable[[Any], Callable[[Any], Any]], Sequence[Any], int]] = {
        "one key a question": (lambda store: store.get, keys, 1),
        f"{AT_ONCE} keys a question": (lambda store: store.get_many, batches, AT_ONCE),
        "states of three tables": (lambda store: store.newest, wanted, 1),
    }
    for title, (function, asked, each) in questions.items():
        found: dict[str, list[dict[str, float]]] = defaultdict(list)
        for number in range(rounds):
            names = list(stores)
            for name in names if number % 2 == 0 else reversed(names):
                found[name].append(_timed(function(stores[name]), asked, each))
        metrics = {"per_s": "lookups/s", "p50": "p50 us", "p99": "p99 us", "cpu_us": "CPU us"}
        yield _table(f"{title}, one process", found, metrics)
    for store in stores.values():
        store.close()


def served(folder: Path, urls: dict[str, str], run: Path, seconds: int, rounds: int) -> Rows:
    """Load a server of each store, in turn."""
    wrk, side = find_wrk(), next(side for side in SIDES if side.name == "triage")
    form = {SINGLE: ("records.keys", "", "", (1, 10**8)), LISTS: ("lists.keys", "[", "]", (1, 10**9))}
    requests = {
        name: Requests(folder / file, "/invocations", "application/json", before, after, lengths)
        for name, (file, before, after, lengths) in form.items()
    }
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    with ExitStack() as stack:
        ports, started = {}, {}
        for number, (name, url) in enumerate({"file (LMDB)": None, **urls}.items()):
            own = run / str(number)
            own.mkdir(mode=0o711)
            place = Place(free_port(), WORKERS, own, folder, folder)
            commands = [
                replace(
                    command,
                    arguments=[*command.arguments, "--state", str(own / "state")],
                    environment={**command.environment, **({} if url is None else {"SCORELINE_STORE": url})},
                )
                for command in side.start(place)
            ]
            started[name] = stack.enter_context(Processes(commands, own))
            wait_until_right(place.port, side, read_triage_corpus(folder), started[name].ended, START_S)
            ports[name] = place.port
        for number, kind in itertools.product(range(rounds), form):
            for name in ports if number % 2 == 0 else reversed(list(ports)):
                before_s = sum(started[name].cpu_seconds().values())
                load = put_load(wrk, ports[name], requests[kind], CONNECTIONS, seconds, 0)
                spent = sum(started[name].cpu_seconds().values()) - before_s
                found[f"{kind}: {name}"].append(
                    {"per_s": load.per_second, "p99": load.p99_ms, "cpu_us": spent / max(1, load.requests) * 1e6}
                )
    titles = {"per_s": "requests/s", "p99": "p99 ms", "cpu_us": "CPU us"}
    return _table("served, 16 connections", found, titles)


def _timed(function: Callable[[Any], Any], asked: Sequence[Any], each: int) -> dict[str, float]:
    for one in asked[:200]:
        function(one)
    taken = []
    cpu = time.process_time()
    for one in asked:
        begin = time.perf_counter()
        function(one)
        taken.append(time.perf_counter() - begin)
    cpu_s = time.process_time() - cpu
    taken.sort()
    p50, p99 = (taken[int(len(taken) * share)] * 1e6 for share in (0.5, 0.99))
    return {"per_s": len(asked) * each / sum(taken), "p50": p50, "p99": p99, "cpu_us": cpu_s / len(asked) / each * 1e6}


def _keys(folder: Path) -> list[tuple[str, ...]]:
    """Return some keys in random order, as that file has them."""
    with (folder / "records.keys").open() as file:
        return [tuple(json.loads(line).values()) for line in itertools.islice(file, CALLS)]


def _memory(link: Any) -> int:
    (told,) = link.ask((b"INFO", b"memory"))
    return int(next(line for line in told.splitlines() if line.startswith(b"used_memory:")).partition(b":")[2])


def _table(title: str, found: dict[str, list[dict[str, float]]], metrics: dict[str, str]) -> Rows:
    """Return the medians of the rounds; behind the first metric its ratio to the file's of the same kind."""
    rows = [[title, *metrics.values(), "/ file"]]
    for side, rounds in found.items():
        first = next(name for name in found if name.partition(":")[0] == side.partition(":")[0] or ":" not in name)
        ratios = [one["per_s"] / its["per_s"] for one, its in zip(rounds, found[first], strict=True)]
        shown = [f"{statistics.median(one[metric] for one in rounds):,.1f}" for metric in metrics]
        rows.append([side, *shown, f"{statistics.median(ratios):.2f}"])
    return rows


if __name__ == "__main__":
    sys.exit(main())
