"""Schemas of whole bodies: a record, a list of them, and what clients wrap them in."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from scoreline.serving.codecs.json_body import WRAPPERS
from scoreline.serving.openapi.schemas import Schema, ref

VALUE: Schema = {"type": ["string", "number", "boolean", "null"]}
ROW: Schema = {
    "type": "array",
    "items": VALUE,
    "minItems": 1,
    "description": "the values of a record in the order of its columns",
}


def request_parts(kinds: Collection[str], known: Collection[str], options: Mapping[str, Schema]) -> dict[str, Schema]:
    """Return the schemas that bodies of records refer to: rows, and the wrappers that are no columns.

    Parameters
    ----------
    kinds : names of the schemas of a record
    known : names of columns; a wrapper of such a name is a column
    options : what a client may ask beside a wrapper
    """
    features = {"Features": _object({"features": ref("Row")})} if "features" not in known else {}
    records: Schema = {"type": "array", "items": {"anyOf": [ref(name) for name in (*kinds, *features, "Row")]}}
    content: dict[str, Schema] = {
        **dict.fromkeys(WRAPPERS, records | {"minItems": 1}),
        "inputs": {"anyOf": [records | {"minItems": 1}, _columns()]},
        "dataframe_split": _split(),
    }
    wrapped = {wrapper_name(name): _object({name: content[name]}, options) for name in WRAPPERS if name not in known}
    return {"Row": ROW, **features, **wrapped}


def request_body(kinds: Collection[str], parts: Collection[str]) -> Schema:
    """Return what a JSON body may be: a record, a list of records or rows, or a wrapper."""
    one = [ref(name) for name in kinds]
    several: Schema = {"type": "array", "items": {"anyOf": [*one, ref("Row")]}, "minItems": 1}
    return {"anyOf": [*one, several, *(ref(name) for name in parts if name != "Row")]}


def reply_body(kinds: Collection[str]) -> Schema:
    """Return what a JSON reply is: that to a record, or a list of them in the shape that the records came in."""
    one = [ref(name) for name in kinds]
    return {"anyOf": [*one, _replies(kinds), ref("Predictions")]}


def predictions(kinds: Collection[str]) -> Schema:
    """Return what answers a wrapper."""
    return _object({"predictions": _replies(kinds)})


def wrapper_name(wrapper: str) -> str:
    """Return the name of a wrapper's schema.

    Examples
    --------
    >>> wrapper_name("dataframe_split")
    'WrappedDataframeSplit'
    """
    return "Wrapped" + "".join(word.capitalize() for word in wrapper.split("_"))


def _replies(kinds: Collection[str]) -> Schema:
    return {"type": "array", "items": {"anyOf": [*(ref(name) for name in kinds), ref("Problem")]}}


def _columns() -> Schema:
    """Return what holds for each column the list of its values, or one value alone."""
    return {"type": "object", "additionalProperties": {"anyOf": [{"type": "array", "items": VALUE}, VALUE]}}


def _split() -> Schema:
    """Return what pandas makes of a frame with `orient="split"`."""
    split = _object({"data": {"type": "array", "items": ref("Row"), "minItems": 1}})
    split["properties"]["columns"] = {"type": "array", "items": {"type": "string"}}
    return split


def _object(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}
