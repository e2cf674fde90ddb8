"""From text to typed columns: which strings are a number, a time, a boolean, and which are not.

Nothing is guessed and nothing fails as a whole: a value that does not fit is marked, the others go on.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scoreline.app.columns import Boolean, Category, ColumnType, Integer, Number, Text, Time
from scoreline.tables.times import usual_times

ARROW_TYPES: dict[type[ColumnType], pa.DataType] = {
    Text: pa.string(),
    Category: pa.string(),
    Integer: pa.int64(),
    Number: pa.float64(),
    Boolean: pa.bool_(),
    Time: pa.timestamp("us"),
}
# 1.0 is what pandas writes for 1 in a column with nulls
_TRUE, _FALSE = ["true", "t", "yes", "y", "1", "1.0"], ["false", "f", "no", "n", "0", "0.0"]
_INTEGER = r"^[+-]?[0-9]{1,18}(\.0*)?$"  # 12.0 is what pandas writes for 12 in a column with nulls
_MOST_DIGITS = 18
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?"
_ZONE = r"(Z|UTC|[+-][0-9]{2}(:?[0-9]{2})?)"
_LOCAL_TIME = f"^{_DATE}({_CLOCK})?$"
_ZONED_TIME = f"^{_DATE}{_CLOCK} ?{_ZONE}$"
_YEAR_1_S, _YEAR_10000_S = -62_135_596_800, 253_402_300_800  # since 1970


@dataclass(frozen=True)
class Typed:
    """A converted column: `values`, null where a string was null or did not fit; `bad` marks the latter."""

    values: pa.Array
    bad: pa.BooleanArray | None = None


def arrow_type(kind: ColumnType) -> pa.DataType:
    """Return the Arrow type that columns of this type are held in (Time: microseconds, UTC, no zone)."""
    return ARROW_TYPES[type(kind)]


def convert_strings(strings: pa.StringArray, kind: ColumnType) -> Typed:
    """Convert text to the column type, exactly as the module says; nulls stay null."""
    if isinstance(kind, (Text, Category)):
        return Typed(strings)
    convert = {Integer: _integers, Number: _numbers, Boolean: _booleans, Time: _times}[type(kind)]
    values: pa.Array = null_outside_range(convert(strings), kind)
    if values.null_count == strings.null_count:
        return Typed(values)
    return Typed(values, pc.and_(pc.is_valid(strings), pc.is_null(values)))


def null_outside_range(values: pa.Array, kind: ColumnType) -> pa.Array:
    """Null the numbers outside the type's declared range."""
    if not isinstance(kind, (Integer, Number)):
        return values
    for bound, fits in ((kind.minimum, pc.greater_equal), (kind.maximum, pc.less_equal)):
        if bound is not None:
            values = pc.if_else(fits(values, pa.scalar(bound)), values, None)
    return values


def only_years_1_to_9999(times: pa.TimestampArray) -> pa.TimestampArray:
    """Null the times that `datetime` can't hold. Nanoseconds reach from 1677 to 2262, so they all fit."""
    per_second = {"s": 1, "ms": 1_000, "us": 1_000_000}.get(times.type.unit)
    if per_second is None:
        return times
    ticks = times.cast(pa.int64())
    fits = pc.and_(pc.greater_equal(ticks, _YEAR_1_S * per_second), pc.less(ticks, _YEAR_10000_S * per_second))
    return pc.if_else(fits, times, None)


def _integers(strings: pa.StringArray) -> pa.Array:
    # what Arrow takes without a complaint is what we take, but for hexadecimal and for more than 18 digits
    if not _holds(strings, b"xX") and (pc.max(pc.binary_length(strings)).as_py() or 0) <= _MOST_DIGITS:
        with contextlib.suppress(pa.ArrowInvalid):
            return pc.cast(strings, pa.int64())
    return _cast_matching(pc.utf8_trim_whitespace(strings), _INTEGER, pa.int64(), strip=r"^\+|\.0*$")


def _numbers(strings: pa.StringArray) -> pa.Array:
    if not _holds(strings, b"xXnNiI"):  # hexadecimal, nan, inf
        with contextlib.suppress(pa.ArrowInvalid):
            values = pc.cast(strings, pa.float64())
            return pc.if_else(pc.is_finite(values), values, None)
    values = _cast_matching(pc.utf8_trim_whitespace(strings), _NUMBER, pa.float64(), strip=r"^\+")
    return pc.if_else(pc.is_finite(values), values, None)


def _holds(strings: pa.StringArray, bytes_: bytes) -> bool:
    """Whether any of some bytes may be in a column's text."""
    data = strings.buffers()[2]
    text = b"" if data is None else data.to_pybytes()
    return any(bytes([byte]) in text for byte in bytes_)


def _booleans(strings: pa.StringArray) -> pa.Array:
    coded = strings.dictionary_encode()  # there are few ways to write them
    return _boolean_words(coded.dictionary).take(coded.indices)


def _boolean_words(strings: pa.StringArray) -> pa.Array:
    lowered = pc.utf8_lower(pc.utf8_trim_whitespace(strings))
    is_true = pc.is_in(lowered, value_set=pa.array(_TRUE))
    is_false = pc.is_in(lowered, value_set=pa.array(_FALSE))
    return pc.if_else(is_true, True, pc.if_else(is_false, False, pa.scalar(None, pa.bool_())))


def _cast_matching(strings: pa.StringArray, pattern: str, to: pa.DataType, *, strip: str) -> pa.Array:
    fits = pc.match_substring_regex(strings, pattern)
    kept = pc.if_else(fits, strings, None)
    return pc.cast(pc.replace_substring_regex(kept, pattern=strip, replacement=""), to)


def _times(strings: pa.StringArray) -> pa.Array:
    micros, is_usual = usual_times(strings)
    others = np.flatnonzero(~is_usual & strings.is_valid().to_numpy(zero_copy_only=False))
    if len(others):
        read = _unusual_times(strings.take(pa.array(others)))
        micros[others] = pc.fill_null(read.cast(pa.int64()), 0).to_numpy()
        is_usual[others] = read.is_valid().to_numpy(zero_copy_only=False)
    times = pa.array(micros, pa.int64(), mask=~is_usual).cast(pa.timestamp("us"))
    return only_years_1_to_9999(times)


def _unusual_times(strings: pa.StringArray) -> pa.Array:
    strings = pc.utf8_trim_whitespace(strings)
    strings = pc.replace_substring_regex(strings, pattern=r"(\.[0-9]{6})[0-9]+", replacement=r"\1")
    is_zoned = pc.match_substring_regex(strings, _ZONED_TIME)
    zoned = pc.replace_substring_regex(pc.if_else(is_zoned, strings, None), pattern=" ?(UTC|Z)$", replacement="Z")
    zoned = pc.replace_substring_regex(zoned, pattern=" ([+-])", replacement=r"\1")
    is_local = pc.match_substring_regex(strings, _LOCAL_TIME)
    local = pc.if_else(is_local, strings, None)
    return pc.coalesce(
        _cast_what_fits(local, pa.timestamp("us")),
        pc.cast(_cast_what_fits(zoned, pa.timestamp("us", "UTC")), pa.timestamp("us")),
    )


def _cast_what_fits(strings: pa.StringArray, to: pa.DataType) -> pa.Array:
    """Cast; where Arrow refuses a value (30 February), halve until it stands alone, and null it."""
    try:
        return pc.cast(strings, to)
    except pa.ArrowInvalid:
        if len(strings) == 1:
            return pa.nulls(1, to)
        middle = len(strings) // 2
        halves = [_cast_what_fits(part, to) for part in (strings[:middle], strings[middle:])]
        return pa.concat_arrays(halves)
