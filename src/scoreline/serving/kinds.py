"""The two kinds of record: what the app asks a client for, and the inputs of its heads themselves."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from scoreline.app.columns import Boolean, Category, ColumnType, Integer, Number
from scoreline.predictor import InputRow, Key, Level, Sent
from scoreline.serving.problems import Problem

INT64 = range(-(2**63), 2**63)
LARGEST = 1.7976931348623157e308
KINDS = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
Manner = Literal["key", "request", "inputs", "row"]
How = Literal["values", "text", "json"]
EXPLAIN = "explain"  # in a record or a query: tell how the reply came about
EXPLAIN_LEVELS: dict[str, Level] = {"false": "", "true": "all", "1": "all", "values": "values"}
_EXACT = 2**53  # beyond it floats leave out whole numbers
_SHOWN = 40  # characters of a number that is out of range
_TYPES: dict[type[ColumnType], Any] = {Integer: int, Number: float, Boolean: bool}
# As tables read text (tables/typed.py); a worker has no pyarrow to ask.
_TRUE, _FALSE = {"true", "t", "yes", "y", "1", "1.0"}, {"false", "f", "no", "n", "0", "0.0"}
MOST_DIGITS = 18
_INTEGER = re.compile(rf"[+-]?[0-9]{{1,{MOST_DIGITS}}}(\.0*)?", re.ASCII)
_LONG = re.compile(r"[+-]?[0-9]+(\.0*)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)


class SpineRow(msgspec.Struct, frozen=True, gc=False):
    """A record that has more than its key.

    Attributes
    ----------
    given : name -> what came, of the columns that a new row takes
    how : what came is decoded values, the text of cells, or JSON that is not decoded yet
    """

    key: Key
    given: Mapping[str, Any]
    how: How

    @property
    def asks_why(self) -> bool:
        """Whether the record says `"explain": true`."""
        asked = self.given.get(EXPLAIN)
        if self.how == "json":
            return asked is not None and bytes(asked) == b"true"
        return asked is True or (self.how == "text" and asked == "true")


Taken = Key | Sent | InputRow | SpineRow


class Field:
    """One column of a record, and what its value may be.

    Parameters
    ----------
    manner : `key` where a record is its key; `request` for one of the columns that `app.request` asks for; `inputs`
        for an input of the heads, which may be null but not left out, and may say 0 and 1 for false and true; `row`
        for a column of a new row
    in_key : the column is part of a key
    """

    def __init__(self, name: str, kind: ColumnType, manner: Manner, *, in_key: bool) -> None:
        self.name, self.kind = name, kind
        self.can_be_null = manner in ("inputs", "row") or (manner == "request" and kind.optional)
        self.can_be_left_out = manner == "request" and kind.optional
        self._plain, self._in_key, self._alone = plain_type(kind), in_key, manner == "key"
        self._takes_zero_and_one = manner == "inputs"
        self._never_empty = in_key and not self._alone
        self._expected = KINDS[self._plain] if self._alone and not isinstance(kind, Integer) else kind.expects
        if isinstance(kind, Category):
            self._expected = f"one of {', '.join(kind.values)}"

    @property
    def is_numeric(self) -> bool:
        """Whether a number can stand for any value of it."""
        return isinstance(self.kind, (Integer, Number, Boolean))

    def take(self, value: Any) -> Any:
        """Return a decoded value as scorers take it (None for null), or the Problem with it."""
        if value is None and self.can_be_null:
            return None
        if type(value) is not self._plain:
            value = self._converted(value)
        if type(value) is self._plain and _fits(self.kind, value):
            if value == "" and self._never_empty:
                return self._problem("a key can't be empty")
            return value
        return self._refuse(value)

    def take_text(self, text: str) -> Any:
        """Return a cell's text as scorers take it, or the Problem with it; an empty cell is null.

        So is `nan`, which Python's csv and numpy write for a gap among numbers, where the column can be null.
        """
        if self.can_be_null and self._plain is not str and text.strip().lower() == "nan":
            return None
        value = from_text(text, self.kind)
        if self._plain is int and type(value) is str and _NUMBER.fullmatch(text.strip()):
            return self._refuse_whole(text.strip())
        return self.take(value)

    def take_number(self, value: float) -> Any:
        """Return a number of an array as scorers take it, or the Problem with it; NaN is null."""
        if value != value:
            return self.take(None)
        if self._plain is bool and value in (0, 1):
            return value == 1
        return self.take(value)

    def missing(self) -> Problem:
        """Return the problem of a record that has no such field."""
        return self._problem(f"expected {self._expected}, it is missing")

    def _converted(self, value: Any) -> Any:
        if self._plain is float and type(value) is int and abs(value) <= LARGEST:
            return float(value)
        if self._plain is int and type(value) is float and value.is_integer():
            # pandas writes 700.0 for 700 beside nulls. A key that was rounded would find another's row.
            return value if self._in_key and abs(value) > _EXACT else int(value)
        if self._plain is bool and self._takes_zero_and_one and type(value) in (int, float) and value in (0, 1):
            return value == 1
        return value

    def _refuse(self, value: Any) -> Problem:
        if isinstance(self.kind, Integer) and type(value) is int and value not in INT64 and self.kind.fits(value):
            return self._problem("expected a whole number of 64 bits, got a larger one")
        is_number = type(value) in (int, float)
        got = f"{value!r}" if is_number and self._plain in (int, float) else kind_of(value)
        got = f"{got[:_SHOWN]}..." if len(got) > _SHOWN else got
        why = ": keys keep their leading zeros" if self._in_key else ""
        quote = f" Send it in quotes{why}." if self._plain is str and is_number else ""
        return self._problem(f"expected {self._expected}, got {got}.{quote}")

    def _refuse_whole(self, number: str) -> Problem:
        """Refuse a cell that holds a number, though no whole one as tables read it."""
        if _LONG.fullmatch(number):
            return self._problem(f"expected a whole number of at most {MOST_DIGITS} digits, got a longer one")
        shown = number if len(number) <= _SHOWN else f"{number[:_SHOWN]}..."
        return self._problem(f"expected {self._expected}, got {shown}.")

    def _problem(self, what: str) -> Problem:
        return Problem(400, "bad-record", f"{self.name}: {what}", field=self.name)


Read = Callable[[Field, Any], Any]  # what makes a value of a column of what came for it, or a Problem


class RecordKind:
    """One kind of record: its columns, in the order in which values without names come.

    Parameters
    ----------
    make : makes what scorers take of the values, in order
    """

    def __init__(self, fields: Sequence[Field], make: Callable[[tuple[Any, ...]], Taken]) -> None:
        self.fields = tuple(fields)
        self.names = tuple(field.name for field in fields)
        self.make = make

    @property
    def is_numeric(self) -> bool:
        """Whether an array of numbers can hold such records."""
        return all(field.is_numeric for field in self.fields)

    def lacks(self, names: Mapping[str, Any] | Sequence[str]) -> list[Field]:
        """Return the fields that must be there and are not among `names`."""
        return [field for field in self.fields if field.name not in names and not field.can_be_left_out]

    def values_of(self, record: Mapping[str, Any]) -> list[Any] | Problem:
        """Return the values of a record with names, or its first problem in the order of the columns."""
        values = []
        for field in self.fields:
            if field.name in record:
                value = field.take(record[field.name])
            else:
                value = None if field.can_be_left_out else field.missing()
            if isinstance(value, Problem):
                return value
            values.append(value)
        return values

    def take(self, row: Sequence[Any], read: Read) -> Taken | Problem:
        """Return a row of as many values as there are columns, in their order, as scorers take it."""
        values = tuple([read(field, value) for field, value in zip(self.fields, row, strict=True)])
        for value in values:
            if type(value) is Problem:
                return value
        return self.make(values)

    def describe(self, noun: str) -> str:
        """Say how many columns there are, and which: `2 values (a, b)`."""
        return f"{len(self.names)} {noun} ({', '.join(self.names)})"


def key_kind(types: Mapping[str, ColumnType]) -> RecordKind:
    """Return the kind of a record that is its key."""
    return RecordKind([Field(name, kind, "key", in_key=True) for name, kind in types.items()], lambda values: values)


def request_kind(types: Mapping[str, ColumnType], key: Sequence[str]) -> RecordKind:
    """Return the kind of a record that has the columns of a declared request."""
    return RecordKind([Field(name, kind, "request", in_key=name in key) for name, kind in types.items()], Sent)


def inputs_kind(types: Mapping[str, ColumnType]) -> RecordKind:
    """Return the kind of a record that is the inputs of the heads."""
    return RecordKind([Field(name, kind, "inputs", in_key=False) for name, kind in types.items()], InputRow)


def plain_type(kind: ColumnType) -> Any:
    """Return the Python type that values of a column type have when they are decoded."""
    return _TYPES.get(type(kind), str)


def kind_of(value: Any) -> str:
    """Say what kind of thing a decoded value is, without showing it."""
    return "null" if value is None else KINDS[type(value)]


def from_text(text: str, kind: ColumnType) -> Any:
    """Return what text stands for by the column type, as in tables; the text itself where it does not fit.

    Examples
    --------
    >>> from_text("03779", Integer()), from_text("1e3", Number()), from_text("", Number()), from_text("x", Number())
    (3779, 1000.0, None, 'x')
    """
    if text == "":
        return None
    plain = plain_type(kind)
    if plain is str:
        return text
    stripped = text.strip()
    if plain is float:
        return float(stripped) if _NUMBER.fullmatch(stripped) else text
    if plain is int:
        return int(stripped.partition(".")[0]) if _INTEGER.fullmatch(stripped) else text
    lowered = stripped.lower()
    return lowered in _TRUE if lowered in _TRUE or lowered in _FALSE else text


def _fits(kind: ColumnType, value: Any) -> bool:
    if isinstance(kind, Category):
        return value in kind.values
    if isinstance(kind, Integer):
        return value in INT64 and kind.fits(value)
    if isinstance(kind, Number):
        return math.isfinite(value) and kind.fits(value)
    return True
