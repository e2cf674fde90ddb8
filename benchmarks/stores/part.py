"""One part of the store's benchmark in this process; `benchmarks/store.py` runs `stores/part.py PART FOLDER ROWS`.

What it took is printed as JSON in the last line. The files are `FOLDER/ours.lmdb` and `FOLDER/bare.lmdb`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parents[1])  # not this folder: the benchmarks'

import lmdb
import msgspec
from stores.clock import Clock
from stores.rows import KEY_PARTS, feature_batches

from scoreline.store import writer
from scoreline.store.embedded import EmbeddedStore
from scoreline.store.encode import HEAD_BYTES, as_list, encode_batch

LOOKUPS, TURNS = 200_000, 10
OURS, BARE = "ours.lmdb", "bare.lmdb"
RESERVED = b"\xc1"  # no key of a row begins with it


def build_ours(folder: Path, rows: int) -> dict[str, Any]:
    """Build the store with `StoreWriter`, from batches of a feature table; making those is not timed, the sync is."""
    clock = Clock()
    for name, function in (("encode", "encode_batch"), ("sort", "row_order"), ("bytes of rows", "_items")):
        setattr(writer, function, clock.timed(name, getattr(writer, function)))
    writer.StoreWriter._put = clock.timed("put", writer.StoreWriter._put)  # type: ignore[method-assign]
    store = writer.StoreWriter(folder / OURS, KEY_PARTS, {})
    for batch in feature_batches(rows):
        with clock.of("all"):
            store.add_batch(batch)
    with clock.of("all"):
        store.__exit__(None)
    return clock.describe("all", "spool, merge, sync")


def build_bare(folder: Path, rows: int) -> dict[str, Any]:
    """Sort the same pairs of bytes, all of them in memory, and put them with `putmulti(append=True)`.

    The pairs stand in memory in the order in which the rows come; that they are there is not timed.
    """
    pairs = []
    for batch in feature_batches(rows):
        encoded = encode_batch(batch, KEY_PARTS)
        ends = (encoded["key_bytes"].to_numpy() + HEAD_BYTES).tolist()
        pairs += [(row[HEAD_BYTES:end], row) for row, end in zip(as_list(encoded["row"]), ends, strict=True)]
    clock = Clock()
    with clock.of("all"):
        env = lmdb.open(
            str(folder / BARE), subdir=False, lock=False, map_size=1 << 40, sync=False, metasync=False, max_dbs=0
        )
        with clock.of("sort"):
            pairs.sort()
        with clock.of("put"), env.begin(write=True) as transaction, transaction.cursor() as cursor:
            cursor.putmulti(pairs, append=True)
        env.sync(True)
        env.close()
    return clock.describe("all", "sync")


def compare(folder: Path, rows: int) -> dict[str, Any]:
    """Make sure that both files hold the same pairs; return the files' sizes."""
    digests = []
    for name in (OURS, BARE):
        digest, count = hashlib.sha256(), 0
        with _opened(folder / name) as env, env.begin() as reading:
            for key, value in reading.cursor():
                if not key.startswith(RESERVED):
                    digest.update(b"%d %d " % (len(key), len(value)) + key + value)
                    count += 1
        digests.append((digest.hexdigest(), count))
    if digests[0] != digests[1] or digests[0][1] != rows:
        raise SystemExit(f"the files differ: {digests}")
    return {"ours_mb": _megabytes(folder / OURS), "bare_mb": _megabytes(folder / BARE)}


def look_up(folder: Path, rows: int) -> dict[str, Any]:
    """Look random keys up, as tuples by `EmbeddedStore.get` and as bytes by a bare get in turns; CPU microseconds."""
    store = EmbeddedStore(folder / OURS)
    taken: dict[str, list[float]] = {"bare_us": [], "ours_us": []}
    with _opened(folder / BARE) as bare:  # LMDB opens no file twice in a process

        def bare_get(key: bytes) -> bytes | None:
            with bare.begin() as transaction:
                return transaction.get(key)

        encoded = _some_keys(bare, rows)
        keys = [tuple(msgspec.msgpack.decode(bytes([0x90 | KEY_PARTS]) + key)) for key in encoded]
        assert all(store.get(key) is not None for key in keys)
        assert all(bare_get(key) is not None for key in encoded)
        step = max(1, len(keys) // TURNS)
        for first in range(0, len(keys), step):
            for name, get, asked in (("bare_us", bare_get, encoded), ("ours_us", store.get, keys)):
                some = asked[first : first + step]
                begin = time.process_time()
                for key in some:
                    get(key)
                taken[name].append((time.process_time() - begin) / len(some) * 1e6)
    store.close()
    ratios = [ours / bare for ours, bare in zip(taken["ours_us"], taken["bare_us"], strict=True)]
    medians = {name: round(statistics.median(values), 3) for name, values in taken.items()}
    return {**medians, "ratio": round(statistics.median(ratios), 3), "keys": len(keys)}


def _some_keys(env: lmdb.Environment, rows: int) -> list[bytes]:
    """Return keys from all over the file, in no order."""
    every = max(1, rows // LOOKUPS)
    with env.begin() as reading, reading.cursor() as cursor:
        keys = list(itertools.islice(cursor.iternext(values=False), 0, None, every))[:LOOKUPS]
    random.Random(7).shuffle(keys)
    return keys


def _opened(path: Path) -> lmdb.Environment:
    return lmdb.open(str(path), subdir=False, readonly=True, lock=False, max_dbs=0)


def _megabytes(path: Path) -> int:
    return round(path.stat().st_size / 2**20)


PARTS = {"ours": build_ours, "bare": build_bare, "compare": compare, "look-up": look_up}

if __name__ == "__main__":
    print(json.dumps(PARTS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))))
