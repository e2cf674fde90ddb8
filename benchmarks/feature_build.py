"""The feature build of order triage beside plain DuckDB SQL and pandas, on the same tables.

    python benchmarks/feature_build.py                                  # all cases: about half an hour, see the README
    python benchmarks/feature_build.py --orders 20000 --rounds 1        # does it all work?

What is measured, and what each side does: benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from builds import figures
from builds.tables import make_tables
from harness.child import PartError, run_part
from harness.machine import describe_commit, describe_machine
from harness.prepare import cache_folder
from harness.report import as_text, rewrite_block
from peers.install import Peer, install

HERE = Path(__file__).parent
README, PART = HERE / "README.md", HERE / "builds/part.py"
THREADS = 2
LARGE = 2_000_000  # orders; from there on one round, of ours and plain SQL alone
SIDES = ("sql", "ours", "sql-no-zones", "pandas")
OURS = ("duckdb", "lmdb", "numpy", "pyarrow")


def main() -> int:
    """Run what is asked for; return the exit code."""
    arguments = parse()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = str(THREADS)
    results: dict[str, Any] = {
        **describe_commit(),
        "machine": describe_machine(),
        "settings": {"threads": THREADS, "rounds": arguments.rounds},
        "versions": {name: importlib.metadata.version(name) for name in OURS},
        "cases": [],
    }
    pandas, why = install_pandas(arguments.cache)
    results["versions"] |= pandas.versions if pandas else {}
    try:
        for orders in arguments.orders:
            for skus in arguments.skus:
                case = run_case(arguments.cache, orders, skus or None, arguments.rounds, pandas, why)
                results["cases"].append(case)
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
    parser.add_argument("--orders", type=int, nargs="+", default=[1_000_000, 10_000_000], help="sizes")
    parser.add_argument("--skus", type=int, nargs="+", default=[0, 1_000], help="0: a 40th of the orders")
    parser.add_argument("--rounds", type=int, default=3, help=f"of a case with fewer than {LARGE:,} orders")
    parser.add_argument("--out", type=Path, default=HERE / "last.features.json", help="results")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="folder for what is made once")
    parser.add_argument("--update-readme", action="store_true", help="write the tables into benchmarks/README.md too")
    return parser.parse_args()


def install_pandas(cache: Path) -> tuple[Peer | None, str]:
    """Make pandas' environment; without one, say why."""
    try:
        return install("pandas", cache, None), ""
    except RuntimeError as error:
        return None, str(error)


def run_case(cache: Path, orders: int, skus: int | None, rounds: int, pandas: Peer | None, why: str) -> dict[str, Any]:
    """Run the sides over tables of one size, in turn forwards and backwards."""
    data = make_tables(cache, orders, skus)
    sides = [side for side in SIDES if orders < LARGE or side in ("sql", "ours")]
    case: dict[str, Any] = {"orders": orders, "skus": skus, "sides": {s: {"why": "", "rounds": []} for s in sides}}
    if "pandas" in sides and pandas is None:
        case["sides"]["pandas"]["why"] = why
        sides.remove("pandas")
    for number in range(rounds if orders < LARGE else 1):
        for side in sides if number % 2 == 0 else reversed(sides):
            python = pandas.bin / "python" if pandas and side == "pandas" else sys.executable
            taken = run_side(side, data, cache, python)
            case["sides"][side]["rounds"].append(taken)
            print(
                f"bench: {orders:,} orders, round {number + 1}: {side}: {taken['wall_s']:.1f} s, "
                f"CPU {taken['cpu_s']:.1f} s, peak {taken['peak_mb']:,} MB",
                file=sys.stderr,
                flush=True,
            )
    return case


def run_side(side: str, data: Path, cache: Path, python: str | Path = sys.executable) -> dict[str, Any]:
    """Build in a folder that is gone afterwards; return what it took, and a digest of the values."""
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        out = Path(folder) / "out"
        taken = run_part(PART, side, data, out, THREADS, python=python)
        values = run_part(PART, "values", data, out, THREADS)["values"]
        shutil.rmtree(out)
    return {**taken, "values": values}


def finish(results: dict[str, Any], arguments: argparse.Namespace) -> None:
    """Print the tables, and write the results and, if asked for, the README's block."""
    for rows in figures.tables(results):
        print(as_text(rows), end="\n\n")
    arguments.out.write_text(json.dumps(results, indent=1) + "\n")
    if arguments.update_readme:
        README.write_text(rewrite_block(README.read_text(), figures.as_page(results), "features"))


if __name__ == "__main__":
    sys.exit(main())
