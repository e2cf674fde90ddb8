"""The request schema: a body's records, typed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, cast

import msgspec

from scoreline.app.columns import Boolean, Category, ColumnType, Integer, Number
from scoreline.app.declaration import App
from scoreline.errors import did_you_mean
from scoreline.predictor import Key, Options, Sent
from scoreline.serving.problems import Problem

_BOM = b"\xef\xbb\xbf"
_SHOWN = 40  # characters of a number that is out of range
_INT64 = range(-(2**63), 2**63)
_LARGEST = 1.7976931348623157e308
_WHOLE = re.compile("-?[0-9]{1,18}")
_KINDS = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
_TYPES: dict[type[ColumnType], Any] = {Integer: int, Number: float, Boolean: bool}


@dataclass(frozen=True)
class Records:
    """What a body holds: one record or problem each, and whether it came as a list."""

    records: list[Key | Sent | Problem]
    is_list: bool


class RequestSchema:
    """Decodes JSON bodies by the types of the request's columns.

    A body that fits is decoded in one typed pass; only one that does not is looked at record by
    record, to say what is wrong with each.

    Parameters
    ----------
    types : column -> type; a column that is not optional must be sent and can't be null
    select : name of the option that picks rows of a reference table, its keys' type; None without one
    keys_alone : a record is its key
    key : of a record that is more than its key, the columns that are; they can't be empty
    """

    def __init__(
        self,
        types: Mapping[str, ColumnType],
        select: tuple[str, ColumnType] | None = None,
        *,
        keys_alone: bool = True,
        key: Sequence[str] = (),
    ) -> None:
        self.types = dict(types)
        self.names = tuple(types)
        self.select = select
        self._keys_alone = keys_alone
        self._key = tuple(types) if keys_alone else tuple(key)
        # by number, since a column may have a name that Python has not ("order-id")
        self._fields = [f"field_{index}" for index in range(len(self.names))]
        fields: list[Any] = [
            (field, _annotated(kind, keys_alone=keys_alone, never_empty=name in key)) if not kind.optional
            else (field, _annotated(kind, keys_alone=keys_alone) | None, None)
            for field, (name, kind) in zip(self._fields, types.items(), strict=True)
        ]  # fmt: skip
        rename = dict(zip(self._fields, self.names, strict=True))
        if select is not None:
            fields += [("option_top", Annotated[int, msgspec.Meta(ge=1)] | None, None)]
            some = Annotated[list[_plain_type(select[1])], msgspec.Meta(min_length=1)]  # type: ignore[misc,valid-type]
            fields += [("option_keys", some | None, None)]
            rename |= {"option_top": "top", "option_keys": select[0]}
        record = msgspec.defstruct("Record", fields, rename=rename, gc=False, kw_only=True)
        self._one = msgspec.json.Decoder(record)
        self._many = msgspec.json.Decoder(list[record])  # type: ignore[valid-type]
        self._any = msgspec.json.Decoder()

    def decode_json(self, body: bytes) -> Records | Problem:
        """Decode a JSON object or list of objects; a Problem where the body as a whole can't be read."""
        body = body.removeprefix(_BOM)
        is_list = body.lstrip()[:1] == b"["
        try:
            decoded = self._many.decode(body) if is_list else [self._one.decode(body)]
            taken = [self._taken(record) for record in decoded]
            if any(record is None for record in taken):
                return self._decode_each(body)
            return Records(cast(Any, taken), is_list)
        except msgspec.ValidationError:
            return self._decode_each(body)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            return _bad_json(error)

    def read_options(self, given: Mapping[str, str], where: str, *, strict: bool) -> Options | Problem:
        """Read `top` and the keys option from text, as a query string or a header has them.

        Parameters
        ----------
        strict : refuse names that are no option
        """
        if self.select is None:
            return Options()
        name, kind = self.select
        top, keys = given.get("top"), given.get(name)
        if strict and (strangers := [other for other in given if other not in ("top", name)]):
            hint = did_you_mean(strangers[0], ("top", name))
            return Problem(
                400, "bad-option", f"{where}: there is no option of that name.{hint} Expected top or {name}."
            )
        if top is not None and not (top.isascii() and top.isdigit() and int(top[:18]) > 0):
            return Problem(400, "bad-option", f"{where}, top: expected a whole number above 0", field="top")
        wanted: list[Any] | None = None if keys is None else [key for key in keys.split(",") if key]
        if wanted is not None and not wanted:
            return Problem(400, "bad-option", f"{where}, {name}: expected at least one key", field=name)
        if wanted is not None and isinstance(kind, Integer):
            if not all(_WHOLE.fullmatch(key) for key in wanted):
                return Problem(
                    400, "bad-option", f"{where}, {name}: expected whole numbers parted by commas", field=name
                )
            wanted = [int(key) for key in wanted]
        return Options(None if top is None else int(top[:18]), None if wanted is None else tuple(wanted))

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

    def _taken(self, record: Any) -> Key | Sent | None:
        """Return a decoded record as what scorers take, None if a whole number in it is too large."""
        values = tuple(getattr(record, field) for field in self._fields)
        if any(isinstance(value, int) and value not in _INT64 for value in values):
            return None
        if self._keys_alone:
            return values
        if self.select is None:
            return Sent(values)
        keys = record.option_keys
        return Sent(values, Options(record.option_top, None if keys is None else tuple(keys)))

    def _check(self, record: Any) -> Key | Sent | Problem:
        if not isinstance(record, dict):
            expected = f"an object with {', '.join(self.names)}"
            return Problem(400, "bad-record", f"expected {expected}, got {_kind_of(record)}")
        values = []
        for name, kind in self.types.items():
            value = self._value(record, name, kind)
            if isinstance(value, Problem):
                return value
            values.append(value)
        if self._keys_alone:
            return tuple(values)
        if self.select is None:
            return Sent(tuple(values))
        options = self._check_options(record)
        return options if isinstance(options, Problem) else Sent(tuple(values), options)

    def _value(self, record: dict[str, Any], name: str, kind: ColumnType) -> Any:
        """Return one field's value, or the problem with it."""
        value, plain = record.get(name), _plain_type(kind)
        expected = kind.expects if not self._keys_alone else _KINDS[plain]
        if isinstance(kind, Category):
            expected = f"one of {', '.join(kind.values)}"
        if value is None and kind.optional:
            return None
        if name not in record:
            return Problem(400, "bad-record", f"{name}: expected {expected}, it is missing", field=name)
        if plain is float and type(value) is int and abs(value) <= _LARGEST:
            value = float(value)
        if plain is int and not self._keys_alone and type(value) is float and value.is_integer():
            value = int(value)  # pandas writes 700.0 for 700 beside nulls
        if isinstance(kind, Integer) and type(value) is int and value not in _INT64 and kind.fits(value):
            return Problem(
                400, "bad-record", f"{name}: expected a whole number of 64 bits, got a larger one", field=name
            )
        if type(value) is not plain or not _fits(kind, value):
            got = f"{value!r}" if type(value) in (int, float) and plain in (int, float) else _kind_of(value)
            is_unquoted = plain is str and type(value) in (int, float)
            why = ": keys keep their leading zeros" if name in self._key else ""
            quote = f" Send it in quotes{why}." if is_unquoted else ""
            got = f"{got[:_SHOWN]}..." if len(got) > _SHOWN else got
            return Problem(400, "bad-record", f"{name}: expected {expected}, got {got}.{quote}", field=name)
        if value == "" and name in self._key and not self._keys_alone:
            return Problem(400, "bad-record", f"{name}: a key can't be empty", field=name)
        return value

    def _check_options(self, record: dict[str, Any]) -> Options | Problem:
        assert self.select is not None
        name, kind = self.select
        top, keys = record.get("top"), record.get(name)
        if top is not None and (type(top) is not int or top < 1):
            return Problem(400, "bad-option", "top: expected a whole number above 0", field="top")
        plain = _plain_type(kind)
        if keys == []:
            return Problem(400, "bad-option", f"{name}: expected at least one key", field=name)
        if keys is not None and (not isinstance(keys, list) or not all(type(key) is plain for key in keys)):
            return Problem(400, "bad-option", f"{name}: expected a list of {_KINDS[plain]} keys", field=name)
        return Options(top, None if keys is None else tuple(keys))


def schema_of(app: App) -> RequestSchema:
    """Return the request schema of an app: its declared request, else the spine's key."""
    request = app.declared_request
    if request is None:
        return RequestSchema({name: app.spine.spec.columns[name] for name in app.spine.spec.key})
    select = None
    if request.each is not None:
        select = (f"{request.each.spec.key[0]}s", request.each.spec.columns[request.each.spec.key[0]])
    return RequestSchema(request.table.spec.columns, select, keys_alone=False, key=request.table.spec.key)


def _plain_type(kind: ColumnType) -> Any:
    return _TYPES.get(type(kind), str)


def _annotated(kind: ColumnType, *, keys_alone: bool, never_empty: bool = False) -> Any:
    """Return the type that msgspec checks a field by."""
    plain = _plain_type(kind)
    if keys_alone:
        return plain
    if never_empty and plain is str:
        return Annotated[str, msgspec.Meta(min_length=1)]
    if isinstance(kind, Category):
        return Literal[kind.values]
    if isinstance(kind, (Integer, Number)):
        low = kind.minimum if kind.minimum is not None else (-_LARGEST if plain is float else None)
        high = kind.maximum if kind.maximum is not None else (_LARGEST if plain is float else None)
        if plain is int:  # msgspec takes no fractional bound for a whole number
            low, high = None if low is None else math.ceil(low), None if high is None else math.floor(high)
        bounds = {name: bound for name, bound in (("ge", low), ("le", high)) if bound is not None}
        return Annotated[plain, msgspec.Meta(**cast(Any, bounds))] if bounds else plain
    return plain


def _fits(kind: ColumnType, value: Any) -> bool:
    if isinstance(kind, Category):
        return value in kind.values
    if isinstance(kind, Integer):
        return value in _INT64 and kind.fits(value)
    if isinstance(kind, Number):
        return math.isfinite(value) and kind.fits(value)
    return True


def _kind_of(value: Any) -> str:
    return "null" if value is None else _KINDS[type(value)]


def _bad_json(error: Exception) -> Problem:
    what = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return Problem(400, "bad-body", f"expected a JSON object or a list of objects: {what}")
