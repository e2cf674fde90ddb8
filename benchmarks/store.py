"""The online store: building it and looking up in it, beside LMDB alone with the same bytes.

    PYTHONPATH=src python benchmarks/store.py --rows 1000000 [--json store.json]

- build: `StoreWriter.add_batch` over batches of a feature table in no order, beside `putmulti` of the very same pairs
  of bytes: already in key order, a hundred thousand at a time ("bare"), and as a list in no order that is sorted first
  ("sorted"). Making the rows, and having the pairs at hand, is not timed; the sync is.
- lookup: `EmbeddedStore.get` of a tuple, giving a list, beside a bare `get` of the key's bytes, giving bytes. Random
  keys, each once; the two take turns.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pyarrow as pa
from child import REPOSITORY, machine, run_part

BATCH_ROWS = 1 << 17
PAIRS_AT_ONCE = 100_000
LOOKUPS, TURNS = 200_000, 10


def feature_batches(rows: int) -> Iterator[pa.RecordBatch]:
    """Make rows like those of order triage: a key of four texts, a time, seven features; in no order."""
    from scoreline.app.load import load_module

    sample = load_module(REPOSITORY / "apps/order_triage/make_sample.py")
    rng = np.random.default_rng(7)
    order = rng.permutation(rows)
    width = max(7, len(str(rows - 1)))
    statuses = pa.array(["OK", "FAILED", "VERIFY_ADDRESS", "VERIFY_BANK_DETAILS", None])
    methods = pa.array(["CREDIT_CARD", "ONLINE_PAYMENT", "ON_DELIVERY", None])
    for first in range(0, rows, BATCH_ROWS):
        some = order[first : first + BATCH_ROWS]
        count = len(some)
        time_us = 1_620_000_000_000_000 + rng.integers(0, 90 * 86_400, count) * 1_000_000
        stock = rng.integers(0, 500, count)
        available = 1_600_000_000_000_000 + rng.integers(0, 400, count) * 86_400_000_000
        texts = [
            sample.ids(b"O", some, width),
            sample.ids(b"C", rng.integers(0, max(1, rows * 2 // 5), count), width),
            sample.digits(rng.integers(0, max(50, rows // 40), count), 6),
            sample.digits(rng.integers(0, 99_999, count), 5),
        ]
        yield pa.record_batch(
            {
                **{f"key_{part}": pa.array(text).cast(pa.string()) for part, text in enumerate(texts)},
                "time": pa.array(time_us).cast(pa.timestamp("us")),
                "hour": pa.array(time_us // 3_600_000_000 % 24),
                "stock": pa.array(stock, mask=stock > 450),
                "status": statuses.take(pa.array(rng.integers(0, 5, count))),
                "served": pa.array(stock % 2 == 0),
                "quantity": pa.array(rng.integers(1, 11, count)),
                "method": methods.take(pa.array(rng.integers(0, 4, count))),
                "available": pa.array(available, mask=stock % 7 == 0).cast(pa.timestamp("us")),
            }
        )


def build(path: Path, rows: int) -> dict[str, Any]:
    """Build the store; making up the rows is not counted."""
    from scoreline.store.writer import StoreWriter

    clock = Clock()
    with StoreWriter(path, 4, {}) as writer:
        for batch in feature_batches(rows):
            with clock:
                writer.add_batch(batch)
        clock.__enter__()
    clock.__exit__()
    return clock.taken


def put(path: Path, other: Path) -> dict[str, Any]:
    """Put the same pairs into another file, in key order."""
    clock = Clock()
    with open_store(path) as store, store.begin() as reading:
        env = lmdb.open(str(other), subdir=False, lock=False, map_size=1 << 40, sync=False, metasync=False, max_dbs=0)
        pairs = iter(reading.cursor())
        while some := list(itertools.islice(pairs, PAIRS_AT_ONCE)):
            with clock, env.begin(write=True) as transaction, transaction.cursor() as cursor:
                cursor.putmulti(some)
        with clock:
            env.sync(True)
            env.close()
    return clock.taken


def sort_and_put(path: Path, other: Path) -> dict[str, Any]:
    """Sort the same pairs, all in memory, and put them into another file."""
    with open_store(path) as store, store.begin() as reading:
        pairs = list(reading.cursor())
    random.Random(7).shuffle(pairs)
    env = lmdb.open(str(other), subdir=False, lock=False, map_size=1 << 40, sync=False, metasync=False, max_dbs=0)
    with (clock := Clock()):
        pairs.sort()
        with env.begin(write=True) as transaction, transaction.cursor() as cursor:
            cursor.putmulti(pairs, append=True)
        env.sync(True)
        env.close()
    return clock.taken


def look_up(path: Path, same: Path) -> dict[str, Any]:
    """Look random keys up, as tuples in one file and as bytes in the other, in turns; microseconds each."""
    import msgspec

    from scoreline.store.embedded import EmbeddedStore

    with open_store(same) as bare:  # LMDB opens no file twice in a process
        with bare.begin() as reading:
            every = max(1, bare.stat()["entries"] // LOOKUPS)
            some = itertools.islice(reading.cursor().iternext(values=False), 0, LOOKUPS * every, every)
            encoded = [key for key in some if not key.startswith(b"\xc1")]
        random.Random(7).shuffle(encoded)
        keys = [tuple(msgspec.msgpack.decode(bytes([0x94]) + key)) for key in encoded]

        def bare_get(key: bytes) -> bytes | None:
            with bare.begin() as transaction:
                return transaction.get(key)

        taken: dict[str, list[float]] = {"bare_us": [], "ours_us": []}
        step = len(keys) // TURNS
        store = EmbeddedStore(path)
        assert all(store.get(key) is not None for key in keys)
        for turn in range(TURNS):
            places = slice(turn * step, (turn + 1) * step)
            for name, get, asked in (("bare_us", bare_get, encoded[places]), ("ours_us", store.get, keys[places])):
                begin = time.process_time()
                for key in asked:
                    get(key)
                taken[name].append((time.process_time() - begin) / len(asked) * 1e6)
        store.close()
    return {name: round(statistics.median(values), 3) for name, values in taken.items()}


class Clock:
    """Adds up what its blocks take."""

    def __init__(self) -> None:
        self.taken = {"part_wall_s": 0.0, "part_cpu_s": 0.0}

    def __enter__(self) -> Clock:
        self._begin = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.taken["part_wall_s"] += time.perf_counter() - self._begin[0]
        self.taken["part_cpu_s"] += time.process_time() - self._begin[1]


def open_store(path: Path) -> lmdb.Environment:
    return lmdb.open(str(path), subdir=False, readonly=True, lock=False, max_dbs=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        store, other = options.folder / "store.lmdb", options.folder / "bare.lmdb"
        parts = {
            "build": lambda: build(store, options.rows),
            "put": lambda: put(store, other),
            "sort_and_put": lambda: sort_and_put(store, options.folder / "sorted.lmdb"),
            "look_up": lambda: look_up(store, other),
        }
        print(json.dumps(parts[options.part]()))
        return
    with tempfile.TemporaryDirectory() as folder:
        parts = {
            part: run_part(__file__, "--part", part, "--folder", folder, "--rows", str(options.rows))
            for part in ("build", "put", "sort_and_put", "look_up")
        }
        sizes = {name: (Path(folder) / f"{name}.lmdb").stat().st_size for name in ("store", "bare")}
    sides = {"ours": parts["build"], "bare": parts["put"], "sorted": parts["sort_and_put"]}
    looked = parts["look_up"]
    figures = {
        "rows": options.rows,
        "build": {
            side: {
                "wall_s": round(part["part_wall_s"], 2),
                "cpu_s": round(part["part_cpu_s"], 2),
                "wall_ratio": round(sides["ours"]["part_wall_s"] / part["part_wall_s"], 2),
                "cpu_ratio": round(sides["ours"]["part_cpu_s"] / part["part_cpu_s"], 2),
                "peak_mb": part["peak_mb"],
            }
            for side, part in sides.items()
        },
        "store_mb": round(sizes["store"] / 2**20),
        "bare_mb": round(sizes["bare"] / 2**20),
        "lookup": {name: looked[name] for name in ("bare_us", "ours_us")},
        "lookup_ratio": round(looked["ours_us"] / looked["bare_us"], 2),
        "machine": machine(),
    }
    print(json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
