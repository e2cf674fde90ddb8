"""The parts of `live.py`: each starts a server or several, and returns what came of it as JSON-able data."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.load import Load, Loading, Requests, put_load
from harness.measure import MANY, WARM_S, bounds

from services.editions import Edition, read_editions
from services.server import REFRESH_S, SINGLE, LiveError, Server, serving
from services.starts import first_answers

REFRESHED_WORKERS = 2  # of the server that is refreshed under load, as those of run.py


@dataclass(frozen=True)
class Options:
    """What a run was asked for.

    Attributes
    ----------
    folder : order triage with its orders
    sample : order triage, as large as the sample
    reloads : between the second and the third look at memory
    seconds : of each load before and after a refresh
    rounds : how often a table is refreshed under load
    """

    folder: Path
    sample: Path
    reloads: int
    starts: int
    seconds: int
    rounds: int
    wrk: str


def measure_memory(options: Options, workers: int, runtime: str) -> dict[str, Any]:
    """Look at a server's memory after the start, after every row was read, and again after reloads."""
    editions = read_editions(options.folder)
    with serving(options.folder, editions[0], workers, runtime) as server:
        started = first_answers(server, json.dumps(editions[0].keys[0]))
        server.wait_for_workers()
        server.check(editions[0])
        held, pids = {"started": server.look()}, _pids(server)
        rows = server.read_all()
        held["read"] = server.look()
        refresh_s = [_reload(server, editions[(number + 1) % 2]) for number in range(options.reloads)]
        server.read_all()
        held["reloaded"] = server.look()
        if _pids(server) != pids:
            raise LiveError("a worker was replaced meanwhile: what it held is not known")
    return {"workers": workers, **started, "rows": rows, "held": held, "refresh_s": refresh_s}


def measure_refresh(options: Options, runtime: str) -> dict[str, Any]:
    """Load a server before, during and after a refresh, some rounds."""
    editions = read_editions(options.folder)
    with serving(options.folder, editions[0], REFRESHED_WORKERS, runtime) as server:
        first_answers(server, json.dumps(editions[0].keys[0]))
        server.wait_for_workers()
        load = _Loads(options, server, server.check(editions[0]))
        load.put(WARM_S)
        rounds = []
        for number in range(options.rounds):
            edition = editions[(number + 1) % 2]
            before = load.put(options.seconds)
            during, refresh_s = load.put_while_refreshing(edition)
            after = load.put(options.seconds)
            server.wait_until_adopted()
            server.check(edition)
            loads = {"before": before, "during": during, "after": after}
            rounds.append({"refresh_s": refresh_s, **{name: dataclasses.asdict(one) for name, one in loads.items()}})
    return {"workers": REFRESHED_WORKERS, "rounds": rounds}


def measure_starts(options: Options, runtime: str) -> list[dict[str, float]]:
    """Start a server as large as the sample, some times; one start before warms the disk."""
    edition, _ = read_editions(options.sample)
    found = []
    for _ in range(1 + options.starts):
        with serving(options.sample, edition, REFRESHED_WORKERS, runtime) as server:
            found.append(first_answers(server, json.dumps(edition.keys[0])))
    return found[1:]


class _Loads:
    """Loads of one server, each of which goes on in the file where the last one ended."""

    def __init__(self, options: Options, server: Server, lengths: tuple[int, int]) -> None:
        self._wrk, self._server, self._position = options.wrk, server, 0
        body = dataclasses.asdict(SINGLE)
        records = options.folder / f"records.{body.pop('form')}"
        self._requests = Requests(file=records, lengths=bounds(lengths), **body)

    def put(self, seconds: float) -> Load:
        load = put_load(self._wrk, self._server.port, self._requests, MANY, seconds, self._position)
        self._position = load.position
        return load

    def put_while_refreshing(self, edition: Edition) -> tuple[Load, float]:
        """Put load for as long as a refresh takes; return also the seconds that it took."""
        with Loading(self._wrk, self._server.port, self._requests, MANY, REFRESH_S, self._position) as loading:
            refresh_s = self._server.refresh(edition)
            load = loading.stopped()
        self._position = load.position
        return load, refresh_s


def _reload(server: Server, edition: Edition) -> float:
    seconds = server.refresh(edition)
    server.wait_until_adopted()
    server.check(edition)
    return seconds


def _pids(server: Server) -> set[int]:
    return {worker.pid for worker in server.find_workers()}
