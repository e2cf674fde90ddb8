"""Records that are the inputs of the heads: no store, no features, no reference tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scoreline.app.declaration import App
from scoreline.app.reply import of_heads
from scoreline.model.artifact import Artifact
from scoreline.model.inputs import inputs_of
from scoreline.predictor.heads import Predictor, SingleRow
from scoreline.predictor.replies import Scored, as_dicts, as_lists, writers_of


@dataclass(frozen=True, slots=True)
class InputRow:
    """A record that is the inputs of the heads: plain values (None for null), in the order of `inputs_of(app)`."""

    values: tuple[Any, ...]


class InputScorer:
    """Answers inputs with what the heads say of them: the fields of the reply that are about nothing else.

    A reply has no key and no other column given back, since the record has none. Where a request is scored
    against each row of a reference table, a record of inputs is about one such row, and its reply has the
    fields of one entry.

    Parameters
    ----------
    predictor : has `predict`, as `Predictor` does
    """

    def __init__(self, app: App, artifact: Artifact, predictor: Predictor) -> None:
        self._predictor = predictor
        self._inputs = inputs_of(app)
        self._writers = writers_of(app, artifact, of_heads(app.reply_fields))
        self._single = SingleRow(predictor) if type(predictor) is Predictor else None

    def score(self, rows: Sequence[InputRow]) -> list[dict[str, Any]]:
        """Return one reply for each row, in order."""
        if not rows:
            return []
        raw = dict(zip(self._inputs.names, zip(*(row.values for row in rows), strict=True), strict=True))
        outputs: dict[str, list[Any] | None]
        if len(rows) == 1 and self._single is not None:
            outputs = self._single.predict(self._inputs.encode_one(rows[0].values))
        else:
            outputs = as_lists(self._predictor.predict(self._inputs.encode(list(raw.values()))))
        return as_dicts(self._writers, Scored(len(rows), outputs, raw.__getitem__, raw.__getitem__))
