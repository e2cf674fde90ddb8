"""The inputs schema: how feature values become the float64 matrix that heads take."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from scoreline.app.columns import Category, ColumnType
from scoreline.app.declaration import App

Matrix = np.ndarray[Any, np.dtype[np.float64]]


class Inputs:
    """The columns that the heads of an app take, in the order of the matrix.

    Numbers stand for themselves, booleans are 0 and 1, a category is its place in the declared list
    (a value outside the list: the list's length), null is NaN. The same for one row and a million.

    Parameters
    ----------
    types : mapping of column name to type
    """

    def __init__(self, types: Mapping[str, ColumnType]) -> None:
        self.types = dict(types)
        self.names = tuple(types)
        self._coders = [_coder(kind) for kind in types.values()]

    def encode(self, columns: Sequence[Sequence[Any]]) -> Matrix:
        """Encode columns of plain values (None for null), given in the order of `names`.

        Returns
        -------
        float64 of shape (rows, len(names)), C order
        """
        rows = len(columns[0]) if columns else 0
        matrix = np.empty((rows, len(self.names)))
        for index, (coder, values) in enumerate(zip(self._coders, columns, strict=True)):
            matrix[:, index] = [coder(value) for value in values]
        return matrix

    def encode_one(self, values: Sequence[Any]) -> list[float]:
        """Encode one row of plain values, given in the order of `names`."""
        return [coder(value) for coder, value in zip(self._coders, values, strict=True)]

    def position(self, name: str) -> int:
        """Return the column of the matrix that holds an input."""
        return self.names.index(name)

    def code(self, name: str, value: Any) -> float:
        """Return what a value of an input is in the matrix."""
        return self._coders[self.position(name)](value)

    def describe(self) -> dict[str, Any]:
        """Return the schema as JSON-able data: name -> type."""
        return {name: kind.describe() for name, kind in self.types.items()}


def inputs_of(app: App) -> Inputs:
    """Return the inputs of an app: every feature that one of its heads takes, in feature order."""
    taken = {name for head in app.heads.values() for name in head.inputs}
    return Inputs({name: kind for name, kind in app.feature_types.items() if name in taken})


def _coder(kind: ColumnType) -> Callable[[Any], float]:
    if isinstance(kind, Category):
        codes: dict[Any, float] = {value: float(code) for code, value in enumerate(kind.values)}
        codes[None] = math.nan
        unknown = float(len(kind.values))
        return lambda value: codes.get(value, unknown)
    return lambda value: math.nan if value is None else float(value)
