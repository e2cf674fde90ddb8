"""Functions over times that feature functions share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from scoreline.errors import AppError

_STEP_US = 15 * 60 * 1_000_000  # every offset that a zone has had since 1972 changes on a quarter of an hour
_HOUR_US = 3_600_000_000


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
    micros = times.astype("datetime64[us]").astype(np.int64)
    null = np.isnat(times)
    if null.any():
        micros = np.where(null, 0, micros)
    if zone != "UTC":
        micros = micros + _offsets_us(micros, zone)
    hours: np.ndarray[Any, Any] = micros // _HOUR_US % 24
    return np.where(null, np.nan, hours) if null.any() else hours


def _offsets_us(micros: np.ndarray[Any, Any], zone: str) -> np.ndarray[Any, Any]:
    try:
        info = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise AppError(f"time zone '{zone}' is unknown; expected an IANA name such as 'Europe/Berlin'") from error
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    steps, position = np.unique(micros // _STEP_US, return_inverse=True)
    offsets = [(epoch + timedelta(microseconds=int(s) * _STEP_US)).astimezone(info).utcoffset() for s in steps]
    return np.array([int((o or timedelta()).total_seconds()) * 1_000_000 for o in offsets])[position]
