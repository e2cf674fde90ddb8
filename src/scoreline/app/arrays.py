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


def as_plain(array: Array, kind: ColumnType) -> list[Any]:
    """Return a feature's array as plain values; what `as_array` takes."""
    if isinstance(kind, (Text, Category)):
        return array.tolist()
    if isinstance(kind, Time):
        return [None if v == _NAT else v for v in array.astype(_MICROSECONDS, copy=False).view(np.int64).tolist()]
    plain = _PLAIN.get(type(kind), float)
    return [None if v != v else plain(v) for v in array.tolist()]


def maker_of_one(kind: ColumnType) -> Callable[[Any], Array]:
    """Return the function that makes of one plain value the array that `as_array` does, not to be written to."""
    none: Any = np.nan
    dtype: np.dtype[Any] = np.dtype(np.float64)
    if isinstance(kind, (Text, Category)):
        none, dtype = None, np.dtype(object)
    elif isinstance(kind, Time):
        none, dtype = _NAT, _MICROSECONDS

    def make(value: Any) -> Array:
        array = np.array([none if value is None else value], dtype)
        array.setflags(write=False)
        return array

    return make


def plain_of_one(feature: Feature) -> Callable[[Array], Any]:
    """Return the function that makes of an array of one value what `plain_of` gives for it."""
    kind, is_number = feature.type, not isinstance(feature.type, (Text, Category, Time))
    plain = _PLAIN.get(type(kind), float)

    def make(array: Array) -> Any:
        if is_number:
            (value,) = array.tolist()
            if value != value:
                return None
            if type(value) is not float or plain is not int or value.is_integer():
                return plain(value)
        (value,) = plain_of(feature, array)
        return value

    return make


def plain_of(feature: Feature, array: Array) -> list[Any]:
    """Return what a function gave as plain values; a fraction where whole numbers were declared fails, as offline."""
    kind = feature.type
    if isinstance(kind, Integer) and array.dtype.kind == "f":
        whole = np.isnan(array) | (np.isfinite(array) & (array == np.floor(array)))
        if not whole.all():
            raise FeatureError(f"feature '{feature.name}': its function gave a fraction that is no {kind.name}")
    return as_plain(array, kind)


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
