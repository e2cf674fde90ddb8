"""Reply fields over scored rows: each a column of plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scoreline.app.columns import ColumnType, Time
from scoreline.app.declaration import App
from scoreline.app.heads import RulesHead, TreesHead
from scoreline.app.reply import (
    LIVE,
    Band,
    Decision,
    Echo,
    EntryField,
    FeaturesFrom,
    OutsideSupport,
    Probabilities,
    Probability,
    Reason,
)
from scoreline.model.artifact import Artifact
from scoreline.predictor.heads import Outputs

_ROUNDING = 1e-12  # of the float64 arithmetic between a raw score and a probability


@dataclass(frozen=True)
class Scored:
    """Some rows and what the heads say of them.

    Attributes
    ----------
    outputs : as `Predictor.predict` gives them, as lists
    echo : column name -> its values, of the record or of the reference table
    raw : feature name -> its plain values
    origin : where the features came from, as `features_from` says it
    """

    rows: int
    outputs: Mapping[str, list[Any] | None]
    echo: Callable[[str], Sequence[Any]]
    raw: Callable[[str], Sequence[Any]]
    origin: str = LIVE


Writer = Callable[[Scored], Sequence[Any]]


def as_lists(outputs: Outputs) -> dict[str, list[Any] | None]:
    """Return the heads' arrays as lists of plain numbers."""
    return {name: None if values is None else np.asarray(values).tolist() for name, values in outputs.items()}


def as_written(values: Sequence[Any], kind: ColumnType) -> Sequence[Any]:
    """Return plain values as replies hold them: times as text."""
    if not isinstance(kind, Time):
        return values
    return [None if value is None else f"{np.datetime64(value, 'us')}Z" for value in values]


def writers_of(app: App, artifact: Artifact, fields: Mapping[str, Any]) -> dict[str, Writer]:
    """Return for each field the function that gives its values, one for each row."""
    return {name: _writer(app, artifact, given) for name, given in fields.items()}


def rounded(chances: list[Any] | None, rows: int, digits: int) -> list[float | None]:
    """Return rounded probabilities; null where there is none."""
    if chances is None:
        return [None] * rows
    return [None if chance != chance else round(chance, digits) for chance in chances]


def as_dicts(writers: Mapping[str, Writer], scored: Scored) -> list[dict[str, Any]]:
    """Return one object a row: field -> its value."""
    columns = [write(scored) for write in writers.values()]
    return [dict(zip(writers, values, strict=True)) for values in zip(*columns, strict=True)]


def chances_of(app: App, given: Probability) -> Callable[[Mapping[str, list[Any] | None]], list[Any] | None]:
    """Return the function that takes a field's probabilities, not rounded, from the heads' outputs."""
    head = app.heads[given.head]
    if not isinstance(head, TreesHead) or given.of is None:
        return lambda outputs: outputs[given.head]
    code = head.classes.index(given.of)

    def take(outputs: Mapping[str, list[Any] | None]) -> list[Any] | None:
        rows = outputs[given.head]
        return None if rows is None else [row[code] for row in rows]

    return take


def _writer(app: App, artifact: Artifact, given: EntryField) -> Writer:
    if isinstance(given, Echo):
        column = given.column
        return lambda scored: scored.echo(column)
    if isinstance(given, FeaturesFrom):
        return lambda scored: [scored.origin] * scored.rows
    head = app.heads[given.head]
    if isinstance(given, Probability):
        digits, take = given.digits, chances_of(app, given)
        return lambda scored: rounded(take(scored.outputs), scored.rows, digits)
    if isinstance(given, Band):
        band = given
        return lambda scored: [_band(band, c) for c in rounded(scored.outputs[band.head], scored.rows, band.digits)]
    if isinstance(given, OutsideSupport):
        assert isinstance(head, TreesHead)
        return _outside(app, artifact, head)
    if isinstance(given, Probabilities):
        assert isinstance(head, TreesHead)
        return _probabilities(head, given.digits)
    if isinstance(head, TreesHead):
        return _likeliest(head)
    return _decisions(head) if isinstance(given, Decision) else _reasons(head, given)


def _decisions(head: RulesHead) -> Writer:
    decisions = [rule.then for rule in head.rules]
    return lambda scored: [decisions[position] for position in scored.outputs[head.name] or ()]


def _likeliest(head: TreesHead) -> Writer:
    def write(scored: Scored) -> list[str | None]:
        rows = scored.outputs[head.name]
        if rows is None:
            return [None] * scored.rows
        return [None if row[0] != row[0] else head.classes[row.index(max(row))] for row in rows]

    return write


def _probabilities(head: TreesHead, digits: int) -> Writer:
    classes = head.classes

    def write(scored: Scored) -> list[dict[str, float] | None]:
        rows = scored.outputs[head.name]
        if rows is None:
            return [None] * scored.rows
        return [
            None if row[0] != row[0] else {name: round(c, digits) for name, c in zip(classes, row, strict=True)}
            for row in rows
        ]

    return write


def _reasons(head: RulesHead, given: Reason) -> Writer:
    # a rule looked at its own inputs; the last one, at all that did not hold
    looked_at = [(rule.name, rule.inputs if rule.when else head.inputs) for rule in head.rules]
    silent = len(head.rules) if given.of_last else len(head.rules) - 1

    def write(scored: Scored) -> list[dict[str, Any] | None]:
        reasons: list[dict[str, Any] | None] = []
        for row, position in enumerate(scored.outputs[head.name] or ()):
            if position >= silent:
                reasons.append(None)
                continue
            rule, names = looked_at[position]
            reasons.append({"rule": rule, **{name: scored.raw(name)[row] for name in names}})
        return reasons

    return write


def _outside(app: App, artifact: Artifact, head: TreesHead) -> Writer:
    learnt = artifact.learnt.get(head.name)
    low, high = (0.0, 1.0) if learnt is None else learnt.support
    rules = app.heads[head.knock_outs] if head.knock_outs is not None else None
    last = len(rules.rules) - 1 if isinstance(rules, RulesHead) else 0

    def write(scored: Scored) -> list[bool | None]:
        chances = scored.outputs[head.name]
        if chances is None:
            return [None] * scored.rows
        outside = [None if c != c else not low - _ROUNDING <= c <= high + _ROUNDING for c in chances]
        if rules is not None:  # a rule's 0 is no guess
            positions = scored.outputs[rules.name] or ()
            outside = [o and p >= last for o, p in zip(outside, positions, strict=True)]
        return outside

    return write


def _band(given: Band, chance: float | None) -> str | None:
    if chance is None:
        return None
    return next(name for name, floor in given.bands if chance >= floor)
