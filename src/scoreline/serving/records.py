"""The request schema: what a record may be, whatever the body that it comes in."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec.structs import astuple

from scoreline.app.columns import Category, ColumnType, Integer, Number
from scoreline.app.declaration import App
from scoreline.app.reply import of_heads
from scoreline.errors import did_you_mean
from scoreline.model.inputs import inputs_of
from scoreline.predictor import Level, Options, Sent
from scoreline.serving.kinds import (
    EXPLAIN,
    EXPLAIN_LEVELS,
    INT64,
    KINDS,
    LARGEST,
    Field,
    Read,
    RecordKind,
    SpineRow,
    Taken,
    inputs_kind,
    key_kind,
    plain_type,
    request_kind,
)
from scoreline.serving.new_rows import NewRowSchema
from scoreline.serving.problems import Problem

Shape = Literal["object", "list", "wrapped"]
_NO_OPTIONS = Options()
NAME_SHOWN = 64  # characters of the name of a column that there is not
_WHOLE = re.compile("-?[0-9]{1,18}")


@dataclass(frozen=True)
class Records:
    """What a body holds: one record or problem each, and how they came.

    Attributes
    ----------
    shape : one `object`, a `list` (also of lines or rows), or a list `wrapped` in an object
    header_of_inputs : the first of them stands for a header, above inputs of the heads
    options : what was asked for all of them beside a wrapper
    """

    records: Sequence[Taken | Problem]
    shape: Shape
    header_of_inputs: bool = False
    options: Options = _NO_OPTIONS

    @property
    def is_list(self) -> bool:
        """Whether there may be several, so that a problem says which of them it is about."""
        return self.shape != "object"


def several(records: Iterable[Taken | Problem], shape: Shape = "list") -> Records:
    """Return the records of a list; each problem gets its record's place."""
    placed = [item.at(i) if type(item) is Problem else item for i, item in enumerate(records)]
    return Records(placed, shape)


@dataclass(frozen=True)
class Layout:
    """Which value of a row is which column of a record, as the names above the rows say.

    Attributes
    ----------
    places : for each column of the kind its place in a row; None where there is no such value
    width : values in a row
    more : of a record that is a key, what stands beside it for a new row, and where
    """

    kind: RecordKind
    places: tuple[int | None, ...]
    width: int
    more: tuple[tuple[str, int], ...] = ()

    def take(self, row: Sequence[Any], read: Read) -> Taken | Problem:
        """Return a row as a record."""
        if len(row) != self.width:
            return Problem(400, "bad-record", f"expected {self.width} values, one for each column, got {len(row)}")
        values: list[Any] = []
        for field, place in zip(self.kind.fields, self.places, strict=True):
            value = None if place is None else read(field, row[place])
            if isinstance(value, Problem):
                return value
            values.append(value)
        if self.more:
            given = {name: row[place] for name, place in self.more}
            return SpineRow(tuple(values), given, "text" if read is Field.take_text else "values")
        return self.kind.make(tuple(values))


class RequestSchema:
    """What a record may be: what the app asks for, or the inputs of its heads.

    The two are told apart by their names, and without names by the number of values. A record that
    can be both is what the app asks for.

    Parameters
    ----------
    types : column -> type; a column that is not optional must be sent and can't be null
    select : name of the option that picks rows of a reference table, its keys' type; None without one
    keys_alone : a record is its key
    key : of a record that is more than its key, the columns that are; they can't be empty
    inputs : input of the heads -> type, in the order of their matrix; none where inputs are not taken
    known : further names that may stand above a table of records: what is below them is passed over
    new_rows : reads what stands beside a key; None: that is passed over

    Attributes
    ----------
    request, inputs : the two kinds of record; `inputs` is None where only the first is taken
    counts : how many values a record without names has and which, as messages say it
    """

    def __init__(
        self,
        types: Mapping[str, ColumnType],
        select: tuple[str, ColumnType] | None = None,
        *,
        keys_alone: bool = True,
        key: Sequence[str] = (),
        inputs: Mapping[str, ColumnType] | None = None,
        known: Iterable[str] = (),
        new_rows: NewRowSchema | None = None,
    ) -> None:
        self.select = select
        self.new_rows = new_rows
        self._more = () if new_rows is None else new_rows.names
        self.request = key_kind(types) if keys_alone else request_kind(types, key)
        self.inputs = inputs_kind(inputs) if inputs else None
        self.kinds = (self.request,) if self.inputs is None else (self.request, self.inputs)
        self.known = frozenset(known).union(*(kind.names for kind in self.kinds))
        self.counts = self._describe_counts()
        self._keys_alone = keys_alone
        self._explains = not keys_alone and EXPLAIN not in types
        self._make_decoders(types, key)

    def decode_typed(self, body: bytes, *, is_list: bool) -> list[Any] | None:
        """Decode an object, or a list of objects, in one pass by the types of the request's columns.

        Returns
        -------
        list of records, or None where a whole number in one of them is too large

        Raises
        ------
        msgspec.DecodeError, RecursionError, UnicodeError
            The body does not fit the types (`msgspec.ValidationError`), or can't be read at all.
        """
        decoded = self._many.decode(body) if is_list else [self._one.decode(body)]
        taken = [self._taken(record) for record in decoded]
        return None if any(record is None for record in taken) else taken

    def of_names(self, record: Mapping[str, Any]) -> Taken | Problem:
        """Return a record whose values have names; those that no record has are passed over."""
        kind = self._kind_of(record)
        values = kind.values_of(record)
        if isinstance(values, Problem):
            return values
        if kind is self.request and (given := {name: record[name] for name in self._more if name in record}):
            return SpineRow(tuple(values), given, "values")
        if kind is not self.request or self._keys_alone:
            return kind.make(tuple(values))
        options = self.options_in(record)
        return options if isinstance(options, Problem) else Sent(tuple(values), options)

    def of_row(self, row: Sequence[Any], read: Read = Field.take) -> Taken | Problem:
        """Return a record whose values have no names: they stand in the order of one of the kinds."""
        for kind in self.kinds:
            if len(row) == len(kind.fields):
                return kind.take(row, read)
        return Problem(400, "bad-record", f"expected {self.counts}, got {len(row)}")

    def layout_of(self, names: Sequence[str]) -> Layout | Problem:
        """Return which column is which, by the names above a table; a Problem names a column that is wrong."""
        if twice := [name for name, times in Counter(names).items() if times > 1]:
            return _bad_column(twice[0], "expected each column once")
        kind = self._kind_of(dict.fromkeys(names))
        strange = [name for name in names if name not in self.known]
        if missing := kind.lacks(names):
            hint = did_you_mean(missing[0].name, [name for name in strange[:20] if len(name) <= NAME_SHOWN])
            there = f" There is {hint.rsplit(' ', 1)[1][:-1]}." if hint else ""
            return _bad_column(missing[0].name, f"expected a column of that name, it is missing.{there}")
        if strange:
            hint = did_you_mean(strange[0][:NAME_SHOWN], self.known)
            return _bad_column(strange[0], f"no record has a column of that name.{hint}")
        at = {name: place for place, name in enumerate(names)}
        more = tuple((name, at[name]) for name in self._more if name in at) if kind is self.request else ()
        return Layout(kind, tuple(at.get(name) for name in kind.names), len(names), more)

    def options_in(self, record: Mapping[str, Any]) -> Options | Problem:
        """Return the options among the names of a record, or of what wraps records."""
        explain: Level = "all" if self._explains and record.get(EXPLAIN) is True else ""
        if self.select is None:
            return Options(explain=explain)
        name, kind = self.select
        top, keys = record.get("top"), record.get(name)
        if top is not None and (type(top) is not int or top < 1):
            return Problem(400, "bad-option", "top: expected a whole number above 0", field="top")
        plain = plain_type(kind)
        if keys == []:
            return Problem(400, "bad-option", f"{name}: expected at least one key", field=name)
        if keys is not None and (not isinstance(keys, list) or not all(type(key) is plain for key in keys)):
            return Problem(400, "bad-option", f"{name}: expected a list of {KINDS[plain]} keys", field=name)
        return Options(top, None if keys is None else tuple(keys), explain=explain)

    def read_options(self, given: Mapping[str, str], where: str, *, strict: bool) -> Options | Problem:
        """Read `explain`, `top` and the keys option from text, as a query string or a header has them.

        Parameters
        ----------
        strict : refuse names that are no option
        """
        explain = EXPLAIN_LEVELS.get(given.get(EXPLAIN, "false"), "")
        if strict and given.get(EXPLAIN, "false") not in EXPLAIN_LEVELS:
            return Problem(400, "bad-option", f"{where}, {EXPLAIN}: expected one of {', '.join(EXPLAIN_LEVELS)}")
        if self.select is None:
            return Options(explain=explain)
        name, kind = self.select
        top, keys = given.get("top"), given.get(name)
        if strict and (strangers := [other for other in given if other not in ("top", name, EXPLAIN)]):
            hint = did_you_mean(strangers[0], ("top", name, EXPLAIN))
            return Problem(
                400, "bad-option", f"{where}: there is no option of that name.{hint} Expected top, {name} or {EXPLAIN}."
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
        return Options(
            None if top is None else int(top[:18]), None if wanted is None else tuple(wanted), explain=explain
        )

    def _describe_counts(self) -> str:
        """Say how many values a record without names has, and which."""
        told = self.request.describe("values")
        if self.inputs is None or len(self.inputs.fields) == len(self.request.fields):
            return told
        return f"{told} or the model's {self.inputs.describe('inputs')}"

    def _make_decoders(self, types: Mapping[str, ColumnType], key: Sequence[str]) -> None:
        """Make the decoders of the typed pass: fields by number, since a column may have a name that Python has not."""
        self._fields = [f"field_{index}" for index in range(len(types))]
        alone = self._keys_alone
        fields: list[Any] = [
            (field, _annotated(kind, keys_alone=alone, never_empty=name in key)) if not kind.optional
            else (field, _annotated(kind, keys_alone=alone) | None, None)
            for field, (name, kind) in zip(self._fields, types.items(), strict=True)
        ]  # fmt: skip
        rename = dict(zip(self._fields, types, strict=True))
        if self.select is not None:
            fields += [("option_top", Annotated[int, msgspec.Meta(ge=1)] | None, None)]
            some = Annotated[list[plain_type(self.select[1])], msgspec.Meta(min_length=1)]  # type: ignore[misc,valid-type]
            fields += [("option_keys", some | None, None)]
            rename |= {"option_top": "top", "option_keys": self.select[0]}
        if self._explains:
            fields += [("option_explain", bool | None, None)]
            rename |= {"option_explain": EXPLAIN}
        more = [f"more_{index}" for index in range(len(self._more))]
        fields += [(field, msgspec.Raw, None) for field in more]  # not read before it is needed
        rename |= dict(zip(more, self._more, strict=True))
        self._none = (None,) * len(more)
        record = msgspec.defstruct("Record", fields, rename=rename, gc=False, kw_only=True)
        self._one = msgspec.json.Decoder(record)
        self._many = msgspec.json.Decoder(list[record])  # type: ignore[valid-type]

    def _taken(self, record: Any) -> Any:
        """Return a decoded record as what scorers take, None if a whole number in it is too large."""
        every = astuple(record)
        values, more = every[: len(self._fields)], every[len(self._fields) :]
        if any(isinstance(value, int) and value not in INT64 for value in values):
            return None
        if self._keys_alone:
            if more == self._none:
                return values
            given = {name: raw for name, raw in zip(self._more, more, strict=True) if raw is not None}
            return SpineRow(values, given, "json")
        explain: Level = "all" if self._explains and record.option_explain else ""
        if self.select is None:
            return Sent(values, Options(explain=explain) if explain else _NO_OPTIONS)
        keys = record.option_keys
        return Sent(values, Options(record.option_top, None if keys is None else tuple(keys), explain=explain))

    def _kind_of(self, names: Mapping[str, Any]) -> RecordKind:
        """Return the kind that the fewest names are missing of; what the app asks for where both lack as many."""
        if self.inputs is None:
            return self.request
        return min(self.kinds, key=lambda kind: len(kind.lacks(names)))


def schema_of(app: App) -> RequestSchema:
    """Return the request schema of an app: its declared request, else the spine's key; and its heads' inputs."""
    request, spine = app.declared_request, app.spine.spec
    inputs = inputs_of(app).types if of_heads(app.reply_fields) else None
    if request is None:
        key = {name: spine.columns[name] for name in spine.key}
        known = (*spine.columns, *app.feature_types)
        return RequestSchema(key, inputs=inputs, known=known, new_rows=NewRowSchema(app))
    spec, select = request.table.spec, None
    if request.each is not None:
        select = (f"{request.each.spec.key[0]}s", request.each.spec.columns[request.each.spec.key[0]])
    known = (*spec.columns, *spine.columns, *app.feature_types)
    return RequestSchema(spec.columns, select, keys_alone=False, key=spec.key, inputs=inputs, known=known)


def _bad_column(name: str, what: str) -> Problem:
    shown = name if len(name) <= NAME_SHOWN else f"{name[:NAME_SHOWN]}..."
    if not name.strip():
        detail = "a column without a name (an index?): no record has one. Leave it out, in pandas with index=False"
        return Problem(400, "bad-column", detail, field=shown)
    return Problem(400, "bad-column", f"{shown}: {what}", field=shown)


def _annotated(kind: ColumnType, *, keys_alone: bool, never_empty: bool = False) -> Any:
    """Return the type that msgspec checks a field by."""
    plain = plain_type(kind)
    if keys_alone:
        return plain
    if never_empty and plain is str:
        return Annotated[str, msgspec.Meta(min_length=1)]
    if isinstance(kind, Category):
        return Literal[kind.values]
    if isinstance(kind, (Integer, Number)):
        low = kind.minimum if kind.minimum is not None else (-LARGEST if plain is float else None)
        high = kind.maximum if kind.maximum is not None else (LARGEST if plain is float else None)
        if plain is int:  # msgspec takes no fractional bound for a whole number
            low, high = None if low is None else math.ceil(low), None if high is None else math.floor(high)
        bounds = {name: bound for name, bound in (("ge", low), ("le", high)) if bound is not None}
        return Annotated[plain, msgspec.Meta(**cast(Any, bounds))] if bounds else plain
    return plain
