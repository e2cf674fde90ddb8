"""The request schema: a body's records as typed keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from scoreline.app.columns import ColumnType, Integer
from scoreline.predictor import Key
from scoreline.serving.problems import Problem

_BOM = b"\xef\xbb\xbf"
_INT64 = range(-(2**63), 2**63)
_KINDS = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}


@dataclass(frozen=True)
class Records:
    """What a body holds: one key or problem a record, and whether it came as a list."""

    records: list[Key | Problem]
    is_list: bool


class RequestSchema:
    """Decodes JSON bodies by the types of the key columns.

    A body that fits is decoded in one typed pass; only one that does not is looked at record by
    record, to say what is wrong with each.

    Parameters
    ----------
    types : key column -> Text or Integer
    """

    def __init__(self, types: Mapping[str, ColumnType]) -> None:
        self.names = tuple(types)
        self._kinds = {name: int if isinstance(kind, Integer) else str for name, kind in types.items()}
        # by number, since a column may have a name that Python has not ("order-id")
        self._fields = [f"key_{index}" for index in range(len(self.names))]
        fields = list(zip(self._fields, self._kinds.values(), strict=True))
        rename = dict(zip(self._fields, self.names, strict=True))
        record = msgspec.defstruct("Record", fields, rename=rename, gc=False)
        self._one = msgspec.json.Decoder(record)
        self._many = msgspec.json.Decoder(list[record])  # type: ignore[valid-type]
        self._any = msgspec.json.Decoder()

    def decode_json(self, body: bytes) -> Records | Problem:
        """Decode a JSON object or list of objects; a Problem where the body as a whole can't be read."""
        body = body.removeprefix(_BOM)
        is_list = body.lstrip()[:1] == b"["
        try:
            if not is_list:
                return Records([self._key(self._one.decode(body))], is_list=False)
            return Records([self._key(record) for record in self._many.decode(body)], is_list=True)
        except msgspec.ValidationError:
            return self._decode_each(body)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            return _bad_json(error)

    def _decode_each(self, body: bytes) -> Records | Problem:
        try:
            content = self._any.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            return _bad_json(error)
        if isinstance(content, list):
            checked = [self._check(record) for record in content]
            return Records(
                [replace(item, index=i) if isinstance(item, Problem) else item for i, item in enumerate(checked)],
                is_list=True,
            )
        return Records([self._check(content)], is_list=False)

    def _key(self, record: Any) -> Key | Problem:
        key = tuple(getattr(record, field) for field in self._fields)
        for name, value in zip(self.names, key, strict=True):
            if isinstance(value, int) and value not in _INT64:
                return Problem(400, "bad-record", f"{name}: expected a whole number of 64 bits", field=name)
        return key

    def _check(self, record: Any) -> Key | Problem:
        if not isinstance(record, dict):
            expected = f"an object with {', '.join(self.names)}"
            return Problem(400, "bad-record", f"expected {expected}, got {_kind_of(record)}")
        for name, kind in self._kinds.items():
            if name not in record:
                return Problem(400, "bad-record", f"{name}: expected {_KINDS[kind]}, it is missing", field=name)
            if type(record[name]) is not kind or (kind is int and record[name] not in _INT64):
                is_unquoted = kind is str and type(record[name]) in (int, float)
                quote = " Send it in quotes: keys keep their leading zeros." if is_unquoted else ""
                detail = f"{name}: expected {_KINDS[kind]}, got {_kind_of(record[name])}.{quote}"
                return Problem(400, "bad-record", detail, field=name)
        return tuple(record[name] for name in self.names)


def _kind_of(value: Any) -> str:
    return "null" if value is None else _KINDS[type(value)]


def _bad_json(error: Exception) -> Problem:
    what = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return Problem(400, "bad-body", f"expected a JSON object or a list of objects: {what}")
