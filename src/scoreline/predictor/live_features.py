"""Features made while serving: from what a request or a store gives, and from reference tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import cast

import numpy as np

from scoreline.app.arrays import Array, call_function, locked
from scoreline.app.declaration import App
from scoreline.app.features import Feature, Lookup, key_of, live_order
from scoreline.app.table import Column
from scoreline.predictor.reference import ReferenceData

Arrays = dict[str, Array]


class LiveFeatures:
    """Makes features from fields; an array has one value (of the record) or one for each row.

    Parameters
    ----------
    tables : name -> reference table
    only : names of the features to make; None: all

    Attributes
    ----------
    steps : each feature to make, in order, and what it is made from: names, and whether each is a column of the spine
    """

    def __init__(self, app: App, tables: Mapping[str, ReferenceData], only: Collection[str] | None = None) -> None:
        self._tables = tables
        order = live_order(app.feature_list)
        self._names = {feature.name for feature in order}
        self._spine = frozenset(app.spine.spec.columns)
        self.steps = [
            (feature, [(name, self._is_column(feature, name)) for name in _makings(feature)])
            for feature in order
            if only is None or feature.name in only
        ]

    def extend(self, columns: Arrays, known: Arrays) -> Arrays:
        """Return the `known` features and all that can be made from them and `columns` of the spine."""
        features = dict(known)
        for feature, makings in self.steps:
            if feature.name not in features:
                taken = [(columns if is_column else features).get(name) for name, is_column in makings]
                if all(array is not None for array in taken):
                    features[feature.name] = locked(self._make(feature, cast(list[Array], taken)))
        return features

    def _is_column(self, feature: Feature, name: str) -> bool:
        """Whether a making is a column of the spine, as engines take it, rather than the feature of that name."""
        if isinstance(feature.source, Lookup):  # a table is matched by the spine's own column where there is one
            return name in self._spine
        return isinstance(feature.source, Column) or name == feature.name or name not in self._names

    def _make(self, feature: Feature, makings: list[Array]) -> Array:
        if isinstance(feature.source, Column):
            return makings[0]
        if isinstance(feature.source, Lookup):
            column = feature.source.column
            return self._tables[column.table.spec.name].lookup(column.name, _alike(makings))
        alike = _alike(makings)
        return call_function(feature, dict(zip(feature.arguments, alike, strict=True)), len(alike[0]))


def _makings(feature: Feature) -> tuple[str, ...]:
    if isinstance(feature.source, Column):
        return (feature.source.name,)
    return feature.arguments if feature.is_function else key_of(feature)


def _alike(arrays: Sequence[Array]) -> list[Array]:
    """Stretch arrays of one value to the length of the others."""
    rows = max([len(array) for array in arrays])
    return [array if len(array) == rows else locked(np.repeat(array, rows)) for array in arrays]
