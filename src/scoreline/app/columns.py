"""Column types: what a table's file, a request and a feature may hold.

A type says how a value is written down (`Text` keeps leading zeros) and how it looks inside an
array handed to a feature function:

========== ================== =========================
type       numpy dtype        null
========== ================== =========================
Text       object (str)       None
Category   object (str)       None
Integer    float64            NaN
Number     float64            NaN
Boolean    float64 (0.0, 1.0) NaN
Time       datetime64[us]     NaT (microseconds, UTC)
========== ================== =========================
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from scoreline.errors import AppError


@dataclass(frozen=True)
class ColumnType:
    """Base of the column types.

    Parameters
    ----------
    optional : bool
        The column may be missing from the file altogether; it is null then.
    """

    optional: bool = False

    name: ClassVar[str] = ""

    @property
    def expects(self) -> str:
        """What a value must look like, as error messages say it."""
        return "text"

    def describe(self) -> dict[str, Any]:
        """Return the type as JSON-able data, as schemas hold it."""
        return {"type": self.name}


@dataclass(frozen=True)
class Text(ColumnType):
    """Text, kept to the letter: `03779` stays `"03779"`."""

    name: ClassVar[str] = "text"


@dataclass(frozen=True)
class _Ranged(ColumnType):
    """Base of the numbers: a value outside `minimum` to `maximum`, both included, does not fit."""

    minimum: float | None = None
    maximum: float | None = None

    _kind: ClassVar[str] = ""
    _example: ClassVar[str] = ""
    _bound: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for bound in (self.minimum, self.maximum):
            if bound is not None and not self._can_bound(bound):
                raise AppError(f"{type(self).__name__}: expected {self._bound} as minimum= and maximum=, got {bound!r}")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise AppError(f"{type(self).__name__}: minimum={self.minimum} is above maximum={self.maximum}")

    def _can_bound(self, bound: object) -> bool:
        return isinstance(bound, (int, float)) and not isinstance(bound, bool) and math.isfinite(bound)

    @property
    def expects(self) -> str:
        """What a value must look like, as error messages say it."""
        if self.minimum is not None and self.maximum is not None:
            return f"{self._kind} from {self.minimum} to {self.maximum}"
        if self.minimum is not None:
            return f"{self._kind} of at least {self.minimum}"
        if self.maximum is not None:
            return f"{self._kind} of at most {self.maximum}"
        return f"{self._kind}, for example {self._example}"

    def fits(self, value: float) -> bool:
        """Whether a number lies in the range."""
        return (self.minimum is None or value >= self.minimum) and (self.maximum is None or value <= self.maximum)

    def describe(self) -> dict[str, Any]:
        """Return the type with its range, as JSON-able data."""
        bounds = {"minimum": self.minimum, "maximum": self.maximum}
        return {"type": self.name, **{name: bound for name, bound in bounds.items() if bound is not None}}


@dataclass(frozen=True)
class Integer(_Ranged):
    """A whole number of at most 18 digits; as a feature it is float64, exact up to 2**53.

    Parameters
    ----------
    minimum, maximum : int, optional
        The range, both included; a value outside does not fit.
    """

    name: ClassVar[str] = "integer"
    _kind: ClassVar[str] = "a whole number"
    _example: ClassVar[str] = "3"
    _bound: ClassVar[str] = "a whole number of at most 18 digits"

    def _can_bound(self, bound: object) -> bool:
        return type(bound) is int and abs(bound) < 10**18


@dataclass(frozen=True)
class Number(_Ranged):
    """A finite number, held as float64.

    Parameters
    ----------
    minimum, maximum : float, optional
        The range, both included; a value outside does not fit.
    """

    name: ClassVar[str] = "number"
    _kind: ClassVar[str] = "a number"
    _example: ClassVar[str] = "12.5"
    _bound: ClassVar[str] = "a finite number"


@dataclass(frozen=True)
class Boolean(ColumnType):
    """True or false: true/false, t/f, yes/no, y/n or 1/0 in any case."""

    name: ClassVar[str] = "boolean"

    @property
    def expects(self) -> str:
        """What a value must look like, as error messages say it."""
        return "true or false"


@dataclass(frozen=True)
class Time(ColumnType):
    """A moment, to the microsecond, UTC where no zone is written; a date alone is its midnight."""

    name: ClassVar[str] = "time"

    @property
    def expects(self) -> str:
        """What a value must look like, as error messages say it."""
        return "a time, for example 2021-07-04 20:31:02 or 2021-07-04T20:31:02Z"


@dataclass(frozen=True, init=False)
class Category(ColumnType):
    """Text out of a known list. A value outside the list is kept and counted, never dropped.

    Parameters
    ----------
    *values : str
        The known values; their order gives the codes that a model sees (0, 1, ...).
        A value outside the list has the code `len(values)`.
    """

    values: tuple[str, ...] = ()

    name: ClassVar[str] = "category"

    def __init__(self, *values: str, optional: bool = False) -> None:
        if not values or not all(isinstance(value, str) for value in values):
            raise AppError("Category takes its known values as text, for example Category('OK', 'FAILED')")
        if len(set(values)) != len(values):
            raise AppError(f"Category names a value twice: {', '.join(values)}")
        object.__setattr__(self, "values", tuple(values))
        object.__setattr__(self, "optional", optional)

    def describe(self) -> dict[str, Any]:
        """Return the type with its values, as JSON-able data."""
        return {"type": self.name, "values": list(self.values)}


def as_column_type(declared: object, where: str) -> ColumnType:
    """Take a column type or its class (`Text` for `Text()`), else raise AppError."""
    if isinstance(declared, ColumnType):
        return declared
    if isinstance(declared, type) and issubclass(declared, ColumnType) and declared not in (ColumnType, Category):
        return declared()
    hint = "Category needs its values: Category('A', 'B')" if declared is Category else _TYPES_HINT
    raise AppError(f"{where}: expected a column type, got {declared!r}. {hint}")


_TYPES_HINT = "Use Text, Integer, Number, Boolean, Time or Category('A', 'B', ...), imported from scoreline."
