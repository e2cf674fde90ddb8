"""Functions over times that feature functions share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from scoreline.errors import AppError

_MICROSECONDS = np.dtype("datetime64[us]")
_NAT = np.iinfo(np.int64).min  # what NaT is as a number
_SECOND_US, _HOUR_US, _DAY_US = 1_000_000, 3_600_000_000, 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# what a datetime can hold in every zone; times beyond (9999-12-31T23:59:59 is a popular "never") have the offset there
_FIRST_US = (datetime(1, 1, 2, tzinfo=UTC) - _EPOCH) // datetime.resolution
_LAST_US = (datetime(9999, 12, 30, tzinfo=UTC) - _EPOCH) // datetime.resolution


def hour_of_day(times: np.ndarray[Any, Any], zone: str = "UTC") -> np.ndarray[Any, Any]:
    """Return the hour of the day, 0 to 23, of each time in `zone`.

    Parameters
    ----------
    times : datetime64[us] of shape (n,), UTC
    zone : str
        IANA name, for example `Europe/Berlin`; summer time is followed.

    Returns
    -------
    int64 of shape (n,), or float64 with NaN for NaT if there is any

    Raises
    ------
    AppError
        `zone` is unknown.

    Examples
    --------
    >>> hour_of_day(np.array(["2021-07-04T23:31:02"], dtype="datetime64[us]"), "Europe/Berlin")
    array([1])
    """
    micros = times.astype(_MICROSECONDS, copy=False).view(np.int64)
    if len(micros) == 1 and zone == "UTC":  # as one order needs it: plain numbers take a fraction of the time
        (moment,) = micros.tolist()
        return np.array([np.nan if moment == _NAT else moment // _HOUR_US % 24])
    null = micros == _NAT
    has_null = null.any()
    if has_null:
        micros = np.where(null, 0, micros)
    if zone != "UTC":
        micros = micros + _offsets_us(micros, zone)
    hours: np.ndarray[Any, Any] = micros // _HOUR_US % 24
    return np.where(null, np.nan, hours) if has_null else hours


def _offsets_us(micros: np.ndarray[Any, Any], zone: str) -> np.ndarray[Any, Any]:
    try:
        info = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: "Europe" is a folder of zones
        raise AppError(f"time zone '{zone}' is unknown; expected an IANA name such as 'Europe/Berlin'") from error
    micros = np.clip(micros, _FIRST_US, _LAST_US)
    days, position = np.unique(micros // _DAY_US, return_inverse=True)
    begin = _offsets_at(days * _DAY_US, info)
    has_change = (begin != _offsets_at((days + 1) * _DAY_US, info))[position]  # no zone changes twice within a day
    offsets = begin[position]
    if has_change.any():
        seconds, position = np.unique(micros[has_change] // _SECOND_US, return_inverse=True)
        offsets[has_change] = _offsets_at(seconds * _SECOND_US, info)[position]
    return offsets


def _offsets_at(micros: np.ndarray[Any, Any], info: ZoneInfo) -> np.ndarray[Any, Any]:
    moments = (_EPOCH + timedelta(microseconds=int(value)) for value in micros)
    offsets = [moment.astimezone(info).utcoffset() or timedelta() for moment in moments]
    return np.array([offset // datetime.resolution for offset in offsets], dtype=np.int64)
