"""Functions over one new row, as most requests have it: laid out once, so that a row costs little but the functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scoreline.app.arrays import Array, call_function, maker_of_one, plain_of_one
from scoreline.app.declaration import App
from scoreline.app.features import Feature, Lookup
from scoreline.predictor.live_features import LiveFeatures
from scoreline.predictor.reference import ReferenceData

Plain = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Making:
    """What a feature is made from.

    Attributes
    ----------
    place : of its array among those of a row; the same for all that take it
    is_column : whether it is a column of the spine, else the feature of that name
    """

    place: int
    name: str
    is_column: bool
    make: Callable[[Any], Array]


@dataclass(frozen=True, slots=True)
class _Step:
    """A feature to make.

    Attributes
    ----------
    place : of its own array; None where no other feature takes it
    call : takes the arrays of its makings, by name
    """

    name: str
    makings: tuple[_Making, ...]
    call: Callable[[dict[str, Array]], Array]
    plain: Callable[[Array], Any]
    place: int | None


class OneRow:
    """Makes the features of one row that are functions of others, or looked up in a reference table.

    Gives what `LiveFeatures.extend` gives for that row, as plain values.
    """

    def __init__(self, app: App, live: LiveFeatures, tables: Mapping[str, ReferenceData]) -> None:
        self._tables = tables
        types, columns = app.feature_types, app.spine.spec.columns
        places: dict[tuple[str, bool], int] = {}
        for _, makings in live.steps:
            for making in makings:
                places.setdefault(making, len(places))
        self._steps = tuple(
            _Step(
                feature.name,
                tuple(
                    _Making(
                        places[name, is_column], name, is_column, maker_of_one((columns if is_column else types)[name])
                    )
                    for name, is_column in makings
                ),
                self._caller(feature),
                plain_of_one(feature),
                places.get((feature.name, False)),
            )
            for feature, makings in live.steps
        )  # fmt: skip

    def extend(self, columns: Mapping[str, Any], plain: Plain) -> None:
        """Add to the `plain` features of a row all those that are made of them and of the spine's `columns`.

        Raises
        ------
        FeatureError
            A feature function fails.
        """
        arrays: dict[int, Array] = {}
        for step in self._steps:
            taken: dict[str, Array] = {}
            for making in step.makings:
                array = arrays.get(making.place)
                if array is None:
                    array = making.make((columns if making.is_column else plain)[making.name])
                    arrays[making.place] = array
                taken[making.name] = array
            array = step.call(taken)
            plain[step.name] = step.plain(array)
            if step.place is not None:
                array = array.view()  # the function may hold on to its own
                array.setflags(write=False)
                arrays[step.place] = array

    def _caller(self, feature: Feature) -> Callable[[dict[str, Array]], Array]:
        if isinstance(feature.source, Lookup):
            column = feature.source.column
            table = self._tables[column.table.spec.name]
            return lambda taken: table.lookup(column.name, _in_order(taken))
        return lambda taken: call_function(feature, taken, 1)


def _in_order(taken: Mapping[str, Array]) -> Sequence[Array]:
    return list(taken.values())
