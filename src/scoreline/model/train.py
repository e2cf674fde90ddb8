"""The `train` verb: the feature table and targets to a model artifact."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scoreline.app.declaration import App
from scoreline.app.heads import RulesHead, TreesHead
from scoreline.errors import AppError, ArtifactError
from scoreline.features.plan import make_plan
from scoreline.features.stamp import PARQUET_FILE, TARGETS_FILE, check_plan, read_stamp
from scoreline.files import sha256_of, staged
from scoreline.model.artifact import (
    FORMAT,
    GOLDEN_FILE,
    HEADS_FOLDER,
    MANIFEST_FILE,
    Artifact,
    Golden,
    LearntHead,
    describe_app,
)
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
from scoreline.model.inputs import Inputs, Matrix, inputs_of
from scoreline.model.leaks import find_leaks
from scoreline.model.rules import CompiledRules
from scoreline.progress import note

SEED = 0
GOLDEN_ROWS = 40
_VERSIONS_OF = ("scoreline", "numpy", "scikit-learn", "skops", "treelite")


class ScoresMatrix(Protocol):
    """What scores golden rows: a `scoreline.predictor.Predictor`, or the app's own."""

    def predict(self, matrix: Matrix) -> Mapping[str, np.ndarray[Any, Any] | None]:
        """Return each head's outputs."""


@dataclass
class TrainReport:
    """What training came to.

    Attributes
    ----------
    metrics : learned head -> how it does on the latest rows
    absent : learned head -> why it could not be learnt
    blank : learned head -> its inputs that are null in all training rows, of which nothing is learnt
    leaks : learned head -> input that alone tells the classes apart -> its AUC
    knocked_out : learned head -> rows that were not learnt from, since a knock-out rule holds for them
    uncompiled : learned head -> why its estimator itself must serve, slowly
    """

    rows: int
    metrics: dict[str, Metrics] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    blank: dict[str, list[str]] = field(default_factory=dict)
    leaks: dict[str, dict[str, float]] = field(default_factory=dict)
    knocked_out: dict[str, int] = field(default_factory=dict)
    uncompiled: dict[str, str] = field(default_factory=dict)

    def add(self, head: str, made: _Made) -> None:
        """Note what became of a learned head."""
        if made.metrics is not None:
            self.metrics[head] = made.metrics
        if made.absent is not None:
            self.absent[head] = made.absent
        if made.uncompiled is not None:
            self.uncompiled[head] = made.uncompiled
        for mine, name in ((self.blank, "blank"), (self.leaks, "leaks"), (self.knocked_out, "knocked_out")):
            if found := made.manifest.get(name):
                mine[head] = found


def train(
    app: App, results: Path, model_dir: Path, make_predictor: Callable[[App, Artifact], ScoresMatrix]
) -> TrainReport:
    """Make the model artifact of an app from the feature table in `results`.

    A head whose target is missing, of one class, or known for a handful of rows is left out with its
    reason; the others are made all the same.

    Parameters
    ----------
    make_predictor : callable
        Makes what scores the golden rows: `scoreline.predictor.Predictor`, or the app's own.

    Raises
    ------
    StampError
        The feature table is missing or torn, or was built by another `app.py`.
    ArtifactError
        An estimator can't be kept in a file that is read back without danger.
    """
    plan = make_plan(app)
    stamp = read_stamp(results)
    check_plan(stamp, plan, results)
    inputs = inputs_of(app)
    table = pq.read_table(results / PARQUET_FILE, columns=[*plan.spine.required, *inputs.names])
    matrix = inputs.encode([table.column(name).to_pylist() for name in inputs.names])
    report = TrainReport(rows=table.num_rows)
    with staged(model_dir) as staging:
        (staging / HEADS_FOLDER).mkdir()
        manifest = {"format": FORMAT, **describe_app(app)}
        learnt: dict[str, LearntHead | None] = {}
        times = table.column(plan.spine.time).to_numpy() if plan.spine.time else np.arange(table.num_rows)
        for head in app.heads.values():
            if isinstance(head, TreesHead):
                out = _knocked_out(app, head, inputs, matrix)
                groups = _groups(head, results)
                made = _learn(head, inputs, _Rows(matrix, _target(results, head.target), times, out, groups), staging)
                learnt[head.name] = made.head
                manifest["heads"][head.name] |= made.manifest
                report.add(head.name, made)
        if app.declared_hyperparameters:
            manifest["hyperparameters"] = dict(app.declared_hyperparameters)
        manifest["fingerprints"] = {"features": stamp.digest, "plan": plan.digest}
        manifest["versions"] = _versions()
        artifact = Artifact(staging, manifest, learnt, Golden([], {}), "")
        golden = _golden(app, make_predictor(app, artifact), inputs, matrix)
        _write_json(staging / GOLDEN_FILE, {"rows": golden.rows, "outputs": golden.outputs})
        files = sorted(path for path in staging.rglob("*") if path.is_file())
        manifest["files"] = {str(path.relative_to(staging)): sha256_of(path) for path in files}
        _write_json(staging / MANIFEST_FILE, manifest)
    _remove_strangers(model_dir, set(manifest["files"]))
    return report


@dataclass(frozen=True)
class _Made:
    head: LearntHead | None
    manifest: dict[str, Any]
    metrics: Metrics | None = None
    absent: str | None = None
    uncompiled: str | None = None


@dataclass(frozen=True)
class _Rows:
    """The rows that a head may learn from.

    Attributes
    ----------
    knocked_out : bool (n,); rows that a knock-out rule holds for
    groups : the `report_by` feature's values, None without one
    """

    matrix: Matrix
    target: pa.ChunkedArray
    times: np.ndarray[Any, Any]
    knocked_out: np.ndarray[Any, Any]
    groups: list[Any] | None


def _knocked_out(app: App, head: TreesHead, inputs: Inputs, matrix: Matrix) -> np.ndarray[Any, Any]:
    if head.knock_outs is None:
        return np.zeros(len(matrix), bool)
    rules = app.heads[head.knock_outs]
    assert isinstance(rules, RulesHead)
    return CompiledRules(rules, inputs).predict(matrix) < len(rules.rules) - 1


def _groups(head: TreesHead, results: Path) -> list[Any] | None:
    if head.report_by is None:
        return None
    return pq.read_table(results / PARQUET_FILE, columns=[head.report_by]).column(head.report_by).to_pylist()


def _learn(head: TreesHead, inputs: Inputs, rows: _Rows, staging: Path) -> _Made:
    known = np.array(rows.target.is_valid()) & ~rows.knocked_out
    y = np.array(rows.target.filter(pa.array(known)).to_pylist(), dtype=bool)
    x = rows.matrix[known][:, [inputs.position(name) for name in head.inputs]]
    split = split_by_time(rows.times[known]) if len(y) else None
    why = "no row has the target" if split is None else why_not_learnable(y, split)
    if why is not None or split is None:
        why = f"of the rows that no knock-out rule holds for, {why}" if rows.knocked_out.any() else why
        return _Made(None, {"absent": why}, absent=why)
    note(f"train: fitting {head.name} on {int(split.train.sum()):,} rows")
    blank = np.isnan(x[split.train]).all(axis=0)
    estimator = _fit(head, np.where(blank, 0.0, x[split.train]), y[split.train])
    takes_missing = _takes_missing(estimator, x.shape[1])
    if not takes_missing:
        complete = ~np.isnan(x).any(axis=1)
        split = Split(split.train, split.calibrate & complete, split.test & complete)
        if why := why_not_learnable(y, split):
            return _Made(None, {"absent": f"of the rows without a missing input, {why}"}, absent=why)
    calibrating = raw_scores(estimator, x[split.calibrate])
    link = fit_link(calibrating, y[split.calibrate])
    support = link.apply(np.array([calibrating.min(), calibrating.max()]))
    metrics = _measure(link, estimator, x, y, split, None if rows.groups is None else _kept(rows.groups, known))
    held_out = split.calibrate | split.test
    leaks = find_leaks(head.inputs, (x[split.train], y[split.train]), (x[held_out], y[held_out]))
    compiled = _compile(head, estimator, np.where(blank, 0.0, x[split.train]), staging)
    described = {
        "link": {"slope": link.slope, "intercept": link.intercept},
        "support": support.tolist(),
        "takes_missing": takes_missing,
        "rows": {name: int(getattr(split, name).sum()) for name in ("train", "calibrate", "test")},
        "trees": compiled.trees is not None,
        "proved": compiled.proved,
        "refused": compiled.refused,
        "metrics": metrics.describe(),
        "blank": [name for name, is_blank in zip(head.inputs, blank, strict=True) if is_blank],
        "leaks": leaks,
        "knocked_out": int(rows.knocked_out.sum()),
    }
    reached = (float(support[0]), float(support[1]))
    learnt = LearntHead(compiled.trees, link, head.inputs, takes_missing, reached, compiled.runtime)
    return _Made(learnt, described, metrics, uncompiled=compiled.why_not)


def _measure(
    link: Link, estimator: Any, x: Matrix, y: np.ndarray[Any, Any], split: Split, groups: list[Any] | None
) -> Metrics:
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


def _kept(values: list[Any], mask: np.ndarray[Any, Any]) -> list[Any]:
    return [value for value, is_kept in zip(values, mask, strict=True) if is_kept]


def _takes_missing(estimator: Any, columns: int) -> bool:
    """Whether an estimator answers rows with missing inputs; GradientBoostingClassifier does not."""
    try:
        raw_scores(estimator, np.full((1, columns), np.nan))
    except ValueError:
        return False
    return True


def _fit(head: TreesHead, x: Matrix, y: np.ndarray[Any, Any]) -> Any:
    try:
        estimator = head.estimator()
        if head.monotonic:
            estimator.set_params(monotonic_cst=[head.monotonic.get(name, 0) for name in head.inputs])
        estimator.fit(x, y)
    except Exception as error:  # the estimator is the app's choice: whatever it raises is its mistake
        first = (str(error).splitlines() or [""])[0]  # scikit-learn goes on for paragraphs
        raise AppError(f"head '{head.name}': its estimator failed: {type(error).__name__}: {first}") from error
    if not hasattr(estimator, "decision_function") and not hasattr(estimator, "predict_proba"):
        raise AppError(
            f"head '{head.name}': {type(estimator).__name__} gives no probability; expected a classifier of gradient "
            "boosting or a forest, such as HistGradientBoostingClassifier"
        )
    return estimator


def _compile(head: TreesHead, estimator: Any, x: Matrix, staging: Path) -> Compiled:
    try:
        return compile_estimator(estimator, x, staging / HEADS_FOLDER / head.name, SEED)
    except ArtifactError as error:
        raise ArtifactError(f"head '{head.name}': {error}") from error


def _target(results: Path, name: str) -> pa.ChunkedArray:
    return pq.read_table(results / TARGETS_FILE, columns=[name]).column(name)


def _golden(app: App, predictor: ScoresMatrix, inputs: Inputs, matrix: Matrix) -> Golden:
    """Choose golden rows: some for each rule, some at random, and one with everything missing."""
    rng = np.random.default_rng(SEED)
    chosen = rng.permutation(len(matrix))[:GOLDEN_ROWS].tolist()
    outputs = predictor.predict(matrix) if len(matrix) else {}
    for head in app.heads.values():
        if isinstance(head, RulesHead) and (answers := outputs.get(head.name)) is not None:
            chosen += [int(np.flatnonzero(answers == position)[0]) for position in np.unique(answers)]
    rows = np.concatenate([matrix[sorted(set(chosen))], np.full((1, len(inputs.names)), np.nan)])
    scored = predictor.predict(rows)
    return Golden(
        rows=[_without_nan(row) for row in rows],
        outputs={name: None if values is None else _without_nan(values) for name, values in scored.items()},
    )


def _without_nan(values: np.ndarray[Any, Any]) -> list[float | None]:
    """Return a list for JSON, which has no NaN."""
    return [None if math.isnan(value) else value for value in values.tolist()]


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in _VERSIONS_OF}}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _remove_strangers(model_dir: Path, named: set[str]) -> None:
    """Remove files of former artifacts that the new manifest does not name."""
    for path in (model_dir / HEADS_FOLDER).glob("*"):
        if str(path.relative_to(model_dir)) not in named:
            path.unlink()
