"""The feature build of order triage on both engines, DuckDB and a Spark cluster on this machine, with a hot key too.

    python benchmarks/engines.py                                       # 1 and 10 million orders: an hour and a half
    python benchmarks/engines.py --orders 1000000                      # a quarter of an hour
    python benchmarks/engines.py --orders 20000 --rounds 1             # does it all work?

What is measured: benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import shutil
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from builds.tables import digest, make_tables
from harness.child import REPOSITORY, PartError, run_part
from harness.machine import describe_commit, describe_machine
from harness.prepare import cache_folder
from harness.report import as_markdown, as_text, rewrite_block

sys.path.append(str(REPOSITORY / "tests"))
from spark_cluster import Cluster

HERE = Path(__file__).parent
README, PART = HERE / "README.md", HERE / "builds/engine_part.py"
ENGINES = {
    "duckdb": "DuckDB",
    "spark": "Spark, into a results folder",
    "spark-parts": "Spark, `--output`: in parts, no CSV, no store",
}
HOT_SHARE, HOT_SKU = 0.5, "000hot"
SAMPLE_S = 0.5


def main() -> int:
    """Run what is asked for; return the exit code."""
    arguments = parse()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {
        **describe_commit(),
        "machine": describe_machine(),
        "versions": {name: importlib.metadata.version(name) for name in ("duckdb", "pyspark", "pyarrow")},
        "cases": [],
    }
    try:
        with Cluster() as cluster:
            for orders in arguments.orders:
                for is_hot in (False, True):
                    results["cases"].append(run_case(arguments, cluster, orders, is_hot))
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
    parser.add_argument("--rounds", type=int, default=1, help="of each case")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES), help="which to run")
    parser.add_argument("--out", type=Path, default=HERE / "last.engines.json", help="results")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="folder for what is made once")
    parser.add_argument("--update-readme", action="store_true", help="write the table into benchmarks/README.md too")
    return parser.parse_args()


def run_case(arguments: argparse.Namespace, cluster: Cluster, orders: int, is_hot: bool) -> dict[str, Any]:
    """Run the engines over tables of one size, in turn forwards and backwards."""
    data = make_tables(arguments.cache, orders, None)
    if is_hot:
        data = make_hot(data)
    case: dict[str, Any] = {"orders": orders, "hot": is_hot, "engines": {name: [] for name in arguments.engines}}
    for number in range(arguments.rounds):
        for engine in arguments.engines if number % 2 == 0 else reversed(arguments.engines):
            taken = run_engine(engine, data, arguments.cache, cluster)
            case["engines"][engine].append(taken)
            print(f"bench: {name_of(case)}, round {number + 1}: {engine}: {taken}", file=sys.stderr, flush=True)
    return case


def make_hot(data: Path) -> Path:
    """Give half of the orders, and of the stock rows, one sku; once for all runs."""
    folder = data.with_name(f"{data.name}-hot")
    if (folder / "stamp").is_file():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(data, folder)
    (folder / "stamp").unlink()
    for name, column in (("orders", "sku_code"), ("inventory", "sku_code")):
        with (data / f"{name}.csv").open() as source, (folder / f"{name}.csv").open("w") as target:
            head = next(source)
            at = head.strip().split(",").index(column)
            target.write(head)
            for number, line in enumerate(source):
                fields = line.split(",")
                if number % 2 == 0 and '"' not in line and len(fields) > at and fields[at]:
                    fields[at] = HOT_SKU
                target.write(",".join(fields))
    (folder / "stamp").touch()
    return folder


def run_engine(engine: str, data: Path, cache: Path, cluster: Cluster) -> dict[str, Any]:
    """Build in a folder that is gone afterwards; return what it took, and a digest of the values."""
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        out = Path(folder) / "out"
        with peak_of(cluster) as peak:
            taken = run_part(PART, engine, data, out, cluster.master)
        files = out / "feature.parquet" if (out / "feature.parquet").exists() else out / "feature"
        taken["values"] = digest(join_parts(files) if files.is_dir() else files)
    executors = int(sum(peak.cpu_s.values()))
    return {**taken, "executor_mb": peak.megabytes, "executors_cpu_s": executors}


def join_parts(folder: Path) -> Path:
    """Write a folder's Parquet files into one, in the order of their names."""
    import pyarrow.parquet as pq

    parts = sorted(folder.glob("part-*"))
    joined = folder / "_joined.parquet"
    with pq.ParquetWriter(joined, pq.read_schema(parts[0])) as writer:
        for part in parts:
            with pq.ParquetFile(part) as file:
                for batch in file.iter_batches():
                    writer.write_batch(batch)
    return joined


@dataclass
class Peak:
    """What the cluster's executors took, each with its Python.

    Attributes
    ----------
    megabytes : the most that one of them had at a time
    cpu_s : process -> seconds of CPU up to the last look at it
    """

    megabytes: int = 0
    cpu_s: dict[int, float] = field(default_factory=dict)


@contextmanager
def peak_of(cluster: Cluster) -> Iterator[Peak]:
    """Watch the cluster's executors."""
    peak, is_over = Peak(), threading.Event()

    def watch() -> None:
        while not is_over.wait(SAMPLE_S):
            for executor in cluster.executors():
                _look(executor, peak)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        is_over.set()
        thread.join()


def _look(executor: psutil.Process, peak: Peak) -> None:
    total = 0
    try:
        for member in [executor, *executor.children(recursive=True)]:
            total += member.memory_info().rss
            times = member.cpu_times()
            peak.cpu_s[member.pid] = times.user + times.system
    except psutil.NoSuchProcess:
        return
    peak.megabytes = max(peak.megabytes, total >> 20)


def table(results: Mapping[str, Any]) -> list[list[str]]:
    """Return the table: medians of the rounds, and ratios within each."""
    rows = [["", "build s", "/ DuckDB", "CPU s", "session s", "driver MB", "executor MB", "values", "rounds"]]
    for case in results["cases"]:
        duckdb = case["engines"].get("duckdb", [])
        wanted = {one["values"] for one in duckdb}
        for engine, rounds in case["engines"].items():
            if not rounds:
                continue
            ratios = [mine["build_s"] / its["build_s"] for mine, its in zip(rounds, duckdb, strict=False)]
            rows.append([
                f"{name_of(case)}: {ENGINES[engine]}",
                f"{statistics.median(one['build_s'] for one in rounds):.1f}",
                f"{statistics.median(ratios):.2f}" if ratios else "",
                f"{statistics.median(one['cpu_s'] + one['executors_cpu_s'] for one in rounds):.0f}",
                f"{statistics.median(one['start_s'] for one in rounds):.1f}",
                f"{max(one['peak_mb'] for one in rounds):,}",
                f"{max(one['executor_mb'] for one in rounds):,}" if engine != "duckdb" else "",
                "the same" if {one["values"] for one in rounds} == wanted else "others",
                str(len(rounds)),
            ])  # fmt: skip
    return rows


def name_of(case: Mapping[str, Any]) -> str:
    """Name a case."""
    return f"{case['orders']:,} orders{', half of one sku' if case['hot'] else ''}"


def finish(results: dict[str, Any], arguments: argparse.Namespace) -> None:
    """Print the table, and write the results and, if asked for, the README's block."""
    rows = table(results)
    print(as_text(rows))
    arguments.out.write_text(json.dumps(results, indent=1) + "\n")
    if arguments.update_readme:
        machine = results["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
        head = (
            f"{results['when']}, commit {results['commit']}; {machine['cores']} cores ({machine['cpu']}), "
            f"{machine['memory_gb']} GB, Python {machine['python']}, load before {machine['load_before']:.1f}; "
            f"{versions}."
        )
        README.write_text(rewrite_block(README.read_text(), f"{head}\n\n{as_markdown(rows)}", "engines"))


if __name__ == "__main__":
    sys.exit(main())
