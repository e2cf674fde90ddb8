"""The heads over the inputs matrix, and the golden rows that prove them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scoreline.app.declaration import App
from scoreline.app.heads import RulesHead, TreesHead
from scoreline.errors import ArtifactError
from scoreline.model.artifact import Artifact
from scoreline.model.inputs import Inputs, Matrix, inputs_of
from scoreline.model.rules import CompiledRules

Outputs = dict[str, np.ndarray[Any, Any] | None]


class Predictor:
    """The heads over the inputs matrix. An app's own `predictor.py` may replace or extend this class.

    Parameters
    ----------
    app : the app's declaration
    artifact : its model artifact, or what `train` is about to write
    """

    def __init__(self, app: App, artifact: Artifact) -> None:
        self.inputs = inputs_of(app)
        self._rules = {
            name: CompiledRules(head, self.inputs) for name, head in app.heads.items() if isinstance(head, RulesHead)
        }
        self._learnt = {
            name: None if head is None else (head, _positions(self.inputs, head.inputs))
            for name, head in artifact.learnt.items()
        }
        self._knock_outs = {
            head.name: (head.knock_outs, self._rules[head.knock_outs].last)
            for head in app.heads.values()
            if isinstance(head, TreesHead) and head.knock_outs is not None
        }

    def predict(self, matrix: Matrix) -> Outputs:
        """Score rows.

        Parameters
        ----------
        matrix : float64 of shape (n, inputs), columns in the order of `self.inputs.names`

        Returns
        -------
        dict
            For each head an array of shape (n,): a rules head gives the position of the rule that
            held (int64), a learned head its calibrated probability (float64; NaN where its estimator
            gives none for missing inputs, 0 where a knock-out rule holds), or None in place of the
            array where the artifact has no such head.
        """
        outputs: Outputs = {name: rules.predict(matrix) for name, rules in self._rules.items()}
        for name, learnt in self._learnt.items():
            if learnt is None:
                outputs[name] = None
            else:
                head, positions = learnt
                columns = matrix[:, positions]
                chances = head.link.apply(head.predict_raw(columns))
                if not head.takes_missing:
                    chances = np.where(np.isnan(columns).any(axis=1), np.nan, chances)
                if name in self._knock_outs:
                    rules, last = self._knock_outs[name]
                    chances = np.where(np.asarray(outputs[rules]) < last, 0.0, chances)
                outputs[name] = chances
        return outputs


class SingleRow:
    """The heads over one row, without arrays where plain numbers do: what most requests are.

    Gives what `Predictor.predict` gives for a matrix of that row. For our own `Predictor` alone: what
    an app's own class does with a matrix, nobody but it knows.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._rules, self._learnt, self._knock_outs = predictor._rules, predictor._learnt, predictor._knock_outs

    def predict(self, row: Sequence[float]) -> dict[str, list[Any] | None]:
        """Score a row of inputs; each head's answer as a list of one plain number."""
        outputs: dict[str, list[Any] | None] = {name: [rules.first(row)] for name, rules in self._rules.items()}
        for name, learnt in self._learnt.items():
            if learnt is None:
                outputs[name] = None
                continue
            head, positions = learnt
            columns = [row[position] for position in positions]
            if name in self._knock_outs:
                rules, last = self._knock_outs[name]
                if outputs[rules][0] < last:  # type: ignore[index]
                    outputs[name] = [0.0]
                    continue
            if not head.takes_missing and any(value != value for value in columns):
                outputs[name] = [math.nan]
            else:
                outputs[name] = [head.link.apply_one(head.predict_raw(np.array([columns]))[0])]
        return outputs


def check_golden(predictor: Predictor, artifact: Artifact) -> None:
    """Score the artifact's golden rows; ArtifactError names the head and row that differ."""
    golden = artifact.golden
    matrix = np.array([[math.nan if v is None else v for v in row] for row in golden.rows], dtype=np.float64)
    outputs = predictor.predict(matrix.reshape(len(golden.rows), len(predictor.inputs.names)))
    for name, expected in golden.outputs.items():
        got = outputs.get(name)
        if expected is None and got is None:
            continue
        if expected is None or got is None:
            raise ArtifactError(f"golden rows: head '{name}' {'gives nothing' if got is None else 'is unexpected'}")
        values = np.asarray(got, dtype=np.float64)
        if values.shape != (len(expected),):
            raise ArtifactError(f"golden rows: head '{name}' gives shape {values.shape} for {len(expected)} rows")
        wanted = np.array(expected, dtype=np.float64)  # None becomes NaN
        close = (np.abs(values - wanted) <= 1e-9) | (np.isnan(values) & np.isnan(wanted))
        if not close.all():
            row = int((~close).argmax())
            raise ArtifactError(
                f"golden rows: head '{name}' gives {got[row]} for row {row}, training gave {expected[row]}. "
                "The model does not score as it did when it was made; run `scoreline train` again."
            )


def _positions(inputs: Inputs, names: Sequence[str]) -> list[int]:
    return [inputs.position(name) for name in names]
