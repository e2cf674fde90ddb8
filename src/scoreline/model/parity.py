"""The parity corpus: rows on which a runtime must give the estimator's own answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scoreline.model.inputs import Matrix
from scoreline.model.trees import NUMBER, FlatTrees, Floats

TOLERANCE = 1e-7  # of a probability; labels must be equal
_TRAINING_ROWS, _RANDOM_ROWS, _THRESHOLDS = 400, 400, 400
_ODD_VALUES = (np.nan, np.inf, -np.inf, 5e-324, -5e-324, 1e-310, 0.0, -0.0, 1.7e308, -1.7e308)
_ODD_CATEGORIES = (-1.0, -0.5, 0.5, 1.5, 1e9)


@dataclass(frozen=True)
class Corpus:
    """Rows, and what the estimator itself says of them.

    Attributes
    ----------
    rows : float64 of shape (n, features)
    raw : the estimator's raw scores, float64 of shape (n,) or (n, outputs)
    link : what makes probabilities of them, as in `FlatTrees`
    """

    rows: Matrix
    raw: Floats
    link: str = "logistic"


@dataclass(frozen=True)
class Difference:
    """The first row of the corpus on which a runtime differs from the estimator.

    Attributes
    ----------
    expected, got : raw scores, of the output that differs most
    """

    row: int
    expected: float
    got: float

    def __str__(self) -> str:
        return f"row {self.row} of the parity corpus gives {self.got!r}, the estimator {self.expected!r}"


def make_corpus(training: Matrix, trees: FlatTrees | None, seed: int) -> Matrix:
    """Make the corpus: training rows, random rows, odd values, values on and one ulp beside thresholds.

    One ulp of float64, and one of float32: which of them an estimator tells apart is not known yet.

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
    parts = [sample, spread, _odd_rows(sample)]
    if trees is not None:
        parts += [_threshold_rows(sample, trees, rng), _category_rows(sample, trees)]
    return np.concatenate(parts)


def probability(raw: Floats) -> Floats:
    """Return the logistic function of raw scores, without overflow."""
    small = np.exp(-np.abs(raw))
    return np.where(raw >= 0, 1 / (1 + small), small / (1 + small))


def probabilities(raw: Floats, link: str) -> Floats:
    """Return what raw scores are as probabilities, in their shape; `link` is that of `FlatTrees`."""
    if link == "identity":
        return raw
    if link == "logistic":
        return probability(raw)
    powers = np.exp(raw - raw.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def first_difference(expected_raw: Floats, raw: Floats, link: str = "logistic") -> Difference | None:
    """Compare raw scores: the labels exactly, the probabilities to `TOLERANCE`; None where all agree."""
    if raw.shape != expected_raw.shape:
        raise ValueError(f"raw scores of shape {raw.shape} instead of {expected_raw.shape}")
    apart = np.abs(probabilities(expected_raw, link) - probabilities(raw, link)).reshape(len(raw), -1)
    wrong = ~((apart <= TOLERANCE).all(axis=1) & (_labels(expected_raw, link) == _labels(raw, link)))
    if not wrong.any():
        return None
    row = int(wrong.argmax())
    expected, got = np.atleast_1d(expected_raw[row]), np.atleast_1d(raw[row])
    output = int(np.abs(expected - got).argmax())  # that of a NaN, if there is one
    return Difference(row, float(expected[output]), float(got[output]))


def _labels(raw: Floats, link: str) -> np.ndarray[Any, Any]:
    if raw.ndim == 2:
        return raw.argmax(axis=1)
    return raw > (0.5 if link == "identity" else 0.0)


def save_corpus(path: Path, corpus: Corpus) -> None:
    """Write a corpus; the same content gives the same bytes."""
    np.savez(path, rows=corpus.rows, raw=corpus.raw, link=np.array(corpus.link))


def load_corpus(path: Path) -> Corpus:
    """Read what `save_corpus` wrote."""
    with np.load(path, allow_pickle=False) as content:
        return Corpus(content["rows"], content["raw"], str(content["link"]))


def _odd_rows(sample: Matrix) -> Matrix:
    rows = []
    for column in range(sample.shape[1]):
        for index, value in enumerate(_ODD_VALUES):
            row = sample[(column + index) % len(sample)].copy()
            row[column] = value
            rows.append(row)
    return np.array(rows)


def _threshold_rows(sample: Matrix, trees: FlatTrees, rng: np.random.Generator) -> Matrix:
    feature, threshold = trees.splits()
    chosen = rng.permutation(len(feature))[:_THRESHOLDS]
    values, up, down = threshold[chosen], np.inf, -np.inf
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
        beside = [values, np.nextafter(values, down), np.nextafter(values, up)]
        beside += [np.nextafter(narrow, np.float32(to)).astype(np.float64) for to in (down, up)]
    rows = sample[rng.integers(len(sample), size=len(beside) * len(chosen))]
    rows[np.arange(len(rows)), np.tile(feature[chosen], len(beside))] = np.concatenate(beside)
    return rows


def _category_rows(sample: Matrix, trees: FlatTrees) -> Matrix:
    """Rows with every category up to the second beyond all sets, and with what is none."""
    highest = 32 * int(np.diff(trees.set_starts).max()) if len(trees.set_starts) > 1 else 0
    values = np.concatenate([np.arange(highest + 2.0), _ODD_CATEGORIES])
    rows = []
    for column in np.flatnonzero(trees.kinds != NUMBER).tolist():
        part = sample[np.arange(len(values)) % len(sample)]
        part[:, column] = values
        rows.append(part)
    return np.concatenate(rows) if rows else np.empty((0, sample.shape[1]))
