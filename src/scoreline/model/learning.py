"""One learned head: from the rows that have its target to what scores it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from scoreline.app.heads import TreesHead
from scoreline.errors import AppError, ArtifactError
from scoreline.model.artifact import HEADS_FOLDER, LearntHead
from scoreline.model.classes import ClassLink, ClassMetrics, codes_of, evaluate_classes, why_not_tellable
from scoreline.model.compiling import Compiled, compile_estimator
from scoreline.model.evaluate import (
    Link,
    Metrics,
    Split,
    evaluate,
    fit_link,
    raw_scores,
    split_by_time,
    why_not_learnable,
)
from scoreline.model.inputs import Inputs, Matrix
from scoreline.model.leaks import find_leaks
from scoreline.progress import note

SEED = 0
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Rows:
    """The rows that a head may learn from.

    Attributes
    ----------
    knocked_out : bool (n,); rows that a knock-out rule holds for
    groups : the `report_by` feature's values, None without one
    """

    matrix: Matrix
    target: pa.ChunkedArray
    times: Array
    knocked_out: Array
    groups: list[Any] | None


@dataclass(frozen=True)
class Made:
    """What became of a head.

    Attributes
    ----------
    head : None where it could not be learnt
    manifest : what the artifact's manifest says of it
    absent : why it could not be learnt
    uncompiled : why its estimator itself must serve, slowly
    """

    head: LearntHead | None
    manifest: dict[str, Any]
    metrics: Metrics | ClassMetrics | None = None
    absent: str | None = None
    uncompiled: str | None = None


def learn(head: TreesHead, inputs: Inputs, rows: Rows, staging: Path) -> Made:
    """Learn a head and write its files below `staging`.

    Raises
    ------
    AppError
        Its estimator fails, or gives no probability.
    ArtifactError
        Its estimator can't be kept in a file that is read back without danger.
    """
    if head.classes:
        return _learn_classes(head, inputs, rows, staging)
    known = np.array(rows.target.is_valid()) & ~rows.knocked_out
    y = np.array(rows.target.filter(pa.array(known)).to_pylist(), dtype=bool)
    x = _columns(head, inputs, rows.matrix[known])
    split = split_by_time(rows.times[known]) if len(y) else None
    why = "no row has the target" if split is None else why_not_learnable(y, split)
    if why is not None or split is None:
        return _absent(f"of the rows that no knock-out rule holds for, {why}" if rows.knocked_out.any() else why)
    fitted = _fit(head, x, y, split)
    if not fitted.takes_missing:
        complete = ~np.isnan(x).any(axis=1)
        split = Split(split.train, split.calibrate & complete, split.test & complete)
        if why := why_not_learnable(y, split):
            return _absent(f"of the rows without a missing input, {why}")
    calibrating = raw_scores(fitted.estimator, x[split.calibrate])
    link = fit_link(calibrating, y[split.calibrate])
    support = link.apply(np.array([calibrating.min(), calibrating.max()]))
    metrics = _measure(link, fitted.estimator, x, y, split, None if rows.groups is None else _kept(rows.groups, known))
    compiled = _compile(head, fitted, staging)
    described = {
        "link": {"slope": link.slope, "intercept": link.intercept},
        "support": support.tolist(),
        **_describe(head, fitted, compiled, (x, y), split),
        "metrics": metrics.describe(),
        "knocked_out": int(rows.knocked_out.sum()),
    }
    reached = (float(support[0]), float(support[1]))
    learnt = LearntHead(compiled.trees, link, head.inputs, fitted.takes_missing, reached, compiled.runtime)
    return Made(learnt, described, metrics, uncompiled=compiled.why_not)


def _learn_classes(head: TreesHead, inputs: Inputs, rows: Rows, staging: Path) -> Made:
    """Learn a head of several classes; what calibrates a probability trains here."""
    codes = codes_of(rows.target.to_pylist(), head.classes)
    known = codes >= 0
    y, x = codes[known], _columns(head, inputs, rows.matrix[known])
    if not len(y):
        return _absent("no row has the target")
    by_time = split_by_time(rows.times[known])
    split = Split(by_time.train | by_time.calibrate, np.zeros(len(y), bool), by_time.test)
    if why := why_not_tellable(y, split):
        return _absent(why)
    seen, outputs = np.unique(y[split.train], return_inverse=True)
    fitted = _fit(head, x, _spread(outputs, split.train), split)
    measured = split.test if fitted.takes_missing else split.test & ~np.isnan(x).any(axis=1)
    if not measured.any():
        return _absent("no row of the test part, by time, has all inputs, and its estimator takes no missing one")
    compiled = _compile(head, fitted, staging)
    link = ClassLink(compiled.link, tuple(seen.tolist()), len(head.classes))
    chances = link.apply(raw_scores(fitted.estimator, x[measured]))
    metrics = evaluate_classes(chances, y[measured], y[split.train], head.classes)
    described = {
        "link": {"kind": link.kind, "seen": list(link.seen)},
        **_describe(head, fitted, compiled, (x, y), split),
        "metrics": metrics.describe(),
    }
    learnt = LearntHead(compiled.trees, link, head.inputs, fitted.takes_missing, runtime=compiled.runtime)
    return Made(learnt, described, metrics, uncompiled=compiled.why_not)


@dataclass(frozen=True)
class _Fitted:
    """An estimator, the rows that it was fitted on, and which inputs were null in all of them."""

    estimator: Any
    rows: Matrix
    blank: Array
    takes_missing: bool


def _absent(why: str | None) -> Made:
    return Made(None, {"absent": why}, absent=why)


def _columns(head: TreesHead, inputs: Inputs, matrix: Matrix) -> Matrix:
    return matrix[:, [inputs.position(name) for name in head.inputs]]


def _spread(values: Array, mask: Array) -> Array:
    """Put values where the mask holds; elsewhere is never looked at."""
    spread = np.zeros(len(mask), values.dtype)
    spread[mask] = values
    return spread


def _describe(
    head: TreesHead, fitted: _Fitted, compiled: Compiled, rows: tuple[Matrix, Array], split: Split
) -> dict[str, Any]:
    """Return what the manifest says of any learned head."""
    x, y = rows
    held_out = split.calibrate | split.test
    return {
        "takes_missing": fitted.takes_missing,
        "rows": {name: int(getattr(split, name).sum()) for name in ("train", "calibrate", "test")},
        "trees": compiled.trees is not None,
        "proved": compiled.proved,
        "refused": compiled.refused,
        "blank": [name for name, is_blank in zip(head.inputs, fitted.blank, strict=True) if is_blank],
        "leaks": find_leaks(head.inputs, (x[split.train], y[split.train]), (x[held_out], y[held_out])),
    }


def _measure(link: Link, estimator: Any, x: Matrix, y: Array, split: Split, groups: list[Any] | None) -> Metrics:
    """Measure a head on its test rows, and on those of each group."""
    rate = float(y[~split.test].mean())
    raw, target = raw_scores(estimator, x[split.test]), y[split.test]
    metrics = evaluate(link, raw, target, rate)
    for value in sorted(set(groups or []), key=str):
        mine = np.array([group == value for group in groups or []])
        of_group = mine[split.test]
        if of_group.any():
            rate = float(y[mine & ~split.test].mean()) if (mine & ~split.test).any() else metrics.base_rate
            metrics.by[str(value)] = evaluate(link, raw[of_group], target[of_group], rate)
    return metrics


def _kept(values: list[Any], mask: Array) -> list[Any]:
    return [value for value, is_kept in zip(values, mask, strict=True) if is_kept]


def _fit(head: TreesHead, x: Matrix, y: Array, split: Split) -> _Fitted:
    note(f"train: fitting {head.name} on {int(split.train.sum()):,} rows")
    blank = np.atleast_1d(np.isnan(x[split.train]).all(axis=0))
    rows = np.where(blank, 0.0, x[split.train])
    try:
        estimator = head.estimator()
        if head.monotonic:
            estimator.set_params(monotonic_cst=[head.monotonic.get(name, 0) for name in head.inputs])
        estimator.fit(rows, y[split.train])
    except Exception as error:  # the estimator is the app's choice: whatever it raises is its mistake
        first = (str(error).splitlines() or [""])[0]  # scikit-learn goes on for paragraphs
        raise AppError(f"head '{head.name}': its estimator failed: {type(error).__name__}: {first}") from error
    if not hasattr(estimator, "decision_function") and not hasattr(estimator, "predict_proba"):
        raise AppError(
            f"head '{head.name}': {type(estimator).__name__} gives no probability; expected a classifier of gradient "
            "boosting or a forest, such as HistGradientBoostingClassifier"
        )
    return _Fitted(estimator, rows, blank, _takes_missing(estimator, x.shape[1]))


def _takes_missing(estimator: Any, columns: int) -> bool:
    """Whether an estimator answers rows with missing inputs; GradientBoostingClassifier does not."""
    try:
        raw_scores(estimator, np.full((1, columns), np.nan))
    except ValueError:
        return False
    return True


def _compile(head: TreesHead, fitted: _Fitted, staging: Path) -> Compiled:
    try:
        return compile_estimator(fitted.estimator, fitted.rows, staging / HEADS_FOLDER / head.name, SEED)
    except ArtifactError as error:
        raise ArtifactError(f"head '{head.name}': {error}") from error
