"""Heads: named outputs of a model. Rules are data; trees are made by an estimator at training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scoreline.app.columns import Boolean, Category, ColumnType, Integer, Number
from scoreline.app.table import Column, Table
from scoreline.errors import AppError, did_you_mean


@dataclass(frozen=True)
class Other:
    """Another feature, in the place of a rule's value (see `feature`)."""

    name: str


def feature(name: str) -> Other:
    """Compare with another feature instead of a value: `("annual_income", "<", feature("minimum_income"))`.

    Where either is null the comparison does not hold.
    """
    if not isinstance(name, str):
        raise AppError(f"feature(...) takes a feature's name, for example feature('minimum_income'), got {name!r}")
    return Other(name)


OPERATORS = ("is null", "==", "!=", "<", "<=", ">", ">=")
Comparison = tuple[str, str, bool | int | float | str | Other | None]


@dataclass(frozen=True)
class Rule:
    """One rule: when any of its comparisons holds, the answer is `then`.

    Parameters
    ----------
    name : str
        What the reply gives as the reason.
    when : sequence of tuples
        `(feature, operator, value)` or `(feature, "is null")`, with ==, !=, <, <=, > or >=; `value`
        may be `feature("another")`. A null holds no comparison but `is null`. Left out: always
        holds; the last rule must be such a one.
    then : str
        The decision.
    """

    name: str
    when: Sequence[tuple[Any, ...]] = ()
    then: str = ""

    def describe(self) -> dict[str, Any]:
        """Return the rule as JSON-able data."""
        when = [[{"feature": p.name} if isinstance(p, Other) else p for p in comparison] for comparison in self.when]
        return {"name": self.name, "when": when, "then": self.then}

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the features that the rule looks at, each once."""
        named = [
            part.name if isinstance(part, Other) else comparison[0]
            for comparison in self.when
            for part in (comparison[0], *comparison[2:])
        ]
        return tuple(dict.fromkeys(named))


@dataclass(frozen=True)
class RulesHead:
    """A head whose answer is the first rule that holds."""

    name: str
    rules: tuple[Rule, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of all features that the rules look at, in order of first use."""
        return tuple(dict.fromkeys(name for rule in self.rules for name in rule.inputs))


@dataclass(frozen=True)
class TreesHead:
    """A head learnt from a Boolean target: the probability that it is true.

    Attributes
    ----------
    estimator : called by `train` only; returns an unfitted scikit-learn gradient boosting classifier
    monotonic : input -> 1 (the probability never falls as it rises) or -1 (never rises)
    knock_outs : a rules head; rows that any of its rules but the last holds for are not learnt from, and
        their probability is 0
    report_by : a feature; `train` reports the metrics for each of its values too
    """

    name: str
    target: str
    inputs: tuple[str, ...]
    estimator: Callable[[], Any] = field(compare=False)
    monotonic: Mapping[str, int] = field(default_factory=dict)
    knock_outs: str | None = None
    report_by: str | None = None


Head = RulesHead | TreesHead


def declare_rules(name: str, rules: Sequence[Rule], features: Mapping[str, ColumnType]) -> RulesHead:
    """Check a rules head; AppError names the rule and what is wrong with it."""
    where = f"head '{name}'"
    if not rules or not all(isinstance(rule, Rule) for rule in rules):
        raise AppError(f"{where}: expected rules=[Rule(name, when=[...], then=...), ...]")
    names = [rule.name for rule in rules]
    if len(set(names)) != len(names):
        raise AppError(f"{where}: two rules have one name: {', '.join(names)}")
    for rule in rules[:-1]:
        if not rule.when:
            raise AppError(f"{where}, rule '{rule.name}': without when= it always holds, so it must be the last")
    if rules[-1].when:
        raise AppError(f"{where}: the last rule must always hold: Rule('{rules[-1].name}', then=...) without when=")
    for rule in rules:
        if not isinstance(rule.then, str) or not rule.then:
            raise AppError(f"{where}, rule '{rule.name}': expected then='the decision', got {rule.then!r}")
        for comparison in rule.when:
            _check_comparison(f"{where}, rule '{rule.name}'", comparison, features)
    return RulesHead(name, tuple(rules))


def declare_trees(
    name: str,
    spine: Table,
    features: Mapping[str, ColumnType],
    *,
    target: Column | None,
    inputs: Sequence[str] | None,
    estimator: Callable[[], Any] | None,
    monotonic: Mapping[str, int],
    knock_outs: RulesHead | None,
    report_by: str | None,
) -> TreesHead:
    """Check a learned head; AppError names what is wrong."""
    where = f"head '{name}'"
    if not isinstance(target, Column) or target.table is not spine:
        raise AppError(f"{where}: expected target= a column of the spine '{spine.spec.name}', got {target!r}")
    if not isinstance(target.type, Boolean):
        raise AppError(f"{where}: target {target} is {target.type.name}; expected Boolean")
    if not callable(estimator):
        raise AppError(f"{where}: expected estimator= a function that makes the estimator, got {estimator!r}")
    if not inputs:
        raise AppError(f"{where}: expected inputs=[feature names], got {inputs!r}")
    for column in inputs:
        kind = _feature_type(where, column, features)
        if not isinstance(kind, (Boolean, Category, Integer, Number)):
            raise AppError(f"{where}: input '{column}' is {kind.name}; trees take numbers, booleans and categories")
    for column, direction in monotonic.items():
        if column not in inputs or direction not in (1, -1):
            raise AppError(
                f"{where}: expected monotonic={{input: 1 or -1}}, got {{{column!r}: {direction!r}}}."
                f"{did_you_mean(column, inputs)}"
            )
        if isinstance(features[column], Category):
            raise AppError(f"{where}: monotonic input '{column}' is a category; categories have no order")
    if report_by is not None:
        _feature_type(where, report_by, features)
    name_of_rules = None if knock_outs is None else knock_outs.name
    return TreesHead(name, target.name, tuple(inputs), estimator, dict(monotonic), name_of_rules, report_by)


def _feature_type(where: str, name: str, features: Mapping[str, ColumnType]) -> ColumnType:
    if name not in features:
        raise AppError(f"{where}: no feature '{name}'.{did_you_mean(name, features)} Features: {', '.join(features)}.")
    return features[name]


def _check_comparison(where: str, comparison: object, features: Mapping[str, ColumnType]) -> None:
    shape_ok = isinstance(comparison, tuple) and len(comparison) == (2 if comparison[1:2] == ("is null",) else 3)
    if not isinstance(comparison, tuple) or not shape_ok or comparison[1] not in OPERATORS:
        raise AppError(
            f"{where}: expected (feature, operator, value) or (feature, 'is null') with one of "
            f"{', '.join(OPERATORS)}, got {comparison!r}"
        )
    kind = _feature_type(where, comparison[0], features)
    if not isinstance(kind, (Boolean, Category, Integer, Number)):
        raise AppError(f"{where}: '{comparison[0]}' is {kind.name}; rules compare numbers, booleans and categories")
    if comparison[1] != "is null" and isinstance(comparison[2], Other):
        _check_other(f"{where}, '{comparison[0]}'", comparison, kind, features)
    elif comparison[1] != "is null":
        _check_value(f"{where}, '{comparison[0]}'", comparison[1], comparison[2], kind)


def _check_other(where: str, comparison: tuple[Any, ...], kind: ColumnType, features: Mapping[str, ColumnType]) -> None:
    other = _feature_type(where, comparison[2].name, features)
    are_numbers = all(isinstance(one, (Integer, Number)) for one in (kind, other))
    is_equality = comparison[1] in ("==", "!=")
    if not are_numbers and not (is_equality and kind.describe() == other.describe()):
        raise AppError(
            f"{where}: {kind.name} can't be compared with {other.name} '{comparison[2].name}' by {comparison[1]}; "
            "expected two numbers, or == or != between two features of one type"
        )


def _check_value(where: str, operator: str, value: object, kind: ColumnType) -> None:
    if isinstance(kind, Category):
        if operator not in ("==", "!="):
            raise AppError(f"{where}: categories have no order; use == or != instead of {operator}")
        if value not in kind.values:
            hint = did_you_mean(str(value), kind.values)
            raise AppError(f"{where}: {value!r} is not one of {', '.join(kind.values)}.{hint}")
    elif isinstance(kind, Boolean):
        if not isinstance(value, bool) or operator not in ("==", "!="):
            raise AppError(f"{where}: expected == or != with True or False, got {operator} {value!r}")
    elif isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise AppError(f"{where}: expected a number, got {value!r}")
