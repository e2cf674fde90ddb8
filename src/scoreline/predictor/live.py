"""Records that bring their own fields: features are made from them and from reference tables."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from scoreline.app.arrays import Array, as_array, as_plain, locked
from scoreline.app.columns import Category
from scoreline.app.declaration import App
from scoreline.app.reply import LIVE, Count, Echo, FeaturesFrom, Ranked
from scoreline.app.table import Column
from scoreline.model.artifact import Artifact
from scoreline.model.inputs import Inputs, Matrix, inputs_of
from scoreline.predictor.explain import Explainer, Level
from scoreline.predictor.heads import Predictor, SingleRow
from scoreline.predictor.live_features import Arrays, LiveFeatures
from scoreline.predictor.reference import ReferenceData
from scoreline.predictor.replies import Scored, as_dicts, as_lists, as_written, chances_of, writers_of


@dataclass(frozen=True)
class Options:
    """What a client may ask beside its records.

    Attributes
    ----------
    top : give the first so many entries; None for all
    keys : score these rows of the reference table alone; None for all
    live : of a key with all that a new row takes, make the features, whether it is in the table or not
    explain : tell beside the reply how it came about, or the features' values alone
    """

    top: int | None = None
    keys: tuple[str | int, ...] | None = None
    live: bool = False
    explain: Level = ""


@dataclass(frozen=True)
class Sent:
    """A record that was sent: its fields, in the order of the request's columns, and its own options."""

    values: tuple[Any, ...]
    options: Options = Options()


class LiveScorer:
    """Answers records with replies, as the app declares them.

    Parameters
    ----------
    predictor : has `predict`, as `Predictor` does
    tables : name -> reference table; all that the app declares
    """

    def __init__(self, app: App, artifact: Artifact, predictor: Predictor, tables: Mapping[str, ReferenceData]) -> None:
        request = app.declared_request
        assert request is not None
        self._request, self._predictor = request, predictor
        self._heads = tuple(app.heads)
        self._types = app.feature_types
        self._fields = request.table.spec.columns
        self._live = LiveFeatures(app, tables)
        self._explainer = Explainer(app, ())
        self._inputs = inputs_of(app)
        self._each = None if request.each is None else tables[request.each.spec.name]
        ranked = [(name, given) for name, given in app.reply_fields.items() if isinstance(given, Ranked)]
        entries = ranked[0][1].fields if ranked else app.reply_fields
        self._reply, self._ranked = app.reply_fields, ranked[0] if ranked else None
        self._writers = writers_of(app, artifact, entries)
        if ranked:
            by = ranked[0][1].fields[ranked[0][1].by]
            self._by, self._digits = chances_of(app, by), by.digits
        self._single = SingleRow(predictor) if type(predictor) is Predictor else None
        self._plain = _plain_columns(app, self._inputs)
        self._columns: Arrays = {}  # what is known before any record comes: all about the reference table's rows
        self._known: Arrays = {}
        if self._each is not None:
            self._columns = {name: self._each.arrays[name] for name in self._each.spec.key}
            self._echo = {
                name: as_written(values, self._each.spec.columns[name]) for name, values in self._each.columns.items()
            }
            with np.errstate(all="ignore"):
                self._known = self._live.extend(self._columns, {})
        self._base = self._base_matrix()

    def score(self, records: Sequence[Sent], options: Options = Options()) -> list[dict[str, Any]]:
        """Return one reply for each record, in order.

        Parameters
        ----------
        options : for records without options of their own
        """
        if self._each is not None:
            return [self._score_each(self._each, record, options) for record in records]
        replies = self._score_rows(records) if records else []
        for place, record in enumerate(records):
            if level := record.options.explain or options.explain:
                replies[place]["explanation"] = self._explain_row(record, level)
        return replies

    @property
    def rows_each(self) -> int:
        """How many rows of the reference table a record is scored against; 0 where it is one row itself."""
        return 0 if self._each is None else self._each.rows

    def of_all_rows(self) -> LiveScorer:
        """Return a scorer that leaves out no row of the reference table, whatever `where` says."""
        other = copy.copy(self)
        other._request = replace(self._request, where=None)
        return other

    def _base_matrix(self) -> Matrix:
        rows = 0 if self._each is None else self._each.rows
        base = np.full((rows, len(self._inputs.names)), np.nan)
        for name in self._inputs.names:
            if name in self._known:
                base[:, self._inputs.position(name)] = _codes(self._inputs, name, self._known[name])
        return base

    def _score_rows(self, records: Sequence[Sent]) -> list[dict[str, Any]]:
        """Score records that are one row each, as one matrix."""
        if self._plain is not None:
            return self._score_plain(records, self._plain)
        sent = {n: [record.values[part] for record in records] for part, n in enumerate(self._fields)}
        with np.errstate(all="ignore"):
            features = self._live.extend(_arrays(sent, self._fields), {})
        matrix = np.empty((len(records), len(self._inputs.names)))
        for name in self._inputs.names:
            matrix[:, self._inputs.position(name)] = _codes(self._inputs, name, features[name])
        raw = _Raw(features, self._types, None)
        scored = Scored(len(records), as_lists(self._predictor.predict(matrix)), sent.__getitem__, raw)
        return as_dicts(self._writers, scored)

    def _score_plain(self, records: Sequence[Sent], plain: Sequence[int]) -> list[dict[str, Any]]:
        """Score records whose inputs are fields as they were sent: no array is made of any but the inputs."""
        position = {name: part for part, name in enumerate(self._fields)}
        inputs = dict(zip(self._inputs.names, plain, strict=True))
        if len(records) == 1 and self._single is not None:
            values = records[0].values
            outputs = self._single.predict(self._inputs.encode_one([values[part] for part in plain]))
        else:
            matrix = self._inputs.encode([[record.values[part] for record in records] for part in plain])
            outputs = as_lists(self._predictor.predict(matrix))
        scored = Scored(
            len(records),
            outputs,
            lambda name: [record.values[position[name]] for record in records],
            lambda name: [record.values[inputs[name]] for record in records],
        )
        return as_dicts(self._writers, scored)

    def _score_each(self, each: ReferenceData, record: Sent, options: Options) -> dict[str, Any]:
        """Score one record against the rows of the reference table, as one matrix."""
        sent = dict(zip(self._fields, record.values, strict=True))
        one = _arrays({name: [value] for name, value in sent.items()}, self._fields)
        with np.errstate(all="ignore"):
            features = self._live.extend({**one, **self._columns}, self._known)
        keys = record.options.keys if record.options.keys is not None else options.keys
        wanted, unknown = _select(each, keys)
        chosen = self._where(features, wanted)
        matrix = self._base[chosen]
        for name in self._inputs.names:
            if name not in self._known:
                values = features[name] if len(features[name]) == 1 else features[name][chosen]
                matrix[:, self._inputs.position(name)] = _codes(self._inputs, name, values)
        outputs = as_lists(self._predictor.predict(matrix)) if len(chosen) else {name: [] for name in self._heads}
        top = record.options.top if record.options.top is not None else options.top
        entries, rows = self._entries(each, features, chosen, outputs, top)
        counts = {"offered": len(chosen), "left_out": len(wanted) - len(chosen)}
        reply = {name: _outer(given, sent, counts, entries) for name, given in self._reply.items()}
        if unknown:
            reply[f"unknown_{self._request.select}"] = unknown
        if level := record.options.explain or options.explain:
            left_out = sorted(set(wanted.tolist()).difference(chosen.tolist())) if keys is not None else []
            reply["explanation"] = {"rows": self._explain_each(each, sent, features, rows, left_out, level)}
        return reply

    def _explain_row(self, record: Sent, level: Level) -> dict[str, Any]:
        """Explain a record that is one row."""
        sent = dict(zip(self._fields, record.values, strict=True))
        with np.errstate(all="ignore"):
            features = self._live.extend(_arrays({name: [value] for name, value in sent.items()}, self._fields), {})
        raw = _Raw(features, self._types, None)
        return self._explainer.explain_sent({name: raw(name)[0] for name in self._types}, sent, level)

    def _explain_each(
        self,
        each: ReferenceData,
        sent: Mapping[str, Any],
        features: Arrays,
        rows: Sequence[int],
        left_out: Sequence[int],
        level: Level,
    ) -> list[dict[str, Any]]:
        """Explain a record with each of these rows of the reference table: those replied, then those left out."""
        told, (key,), both = [], each.spec.key, [*rows, *left_out]
        raw = _Raw(features, self._types, both)
        for place, row in enumerate(both):
            known = {name: raw(name)[place] for name in self._types}
            why = {"left_out_by": self._request.where} if place >= len(rows) else {}
            its = {**sent, key: each.keys[row]}
            told.append({key: each.keys[row], **why, **self._explainer.explain_sent(known, its, level)})
        return told

    def _where(self, features: Arrays, wanted: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if self._request.where is None:
            return wanted
        holds = features[self._request.where] == 1.0
        if len(holds) == 1:
            return wanted if holds[0] else wanted[:0]
        return wanted[holds[wanted]]

    def _entries(
        self,
        each: ReferenceData,
        features: Arrays,
        chosen: np.ndarray[Any, Any],
        outputs: Mapping[str, list[Any] | None],
        top: int | None,
    ) -> tuple[list[dict[str, Any]], list[int]]:
        """Return the entries of the ranked list and their rows, best first, `top` of them at the most."""
        assert self._ranked is not None
        chances = self._by(outputs)
        best = np.arange(len(chosen))
        if chances is not None:  # the rows are in key order, and the sort is stable: ties go by key
            best = np.argsort([-round(chance, self._digits) for chance in chances], kind="stable")
        best = best[:top]
        rows = chosen[best].tolist()
        taken = {name: None if v is None else [v[i] for i in best.tolist()] for name, v in outputs.items()}
        scored = Scored(
            len(rows), taken, lambda name: [self._echo[name][row] for row in rows], _Raw(features, self._types, rows)
        )
        return as_dicts(self._writers, scored), rows


class _Raw:
    """Plain values of features, made when a reason asks for them; `rows` picks those of the entries."""

    def __init__(self, features: Arrays, types: Mapping[str, Any], rows: Sequence[int] | None) -> None:
        self._features, self._types, self._rows = features, types, rows
        self._plain: dict[str, list[Any]] = {}

    def __call__(self, name: str) -> list[Any]:
        if name not in self._plain:
            plain = as_plain(self._features[name], self._types[name])
            if self._rows is not None:
                plain = plain * len(self._rows) if len(plain) == 1 else [plain[row] for row in self._rows]
            self._plain[name] = plain
        return self._plain[name]


def _plain_columns(app: App, inputs: Inputs) -> list[int] | None:
    """Return for each input the place of the field that it is, None where one is made from others, or looked up."""
    request = app.declared_request
    assert request is not None
    features = {feature.name: feature.source for feature in app.feature_list}
    sources = [features[name] for name in inputs.names]
    if request.each is not None or not all(isinstance(source, Column) for source in sources):
        return None
    fields = list(request.table.spec.columns)
    return [fields.index(source.name) for source in sources if isinstance(source, Column)]


def _arrays(values: Mapping[str, Sequence[Any]], types: Mapping[str, Any]) -> Arrays:
    return {name: locked(as_array(values[name], kind)) for name, kind in types.items()}


def _codes(inputs: Inputs, name: str, values: Array) -> Array:
    """Return a feature's array as a column of the inputs matrix."""
    if isinstance(inputs.types[name], Category):
        code = partial(inputs.code, name)
        return np.array([code(value) for value in values.tolist()], dtype=np.float64)
    return values.astype(np.float64)


def _select(each: ReferenceData, keys: Sequence[Any] | None) -> tuple[np.ndarray[Any, Any], list[Any]]:
    """Return the rows of the keys asked for, in key order, and the keys that the table has not."""
    if keys is None:
        return np.arange(each.rows), []
    found = {key: each.position((key,)) for key in keys}
    unknown = [key for key, row in found.items() if row is None]
    return np.array(sorted(row for row in found.values() if row is not None), dtype=np.int64), unknown


def _outer(given: Any, sent: Mapping[str, Any], counts: Mapping[str, int], entries: list[dict[str, Any]]) -> Any:
    if isinstance(given, Echo):
        return sent[given.column]
    if isinstance(given, FeaturesFrom):
        return LIVE
    return counts[given.what] if isinstance(given, Count) else entries
