"""The parity corpus: rows on which a runtime must give the estimator's own answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scoreline.model.inputs import Matrix
from scoreline.model.trees import FlatTrees

TOLERANCE = 1e-7  # of a probability; labels must be equal
_TRAINING_ROWS, _RANDOM_ROWS, _THRESHOLDS = 400, 400, 400
_ODD_VALUES = (np.nan, np.inf, -np.inf, 5e-324, -5e-324, 1e-310, 0.0, -0.0, 1.7e308, -1.7e308)


@dataclass(frozen=True)
class Difference:
    """The first row of the corpus on which a runtime differs from the estimator."""

    row: int
    expected: float
    got: float


def make_corpus(training: Matrix, trees: FlatTrees, seed: int) -> Matrix:
    """Make the corpus: training rows, random rows, odd values, values on and one ulp beside thresholds.

    Returns
    -------
    float64 of shape (rows, features); the same for the same arguments
    """
    rng = np.random.default_rng(seed)
    sample = training[rng.permutation(len(training))[:_TRAINING_ROWS]]
    finite = np.where(np.isfinite(training), training, 0.0)
    low, high = finite.min(axis=0) - 1, finite.max(axis=0) + 1
    spread = rng.uniform(low, high, size=(_RANDOM_ROWS, training.shape[1]))
    spread[rng.random(spread.shape) < 0.1] = np.nan
    return np.concatenate([sample, spread, _odd_rows(sample), _threshold_rows(sample, trees, rng)])


def probability(raw: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the logistic function of raw scores, without overflow."""
    small = np.exp(-np.abs(raw))
    return np.where(raw >= 0, 1 / (1 + small), small / (1 + small))


def first_difference(expected_raw: np.ndarray[Any, Any], raw: np.ndarray[Any, Any]) -> Difference | None:
    """Compare raw scores: the labels exactly, the probabilities to `TOLERANCE`; None where all agree."""
    close = np.abs(probability(expected_raw) - probability(raw)) <= TOLERANCE
    wrong = ~(close & ((expected_raw > 0) == (raw > 0)))
    if not wrong.any():
        return None
    row = int(wrong.argmax())
    return Difference(row, float(expected_raw[row]), float(raw[row]))


def save_corpus(path: Path, rows: Matrix, raw: np.ndarray[Any, Any]) -> None:
    """Write a corpus and the estimator's raw scores; the same content gives the same bytes."""
    np.savez(path, rows=rows, raw=raw)


def load_corpus(path: Path) -> tuple[Matrix, np.ndarray[Any, Any]]:
    """Read what `save_corpus` wrote."""
    with np.load(path, allow_pickle=False) as content:
        return content["rows"], content["raw"]


def _odd_rows(sample: Matrix) -> Matrix:
    rows = []
    for column in range(sample.shape[1]):
        for index, value in enumerate(_ODD_VALUES):
            row = sample[(column + index) % len(sample)].copy()
            row[column] = value
            rows.append(row)
    return np.array(rows)


def _threshold_rows(sample: Matrix, trees: FlatTrees, rng: np.random.Generator) -> Matrix:
    inner = np.flatnonzero(trees.left != np.arange(len(trees.left)))
    chosen = rng.permutation(inner)[:_THRESHOLDS]
    rows = sample[rng.integers(len(sample), size=3 * len(chosen))]
    values = trees.threshold[chosen]
    beside = np.concatenate([values, np.nextafter(values, -np.inf), np.nextafter(values, np.inf)])
    rows[np.arange(len(rows)), np.tile(trees.feature[chosen], 3)] = beside
    return rows
