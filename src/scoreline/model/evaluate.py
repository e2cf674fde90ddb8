"""Splitting by time, calibrating, and telling how good a learned head is."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from scoreline.model.estimator import library_of
from scoreline.model.inputs import Matrix
from scoreline.model.parity import probability

TRAIN_SHARE, CALIBRATE_SHARE = 0.6, 0.2  # earliest rows train, the next fit the link, the latest are the test
MIN_ROWS = 200  # with fewer rows than this a learned probability would be noise
MIN_OF_A_CLASS = 20  # in the training part; at least 5 in each other part
_MIN_ELSEWHERE = 5
_TENTHS = 10
Floats = np.ndarray[Any, np.dtype[np.float64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Link:
    """A sigmoid on a raw score: p = 1 / (1 + exp(-(slope * raw + intercept))); slope >= 0."""

    slope: float
    intercept: float

    def apply(self, raw: Floats) -> Floats:
        """Return calibrated probabilities of raw scores."""
        return probability(self.slope * raw + self.intercept)

    def apply_one(self, raw: float) -> float:
        """Return the calibrated probability of one raw score, as `apply` does for many."""
        z = self.slope * float(raw) + self.intercept
        small = math.exp(-abs(z))
        return 1 / (1 + small) if z >= 0 else small / (1 + small)


@dataclass(frozen=True)
class Metrics:
    """How a head does on rows later than any it learnt from.

    Attributes
    ----------
    auc : area under the ROC curve; 0.5 is chance
    brier, log_loss : of the calibrated probability; lower is better
    brier_base : Brier score of always saying the base rate of the earlier rows
    reliability : for each tenth of the probability that has rows: from, to, rows, predicted (mean), observed (share)
    by : value of the `report_by` feature -> the metrics of its rows
    """

    auc: float
    brier: float
    brier_base: float
    log_loss: float
    base_rate: float
    rows: int
    reliability: list[dict[str, float]] = field(default_factory=list)
    by: dict[str, Metrics] = field(default_factory=dict)

    @property
    def beats_base_rate(self) -> bool:
        """Whether the head is better than always saying the base rate."""
        return self.brier < self.brier_base

    def describe(self) -> dict[str, Any]:
        """Return the metrics as JSON-able data."""
        described = {name: value for name, value in asdict(self).items() if name != "by"}
        described["auc"] = None if math.isnan(self.auc) else self.auc  # JSON has no NaN
        by = {value: metrics.describe() for value, metrics in self.by.items()}
        return {**described, "beats_base_rate": self.beats_base_rate, **({"by": by} if by else {})}


@dataclass(frozen=True)
class Split:
    """Rows by time: `train` before `calibrate` before `test`; rows of one instant stay together."""

    train: Mask
    calibrate: Mask
    test: Mask


def split_by_time(times: np.ndarray[Any, Any]) -> Split:
    """Split rows at two moments.

    Parameters
    ----------
    times : datetime64[us] of shape (n,), n > 0

    Examples
    --------
    >>> times = np.arange(5).astype("datetime64[us]")
    >>> split = split_by_time(times)
    >>> [int(part.sum()) for part in (split.train, split.calibrate, split.test)]
    [3, 1, 1]
    """
    ordered = np.sort(times)
    first = ordered[int(len(ordered) * TRAIN_SHARE)]
    second = ordered[int(len(ordered) * (TRAIN_SHARE + CALIBRATE_SHARE))]
    return Split(times < first, (times >= first) & (times < second), times >= second)


def why_not_learnable(target: Mask, split: Split) -> str | None:
    """Say why a probability can't be learnt from these rows; None where it can."""
    if len(target) == 0:
        return "no row has the target"
    if target.all() or not target.any():
        return f"the target is {'true' if target.all() else 'false'} in all {len(target)} rows"
    if len(target) < MIN_ROWS:
        return f"only {len(target)} rows have the target, at least {MIN_ROWS} are needed"
    wanted = {"train": MIN_OF_A_CLASS, "calibrate": _MIN_ELSEWHERE, "test": _MIN_ELSEWHERE}
    for name, least in wanted.items():
        part = target[getattr(split, name)]
        fewest = min(int(part.sum()), int((~part).sum()))
        if fewest < least:
            return f"the {name} part, by time, has {fewest} rows of one class, at least {least} are needed"
    return None


def fit_link(raw: Floats, target: Mask) -> Link:
    """Fit a sigmoid on held-out rows (Platt, 1999); a falling one becomes the constant base rate."""
    from sklearn.linear_model import LogisticRegression

    scale = float(np.std(raw)) or 1.0
    model = LogisticRegression(C=1e6, solver="newton-cg", tol=1e-8, max_iter=1000).fit((raw / scale)[:, None], target)
    slope = float(model.coef_[0, 0]) / scale
    if slope <= 0:
        rate = float(target.mean())
        return Link(0.0, float(np.log(rate / (1 - rate))))
    return Link(slope, float(model.intercept_[0]))


def evaluate(link: Link, raw: Floats, target: Mask, base_rate: float) -> Metrics:
    """Measure a calibrated head on the test rows; of one class alone, the AUC is NaN."""
    from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

    chance = link.apply(raw)
    return Metrics(
        auc=float(roc_auc_score(target, chance if link.slope else raw)) if _has_both(target) else math.nan,
        brier=float(brier_score_loss(target, chance)),
        brier_base=float(brier_score_loss(target, np.full(len(target), base_rate))),
        log_loss=float(log_loss(target, chance, labels=[False, True])),
        base_rate=base_rate,
        rows=len(target),
        reliability=reliability(chance, target),
    )


def reliability(chance: Floats, target: Mask) -> list[dict[str, float]]:
    """Compare what is predicted with what happened, for each tenth of the probability that has rows.

    Examples
    --------
    >>> reliability(np.array([0.81, 0.85, 0.12]), np.array([True, False, False]))[1]["observed"]
    0.5
    """
    tenth = np.minimum((chance * _TENTHS).astype(int), _TENTHS - 1)
    return [
        {
            "from": band / _TENTHS,
            "to": (band + 1) / _TENTHS,
            "rows": int((tenth == band).sum()),
            "predicted": float(chance[tenth == band].mean()),
            "observed": float(target[tenth == band].mean()),
        }
        for band in np.unique(tenth).tolist()
    ]


def _has_both(target: Mask) -> bool:
    return bool(target.any() and not target.all())


def raw_scores(estimator: Any, matrix: Matrix) -> Floats:
    """Return an estimator's own raw scores: what its trees add up to, of a forest the probability.

    Returns
    -------
    float64 of shape (n,) where there are two classes, else (n, classes)
    """
    library = library_of(estimator)
    if library == "xgboost":
        raw = estimator.predict(matrix, output_margin=True)
    elif library == "lightgbm":
        raw = estimator.predict(matrix, raw_score=True)
    elif hasattr(estimator, "decision_function"):
        raw = estimator.decision_function(matrix)
    else:
        raw = estimator.predict_proba(matrix)
        raw = raw[:, 1] if raw.shape[1] == 2 else raw
    return np.ascontiguousarray(raw, dtype=np.float64)
