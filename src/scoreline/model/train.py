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
from scoreline.errors import StampError
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
from scoreline.model.classes import ClassMetrics
from scoreline.model.evaluate import Metrics
from scoreline.model.inputs import Inputs, Matrix, inputs_of
from scoreline.model.learning import SEED, Made, Rows, learn
from scoreline.model.rules import CompiledRules

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
    metrics: dict[str, Metrics | ClassMetrics] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    blank: dict[str, list[str]] = field(default_factory=dict)
    leaks: dict[str, dict[str, float]] = field(default_factory=dict)
    knocked_out: dict[str, int] = field(default_factory=dict)
    uncompiled: dict[str, str] = field(default_factory=dict)

    def add(self, head: str, made: Made) -> None:
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
    if PARQUET_FILE not in stamp.files:
        raise StampError(f"{results}: holds an online store alone, as images carry it. Run `scoreline feature` first.")
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
                made = learn(head, inputs, Rows(matrix, _target(results, head.target), times, out, groups), staging)
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


def _without_nan(values: np.ndarray[Any, Any]) -> list[Any]:
    """Return a list for JSON, which has no NaN; of lists where there are several numbers a row."""
    if values.ndim > 1:
        return [_without_nan(row) for row in values]
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
