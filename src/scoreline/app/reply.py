"""The reply, as an app declares it: one field a column, each an echo or something a head says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from scoreline.app.heads import Head, RulesHead, TreesHead
from scoreline.app.request import Request
from scoreline.app.table import Column, Table
from scoreline.errors import AppError, did_you_mean


@dataclass(frozen=True)
class Echo:
    """A column of the record, or of the reference table that it is scored against, given back."""

    column: str
    kind: str = field(default="key", repr=False)

    def describe(self) -> dict[str, Any]:
        """Return the field as JSON-able data."""
        return {self.kind: self.column}


@dataclass(frozen=True)
class Decision:
    """The `then` of the rule that held; of a head learnt from a Category, its likeliest class."""

    head: str

    def describe(self) -> dict[str, Any]:
        """Return the field as JSON-able data."""
        return {"decision": self.head}


@dataclass(frozen=True)
class Reason:
    """An object: the rule that held, and the values of the features it looked at.

    Attributes
    ----------
    of_last : also where the head's last rule holds; if not, the field is null there
    """

    head: str
    of_last: bool = True

    def describe(self) -> dict[str, Any]:
        """Return the field as JSON-able data."""
        return {"reason": self.head} if self.of_last else {"reason": self.head, "of_last": False}


@dataclass(frozen=True)
class Probability:
    """A learned head's probability, rounded to `digits`; null where the artifact has no such head.

    Attributes
    ----------
    of : the class whose probability it is; None where the head's target is a Boolean
    """

    head: str
    digits: int
    of: str | None = None

    def describe(self) -> dict[str, Any]:
        """Return the field as JSON-able data."""
        described: dict[str, Any] = {"probability": self.head, "digits": self.digits}
        return described if self.of is None else {**described, "of": self.of}


@dataclass(frozen=True)
class Probabilities:
    """An object: each class of a head learnt from a Category -> its probability, rounded to `digits`."""

    head: str
    digits: int

    def describe(self) -> dict[str, Any]:
        """Return the field as JSON-able data."""
        return {"probabilities": self.head, "digits": self.digits}


@dataclass(frozen=True)
class Band:
    """The name of the band that a learned head's rounded probability lies in (see `band`)."""

    head: str
    bands: tuple[tuple[str, float], ...]
    digits: int

    def describe(self) -> dict[str, Any]:
        """Return the field as JSON-able data."""
        return {"band": self.head, "bands": dict(self.bands), "digits": self.digits}


@dataclass(frozen=True)
class OutsideSupport:
    """Whether a probability lies outside what the rows that calibrated the head reached (see `outside_support`)."""

    head: str

    def describe(self) -> dict[str, Any]:
        """Return the field as JSON-able data."""
        return {"outside_support": self.head}


@dataclass(frozen=True)
class Count:
    """How many rows of the reference table are in the reply, or were left out by `where`."""

    what: str

    def describe(self) -> dict[str, Any]:
        """Return the field as JSON-able data."""
        return {"count": self.what}


@dataclass(frozen=True)
class FeaturesFrom:
    """Where the features came from: the feature table, or made for this request (see `features_from`)."""

    def describe(self) -> dict[str, Any]:
        """Return the field as JSON-able data."""
        return {"features_from": list(ORIGINS)}


@dataclass(frozen=True)
class Ranked:
    """A list with an entry for each row of the reference table, best first (see `ranked`)."""

    by: str
    fields: Mapping[str, Any]

    def describe(self) -> dict[str, Any]:
        """Return the field as JSON-able data."""
        return {"ranked": self.by, "fields": {name: entry.describe() for name, entry in self.fields.items()}}


EntryField = Echo | FeaturesFrom | Decision | Reason | Probability | Probabilities | Band | OutsideSupport
OfHead = Decision | Reason | Probability | Probabilities | Band | OutsideSupport
ReplyField = EntryField | Count | Ranked
decision, outside_support = Decision, OutsideSupport
ORIGINS = TABLE, LIVE = "table", "live"


def reason(head: str, *, of_last: bool = True) -> Reason:
    """Give the rule that held and what it looked at; with `of_last=False` null where it was the last rule."""
    return Reason(head, of_last)


def features_from() -> FeaturesFrom:
    """Give `"table"` where features are those of the feature table, `"live"` where they were made for the request."""
    return FeaturesFrom()


def probability(head: str, *, of: str | None = None, digits: int = 4) -> Probability:
    """Give a learned head's probability, rounded to `digits` decimal places (default 4).

    Parameters
    ----------
    of : the class, where the head's target is a Category
    """
    return Probability(head, _checked_digits(f"probability('{head}')", digits), of)


def probabilities(head: str, *, digits: int = 4) -> Probabilities:
    """Give the probability of each class of a head learnt from a Category, rounded to `digits` places (default 4)."""
    return Probabilities(head, _checked_digits(f"probabilities('{head}')", digits))


def band(head: str, bands: Mapping[str, float], *, digits: int = 4) -> Band:
    """Give the name of the band that a learned head's probability, rounded to `digits`, lies in.

    Parameters
    ----------
    bands : name -> the lowest probability of the band, highest band first; the last one's is 0
    """
    where = f"band('{head}')"
    floors = list(bands.values()) if isinstance(bands, Mapping) else []
    are_numbers = all(isinstance(floor, (int, float)) for floor in floors)
    descend = are_numbers and all(high > low for high, low in pairwise(floors))
    if not floors or not descend or floors[-1] != 0:
        raise AppError(
            f"{where}: expected {{name: lowest probability}}, highest first and the last from 0, got {bands!r}"
        )
    return Band(head, tuple(bands.items()), _checked_digits(where, digits))


def offered() -> Count:
    """Give how many rows of the reference table the record was scored against."""
    return Count("offered")


def left_out() -> Count:
    """Give how many rows of the reference table the request's `where` left out."""
    return Count("left_out")


def ranked(by: str, **fields: object) -> Ranked:
    """Give a list with one entry for each row of the reference table that the record was scored against.

    Sorted by the field `by`, a probability as it is rounded, highest first, null last, then by key.

    Parameters
    ----------
    by : name of one of `fields`, a `probability`
    **fields : columns of the reference table, `decision`, `reason`, `probability`, `band`, `outside_support`
    """
    return Ranked(by, fields)


def declare_reply(
    spine: Table, heads: Mapping[str, Head], request: Request | None, fields: Mapping[str, object]
) -> dict[str, ReplyField]:
    """Check the declared reply; AppError names the field and what is wrong."""
    if not fields:
        raise AppError("reply: expected at least one field, for example reply(order_id=orders.order_id)")
    table = spine if request is None else request.table
    each = None if request is None else request.each
    declared: dict[str, ReplyField] = {}
    for name, given in fields.items():
        if each is None:
            declared[name] = _declare_entry(table, heads, name, given, keys_alone=request is None)
        else:
            declared[name] = _declare_outer(table, each, heads, name, given)
    if each is not None and sum(isinstance(kind, Ranked) for kind in declared.values()) != 1:
        raise AppError(
            f"reply: a record is scored against each row of '{each.spec.name}'; expected one ranked(...) field"
        )
    return declared


def _declare_outer(table: Table, each: Table, heads: Mapping[str, Head], name: str, given: object) -> ReplyField:
    """Check a field beside the ranked list: about the record, not about a row of the reference table."""
    where = f"reply field '{name}'"
    if isinstance(given, (Count, FeaturesFrom)):
        return given
    if isinstance(given, Column) and given.table is table:
        return Echo(given.name, "field")
    if not isinstance(given, Ranked):
        raise AppError(
            f"{where}: expected a column of '{table.spec.name}', ranked(...), offered() or left_out(), got {given!r}"
        )
    entries = {n: _declare_entry(each, heads, f"{name}.{n}", g, keys_alone=False) for n, g in given.fields.items()}
    if not isinstance(entries.get(given.by), Probability):
        raise AppError(
            f"{where}: expected by= one of its probability fields, got {given.by!r}.{did_you_mean(given.by, entries)}"
        )
    return Ranked(given.by, entries)


def _declare_entry(
    table: Table, heads: Mapping[str, Head], name: str, given: object, *, keys_alone: bool
) -> EntryField:
    where = f"reply field '{name}'"
    if isinstance(given, FeaturesFrom):
        return given
    if isinstance(given, Column):
        allowed = table.spec.key if keys_alone else tuple(table.spec.columns)
        if given.table is not table or given.name not in allowed:
            what = "key column" if keys_alone else "column"
            raise AppError(f"{where}: {given} is not a {what} of '{table.spec.name}' ({', '.join(allowed)})")
        return Echo(given.name, "key" if keys_alone else "column")
    if not isinstance(given, (Decision, Reason, Probability, Probabilities, Band, OutsideSupport)):
        raise AppError(
            f"{where}: expected a {'key ' if keys_alone else ''}column, decision(), reason(), probability(), "
            f"probabilities(), band(), outside_support() or features_from(), got {given!r}"
        )
    if given.head not in heads:
        raise AppError(f"{where}: no head '{given.head}'.{did_you_mean(given.head, heads)}")
    _check_suits(where, given, heads[given.head])
    return given


def of_heads(fields: Mapping[str, ReplyField]) -> dict[str, EntryField]:
    """Return the fields that heads alone make, of an entry where there is a ranked list.

    They are what can be said of inputs that come without the record which they were made from.
    """
    listed = [kind for kind in fields.values() if isinstance(kind, Ranked)]
    among: Mapping[str, Any] = listed[0].fields if listed else fields
    return {name: kind for name, kind in among.items() if not isinstance(kind, (Echo, Count, FeaturesFrom))}


def _check_suits(where: str, given: OfHead, head: Head) -> None:
    """Raise AppError if the head does not say what the field gives."""
    verb = "outside_support" if isinstance(given, OutsideSupport) else type(given).__name__.lower()
    field = f"{where}: {verb}('{given.head}')"
    if isinstance(given, Reason) and not isinstance(head, RulesHead):
        raise AppError(f"{field} needs a rules head")
    if isinstance(given, Decision):
        if isinstance(head, TreesHead) and not head.classes:
            raise AppError(f"{field} needs a rules head, or one learnt from a Category")
    elif isinstance(head, RulesHead) and not isinstance(given, Reason):
        raise AppError(f"{field} needs a learned head")
    elif isinstance(head, TreesHead):
        _check_classes(field, given, head.classes)


def _check_classes(field: str, given: OfHead, classes: Sequence[str]) -> None:
    if isinstance(given, Probabilities):
        if not classes:
            raise AppError(f"{field}: its target is a Boolean; give probability('{given.head}')")
    elif isinstance(given, Probability) and classes:
        if given.of not in classes:
            hint = did_you_mean(str(given.of), classes)
            raise AppError(f"{field}: expected of= one of {', '.join(classes)}, got {given.of!r}.{hint}")
    elif classes:
        raise AppError(f"{field} needs a head learnt from a Boolean; '{given.head}' has several classes")
    elif isinstance(given, Probability) and given.of is not None:
        raise AppError(f"{field}: of= is for a Category target; this one is a Boolean")


def declare_csv(fields: Mapping[str, ReplyField], columns: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Check the columns of a CSV reply: each names a reply field, or `list.field` for the first entry of a list."""
    declared: dict[str, tuple[str, ...]] = {}
    for column, path in columns.items():
        where = f"csv_reply column '{column}'"
        parts = tuple(path.split(".")) if isinstance(path, str) else ()
        kind = fields.get(parts[0]) if parts else None
        inner = kind.fields.get(parts[1]) if isinstance(kind, Ranked) and len(parts) == 2 else None
        if kind is None or (len(parts) == 2 and inner is None) or len(parts) > 2:
            known = [*fields, *(f"{n}.{e}" for n, k in fields.items() if isinstance(k, Ranked) for e in k.fields)]
            raise AppError(
                f"{where}: no reply field {path!r}.{did_you_mean(str(path), known)} There are: {', '.join(known)}."
            )
        if isinstance(inner or kind, (Ranked, Reason, Probabilities)):
            raise AppError(f"{where}: '{path}' is a list or an object; a CSV cell takes a single value")
        declared[column] = parts
    return declared


def _checked_digits(where: str, digits: object) -> int:
    if not isinstance(digits, int) or isinstance(digits, bool) or not 0 <= digits <= 15:
        raise AppError(f"{where}: expected digits= a whole number from 0 to 15, got {digits!r}")
    return digits
