"""Times in the usual ways of writing, whole columns at a time.

A time of one of a few lengths has its digits in known places, so that all of them are read with the same steps. What
does not look exactly like that, or is no moment of the calendar, is left to the slower and complete reading.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Array = np.ndarray[Any, Any]

# length -> how it is written; 0: a digit, T: a T or a space, +: a plus or a minus, others: themselves
_WAYS = {
    len(way): way
    for way in (
        "0000-00-00",
        "0000-00-00T00:00",
        "0000-00-00T00:00:00",
        "0000-00-00T00:00:00Z",
        "0000-00-00T00:00:00+00:00",
        "0000-00-00T00:00:00.000000",
        "0000-00-00T00:00:00.000000Z",
        "0000-00-00T00:00:00.000000+00:00",
    )
}
_MEANT = {"T": b"T ", "+": b"+-"}
_MONTH_DAYS = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.uint8)
_MINUTE_US, _DAY_US = np.int64(60_000_000), np.int64(86_400_000_000)


def usual_times(strings: pa.StringArray) -> tuple[Array, Array]:
    """Read text that is written in a usual way; return microseconds, UTC, and for which rows they are good."""
    micros, is_usual = np.zeros(len(strings), np.int64), np.zeros(len(strings), bool)
    _, ends_buffer, data_buffer = strings.buffers()
    if data_buffer is None:
        return micros, is_usual
    data = np.frombuffer(data_buffer, np.uint8)
    starts = np.frombuffer(ends_buffer, np.int32, len(strings) + 1, strings.offset * 4)[:-1]
    lengths = pc.fill_null(pc.binary_length(strings), 0).to_numpy(zero_copy_only=False)
    counts = np.bincount(np.minimum(lengths, 64), minlength=64)
    for length, way in _WAYS.items():
        if counts[length]:
            rows = np.flatnonzero(lengths == length)
            at = np.lib.stride_tricks.sliding_window_view(data, length)[starts[rows]]
            micros[rows], is_usual[rows] = _read(np.ascontiguousarray(at.T), way)
    return micros, is_usual


def _read(chars: Array, way: str) -> tuple[Array, Array]:
    """Read times that are written alike; `chars` has a row for each place."""
    good = np.ones(chars.shape[1], bool)
    for char, place in zip(chars, way, strict=True):
        if place == "0":
            good &= (char - ord("0")) < 10  # bytes wrap around: what is below "0" is large
        else:
            good &= np.isin(char, np.frombuffer(_MEANT[place], np.uint8)) if place in _MEANT else char == ord(place)
    digits = chars - ord("0")

    def pair(first: int) -> Array:
        two: Array = digits[first] * np.uint8(10) + digits[first + 1]  # of digits at most 99: it fits
        return two

    year, month, day = pair(0) * np.int32(100) + pair(2), pair(5), pair(8)
    good &= (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= _MONTH_DAYS[month % 13])
    is_leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    good &= (month != 2) | (day < 29) | is_leap
    micros = _days_since_1970(year, month.astype(np.int32), day) * _DAY_US
    if len(way) > 10:
        hour, minute = pair(11), pair(14)
        good &= (hour < 24) & (minute < 60)
        micros += (hour * np.int32(60) + minute) * _MINUTE_US
    if len(way) > 16:
        second = pair(17)
        good &= second < 60
        micros += second * np.int64(1_000_000)
    if "." in way:
        micros += (pair(20) * np.int32(100) + pair(22)) * np.int32(100) + pair(24)
    if "+" in way:
        hour, minute = pair(len(way) - 5), pair(len(way) - 2)
        good &= (hour < 24) & (minute < 60)
        ahead = (hour * np.int32(60) + minute) * _MINUTE_US
        micros -= np.where(chars[-6] == ord("+"), ahead, -ahead)
    return micros, good


def _days_since_1970(year: Array, month: Array, day: Array) -> Array:
    """Count days as if the year began in March, so that a leap day is its last."""
    year = year - (month <= 2)
    century = year // 100
    days: Array = 365 * year + year // 4 - century + century // 4 + (153 * ((month + 9) % 12) + 2) // 5 + day
    return days - np.int64(719_469)
