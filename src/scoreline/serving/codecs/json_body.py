"""JSON: an object, a list, or what the clients of MLflow and SageMaker wrap them in."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import msgspec

from scoreline.errors import did_you_mean
from scoreline.serving.codecs.replies import Replies
from scoreline.serving.kinds import Field, Taken, kind_of
from scoreline.serving.problems import Problem
from scoreline.serving.records import NAME_SHOWN, Records, RequestSchema, several

BOM = b"\xef\xbb\xbf"
WRAPPERS = ("instances", "inputs", "dataframe_records", "dataframe_split")
UNREADABLE = (msgspec.DecodeError, RecursionError, ValueError)  # ValueError: text that is not UTF-8, too many digits
NAMES_LOOKED_AT = 20  # of an object, for one that is nearly a wrapper's
_SPARSE = {"keys", "shape"}  # members of the sparse form of the built-in algorithms' records
_any = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode


class JsonCodec:
    """A JSON document.

    One that fits the request's types is decoded in one typed pass; any other is looked at record by
    record, to see what else each may be, or to say what is wrong with it.
    """

    types: tuple[str, ...] = ("application/json", "text/json")

    def decode(
        self, schema: RequestSchema, body: bytes, parameters: Mapping[str, str], *, batch: bool
    ) -> Records | Problem:
        """Return the records of an object, a list or a wrapper.

        In a batch job whatever can be parsed is answered with entries, so that no form is refused as a whole.
        """
        body = body.removeprefix(BOM)
        is_list = body.lstrip()[:1] == b"["
        try:
            taken = schema.decode_typed(body, is_list=is_list)
            if taken is not None:
                return Records(taken, "list" if is_list else "object")
        except msgspec.ValidationError:
            pass
        except UNREADABLE as error:
            return _read_again(schema, body, error)
        try:
            content = _any.decode(body)
            return (None if batch else _mistaken(schema, content)) or _records_in(schema, content)
        except UNREADABLE as error:
            return _read_again(schema, body, error)

    def encode(self, replies: Replies) -> bytes:
        """Return an object for an object, a list for a list; for a wrapper, the list as its `predictions`."""
        entries = replies.described()
        if replies.shape == "object":
            return _encode(entries[0])
        return _encode(entries if replies.shape == "list" else {"predictions": entries})


def record_in(schema: RequestSchema, content: Any) -> Taken | Problem:
    """Return the record that a JSON value is: an object with names, a list of values, or a list as `features`."""
    if isinstance(content, dict):
        row = _features_in(schema, content)
        if isinstance(row, Problem):
            return row
        return schema.of_names(content) if row is None else schema.of_row(row)
    if isinstance(content, list):
        return schema.of_row(content)
    names = ", ".join(schema.request.names)
    return Problem(400, "bad-record", f"expected an object with {names}, got {kind_of(content)}")


def unreadable(error: Exception, expected: str, text: bytes) -> Problem:
    """Return the problem of text that is no JSON."""
    what = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    if isinstance(error, UnicodeDecodeError):  # its position is that in a string of the text
        what = not_utf_8(text) or what
    return Problem(400, "bad-body", f"expected {expected}: {what}")


def not_utf_8(text: bytes) -> str:
    """Say which byte makes text no UTF-8, counted from 0; empty where it is.

    Examples
    --------
    >>> not_utf_8("[caf\xe9]".encode("latin-1"))
    'byte 4 (0xe9) is not UTF-8'
    """
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return f"byte {error.start} ({text[error.start]:#04x}) is not UTF-8"
    return ""


def _features_in(schema: RequestSchema, content: dict[str, Any]) -> list[Any] | Problem | None:
    """Return the list in {"features": [...]} or {"data": {"features": {"values": [...]}}}, as SageMaker writes rows.

    The sparse form has `keys` and `shape` beside its values, which then are not one a column: it is refused.
    """
    if "features" in schema.known or "data" in schema.known:
        return None
    data = content.get("data")
    found = data.get("features") if isinstance(data, dict) else None
    found = content.get("features") if found is None else found
    if isinstance(found, dict):
        if _SPARSE & found.keys():
            return Problem(400, "bad-record", "features: expected dense values, got a sparse record", field="features")
        found = found.get("values")
    return found if isinstance(found, list) else None


def _records_in(schema: RequestSchema, content: Any) -> Records | Problem:
    if isinstance(content, list):
        return several(record_in(schema, item) for item in content)
    wrapper = None
    if isinstance(content, dict):
        found = [name for name in WRAPPERS if name in content and name not in schema.known]
        if len(found) > 1:
            return Problem(400, "bad-body", f"expected one of {', '.join(WRAPPERS)}, got several")
        wrapper = found[0] if found else None
    if wrapper is not None:
        return _with_options(schema, content, _unwrap(schema, wrapper, content[wrapper]))
    record = record_in(schema, content)
    return Records([record], "object")


def _mistaken(schema: RequestSchema, content: Any) -> Problem | None:
    """Return the problem of a body whose form is wrong as a whole, so that it is told once."""
    if isinstance(content, list):
        return _refuse_flat(content)
    if not isinstance(content, dict):
        return None
    wrapper = next((name for name in WRAPPERS if name in content and name not in schema.known), None)
    if wrapper is None:
        return _refuse_like_wrapper(schema, content) if _features_in(schema, content) is None else None
    rows, where = content[wrapper], wrapper
    if wrapper == "dataframe_split":
        rows, where = rows.get("data") if isinstance(rows, dict) else None, "dataframe_split, data"
    return _refuse_flat(rows, f"{where}: ") if isinstance(rows, list) else None


def _refuse_flat(items: list[Any], where: str = "") -> Problem | None:
    """Refuse one record's values where a list of records is expected: once, not for each value."""
    if not items or any(isinstance(item, (dict, list)) for item in items):
        return None
    hint = "Put the values of a record in a list of their own"
    detail = f"{where}expected a list of records, each an object or a list of values, got a list of values. {hint}."
    return Problem(400, "bad-body", detail)


def _refuse_like_wrapper(schema: RequestSchema, content: dict[str, Any]) -> Problem | None:
    """Refuse an object without any name of ours, but with a list below one that is nearly a wrapper's."""
    if not schema.known.isdisjoint(content):
        return None
    for name, inner in itertools.islice(content.items(), NAMES_LOOKED_AT):
        hint = did_you_mean(name[:NAME_SHOWN], WRAPPERS) if isinstance(inner, (list, dict)) else ""
        if hint:
            return Problem(400, "bad-body", f"{name[:NAME_SHOWN]}: there is no wrapper of that name.{hint}")
    return None


def _with_options(schema: RequestSchema, content: dict[str, Any], found: Records | Problem) -> Records | Problem:
    """Return what a wrapper holds, with the options that stand beside it."""
    options = schema.options_in(content)
    if isinstance(found, Problem) or isinstance(options, Problem):
        return found if isinstance(found, Problem) else cast(Problem, options)
    return replace(found, options=options)


def _unwrap(schema: RequestSchema, wrapper: str, content: Any) -> Records | Problem:
    if wrapper == "dataframe_split":
        return _split(schema, content)
    if wrapper == "inputs" and isinstance(content, dict):
        return _columns(schema, content)
    if not isinstance(content, list):
        return Problem(400, "bad-body", f"{wrapper}: expected a list of records, got {kind_of(content)}")
    return several((record_in(schema, item) for item in content), "wrapped")


def _columns(schema: RequestSchema, content: dict[str, Any]) -> Records | Problem:
    """Return the records of an object that has for each column the list of its values, or one value alone."""
    columns = [values if isinstance(values, list) else [values] for values in content.values()]
    if len({len(values) for values in columns}) > 1:
        return Problem(400, "bad-body", "inputs: expected as many values in each column")
    rows = (dict(zip(content, row, strict=True)) for row in zip(*columns, strict=True))
    return several((schema.of_names(row) for row in rows), "wrapped")


def _split(schema: RequestSchema, content: Any) -> Records | Problem:
    """Return the records of {"columns": [...], "data": [[...], ...]}, as pandas splits a frame; not its index."""
    rows = content.get("data") if isinstance(content, dict) else None
    if not isinstance(rows, list):
        return Problem(400, "bad-body", 'dataframe_split: expected {"columns": [...], "data": [[...], ...]}')
    names = content.get("columns")
    if names is None:
        return several((_positional(schema.of_row, row) for row in rows), "wrapped")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return Problem(400, "bad-body", "dataframe_split, columns: expected a list of names")
    layout = schema.layout_of(names)
    if isinstance(layout, Problem):
        return layout
    return several((_positional(layout.take, row) for row in rows), "wrapped")


def _positional(take: Any, row: Any) -> Taken | Problem:
    if isinstance(row, list):
        return take(row, Field.take)
    return Problem(400, "bad-record", f"expected a list of values, got {kind_of(row)}")


def _read_again(schema: RequestSchema, body: bytes, error: Exception) -> Records | Problem:
    """Read what is JSON but for `NaN`, which Python's json writes for a missing number: MLflow's client does so.

    Only rows and wrappers are read so; it counts as null there. Everywhere else it stays what it is: no JSON.
    """
    problem = unreadable(error, "a JSON object or a list of objects", body)
    if b"NaN" not in body:
        return problem
    try:
        lenient = json.loads(body, parse_constant=_nan_is_null)
        content = _any.decode(_encode(lenient))  # what msgspec refuses beside, it refuses here
    except UNREADABLE:
        return problem
    if isinstance(content, dict) and any(name in content for name in WRAPPERS):
        return _records_in(schema, content)
    if isinstance(content, list) and all(isinstance(item, list) for item in content):
        return _records_in(schema, content)
    return problem


def _nan_is_null(constant: str) -> None:
    if constant != "NaN":
        raise ValueError(constant)
