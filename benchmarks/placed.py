"""Orders as they are placed: the live road beside the table's, and ingest beside bare LMDB.

    python benchmarks/placed.py                                       # about two minutes
    python benchmarks/placed.py --seconds 1 --rounds 1 --orders 2000  # does it work?

Order triage, 2 workers, 16 connections. `table`: keys of the feature table. `live`: the same orders with another sku,
so that none is in the table, with time and quantity; features made from the rows of three tables. In turn on one
server: requests/s, p99, and CPU time of all its processes for a request; then in one process, where nothing but
`answer` is timed. Ingest: rows/s for each second of CPU time and of the clock, in batches of a thousand, each synced to
disk; beside it the same keys and values put into a bare LMDB file, a transaction and a sync for each batch. Last both
at once: the load of live requests alone, beside 10 batches posted each second, and beside as many as are taken.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import itertools
import json
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb
import urllib3
from harness.answers import read_triage_corpus, wait_until_right
from harness.command import end_in_order, whole
from harness.load import Loading, Requests, find_wrk, put_load
from harness.prepare import SEED, TRIAGE_APP, cache_folder, prepare_triage
from harness.processes import Processes
from harness.report import as_text
from harness.sides import SIDES, Place, free_port

from scoreline.app.load import load_app
from scoreline.generations.ingest import Ingest
from scoreline.serving.answer import answer
from scoreline.serving.service import load_service
from scoreline.serving.start import open_generation
from scoreline.settings import resolve_settings
from scoreline.store.events import event_log

WORKERS, CONNECTIONS, START_S = 2, 16, 60
LENGTHS = (1, 10**8)
ROADS = ("table", "live")
BATCH_ROWS, BATCHES, CALLS = 1_000, 100, 5_000
PACE = 10_000  # rows a second, what is asked of ingest while serving goes on
JSON = {"Content-Type": "application/json"}
Rows = list[list[str]]


def main() -> int:
    """Measure all of it, and print tables."""
    arguments = parse()
    end_in_order()
    folder = prepare_triage(arguments.cache, arguments.orders)
    write_placed(folder)
    with _server(folder, find_wrk()) as load:
        print(as_text(served(load, arguments.seconds, arguments.rounds)), end="\n\n")
    print(as_text(in_process(folder, arguments.rounds)), end="\n\n")
    print(as_text(ingested(arguments.rounds)), end="\n\n")
    with _server(folder, find_wrk()) as load:
        print(as_text(while_serving(load, arguments.seconds, arguments.rounds)))
    return 0


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--orders", type=whole, default=20_000, help="orders in the online store")
    parser.add_argument("--seconds", type=whole, default=4, help="of each load")
    parser.add_argument("--rounds", type=whole, default=5, help="how often each is run")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="folder for what is made once")
    return parser.parse_args()


def write_placed(folder: Path) -> None:
    """Write the orders as they would be placed, in random order, each with the sku of another."""
    import pyarrow.parquet as pq

    columns = ["order_id", "customer_id", "sku_code", "zip_code", "timestamp", "quantity"]
    rows = pq.read_table(folder / "results/feature.parquet", columns=columns).to_pylist()
    random.Random(SEED).shuffle(rows)
    with (folder / "placed.keys").open("w") as file:
        for row, other in zip(rows, [*rows[1:], rows[0]], strict=True):
            placed = {**row, "sku_code": other["sku_code"], "timestamp": f"{row['timestamp'].isoformat()}Z"}
            file.write(json.dumps(placed, separators=(",", ":")) + "\n")


@dataclass
class Served:
    """A running server and what it is asked."""

    port: int
    wrk: str
    processes: Processes
    requests: dict[str, Requests]

    def cpu_seconds(self) -> float:
        """Return the CPU time of all its processes so far."""
        return sum(self.processes.cpu_seconds().values())


@contextlib.contextmanager
def _server(folder: Path, wrk: str) -> Iterator[Served]:
    side = next(side for side in SIDES if side.name == "triage")
    files = {"table": folder / "records.keys", "live": folder / "placed.keys"}
    requests = {
        road: Requests(path, "/invocations", JSON["Content-Type"], "", "", LENGTHS) for road, path in files.items()
    }
    with tempfile.TemporaryDirectory(prefix="scoreline-bench-", dir="/tmp") as run:
        Path(run).chmod(0o711)
        place = Place(free_port(), WORKERS, Path(run), folder, folder)
        with Processes(side.start(place), Path(run)) as processes:
            wait_until_right(place.port, side, read_triage_corpus(folder), processes.ended, START_S)
            for road in ROADS:
                put_load(wrk, place.port, requests[road], CONNECTIONS, 1, 0)
            yield Served(place.port, wrk, processes, requests)


def served(of: Served, seconds: int, rounds: int) -> Rows:
    """Load one server with both kinds of request, in turn."""
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for number in range(rounds):
        for road in ROADS if number % 2 == 0 else reversed(ROADS):
            before = of.cpu_seconds()
            load = put_load(of.wrk, of.port, of.requests[road], CONNECTIONS, seconds, 0)
            spent = of.cpu_seconds() - before
            found[road].append({"per_s": load.per_second, "p99": load.p99_ms, "cpu_us": spent / load.requests * 1e6})
    return _table("served, 16 connections", found, {"per_s": "requests/s", "p99": "p99 ms", "cpu_us": "CPU us"})


def while_serving(of: Served, seconds: int, rounds: int) -> Rows:
    """Load one server with live requests, alone and while batches are posted to it."""
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    bodies = _bodies()
    sides = {"live alone": 0.0, f"beside {PACE:,} rows/s": PACE / BATCH_ROWS, "beside all it takes": float("inf")}
    for number in range(rounds):
        for name, pace in sides.items() if number % 2 == 0 else reversed(list(sides.items())):
            with Loading(of.wrk, of.port, of.requests["live"], CONNECTIONS, seconds) as loading:
                rows = _post(of.port, bodies, seconds - 0.5, pace)
                load = loading.ended()
            if load.wrong:
                raise SystemExit(f"{load.wrong} of {load.requests} replies were wrong")
            found[name].append({"rows": rows, "per_s": load.per_second, "p99": load.p99_ms})
    metrics = {"rows": "rows in / s", "per_s": "requests/s", "p99": "p99 ms"}
    return _table(f"ingest while serving, {CONNECTIONS} connections", found, metrics)


def _bodies() -> Iterator[bytes]:
    """Yield batches without end, no two alike."""
    for number in itertools.count():
        for rows in _rows():
            line = '{"sku_code":"%s","timestamp":"%s","inventory":%d}'
            yield "\n".join(line % (sku, moment, pieces + number) for sku, moment, pieces in rows).encode()


def _post(port: int, bodies: Iterator[bytes], seconds: float, per_s: float) -> float:
    """Post so many batches a second, one after the other; return the rows that were acknowledged in each second."""
    pool = urllib3.PoolManager()
    begin, sent = time.monotonic(), 0
    while (now := time.monotonic() - begin) < seconds:
        if sent >= now * per_s:
            time.sleep(0.005)
            continue
        url = f"http://127.0.0.1:{port}/ingest/inventory"
        reply = pool.request("POST", url, body=next(bodies), headers={"Content-Type": "application/jsonlines"})
        if reply.status != 200:
            raise SystemExit(f"ingest answered {reply.status}: {reply.data[:300]!r}")
        sent += 1
    return sent * BATCH_ROWS / (time.monotonic() - begin)


def in_process(folder: Path, rounds: int) -> Rows:
    """Call `answer` with both kinds of request, in turn; what is loaded is left out of collections, as in a worker."""
    own = {name: folder / name for name in ("data", "model", "results")}
    with tempfile.TemporaryDirectory() as state:
        settings = resolve_settings({"app": TRIAGE_APP, **own, "state": Path(state)}, {})
        open_generation(settings, print)
        service = load_service(settings)
        bodies = {
            road: [line.encode() for line in (folder / name).read_text().splitlines()[:CALLS]]
            for road, name in (("table", "records.keys"), ("live", "placed.keys"))
        }
        gc.collect()
        gc.freeze()
        found: dict[str, list[dict[str, float]]] = defaultdict(list)
        for number in range(2 * rounds):
            for road in ROADS if number % 2 == 0 else reversed(ROADS):
                begin = time.process_time()
                for body in bodies[road]:
                    answer(service, "POST", "/invocations", JSON, body)
                found[road].append({"cpu_us": (time.process_time() - begin) / len(bodies[road]) * 1e6})
        event_log(Path(state)).close()
    return _table("`answer` in one process", found, {"cpu_us": "CPU us"})


def ingested(rounds: int) -> Rows:
    """Append batches of inventory, as JSON Lines and CSV, and the same pairs to a bare file."""
    sides: dict[str, Callable[[Path], None]] = {
        "bare LMDB": _put_bare, "JSON Lines": _append_lines, "CSV": _append_csv,
    }  # fmt: skip
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for number in range(rounds):
        for name in sides if number % 2 == 0 else reversed(list(sides)):
            with tempfile.TemporaryDirectory() as folder:
                begin = time.process_time(), time.perf_counter()
                sides[name](Path(folder))
                cpu_s, wall_s = time.process_time() - begin[0], time.perf_counter() - begin[1]
                event_log(Path(folder)).close()
            rows = BATCHES * BATCH_ROWS
            found[name].append({"cpu": rows / cpu_s, "wall": rows / wall_s})
    return _table("ingest, batches of 1,000", found, {"cpu": "rows / CPU s", "wall": "rows / s"})


def _rows() -> Iterator[list[tuple[str, str, int]]]:
    chance = random.Random(SEED)
    for batch in range(BATCHES):
        yield [
            (f"{chance.randrange(10**6):06}", f"2026-01-{1 + batch % 28:02}T{row // 60 % 24:02}:{row % 60:02}:00Z", row)
            for row in range(BATCH_ROWS)
        ]


def _append_lines(folder: Path) -> None:
    into = Ingest(load_app(TRIAGE_APP), folder)
    for rows in _rows():
        line = '{"sku_code":"%s","timestamp":"%s","inventory":%d}'
        into.append_body("inventory", "\n".join(line % row for row in rows).encode(), "json-lines")


def _append_csv(folder: Path) -> None:
    into = Ingest(load_app(TRIAGE_APP), folder)
    for rows in _rows():
        body = "sku_code,timestamp,inventory\n" + "".join(f"{sku},{moment},{pieces}\n" for sku, moment, pieces in rows)
        into.append_body("inventory", body.encode(), "csv")


def _put_bare(folder: Path) -> None:
    """Put pairs of the same size, a row and its place in the index, in the order in which they are put by ingest."""
    env = lmdb.open(str(folder / "bare.lmdb"), subdir=False, map_size=1 << 36, max_dbs=0)
    number = 0
    for rows in _rows():
        log, index = [], []
        for sku, moment, pieces in rows:
            number += 1
            place = number.to_bytes(8, "big")
            log.append((b"L" + place, f"{sku}{moment}{pieces}".encode().ljust(120)))
            index.append((b"\xc7\x00\xa6" + sku.encode() + moment.encode()[:8] + place, b""))
        with env.begin(write=True) as transaction, transaction.cursor() as cursor:
            cursor.putmulti(log)
            cursor.putmulti(sorted(index))
    env.close()


def _table(title: str, found: dict[str, list[dict[str, Any]]], metrics: dict[str, str]) -> Rows:
    """Return the medians of the rounds, and of the ratios to the first side within each round."""
    first = next(name for name in (ROADS[0], "bare LMDB", "live alone") if name in found)
    rows = [[title, *(cell for name in metrics.values() for cell in (name, f"/ {first}"))]]
    for side, rounds in found.items():
        row = [side]
        for metric in metrics:
            ratios = [one[metric] / its[metric] for one, its in zip(rounds, found[first], strict=True) if its[metric]]
            row.append(f"{statistics.median(one[metric] for one in rounds):,.1f}")
            row.append(f"{statistics.median(ratios):.2f}" if ratios else "")
        rows.append(row)
    return rows


if __name__ == "__main__":
    sys.exit(main())
