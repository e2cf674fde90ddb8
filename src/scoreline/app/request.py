"""The request, as an app declares it: what a client sends where that is more than a key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scoreline.app.columns import Boolean, ColumnType, Time
from scoreline.app.features import Feature, Latest, Lookup
from scoreline.app.table import Column, Table
from scoreline.errors import AppError, did_you_mean


@dataclass(frozen=True)
class Request:
    """What a client sends for one record.

    Attributes
    ----------
    table : its columns are a record's fields; `inference` scores its file
    each : a reference table; a record is scored against every row of it. None: a record is one row
    where : a Boolean feature; rows of `each` for which it is false are left out and counted
    """

    table: Table
    each: Table | None
    where: str | None

    @property
    def select(self) -> str | None:
        """Name of the option that picks rows of `each` by key: `card_ids` for the key `card_id`."""
        return None if self.each is None else f"{self.each.spec.key[0]}s"


def declare_request(
    spine: Table, features: Mapping[str, Feature], table: object, each: object, where: object
) -> Request:
    """Check a declared request; AppError names what does not fit."""
    if not isinstance(table, Table):
        raise AppError(f"request: expected a table of this app, whose columns a client sends, got {table!r}")
    if each is not None:
        _check_each(spine, table, each)
    assert each is None or isinstance(each, Table)
    _check_fields(spine, features, table, each)
    if where is not None:
        kind = features[where].type if isinstance(where, str) and where in features else None
        if each is None or not isinstance(kind, Boolean):
            raise AppError(f"request: expected where= a Boolean feature, beside each=, got {where!r}."
                           f"{did_you_mean(str(where), features)}")  # fmt: skip
    return Request(table, each, where if isinstance(where, str) else None)


def _check_each(spine: Table, table: Table, each: object) -> None:
    if not isinstance(each, Table) or each.spec.reference is None:
        raise AppError(f"request: expected each= a reference table, got {each!r}")
    if len(each.spec.key) != 1 or each.spec.key[0] not in spine.spec.columns:
        raise AppError(
            f"request: expected each='{each.spec.name}' to have one key column that the spine '{spine.spec.name}' "
            f"has too, its key is {', '.join(each.spec.key)}"
        )
    options = ("top", f"{each.spec.key[0]}s")
    if taken := [name for name in options if name in table.spec.columns]:
        raise AppError(f"request: the column '{taken[0]}' of '{table.spec.name}' has the name of an option; rename it")


def _check_fields(spine: Table, features: Mapping[str, Feature], table: Table, each: Table | None) -> None:
    """Raise AppError unless every feature can be made from a request alone."""
    fields: dict[str, ColumnType] = dict(table.spec.columns)
    if each is not None:
        fields |= {name: each.spec.columns[name] for name in each.spec.key}
    for feature in features.values():
        for name in spine_columns_used(spine, feature, features):
            if name not in fields:
                raise AppError(
                    f"request: feature '{feature.name}' is made from '{name}' of '{spine.spec.name}', which a request "
                    f"does not have.{did_you_mean(name, fields)} A request has: {', '.join(fields)}."
                )
            if fields[name].describe() != spine.spec.columns[name].describe():
                raise AppError(
                    f"request: '{name}' is declared otherwise in '{table.spec.name}' than in '{spine.spec.name}'; "
                    "declare both alike"
                )
        if isinstance(feature.source, Latest):
            raise AppError(f"request: feature '{feature.name}' is latest(...), which a request has no time for; "
                           "requests by key take such features from the online store")  # fmt: skip
        if isinstance(feature.source, Lookup) and feature.source.column.table.spec.reference is None:
            raise AppError(
                f"request: feature '{feature.name}' is looked up in '{feature.source.column.table.spec.name}', which a "
                "server does not hold; declare that table with app.reference_table(...)"
            )
    for name, kind in table.spec.columns.items():
        if isinstance(kind, Time):
            raise AppError(f"request: column '{name}' is time; requests take text, numbers, booleans and categories")


def spine_columns_used(spine: Table, feature: Feature, features: Mapping[str, Feature]) -> tuple[str, ...]:
    """Return the spine columns that a feature takes itself: its own, its function's arguments, its table's keys."""
    if isinstance(feature.source, Column):
        return (feature.source.name,)
    if feature.is_function:
        return tuple(name for name in feature.arguments if name not in features or name == feature.name)
    source: Any = feature.source
    return tuple(name for name in source.column.table.spec.key if name in spine.spec.columns)
