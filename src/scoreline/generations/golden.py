"""Golden requests: made-up records at the edges of the request schema, scored before a publish."""

from __future__ import annotations

from typing import Any

from scoreline.app.columns import Boolean, Category, ColumnType, Integer, Number
from scoreline.app.declaration import App
from scoreline.app.heads import TreesHead
from scoreline.app.reply import Probability, Ranked
from scoreline.errors import GenerationError, ScorelineError
from scoreline.generations.parts import Parts
from scoreline.predictor import LiveScorer, Sent


def golden_requests(app: App) -> list[Sent]:
    """Make records of an app's declared request: all lowest, all middling, all highest, optional ones null."""
    request = app.declared_request
    assert request is not None
    kinds = list(request.table.spec.columns.values())
    rows = [tuple(value_at(kind, share) for kind in kinds) for share in (0.0, 0.5, 1.0)]
    rows.append(tuple(None if kind.optional else value_at(kind, 0.5) for kind in kinds))
    return [Sent(row) for row in rows]


def check_golden_requests(app: App, parts: Parts) -> int:
    """Score the golden requests; return how many probabilities were looked at.

    Raises
    ------
    GenerationError
        A probability is missing where the head was learnt, or is not from 0 to 1.
    """
    if not isinstance(parts.scorer, LiveScorer):
        return 0
    try:
        replies = parts.scorer.of_all_rows().score(golden_requests(app))
    except Exception as error:  # an app's own predictor.py may raise anything
        said = str(error) if isinstance(error, ScorelineError) else f"{type(error).__name__}: {error}"
        raise GenerationError(f"golden requests can't be scored: {said}") from error
    looked_at = 0
    for number, reply in enumerate(replies):
        for name, given in app.reply_fields.items():
            fields = given.fields if isinstance(given, Ranked) else {name: given}
            entries = reply[name] if isinstance(given, Ranked) else [reply]
            for field, kind in fields.items():
                if isinstance(kind, Probability) and _must_answer(app, parts, kind.head):
                    for row, entry in enumerate(entries):
                        _check(entry[field], f"golden request {number}, {name}[{row}].{field}")
                    looked_at += len(entries)
    return looked_at


def _must_answer(app: App, parts: Parts, head: str) -> bool:
    learnt = parts.artifact.learnt.get(head)
    return isinstance(app.heads[head], TreesHead) and learnt is not None and learnt.takes_missing


def _check(chance: Any, where: str) -> None:
    if not isinstance(chance, float) or not 0.0 <= chance <= 1.0:
        raise GenerationError(f"{where}: expected a probability from 0 to 1, got {chance!r}; nothing was published")


def value_at(kind: ColumnType, share: float) -> Any:
    """Return a value of the column at a share of its range."""
    if isinstance(kind, (Integer, Number)):
        low = 0.0 if kind.minimum is None else kind.minimum
        high = low + 1000 if kind.maximum is None else kind.maximum
        value = low + share * (high - low)
        return int(value) if isinstance(kind, Integer) else float(value)
    if isinstance(kind, Boolean):
        return share >= 0.5
    if isinstance(kind, Category):
        return kind.values[round(share * (len(kind.values) - 1))]
    return f"golden-{share:g}"
