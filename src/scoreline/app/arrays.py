"""Plain values and the arrays that feature functions take and give (see `scoreline.app.columns`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from scoreline.app.columns import Boolean, Category, ColumnType, Integer, Text, Time
from scoreline.app.features import Feature
from scoreline.errors import FeatureError

Array = np.ndarray[Any, Any]
_MICROSECONDS = np.dtype("datetime64[us]")
_PLAIN: dict[type[ColumnType], Callable[[float], Any]] = {Integer: int, Boolean: bool}
_NAT = np.iinfo(np.int64).min  # as int64, that is what NaT is


def as_array(values: Sequence[Any], kind: ColumnType) -> Array:
    """Return plain values (None for null; times as microseconds, UTC) as the array that a function sees."""
    if isinstance(kind, (Text, Category)):
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array
    if isinstance(kind, Time):
        return np.array([_NAT if v is None else v for v in values], np.int64).view(_MICROSECONDS)
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def frozen_array(value: Any, kind: ColumnType) -> Array:
    """Return one plain value as an array that can't be written to."""
    array = as_array((value,), kind)
    array.flags.writeable = False
    return array


def as_plain(array: Array, kind: ColumnType) -> list[Any]:
    """Return a feature's array as plain values; what `as_array` takes."""
    if isinstance(kind, (Text, Category)):
        return array.tolist()
    if isinstance(kind, Time):
        return [None if v == _NAT else v for v in array.astype(_MICROSECONDS, copy=False).view(np.int64).tolist()]
    plain = _PLAIN.get(type(kind), float)
    return [None if v != v else plain(v) for v in array.tolist()]


def locked(array: Array) -> Array:
    """Return a view that can't be written to: let no function change what others get too."""
    view = array.view()
    view.flags.writeable = False
    return view


def call_function(feature: Feature, arguments: Mapping[str, Array], rows: int) -> Array:
    """Call one feature function; FeatureError names the feature where it fails."""
    assert callable(feature.source)
    try:
        result = feature.source(**arguments)
    except Exception as error:  # whatever the user's own code raises
        raise FeatureError(f"feature '{feature.name}': its function failed: {type(error).__name__}: {error}") from error
    if not isinstance(result, np.ndarray) or result.shape != (rows,):
        raise FeatureError(f"feature '{feature.name}': its function must give one value for each of {rows} rows")
    return result
