"""Times as text, one at a time: what a table's file takes as a time, a request takes too.

`scoreline.tables.typed` reads whole columns with pyarrow, which a worker has not; a test holds the two together.
"""

from __future__ import annotations

import contextlib
import re
import time
from datetime import datetime

_EPOCH = datetime(1970, 1, 1)
_FIRST_US = (datetime(1, 1, 1) - _EPOCH) // datetime.resolution
_LAST_US = (datetime(9999, 12, 31, 23, 59, 59, 999_999) - _EPOCH) // datetime.resolution
_MINUTE_US = 60_000_000
_match = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})"
    r"(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d+))?)?(?: ?(?:Z|UTC|([+-])(\d{2})(?::?(\d{2}))?))?)?",
    re.ASCII,
).fullmatch


def moment_of(text: str) -> int | None:
    """Return the moment that a text stands for, in microseconds since 1970, UTC; None where it is no time.

    Without a zone it is UTC, a date alone is its midnight, and what is finer than a microsecond is cut off.

    Examples
    --------
    >>> moment_of("1970-01-01 01:00:00.5+01:00"), moment_of("1970-01-02"), moment_of("yesterday")
    (500000, 86400000000, None)
    """
    plain = text[:19] if len(text) == 20 and text[19] == "Z" else text
    if len(plain) == 19 and plain[4] == plain[7] == "-" and plain[10] in "T " and plain[13] == plain[16] == ":":
        with contextlib.suppress(ValueError):
            return _micros_of(datetime.fromisoformat(plain))  # the most usual way, in a tenth of the time
    found = _match(text.strip())
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, ahead_h, ahead_m = found.groups()
    micros = int((fraction or "0")[:6].ljust(6, "0"))
    try:
        local = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), micros)
    except ValueError:
        return None
    moment = _micros_of(local)
    if sign is not None:
        hours, minutes = int(ahead_h), int(ahead_m or 0)
        if hours > 23 or minutes > 59:
            return None
        ahead = (hours * 60 + minutes) * _MINUTE_US
        moment += -ahead if sign == "+" else ahead
    return moment if _FIRST_US <= moment <= _LAST_US else None


def _micros_of(moment: datetime) -> int:
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def now_us() -> int:
    """Return this moment in microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def written(moment_us: int) -> str:
    """Return a moment as times are written everywhere.

    Examples
    --------
    >>> written(500000)
    '1970-01-01T00:00:00.500000Z'
    """
    return f"{(_EPOCH + moment_us * datetime.resolution).isoformat(timespec='microseconds')}Z"
