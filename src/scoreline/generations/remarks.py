"""What a person should hear of reference tables that are good as files: values and keys that nothing else knows."""

from __future__ import annotations

from collections import Counter

from scoreline.app.columns import Category
from scoreline.app.declaration import App
from scoreline.app.features import Lookup
from scoreline.generations.parts import Parts
from scoreline.predictor import ReferenceData

_SHOWN = 3


def remarks_on(app: App, parts: Parts) -> list[str]:
    """Say which categories are outside their list, and which rows find no row in the table they look up."""
    tables = {name: data for name, (_, data) in parts.tables.items()}
    remarks = [remark for data in tables.values() for remark in _outside(data)]
    features = {feature.name: feature for feature in app.feature_list}
    seen: set[tuple[str, str]] = set()
    for feature in app.feature_list:
        if not isinstance(feature.source, Lookup):
            continue
        spec = feature.source.column.table.spec
        for part in spec.key:
            by = features.get(part)
            if by is None or not isinstance(by.source, Lookup) or len(spec.key) > 1 or spec.name not in tables:
                continue
            source = by.source.column
            if source.table.spec.name in tables and (source.table.spec.name, spec.name) not in seen:
                seen.add((source.table.spec.name, spec.name))
                remarks += _unmatched(tables[source.table.spec.name], source.name, tables[spec.name])
    return remarks


def _outside(data: ReferenceData) -> list[str]:
    remarks = []
    for name, kind in data.spec.columns.items():
        if isinstance(kind, Category):
            found = Counter(value for value in data.columns[name] if value is not None and value not in kind.values)
            if found:
                remarks.append(f"{data.spec.name}: {name} outside its list, kept: {_shown(found)}")
    return remarks


def _unmatched(data: ReferenceData, column: str, other: ReferenceData) -> list[str]:
    found = Counter(value for value in data.columns[column] if value is not None and other.position((value,)) is None)
    if not found:
        return []
    return [f"{data.spec.name}: {found.total():,} rows have a {column} that {other.spec.name} lacks: {_shown(found)}"]


def _shown(found: Counter[str]) -> str:
    shown = ", ".join(f"{value!r} ({count:,})" for value, count in found.most_common(_SHOWN))
    return shown + (f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else "")
