"""The online store: building it and looking up in it, beside LMDB alone with the same bytes.

    python benchmarks/store.py                               # 1 and 10 million rows: about ten minutes, see the README
    python benchmarks/store.py --rows 20000 --rounds 1       # does it all work?

What is measured: benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness.child import PartError, run_part
from harness.machine import describe_commit, describe_machine
from harness.prepare import cache_folder
from harness.report import as_text, rewrite_block
from stores import figures

HERE = Path(__file__).parent
README, PART = HERE / "README.md", HERE / "stores/part.py"
THREADS = 2  # Arrow's; sorting and putting take one
LARGE = 2_000_000  # rows; from there on one round
VERSIONS = ("lmdb", "msgspec", "numpy", "pyarrow")


def main() -> int:
    """Run what is asked for; return the exit code."""
    arguments = parse()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = str(THREADS)
    results: dict[str, Any] = {
        **describe_commit(),
        "machine": describe_machine(),
        "settings": {"threads": THREADS, "rounds": arguments.rounds},
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
        "cases": [],
    }
    try:
        for rows in arguments.rows:
            rounds = [run_round(rows, number, arguments.cache) for number in range(_rounds(rows, arguments.rounds))]
            results["cases"].append({"rows": rows, "rounds": rounds})
    except PartError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        if results["cases"]:
            finish(results, arguments)
    return 0


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000], help="sizes")
    parser.add_argument("--rounds", type=int, default=3, help=f"of a store with fewer than {LARGE:,} rows")
    parser.add_argument("--out", type=Path, default=HERE / "last.store.json", help="results")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="folder on whose disk the stores are built")
    parser.add_argument("--update-readme", action="store_true", help="write the tables into benchmarks/README.md too")
    return parser.parse_args()


def run_round(rows: int, number: int, cache: Path) -> dict[str, Any]:
    """Build on both sides, in turn one first and the other; hold the files against each other; look up in both."""
    taken = {}
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        sides = ("ours", "bare") if number % 2 == 0 else ("bare", "ours")
        for part in (*sides, "compare", "look-up"):
            print(f"bench: {rows:,} rows, round {number + 1}: {part}", file=sys.stderr, flush=True)
            taken[part] = run_part(PART, part, folder, rows)
    return taken


def finish(results: dict[str, Any], arguments: argparse.Namespace) -> None:
    """Print the tables, and write the results and, if asked for, the README's block."""
    for rows in figures.tables(results):
        print(as_text(rows), end="\n\n")
    arguments.out.write_text(json.dumps(results, indent=1) + "\n")
    if arguments.update_readme:
        README.write_text(rewrite_block(README.read_text(), figures.as_page(results), "store"))


def _rounds(rows: int, rounds: int) -> int:
    return rounds if rows < LARGE else 1


if __name__ == "__main__":
    sys.exit(main())
