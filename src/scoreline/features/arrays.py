"""Between Arrow columns and the arrays that feature functions take and give (see `scoreline.app.columns`)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scoreline.app.arrays import Array, call_function, locked
from scoreline.app.columns import Boolean, Category, ColumnType, Integer, Text, Time
from scoreline.errors import FeatureError
from scoreline.features.plan import Plan
from scoreline.tables.typed import arrow_type


def to_array(values: pa.Array, kind: ColumnType) -> Array:
    """Return an Arrow column as the array that a feature function sees."""
    if isinstance(kind, (Text, Category)):
        return np.array(values.to_pylist(), dtype=object)
    if isinstance(kind, Time):
        micros = pc.fill_null(values.cast(pa.int64()), np.iinfo(np.int64).min)  # that number is NaT
        return micros.to_numpy(zero_copy_only=False).view("datetime64[us]")
    if isinstance(kind, Boolean):
        values = values.cast(pa.int8())
    # not safe: a whole number beyond 2**53 is rounded, as the table of types says
    return pc.fill_null(values.cast(pa.float64(), safe=False), np.nan).to_numpy(zero_copy_only=False)


def to_arrow(array: Array, kind: ColumnType) -> pa.Array:
    """Return a feature function's array as an Arrow column of the feature's type; NaN, NaT, None are null."""
    if isinstance(kind, (Text, Category)):
        return pa.array(array.tolist(), pa.string())
    if isinstance(kind, Time):
        return pa.array(array.astype("datetime64[us]"), pa.timestamp("us"))
    if array.dtype.kind == "f":
        null = np.isnan(array)
        if isinstance(kind, (Integer, Boolean)):
            array = np.where(null, 0, array)
        return pa.array(array, pa.float64(), mask=null).cast(arrow_type(kind))
    return pa.array(array).cast(arrow_type(kind))


def apply_functions(plan: Plan, joined: Mapping[str, pa.Array], rows: int) -> dict[str, pa.Array]:
    """Compute the function features of some rows.

    Parameters
    ----------
    joined : the spine's columns and the joined features, by name (a feature hides a column of its name)

    Returns
    -------
    dict
        All of the feature table's columns, in order.

    Raises
    ------
    FeatureError
        A function fails on the data, or gives another type than it did on made-up rows.
    """
    types: dict[str, ColumnType] = dict(plan.spine.columns) | {f.name: f.type for f in plan.features}
    known = dict(joined)
    arrays: dict[str, Array] = {}
    for feature in plan.functions:
        arguments = {}
        for name in feature.arguments:
            kind = plan.spine.columns[name] if name == feature.name else types[name]
            if name not in arrays:
                arrays[name] = locked(to_array(known[name], kind))
            arguments[name] = arrays[name]
        result = call_function(feature, arguments, rows)
        arrays[feature.name] = locked(result)
        try:
            known[feature.name] = to_arrow(result, feature.type)
        except pa.ArrowException as error:
            raise FeatureError(
                f"feature '{feature.name}': its function gave {result.dtype} that is no {feature.type.name} ({error})"
            ) from error
    return {name: known[name] for name in plan.columns}
