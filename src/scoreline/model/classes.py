"""Heads learnt from a Category: the estimator's own probabilities of several classes, and how good they are.

They are not calibrated: a sigmoid for each class would no longer add up to one, and could change which
class is the likeliest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from scoreline.model.evaluate import MIN_OF_A_CLASS, MIN_ROWS, Floats, Split
from scoreline.model.parity import probabilities

MIN_TEST_ROWS = 20
_LEAST = 1e-15  # what a probability of 0 counts as in a log loss
Codes = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class ClassLink:
    """From raw scores to the probability of each class.

    Attributes
    ----------
    kind : `softmax`, `identity` of a forest, `logistic` where only two classes were seen; see `FlatTrees.link`
    seen : positions of the classes that training rows had, in the order of the estimator's outputs
    classes : how many there are; of one that was not seen the probability is 0
    """

    kind: str
    seen: tuple[int, ...]
    classes: int

    @property
    def missing(self) -> list[float]:
        """What stands for the probabilities where there are none."""
        return [math.nan] * self.classes

    def apply(self, raw: Floats) -> Floats:
        """Return probabilities, float64 of shape (n, classes), of raw scores (n, outputs), or (n,) of two classes."""
        found = probabilities(raw, self.kind)
        if raw.ndim == 1:
            found = np.column_stack([1 - found, found])
        if len(self.seen) == self.classes:
            return found
        chances = np.zeros((len(raw), self.classes))
        chances[:, list(self.seen)] = found
        return chances

    def apply_one(self, raw: Any) -> list[float]:
        """Return the probabilities of one row's raw scores, as `apply` does for many, in plain numbers."""
        if self.kind != "softmax" or len(self.seen) < self.classes:
            row: list[float] = self.apply(np.asarray(raw)[None])[0].tolist()
            return row
        scores = raw.tolist()
        highest = max(scores)
        powers = [math.exp(score - highest) for score in scores]
        total = math.fsum(powers)
        return [power / total for power in powers]


@dataclass(frozen=True)
class ClassMetrics:
    """How a head of several classes does on rows later than any it learnt from.

    Attributes
    ----------
    accuracy : share of the rows whose likeliest class was right
    accuracy_base : of always saying the class that was the most frequent before
    log_loss, log_loss_base : of the probabilities, and of always giving the shares of the earlier rows; lower is better
    recall : class -> share of its rows that were found; None where there is no such row
    unseen : classes that no training row had, of which nothing is learnt
    """

    accuracy: float
    accuracy_base: float
    log_loss: float
    log_loss_base: float
    rows: int
    recall: dict[str, float | None]
    unseen: tuple[str, ...] = ()

    @property
    def beats_base_rate(self) -> bool:
        """Whether the head is better than always giving the shares of the earlier rows."""
        return self.log_loss < self.log_loss_base

    def describe(self) -> dict[str, Any]:
        """Return the metrics as JSON-able data."""
        return {**asdict(self), "unseen": list(self.unseen), "beats_base_rate": self.beats_base_rate}


def codes_of(values: Sequence[str | None], classes: Sequence[str]) -> Codes:
    """Return each value's position among the classes, -1 for null and for what is none of them."""
    position = {name: code for code, name in enumerate(classes)}
    return np.array([-1 if value is None else position.get(value, -1) for value in values], dtype=np.int64)


def why_not_tellable(codes: Codes, split: Split) -> str | None:
    """Say why classes can't be told apart from these rows; None where they can.

    Parameters
    ----------
    split : `calibrate` is of no use here
    """
    if len(codes) < MIN_ROWS:
        return f"only {len(codes)} rows have the target, at least {MIN_ROWS} are needed"
    counts = np.bincount(codes[split.train])
    if (counts >= MIN_OF_A_CLASS).sum() < 2:
        return f"fewer than two classes have {MIN_OF_A_CLASS} rows in the train part, by time"
    if split.test.sum() < MIN_TEST_ROWS:
        return f"the test part, by time, has {int(split.test.sum())} rows, at least {MIN_TEST_ROWS} are needed"
    return None


def evaluate_classes(chances: Floats, codes: Codes, earlier: Codes, classes: Sequence[str]) -> ClassMetrics:
    """Measure probabilities on the test rows.

    Parameters
    ----------
    chances : float64 of shape (n, classes)
    codes : int64 of shape (n,), the right class of each row
    earlier : int64, that of the rows it was learnt from
    """
    shares = np.bincount(earlier, minlength=len(classes)) / len(earlier)
    right = chances.argmax(axis=1) == codes
    found = [right[codes == code] for code in range(len(classes))]
    return ClassMetrics(
        accuracy=float(right.mean()),
        accuracy_base=float((codes == shares.argmax()).mean()),
        log_loss=_log_loss(chances[np.arange(len(codes)), codes]),
        log_loss_base=_log_loss(shares[codes]),
        rows=len(codes),
        recall={name: float(of.mean()) if len(of) else None for name, of in zip(classes, found, strict=True)},
        unseen=tuple(name for name, share in zip(classes, shares, strict=True) if share == 0),
    )


def _log_loss(of_the_right_class: Floats) -> float:
    return float(-np.log(np.maximum(of_the_right_class, _LEAST)).mean())
