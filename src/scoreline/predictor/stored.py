"""Records that are keys: their feature rows come from the online store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from scoreline.app.declaration import App
from scoreline.app.reply import LIVE, TABLE
from scoreline.model.artifact import Artifact
from scoreline.model.inputs import inputs_of
from scoreline.predictor.explain import Explainer, Level
from scoreline.predictor.heads import Predictor, SingleRow
from scoreline.predictor.new_rows import NewRow, NewRows
from scoreline.predictor.replies import Scored, as_dicts, as_lists, writers_of
from scoreline.store.states import Trail

Key = tuple[str | int, ...]


class RowSource(Protocol):
    """Where feature rows are found by key: the online store."""

    def get(self, key: Key) -> list[Any] | None:
        """Return a row of the feature table, None where the key is unknown."""


@dataclass(frozen=True)
class Missing:
    """There is no row of this key.

    Attributes
    ----------
    lacks : what a new row would need beside what was sent
    """

    key: Key
    lacks: tuple[str, ...] = ()


class StoredScorer:
    """Answers keys with replies, as the app declares them.

    Parameters
    ----------
    predictor : has `predict`, as `Predictor` does
    columns : the columns of the rows that `source` gives, in order
    new_rows : makes the rows of keys that are not in the table; None: they are missing
    """

    def __init__(
        self,
        app: App,
        artifact: Artifact,
        predictor: Predictor,
        source: RowSource,
        columns: Sequence[str],
        new_rows: NewRows | None = None,
    ) -> None:
        self.new_rows = new_rows
        self._predictor, self._source = predictor, source
        self._explainer = Explainer(app, columns)
        self._inputs = inputs_of(app)
        self._taken = [columns.index(name) for name in self._inputs.names]
        self._key_part = {name: part for part, name in enumerate(app.spine.spec.key)}
        self._writers = writers_of(app, artifact, app.reply_fields)
        self._single = SingleRow(predictor) if type(predictor) is Predictor else None

    def score(self, keys: Sequence[Key], options: object = None) -> list[dict[str, Any] | Missing]:
        """Return one reply for each key, in order; `Missing` for a key that is not in the store.

        Parameters
        ----------
        options : those of ranked replies, which there are none of here
        """
        if len(keys) == 1:
            reply = self.reply_to(keys[0])
            return [Missing(keys[0]) if reply is None else reply]
        many = getattr(self._source, "get_many", None)  # a networked store takes all in one go
        rows = [self._source.get(key) for key in keys] if many is None else many(keys)
        found = [(key, row) for key, row in zip(keys, rows, strict=True) if row is not None]
        replies = iter(self._replies(found, TABLE))
        return [Missing(key) if row is None else next(replies) for key, row in zip(keys, rows, strict=True)]

    def reply_to(self, key: Key) -> dict[str, Any] | None:
        """Return the reply for one key, None where it is not in the store."""
        row = self._source.get(key)
        return None if row is None else self._replies([(key, row)], TABLE)[0]

    def score_new(self, rows: Sequence[NewRow]) -> list[dict[str, Any]]:
        """Return one reply for each new row, in order; its features are made as the table's were.

        Raises
        ------
        FeatureError
            A feature function fails.
        """
        assert self.new_rows is not None
        keys = [tuple([row.columns[part] for part in self._key_part]) for row in rows]
        return self._replies(list(zip(keys, self.new_rows.make(rows), strict=True)), LIVE)

    def explain(self, key: Key, level: Level, trail: Trail, new: NewRow | None = None) -> dict[str, Any] | None:
        """Return how a reply came about; None where the key is unknown.

        Parameters
        ----------
        trail : has the rows of other tables: those of the store, and for a new row what came since
        new : the new row; None: the feature table's row of that key
        """
        row = self._source.get(key) if new is None or self.new_rows is None else self.new_rows.make([new])[0]
        return None if row is None else self._explainer.explain(row, trail, level, new)

    def _reply(self, single: SingleRow, key: Key, row: list[Any], origin: str) -> dict[str, Any]:
        values = [row[position] for position in self._taken]
        outputs = single.predict(self._inputs.encode_one(values))
        raw = dict(zip(self._inputs.names, values, strict=True))
        part = self._key_part
        scored = Scored(1, outputs, lambda name: (key[part[name]],), lambda name: (raw[name],), origin)
        return {name: write(scored)[0] for name, write in self._writers.items()}

    def _replies(self, found: Sequence[tuple[Key, list[Any]]], origin: str) -> list[dict[str, Any]]:
        if not found:
            return []
        if len(found) == 1 and self._single is not None:
            return [self._reply(self._single, *found[0], origin)]
        raw = {
            name: [row[position] for _, row in found]
            for name, position in zip(self._inputs.names, self._taken, strict=True)
        }
        outputs = self._predictor.predict(self._inputs.encode(list(raw.values())))
        part = self._key_part
        echo = lambda name: [key[part[name]] for key, _ in found]  # noqa: E731
        scored = Scored(len(found), as_lists(outputs), echo, raw.__getitem__, origin)
        return as_dicts(self._writers, scored)
