"""From records to replies: look up, encode, score, answer. No HTTP, no files; pure over what it is given."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from scoreline.app.declaration import App
from scoreline.app.heads import RulesHead
from scoreline.app.reply import Decision, Echo, Reason, ReplyField
from scoreline.errors import ArtifactError
from scoreline.model.artifact import Artifact
from scoreline.model.inputs import Inputs, Matrix, inputs_of
from scoreline.model.rules import CompiledRules

Outputs = dict[str, np.ndarray[Any, Any] | None]
Key = tuple[str | int, ...]


class RowSource(Protocol):
    """Where feature rows are found by key: the online store."""

    def get(self, key: Key) -> list[Any] | None:
        """Return a row of the feature table, None where the key is unknown."""


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
            gives none for missing inputs), or None in place of the array where the artifact has no
            such head.
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
                outputs[name] = chances
        return outputs


@dataclass(frozen=True)
class Missing:
    """There is no row of this key."""

    key: Key


class Scorer:
    """Answers keys with replies, as the app declares them.

    Parameters
    ----------
    predictor : has `predict`, as `Predictor` does
    columns : the columns of the rows that `source` gives, in order
    """

    def __init__(self, app: App, predictor: Predictor, source: RowSource, columns: Sequence[str]) -> None:
        self.key_names = app.spine.spec.key
        self._predictor, self._source = predictor, source
        self._inputs = inputs_of(app)
        self._taken = [columns.index(name) for name in self._inputs.names]
        self._fields = [(name, _writer(app, field, self._inputs)) for name, field in app.reply_fields.items()]

    def score(self, keys: Sequence[Key]) -> list[dict[str, Any] | Missing]:
        """Return one reply for each key, in order; `Missing` for a key that is not in the store."""
        rows = [self._source.get(key) for key in keys]
        found = [(key, row) for key, row in zip(keys, rows, strict=True) if row is not None]
        replies = iter(self._replies(found))
        return [Missing(key) if row is None else next(replies) for key, row in zip(keys, rows, strict=True)]

    def _replies(self, found: Sequence[tuple[Key, list[Any]]]) -> list[dict[str, Any]]:
        if not found:
            return []
        raw = [[row[position] for _, row in found] for position in self._taken]
        outputs = self._predictor.predict(self._inputs.encode(raw))
        plain = {name: None if values is None else np.asarray(values).tolist() for name, values in outputs.items()}
        return [
            {name: write(key, plain, raw, index) for name, write in self._fields}
            for index, (key, _) in enumerate(found)
        ]


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


def _writer(app: App, field: ReplyField, inputs: Inputs) -> Any:
    """Return the function that writes one reply field: (key, outputs, raw inputs, index) -> value."""
    if isinstance(field, Echo):
        part = app.spine.spec.key.index(field.column)
        return lambda key, outputs, raw, index: key[part]
    head = app.heads[field.head]
    if isinstance(field, (Decision, Reason)) and isinstance(head, RulesHead):
        rules = head.rules
        if isinstance(field, Decision):
            return lambda key, outputs, raw, index: rules[outputs[head.name][index]].then
        looked_at = [_looked_at(head, position, inputs) for position in range(len(rules))]
        return lambda key, outputs, raw, index: _reason(
            rules[outputs[head.name][index]].name, looked_at[outputs[head.name][index]], raw, index
        )
    digits = getattr(field, "digits", 4)
    return lambda key, outputs, raw, index: _rounded(outputs[head.name], index, digits)


def _rounded(chances: Sequence[float] | None, index: int, digits: int) -> float | None:
    if chances is None or chances[index] != chances[index]:
        return None
    return round(chances[index], digits)


def _looked_at(head: RulesHead, position: int, inputs: Inputs) -> list[tuple[str, int]]:
    """Names and columns of what decided: the rule's own inputs; for the last rule, all that did not hold."""
    rule = head.rules[position]
    names = rule.inputs if rule.when else head.inputs
    return [(name, inputs.position(name)) for name in names]


def _reason(
    rule: str, looked_at: Sequence[tuple[str, int]], raw: Sequence[Sequence[Any]], index: int
) -> Mapping[str, Any]:
    return {"rule": rule, **{name: raw[column][index] for name, column in looked_at}}
