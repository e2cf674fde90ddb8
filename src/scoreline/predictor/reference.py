"""Reference tables in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from scoreline.app.arrays import Array, as_array, locked
from scoreline.app.table import TableSpec

_EXACT = 2.0**53


class ReferenceData:
    """A reference table, held whole; its rows in the order of their key.

    Parameters
    ----------
    columns : column name -> plain values (None for null; times as microseconds, UTC)
    """

    def __init__(self, spec: TableSpec, columns: Mapping[str, Sequence[Any]]) -> None:
        keys = list(zip(*(columns[name] for name in spec.key), strict=True))
        order = sorted(range(len(keys)), key=keys.__getitem__)
        self.spec = spec
        self.rows = len(keys)
        self.columns = {name: [columns[name][row] for row in order] for name in spec.columns}
        self._position = {keys[row]: position for position, row in enumerate(order)}

    @cached_property
    def arrays(self) -> dict[str, Array]:
        """The columns as arrays, as feature functions see them."""
        return {name: locked(as_array(values, self.spec.columns[name])) for name, values in self.columns.items()}

    @cached_property
    def keys(self) -> list[Any]:
        """The values of the first key column, in order."""
        return self.columns[self.spec.key[0]]

    def position(self, key: tuple[Any, ...]) -> int | None:
        """Return the row of a key, None where there is none."""
        return self._position.get(key)

    def lookup(self, column: str, keys: Sequence[Array]) -> Array:
        """Return a column's values for the keys, one array for each key column; null where there is no such row."""
        parts = [self._as_keys(name, values) for name, values in zip(self.spec.key, keys, strict=True)]
        found = [self._position.get(key, -1) for key in zip(*parts, strict=True)]
        values = self.arrays[column]
        null: Any = {"O": None, "M": np.datetime64("NaT")}.get(values.dtype.kind, np.nan)
        padded = np.append(values, np.array([null], dtype=values.dtype))
        return padded[found]

    def _as_keys(self, name: str, values: Array) -> list[Any]:
        """Return key values as the table holds them: a whole number comes as float64, exact below 2**53.

        A larger one may stand for its neighbour too. It finds nothing: never another key's row.
        """
        if values.dtype.kind == "O":
            return values.tolist()
        return [int(value) if abs(value) < _EXACT else None for value in values.tolist()]
