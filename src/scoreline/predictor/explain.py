"""Explanations: which row gave each feature, which came too late or was set aside, and which rule decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from scoreline.app.columns import ColumnType, Time
from scoreline.app.declaration import App
from scoreline.app.features import Feature
from scoreline.app.heads import RulesHead
from scoreline.app.moments import written
from scoreline.app.table import Column
from scoreline.features.plan import Join, make_plan
from scoreline.model.inputs import inputs_of
from scoreline.model.rules import CompiledRules
from scoreline.predictor.new_rows import NewRow
from scoreline.store.states import UNTIMED_US, State, Trail, Wanted

Level = Literal["", "values", "all"]
SHOWN = 3  # rows that came too late, or were set aside, told one by one


class Explainer:
    """Explains feature rows.

    Parameters
    ----------
    columns : the columns of a feature row, in order; a store's rows have those of `Plan.matched_by` behind them
    """

    def __init__(self, app: App, columns: Sequence[str]) -> None:
        plan = make_plan(app)
        self._plan, self._time = plan, plan.spine.time
        self._columns = (*columns, *plan.matched_by)
        self._types: dict[str, ColumnType] = dict(plan.columns)
        self._inputs = inputs_of(app)
        self._rules = [CompiledRules(head, self._inputs) for head in app.heads.values() if isinstance(head, RulesHead)]
        self._join_of = {name: join for join in plan.joins for name in join.columns}

    def explain(self, row: Sequence[Any], trail: Trail, level: Level, new: NewRow | None = None) -> dict[str, Any]:
        """Return the explanation of a feature row as JSON-able data.

        Parameters
        ----------
        trail : has the rows that its features were made from
        level : "values" for the features' values alone
        new : the new row that it was made of; None: it is the feature table's
        """
        known = dict(zip(self._columns, row, strict=False))  # a new row ends before what only a store's has
        sent = {**known, **({} if new is None else new.columns)}
        as_of_us = UNTIMED_US if self._time is None else sent[self._time]
        brought = {} if new is None else new.brought
        as_of = {} if self._time is None or level == "values" else {"as_of": written(as_of_us)}

        def source_of(feature: Feature) -> dict[str, Any]:
            if isinstance(feature.source, Column):
                return {"from": str(feature.source)}
            join = self._join_of[feature.name]
            if join.table.name in brought:
                return {"table": join.table.name, "from": "the request"}
            if join.table.reference is not None:
                return _from_reference(join, sent)
            key = tuple(sent.get(part) for part in join.table.key)
            if None in key:
                return {"table": join.table.name, "row": None}
            wanted = Wanted(join.table.name, key, as_of_us)  # type: ignore[arg-type]  # no part of the key is None here
            return _from_trail(join, wanted, trail) if new is not None else _as_built(join, wanted, trail)

        return {**as_of, **self._told(known, level, source_of)}

    def explain_sent(self, features: Mapping[str, Any], sent: Mapping[str, Any], level: Level) -> dict[str, Any]:
        """Return the explanation of a row that is a request, or a request and a row of a reference table.

        Parameters
        ----------
        features : name -> plain value, of all features
        sent : the columns of the spine that it has
        """

        def source_of(feature: Feature) -> dict[str, Any]:
            if isinstance(feature.source, Column):
                return {"from": "the request"}
            return _from_reference(self._join_of[feature.name], {**features, **sent})

        return self._told(features, level, source_of)

    def _told(
        self, known: Mapping[str, Any], level: Level, source_of: Callable[[Feature], dict[str, Any]]
    ) -> dict[str, Any]:
        values = {feature.name: self._written(feature.name, known[feature.name]) for feature in self._plan.features}
        if level == "values":
            return {"features": values}
        features = {
            feature.name: {
                "value": values[feature.name],
                **({"function_of": list(feature.arguments)} if feature.is_function else source_of(feature)),
            }
            for feature in self._plan.features
        }
        encoded = self._inputs.encode_one([known[name] for name in self._inputs.names])
        return {"features": features, "decided": [rules.explain(encoded) for rules in self._rules]}

    def _written(self, name: str, value: Any) -> Any:
        return written(value) if isinstance(self._types[name], Time) and value is not None else value


def _from_reference(join: Join, sent: Mapping[str, Any]) -> dict[str, Any]:
    """Say by which key a row of a reference table is found, as that is in memory now."""
    key = {part: sent.get(part) for part in join.table.key}
    return {"table": join.table.name, "from": "the reference table in memory", "key": key}


def _as_built(join: Join, wanted: Wanted, trail: Trail) -> dict[str, Any]:
    """Say which row gave what the feature table has, and which came in since and would count now."""
    since_us = trail.history_from_us
    if join.table.time is not None and since_us is not None and wanted.as_of_us < since_us:
        return {"table": wanted.table, "row": None, "not_kept_before": written(since_us)}
    told = _from_trail(join, wanted, trail.as_built)
    built = {row[:2] for row in trail.as_built.trail(wanted)}
    is_timed = join.table.time is not None
    since = [
        row for row in trail.trail(wanted) if row[:2] not in built and (not is_timed or row.time_us <= wanted.as_of_us)
    ]
    used = max((at for at in built if not is_timed or at[0] <= wanted.as_of_us), default=None)
    if since and (used is None or since[0][:2] > used):
        told["ingested_since"] = _place(wanted.table, since[0], trail, is_timed=is_timed)
    return told


def _from_trail(join: Join, wanted: Wanted, trail: Trail) -> dict[str, Any]:
    """Say which row of a table counts, which came later, and which was set aside and would have counted."""
    is_timed = join.table.time is not None
    rows = trail.trail(wanted)
    by_then = [row for row in rows if not is_timed or row.time_us <= wanted.as_of_us]
    later = [row for row in rows if is_timed and row.time_us > wanted.as_of_us]
    used = by_then[0] if by_then else None
    told: dict[str, Any] = {"table": wanted.table, "row": None, "considered": len(by_then)}
    if used is not None:
        told["row"] = _place(wanted.table, used, trail, is_timed=is_timed)
    if later:
        told["came_later"] = len(later)
        told["next"] = [_place(wanted.table, row, trail, is_timed=True) for row in later[::-1][:SHOWN]]
    aside = [
        row
        for row in trail.set_aside(wanted)
        if row.values[0] == join.table.time  # its time can't be read: it may have counted
        or ((not is_timed or row.time_us <= wanted.as_of_us) and (used is None or row[:2] > used[:2]))
    ]
    if aside:
        told["set_aside"] = [
            {**_place(wanted.table, row, trail, is_timed=is_timed), "column": row.values[0], "why": row.values[1]}
            for row in aside[:SHOWN]
        ]
    return told


def _place(table: str, row: State, trail: Trail, *, is_timed: bool) -> dict[str, Any]:
    return {**trail.origin_of(table, row.order), **({"time": written(row.time_us)} if is_timed else {})}
