"""What a tree model costs by each runtime: `python benchmarks/trees.py`, about a minute.

One run measures all runtimes in turn, round after round, so that what else the machine does hits all
of them; the best round counts warm, the median cold. Trust the ratios.
"""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # as a worker of `serve` runs
    os.environ.setdefault(_variable, "1")

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from scoreline.model.evaluate import raw_scores
from scoreline.model.importing import import_trees
from scoreline.model.runtimes import EstimatorRuntime, GtilRuntime, KernelRuntime, RuntimeAbsentError
from scoreline.model.trees import FlatTrees

COLUMNS, BULK_ROWS, ROUNDS, COLD_CALLS = 4, 20_000, 5, 40
EVICTED_BYTES = 96 << 20  # more than the last cache of most machines; touched between two cold calls
Score = Callable[[np.ndarray], object]


def made_rows(rows: int, seed: int) -> np.ndarray:
    """Return rows of four numbers, a twentieth of them missing."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, COLUMNS))
    x[rng.random(x.shape) < 0.05] = np.nan
    return x


def fitted(classes: int) -> HistGradientBoostingClassifier:
    """Fit 100 iterations: 100 trees for two classes, 500 for five."""
    x = made_rows(20_000, 0)
    noise = np.random.default_rng(1).normal(size=len(x)) * 0.5
    score = np.nan_to_num(x[:, 0]) + np.nan_to_num(x[:, 1] * x[:, 2]) + noise
    y = np.digitize(score, np.quantile(score, np.arange(1, classes) / classes))
    return HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=0).fit(x, y)


def runtimes_of(estimator: HistGradientBoostingClassifier, folder: Path) -> dict[str, Score]:
    """Return what scores: over one flat file, as `serve` maps it, and the estimator."""
    path = folder / "a.trees"
    import_trees(estimator, features=COLUMNS, float_width=64).save(path)
    trees = FlatTrees.load(path)
    found: dict[str, Score] = {"scikit-learn": EstimatorRuntime(estimator).predict_raw}
    found["walk in numpy"] = trees.predict_raw
    for name, kind in (("GTIL", GtilRuntime), ("kernel", KernelRuntime)):
        try:
            found[name] = kind(trees).predict_raw
        except RuntimeAbsentError as absent:
            print(f"{name}: {absent}")
    x = made_rows(2000, 7)
    for name, score in found.items():
        assert np.array_equal(score(x), raw_scores(estimator, x)), f"{name} answers otherwise"
    return found


def seconds(score: Score, rows: np.ndarray, calls: int) -> float:
    """Return the time of one call, over several in a row, each with another row where there are several."""
    parts = [np.ascontiguousarray(rows[n : n + 1]) for n in range(calls)] if calls > 1 else [rows]
    start = time.perf_counter()
    for part in parts:
        score(part)
    return (time.perf_counter() - start) / len(parts)


def cold_seconds(score: Score, row: np.ndarray, evicted: np.ndarray) -> float:
    """Return the time of one call after all caches were filled with something else."""
    evicted += 1
    start = time.perf_counter()
    score(row)
    return time.perf_counter() - start


def measure(found: dict[str, Score]) -> dict[str, tuple[float, float, float]]:
    """Return name -> microseconds of one row warm, cold, and rows per second in bulk."""
    one, bulk, evicted = made_rows(1000, 3), made_rows(BULK_ROWS, 4), np.zeros(EVICTED_BYTES, np.uint8)
    warm: dict[str, list[float]] = {name: [] for name in found}
    cold: dict[str, list[float]] = {name: [] for name in found}
    many: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(ROUNDS):
        for name, score in found.items():
            calls = 100 if name in ("scikit-learn", "walk in numpy") else 1000
            seconds(score, one, 20)
            warm[name].append(seconds(score, one, calls))
            many[name].append(seconds(score, bulk, 1))
        for number in range(COLD_CALLS // ROUNDS):
            for name, score in found.items():
                cold[name].append(cold_seconds(score, one[number : number + 1], evicted))
    return {
        name: (min(warm[name]) * 1e6, statistics.median(cold[name]) * 1e6, BULK_ROWS / min(many[name]))
        for name in found
    }


def table(results: dict[str, tuple[float, float, float]]) -> list[str]:
    """Return the figures as Markdown, each with its ratio to scikit-learn's."""
    warm, cold, bulk = results["scikit-learn"]
    lines = [
        "| runtime | one row, microseconds | | caches cold | | bulk, rows/s | |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, (one, alone, many) in results.items():
        lines.append(
            f"| {name} | {one:,.1f} | {warm / one:,.1f}x | {alone:,.0f} | {cold / alone:,.1f}x "
            f"| {many:,.0f} | {many / bulk:,.2f}x |"
        )
    return lines


def main() -> None:
    """Print a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, nargs="+", default=[2, 5], help="classes of the models (2 5)")
    for classes in parser.parse_args().classes:
        with tempfile.TemporaryDirectory() as folder:
            found = runtimes_of(fitted(classes), Path(folder))
            trees = 100 * (classes if classes > 2 else 1)
            print(f"\n{classes} classes, {trees} trees, {COLUMNS} columns, one thread\n")
            print("\n".join(table(measure(found))))


if __name__ == "__main__":
    main()
