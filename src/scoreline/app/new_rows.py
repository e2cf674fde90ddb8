"""New rows: what a client sends of a row of the spine that is not in the feature table, so that it is answered live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scoreline.app.columns import ColumnType
from scoreline.app.features import Feature, Latest, Lookup
from scoreline.app.request import spine_columns_used
from scoreline.app.table import Table
from scoreline.errors import AppError


@dataclass(frozen=True)
class NewRowColumns:
    """What may stand beside the key in a record.

    Attributes
    ----------
    time : the event time; not sent, it is now. None where the spine has none
    columns : further columns of the spine that features are made from
    brought : features of tables whose row a client may bring (`in_request`), each with its table's name
    """

    time: str | None
    columns: Mapping[str, ColumnType]
    brought: Mapping[str, ColumnType]
    table_of: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, in the order in which they are described."""
        return (*((self.time,) if self.time else ()), *self.columns, *self.brought)


def new_row_columns(spine: Table, features: Mapping[str, Feature]) -> NewRowColumns:
    """Return what a new row of the spine takes."""
    spec = spine.spec
    used = {name for feature in features.values() for name in spine_columns_used(spine, feature, features)}
    brought = {name: feature for name, feature in features.items() if _is_brought(feature)}
    return NewRowColumns(
        spec.time,
        {name: kind for name, kind in spec.columns.items() if name in used and name not in spec.required},
        {name: feature.type for name, feature in brought.items()},
        {name: _table(feature).spec.name for name, feature in brought.items()},
    )


def check_brought(spine: Table, features: tuple[Feature, ...]) -> None:
    """Raise AppError where what a client would bring can't be told from the spine's own columns."""
    if spine.spec.in_request:
        raise AppError(f"table '{spine.spec.name}': in_request= is for joined tables; the spine's row is the request")
    for feature in features:
        if _is_brought(feature) and feature.name in spine.spec.columns:
            raise AppError(
                f"feature '{feature.name}': the spine '{spine.spec.name}' has a column of that name, so that a request "
                f"could not bring it for '{_table(feature).spec.name}' (in_request=True); rename the feature"
            )


def _is_brought(feature: Feature) -> bool:
    return isinstance(feature.source, (Latest, Lookup)) and _table(feature).spec.in_request


def _table(feature: Feature) -> Table:
    assert isinstance(feature.source, (Latest, Lookup))
    return feature.source.column.table
