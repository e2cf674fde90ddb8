"""The plan: how each feature of a spine row comes about. Engines compile it; nothing here runs it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from scoreline.app.columns import ColumnType
from scoreline.app.declaration import App
from scoreline.app.features import Feature, Latest, Lookup, evaluation_order, live_order
from scoreline.app.table import Column, TableSpec
from scoreline.features.fingerprint import describe_function


@dataclass(frozen=True)
class Join:
    """All features that come from one other table.

    With an event time: the newest row of the key at or before the spine row's time, of several at
    one instant the last in the file. Without: the row of the key. Matched on the table's key
    columns, which are columns of the spine or, for a reference table, features of an earlier join.

    Attributes
    ----------
    columns : feature name -> column of `table`
    """

    table: TableSpec
    columns: dict[str, str]

    @property
    def taken(self) -> tuple[str, ...]:
        """The columns of `table` that features take, each once."""
        return tuple(dict.fromkeys(self.columns.values()))


@dataclass(frozen=True)
class Plan:
    """How the feature table comes about.

    Attributes
    ----------
    spine : the table whose rows are predicted
    features : all features in declared order
    functions : the function features in an order in which arguments come first
    targets : spine columns that heads learn; kept beside the feature table, never in it
    """

    spine: TableSpec
    features: tuple[Feature, ...]
    functions: tuple[Feature, ...]
    joins: tuple[Join, ...]
    targets: tuple[str, ...]

    @cached_property
    def columns(self) -> dict[str, ColumnType]:
        """The feature table's columns in order: key, event time, features."""
        own = {name: self.spine.columns[name] for name in self.spine.required}
        return own | {feature.name: feature.type for feature in self.features}

    @cached_property
    def kept(self) -> tuple[Join, ...]:
        """The joins whose rows an online store keeps for new rows; reference tables are in memory."""
        return tuple(join for join in self.joins if join.table.reference is None)

    @cached_property
    def matched_by(self) -> dict[str, ColumnType]:
        """Columns of the spine that the kept joins are matched by and the feature table has not.

        The online store's rows have them behind the feature table's columns, so that a row can be explained.
        """
        parts = dict.fromkeys(part for join in self.kept for part in join.table.key if part not in self.columns)
        return {part: self.spine.columns[part] for part in parts}

    @cached_property
    def tables(self) -> tuple[TableSpec, ...]:
        """The tables read: the spine, then those joined."""
        return (self.spine, *(join.table for join in self.joins))

    def describe(self) -> dict[str, Any]:
        """Return the plan as JSON-able data; equal for plans that give the same features."""
        return {
            "spine": _describe_table(self.spine),
            "tables": [_describe_table(join.table) for join in self.joins],
            "features": {f.name: {**f.type.describe(), "from": _describe_source(f)} for f in self.features},
            "targets": list(self.targets),
        }

    @cached_property
    def digest(self) -> str:
        """SHA-256 of `describe()`, in hex."""
        return hashlib.sha256(json.dumps(self.describe(), sort_keys=True).encode()).hexdigest()


def make_plan(app: App) -> Plan:
    """Make the plan of an app's features."""
    joins: dict[str, Join] = {}
    for feature in live_order(app.feature_list):
        if isinstance(feature.source, (Latest, Lookup)):
            spec = feature.source.column.table.spec
            join = joins.setdefault(spec.name, Join(spec, {}))
            join.columns[feature.name] = feature.source.column.name
    return Plan(
        spine=app.spine.spec,
        features=app.feature_list,
        functions=evaluation_order(app.feature_list),
        joins=tuple(joins.values()),
        targets=app.targets,
    )


def _describe_table(spec: TableSpec) -> dict[str, Any]:
    columns = {name: kind.describe() for name, kind in spec.columns.items()}
    return {"name": spec.name, "key": list(spec.key), "time": spec.time, "columns": columns}


def _describe_source(feature: Feature) -> Any:
    source = feature.source
    if isinstance(source, Column):
        return str(source)
    if isinstance(source, (Latest, Lookup)):
        return [type(source).__name__.lower(), str(source.column)]
    return {"function": describe_function(source), "of": list(feature.arguments)}
