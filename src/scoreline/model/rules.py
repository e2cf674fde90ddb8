"""Rules over the inputs matrix."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scoreline.app.heads import Other, RulesHead
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

    def first(self, row: Sequence[float]) -> int:
        """Return the position of the first rule that holds for one row of plain numbers."""
        for position, tests in enumerate(self._tests):
            if not tests or any(
                _holds(row[column], compare, value if other is None else row[other])
                for column, compare, value, other in tests
            ):
                return position
        raise AssertionError("the last rule always holds")


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
