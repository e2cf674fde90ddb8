"""Features, as an app declares them: spine columns, `latest`, `lookup` and functions of other features."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scoreline.app.columns import ColumnType
from scoreline.app.probe import probe_function
from scoreline.app.table import Column, Table, TableSpec, check_distinct, check_names
from scoreline.errors import AppError, did_you_mean

FeatureFunction = Callable[..., Any]


@dataclass(frozen=True)
class Latest:
    """The newest value of an event table's column at or before the spine row's time (see `latest`)."""

    column: Column


@dataclass(frozen=True)
class Lookup:
    """The value of a column in a table without time (see `lookup`)."""

    column: Column


def latest(column: Column) -> Latest:
    """Take the newest value of `column` known at the row's own time.

    The row of the same key with the newest event time at or before the spine row's time counts; of
    several at one instant, the last in the file. No such row: null. A null in that row is a null.

    Raises
    ------
    AppError
        `column` is not a table's column, or its table has no event time.
    """
    table = _table_of(column, "latest")
    if table.spec.time is None:
        raise AppError(f"latest({column}): table '{table.spec.name}' has no time. Use lookup({column}).")
    return Latest(column)


def lookup(column: Column) -> Lookup:
    """Take the value of `column` from the row with the same key in a table without time; null if none.

    Raises
    ------
    AppError
        `column` is not a table's column, or its table has an event time.
    """
    table = _table_of(column, "lookup")
    if table.spec.time is not None:
        raise AppError(
            f"lookup({column}): table '{table.spec.name}' has an event time, so its value depends on when "
            f"one asks. Use latest({column})."
        )
    return Lookup(column)


@dataclass(frozen=True)
class Feature:
    """One declared feature.

    Attributes
    ----------
    source : a spine column, a `Latest`, a `Lookup`, or a function over columns
    arguments : for a function, the names of the features and spine columns that it takes
    """

    name: str
    type: ColumnType
    source: Column | Latest | Lookup | FeatureFunction = field(repr=False)
    arguments: tuple[str, ...] = ()

    @property
    def is_function(self) -> bool:
        """Whether the feature is computed from other features."""
        return not isinstance(self.source, (Column, Latest, Lookup))


def resolve_features(spine: Table, declared: Mapping[str, object]) -> tuple[Feature, ...]:
    """Check declared features and give each its type, in declared order.

    Functions are called on a few made-up rows (`probe_function`) to learn their type and that they
    keep the row count; no data is read.
    """
    for name in declared:
        if not name.isidentifier():
            raise AppError(f"feature '{name}': expected a name that Python takes, since functions name it as argument")
        if name in spine.spec.required:
            raise AppError(f"feature '{name}': the name is taken by a key or time column of the spine")
    check_names("features", declared)
    check_distinct("features", "names", [*spine.spec.columns, *declared])
    resolved: dict[str, Feature] = {}
    by_feature: dict[str, Lookup] = {}  # their table is matched by a feature, so the feature comes first
    for name, source in declared.items():
        if isinstance(source, Lookup) and any(part in declared for part in _not_in(spine, source)):
            by_feature[name] = source
        elif not callable(source):
            resolved[name] = _direct(spine, name, source)
    for name, source in by_feature.items():
        resolved[name] = _chained(spine, name, source, resolved)
    waiting = {name: source for name, source in declared.items() if callable(source)}
    arguments = {name: _arguments(name, source, declared, spine) for name, source in waiting.items()}
    while waiting:
        ready = [n for n in waiting if all(a in resolved or a not in declared or a == n for a in arguments[n])]
        if not ready:
            raise AppError(f"features {', '.join(waiting)} need each other in a circle")
        for name in ready:
            resolved[name] = _function(spine, name, waiting.pop(name), arguments[name], resolved)
    return tuple(resolved[name] for name in declared)


def evaluation_order(features: tuple[Feature, ...]) -> tuple[Feature, ...]:
    """Return the function features in an order in which each one's arguments come before it."""
    functions = {feature.name: feature for feature in features if feature.is_function}
    done: dict[str, Feature] = {}

    def visit(feature: Feature) -> None:
        for argument in feature.arguments:
            if argument in functions and argument not in done and argument != feature.name:
                visit(functions[argument])
        done.setdefault(feature.name, feature)

    for feature in functions.values():
        visit(feature)
    return tuple(done.values())


def live_order(features: tuple[Feature, ...]) -> tuple[Feature, ...]:
    """Return all features in an order in which each one's makings come before it."""
    by_name = {feature.name: feature for feature in features}
    direct = [f for f in features if not f.is_function]
    chained = [f for f in direct if any(part in by_name for part in key_of(f))]
    return (*(f for f in direct if f not in chained), *chained, *evaluation_order(features))


def key_of(feature: Feature) -> tuple[str, ...]:
    """Return the key columns that a looked up feature's table is matched by; none for other features."""
    return feature.source.column.table.spec.key if isinstance(feature.source, (Latest, Lookup)) else ()


def spine_columns_of(name: str, features: Mapping[str, Feature]) -> frozenset[str]:
    """Return the names of the spine columns that a feature is made from, directly or through other features."""
    feature = features[name]
    if isinstance(feature.source, Column):
        return frozenset([feature.source.name])
    others = [a for a in feature.arguments if a in features and a != name]
    own = frozenset(feature.arguments).difference(others)
    return own.union(*(spine_columns_of(other, features) for other in others))


def _table_of(column: object, verb: str) -> Table:
    if not isinstance(column, Column):
        raise AppError(f"{verb}(...) takes a table's column, for example {verb}(inventory.inventory), got {column!r}")
    return column.table


def _direct(spine: Table, name: str, source: object) -> Feature:
    where = f"feature '{name}'"
    if isinstance(source, Column):
        if source.table is not spine:
            raise AppError(f"{where}: {source} is not a column of the spine. Use latest({source}) or lookup({source}).")
        return Feature(name, source.type, source)
    if isinstance(source, (Latest, Lookup)):
        if source.column.table is spine:
            raise AppError(f"{where}: {source.column} is a column of the spine; write {name}={source.column}")
        _check_join(spine, where, source.column.table)
        return Feature(name, source.column.type, source)
    raise AppError(
        f"{where}: expected a column of the spine, latest(...), lookup(...) or a function over columns, got {source!r}"
    )


def _not_in(spine: Table, source: Lookup) -> list[str]:
    """Return the key columns of a looked up table that the spine has not."""
    return [part for part in source.column.table.spec.key if part not in spine.spec.columns]


def _chained(spine: Table, name: str, source: Lookup, resolved: Mapping[str, Feature]) -> Feature:
    """Check a lookup whose table is matched by another looked up feature: the issuer of a card, say."""
    where, spec = f"feature '{name}'", source.column.table.spec
    if spec.reference is None:
        raise AppError(
            f"{where}: table '{spec.name}' is matched by {', '.join(_not_in(spine, source))}, which is no column of "
            f"the spine but a feature; that is for reference tables alone"
        )
    for part in spec.key:
        ours = resolved.get(part)
        if part in spine.spec.columns:
            _check_alike(where, spine.spec, spec, part)
            continue
        if ours is None or not isinstance(ours.source, Lookup) or _not_in(spine, ours.source):
            raise AppError(f"{where}: table '{spec.name}' is matched by '{part}'; expected a feature made with "
                           f"lookup(...) in a table that the spine itself matches")  # fmt: skip
        if ours.type.name != spec.columns[part].name:
            raise AppError(
                f"{where}: '{part}' is {ours.type.name} as a feature and {spec.columns[part].name} in '{spec.name}'; "
                "declare both alike"
            )
    return Feature(name, source.column.type, source)


def _check_join(spine: Table, where: str, table: Table) -> None:
    if table.spec.time is not None and spine.spec.time is None:
        raise AppError(f"{where}: latest needs a row's own time, and table '{spine.spec.name}' declares no time=")
    for part in table.spec.key:
        if part not in spine.spec.columns:
            raise AppError(
                f"{where}: table '{table.spec.name}' is matched by '{part}', which the spine "
                f"'{spine.spec.name}' does not have.{did_you_mean(part, spine.spec.columns)}"
            )
        _check_alike(where, spine.spec, table.spec, part)


def _check_alike(where: str, spine: TableSpec, table: TableSpec, part: str) -> None:
    ours, theirs = spine.columns[part], table.columns[part]
    if ours.name != theirs.name:
        raise AppError(
            f"{where}: '{part}' is {ours.name} in '{spine.name}' and {theirs.name} in '{table.name}'; "
            "declare both alike"
        )


def _arguments(name: str, source: object, declared: Mapping[str, object], spine: Table) -> tuple[str, ...]:
    plain = source.func if isinstance(source, functools.partial) else source
    if not inspect.isfunction(plain):  # of other callables nobody could tell whether they have changed
        raise AppError(f"feature '{name}': expected a plain function over columns (a def), got {source!r}")
    try:
        parameters = inspect.signature(source).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise AppError(f"feature '{name}': the arguments of {source!r} can't be read; write a plain def") from error
    names = []
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise AppError(f"feature '{name}': *{parameter.name} can't be matched to columns; name each argument")
        # A feature may refine the spine column of its own name: quantity=clip(quantity).
        is_known = parameter.name in spine.spec.columns or (parameter.name in declared and parameter.name != name)
        if not is_known:
            known = [n for n in (*declared, *spine.spec.columns) if n != name]
            raise AppError(
                f"feature '{name}': its function takes '{parameter.name}', which is neither a feature nor a "
                f"column of '{spine.spec.name}'.{did_you_mean(parameter.name, known)}"
            )
        names.append(parameter.name)
    if not names:
        raise AppError(f"feature '{name}': its function takes no columns")
    return tuple(names)


def _function(
    spine: Table, name: str, source: object, arguments: tuple[str, ...], resolved: Mapping[str, Feature]
) -> Feature:
    assert callable(source)
    never_null = frozenset(spine.spec.required)
    types = {a: resolved[a].type if a in resolved and a != name else spine.spec.columns[a] for a in arguments}
    return Feature(name, probe_function(name, source, types, never_null), source, arguments)
