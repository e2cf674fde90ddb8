"""JSON Schema (2020-12, as OpenAPI 3.1 takes it) of what clients send and get."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scoreline.app.columns import Boolean, Category, ColumnType, Integer, Number, Text, Time
from scoreline.app.declaration import App
from scoreline.app.heads import RulesHead, TreesHead
from scoreline.app.reply import (
    ORIGINS,
    Band,
    Count,
    Decision,
    Echo,
    FeaturesFrom,
    OutsideSupport,
    Probabilities,
    Probability,
    Ranked,
    Reason,
    ReplyField,
)
from scoreline.app.table import Table
from scoreline.serving.kinds import EXPLAIN

Schema = dict[str, Any]
INT64 = {"minimum": -(2**63), "maximum": 2**63 - 1}
_EXPLAIN: Schema = {"type": "boolean", "description": "tell how the reply came about"}
CHANCE: Schema = {"type": ["number", "null"], "minimum": 0, "maximum": 1}


def column_schema(kind: ColumnType, *, nullable: bool = False) -> Schema:
    """Return what a value of a column may be.

    Examples
    --------
    >>> column_schema(Number(minimum=0), nullable=True)
    {'type': ['number', 'null'], 'minimum': 0}
    """
    if isinstance(kind, Category):
        values: list[str | None] = list(kind.values)
        return _typed("string", nullable) | {"enum": [*values, None] if nullable else values}
    if isinstance(kind, Integer):
        return _typed("integer", nullable) | INT64 | _range(kind)
    if isinstance(kind, Number):
        return _typed("number", nullable) | _range(kind)
    if isinstance(kind, Boolean):
        return _typed("boolean", nullable)
    return _typed("string", nullable) | ({"format": "date-time"} if isinstance(kind, Time) else {})


def request_schema(app: App) -> Schema:
    """Return what a record is: the spine's key, or the columns that `app.request` asks for, with its options."""
    request = app.declared_request
    if request is None:
        spine = app.spine.spec
        key = {name: column_schema(spine.columns[name]) for name in spine.key}
        return _object(key | _new_row_schemas(app), list(spine.key))
    columns = request.table.spec.columns
    fields = {name: column_schema(kind, nullable=kind.optional) for name, kind in columns.items()}
    for name in request.table.spec.key:
        if fields[name].get("type") == "string":
            fields[name] |= {"minLength": 1}
    wanted = [name for name, kind in columns.items() if not kind.optional]
    return _object({EXPLAIN: _EXPLAIN, **fields} | options_schemas(app), wanted)


def _new_row_schemas(app: App) -> dict[str, Schema]:
    """Return what may stand beside a key that is not in the table."""
    new = app.new_row
    assert new is not None
    time = {new.time: column_schema(Time(), nullable=True) | {"description": "default: now"}} if new.time else {}
    schemas = {**time, **{name: _any_category(kind) for name, kind in {**new.columns, **new.brought}.items()}}
    described = {name: {"description": "for a new row", **schema} for name, schema in schemas.items()}
    return {EXPLAIN: _EXPLAIN, **described}


def _any_category(kind: ColumnType) -> Schema:
    """Return what a table takes, where a category outside its list is kept."""
    return column_schema(Text() if isinstance(kind, Category) else kind, nullable=True)


def options_schemas(app: App) -> dict[str, Schema]:
    """Return what a client may ask of a ranked reply, by name; nothing where there is none."""
    request = app.declared_request
    if request is None or request.each is None or request.select is None:
        return {}
    rows = {
        "type": ["array", "null"],
        "items": column_schema(request.each.spec.columns[request.each.spec.key[0]]),
        "minItems": 1,
        "description": f"score these rows of {request.each.spec.name} alone",
    }
    top = {"type": ["integer", "null"], "minimum": 1, "description": "give the first so many alone"}
    return {"top": top, request.select: rows}


def ref(name: str) -> Schema:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def inputs_schema(types: Mapping[str, ColumnType]) -> Schema:
    """Return what a record is that holds the inputs of the heads themselves: all of them, null where not known."""
    return _object({name: column_schema(kind, nullable=True) for name, kind in types.items()}, list(types))


def reply_schema(app: App, fields: Mapping[str, ReplyField], *, of_inputs: bool = False) -> Schema:
    """Return what a reply is.

    Parameters
    ----------
    of_inputs : it answers inputs of the heads, which choose no rows of a reference table
    """
    properties = {name: _field_schema(app, given) for name, given in fields.items()}
    stale = {"type": "array", "items": {"type": "string"}, "description": "reference tables older than declared"}
    request = app.declared_request
    unknown: Schema = {} if of_inputs else {"explanation": {"type": "object"}}
    if request is not None and request.each is not None and not of_inputs:
        unknown[f"unknown_{request.select}"] = {"type": "array", "items": _plain_key(request.each)}
    return _object({**properties, **unknown, "stale": stale}, list(properties))


def problem_schema() -> Schema:
    """Return what a problem is (RFC 9457)."""
    return _object(
        {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "index": {"type": "integer", "description": "place of the record in a list, from 0"},
            "field": {"type": "string"},
            "problems": {"type": "array", "items": {"$ref": "#/components/schemas/Problem"}},
        },
        ["type", "title", "status", "detail"],
    )


def _plain_key(table: Table) -> Schema:
    """Return what was sent as the key of a row that there is not."""
    return _typed(column_schema(table.spec.columns[table.spec.key[0]])["type"], nullable=False)


def _field_schema(app: App, given: ReplyField) -> Schema:
    if isinstance(given, Echo):
        kind = _echoed(app, given).spec.columns[given.column]
        return column_schema(kind, nullable=given.kind != "key")
    if isinstance(given, Ranked):
        fields = {name: _field_schema(app, entry) for name, entry in given.fields.items()}
        return {"type": "array", "items": _object(fields, list(fields)), "description": f"best {given.by} first"}
    if isinstance(given, Count):
        return {"type": "integer", "minimum": 0}
    if isinstance(given, FeaturesFrom):
        return {"type": "string", "enum": list(ORIGINS)}
    head = app.heads[given.head]
    if isinstance(given, Decision):
        return _decision_schema(head)
    if isinstance(given, Reason):
        assert isinstance(head, RulesHead)
        return _reason_schema(app, head, given)
    if isinstance(given, Probability):
        return CHANCE
    if isinstance(given, Probabilities):
        assert isinstance(head, TreesHead)
        return _object(dict.fromkeys(head.classes, CHANCE), list(head.classes)) | {"type": ["object", "null"]}
    if isinstance(given, Band):
        return {"type": ["string", "null"], "enum": [*(name for name, _ in given.bands), None]}
    assert isinstance(given, OutsideSupport)
    return {"type": ["boolean", "null"]}


def _decision_schema(head: RulesHead | TreesHead) -> Schema:
    if isinstance(head, TreesHead):
        return {"type": ["string", "null"], "enum": [*head.classes, None]}
    return {"type": "string", "enum": list(dict.fromkeys(rule.then for rule in head.rules))}


def _reason_schema(app: App, head: RulesHead, given: Reason) -> Schema:
    types = app.feature_types
    # A value outside its category's list is kept, and shown as it came.
    shown = {
        name: {"type": ["string", "null"]}
        if isinstance(types[name], Category)
        else _typed(column_schema(types[name])["type"], nullable=True)
        for name in head.inputs
    }
    rules = [rule.name for rule in (head.rules if given.of_last else head.rules[:-1])]
    schema = _object({"rule": {"type": "string", "enum": rules}, **shown}, ["rule"])
    return schema if given.of_last else schema | {"type": ["object", "null"]}


def _echoed(app: App, given: Echo) -> Table:
    """Return the table whose column is given back."""
    request = app.declared_request
    if request is None:
        return app.spine
    if given.kind == "column" and request.each is not None:
        return request.each
    return request.table


def _typed(name: str, nullable: bool) -> Schema:
    return {"type": [name, "null"] if nullable else name}


def _range(kind: Integer | Number) -> Schema:
    bounds = {"minimum": kind.minimum, "maximum": kind.maximum}
    return {name: bound for name, bound in bounds.items() if bound is not None}


def _object(properties: Schema, required: list[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": required}
