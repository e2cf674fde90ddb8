"""Rules over the inputs matrix."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scoreline.app.heads import Other, Rule, RulesHead
from scoreline.model.inputs import Inputs, Matrix

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
Test = tuple[int, Callable[[Any, Any], Any] | None, float, int | None]  # column, how, value or other column


class CompiledRules:
    """A rules head, compiled against the inputs."""

    def __init__(self, head: RulesHead, inputs: Inputs) -> None:
        self.head = head
        self._tests = [[_compile(comparison, inputs) for comparison in rule.when] for rule in head.rules]

    @property
    def last(self) -> int:
        """Position of the rule that always holds."""
        return len(self._tests) - 1

    def predict(self, matrix: Matrix) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return, for each row, the position of the first rule that holds.

        Parameters
        ----------
        matrix : float64 of shape (n, inputs)

        Returns
        -------
        int64 of shape (n,)
        """
        if len(matrix) == 1:  # plain floats are several times faster than arrays of one
            return np.array([self.first(matrix[0].tolist())])
        answer = np.full(len(matrix), -1)
        for position, tests in enumerate(self._tests):
            holds = np.zeros(len(matrix), bool) if tests else np.ones(len(matrix), bool)
            for column, compare, value, other in tests:
                x = matrix[:, column]
                null = np.isnan(x)
                y = value if other is None else matrix[:, other]
                holds |= null if compare is None else compare(x, y) & ~(null | np.isnan(y))
            answer[(answer < 0) & holds] = position
        return answer

    def first(self, row: Sequence[float], begin: int = 0) -> int:
        """Return the position of the first rule, from `begin` on, that holds for one row of plain numbers."""
        for position, tests in enumerate(self._tests):
            if position >= begin and (
                not tests
                or any(
                    _holds(row[column], compare, value if other is None else row[other])
                    for column, compare, value, other in tests
                )
            ):
                return position
        raise AssertionError("the last rule always holds")

    def explain(self, row: Sequence[float]) -> dict[str, Any]:
        """Say which rule holds for a row and why, what would hold without it, and what would come before it.

        Returns
        -------
        dict
            JSON-able: `rule` and `then`; `held`, its comparisons that hold; `otherwise`, the rule that would decide
            if they did not; `instead`, the rules before it with comparisons of which none holds.
        """
        position = self.first(row)
        after = self.first(row, position + 1) if position < self.last else None
        rules = self.head.rules
        told: dict[str, Any] = {"head": self.head.name, **_named(rules[position])}
        told["held"] = [
            _shown(comparison)
            for comparison, (column, compare, value, other) in zip(
                rules[position].when, self._tests[position], strict=True
            )
            if _holds(row[column], compare, value if other is None else row[other])
        ]
        told["otherwise"] = None if after is None else _named(rules[after])
        told["instead"] = [
            {**_named(rule), "when_any": [_shown(comparison) for comparison in rule.when]} for rule in rules[:position]
        ]
        return told


def _named(rule: Rule) -> dict[str, str]:
    return {"rule": rule.name, "then": rule.then}


def _shown(comparison: tuple[Any, ...]) -> str:
    """Return a comparison as text.

    Examples
    --------
    >>> _shown(("stock", "<", 1)), _shown(("status", "is null")), _shown(("income", "<", Other("least")))
    ('stock < 1', 'status is null', 'income < least')
    """
    parts = [part.name if isinstance(part, Other) else part for part in comparison]
    return " ".join(str(part).lower() if isinstance(part, bool) else str(part) for part in parts)


def _holds(x: float, compare: Callable[[Any, Any], Any] | None, value: float) -> bool:
    if compare is None:
        return x != x
    return x == x and value == value and bool(compare(x, value))


def _compile(comparison: tuple[Any, ...], inputs: Inputs) -> Test:
    column = inputs.position(comparison[0])
    if comparison[1] == "is null":
        return column, None, 0.0, None
    compare = _COMPARE[comparison[1]]
    if isinstance(comparison[2], Other):
        return column, compare, 0.0, inputs.position(comparison[2].name)
    return column, compare, inputs.code(comparison[0], comparison[2]), None
