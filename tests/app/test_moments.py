"""Times as text: a request takes what a table's file takes, to the microsecond."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoreline.app.columns import Time
from scoreline.app.moments import moment_of, written
from scoreline.tables.typed import convert_strings

WRITTEN = [
    "2021-07-04", "2021-07-04 20:31", "2021-07-04T20:31", "2021-07-04 20:31:02", "2021-07-04T20:31:02",
    "2021-07-04T20:31:02Z", "2021-07-04 20:31:02 Z", "2021-07-04 20:31:02 UTC", "2021-07-04T20:31:02UTC",
    "2021-07-04 20:31:02+02:00", "2021-07-04 20:31:02 -0530", "2021-07-04 20:31:02+14", "2021-07-04 20:31+02:00",
    "2021-07-04 20:31:02.5", "2021-07-04 20:31:02.123456", "2021-07-04 20:31:02.123456789Z", "2021-07-04T20:31:02.1+01",
    " 2021-07-04 20:31:02 ", "0001-01-01", "9999-12-31T23:59:59.999999", "2020-02-29", "1969-12-31 23:59:59.999999",
    "0001-01-01 00:30+01:00", "9999-12-31 23:30-01:00", "0000-01-01", "2021-02-29", "2021-13-01", "2021-00-01",
    "2021-07-32", "2021-07-04 24:00:00", "2021-07-04 20:60:00", "2021-07-04 20:31:60", "2021-07-04 20:31:02+24:00",
    "2021-07-04 20:31:02+23:59", "2021-07-04 20:31:02+02:60", "2021-07-04t20:31:02", "2021-07-04T20:31:02z",
    "2021-07-04Z", "2021-07-04 +02:00", "2021-7-4", "20210704", "2021-W26-7", "2021-185", "04.07.2021", "now", "", " ",
    "1625430662", "2021-07-04 20", "2021-07-04 20:31:02.", "2021-07-04  20:31:02", "2021-07-04\t20:31:02",
    "+2021-07-04", "2021-07-04 20:31:02 PM", "２０２１-07-04", "2021-07-04_20:31:02", "2021-W26-7T20:31:02",
    "2021-07-04T20:31-02Z",
]  # fmt: skip


def by_tables(text):
    """Return what a table's file makes of it."""
    return convert_strings(pa.array([text or None], pa.string()), Time()).values.cast(pa.int64())[0].as_py()


@pytest.mark.parametrize("text", WRITTEN)
def test_a_text_is_the_moment_that_a_table_takes_it_for(text):
    assert moment_of(text) == by_tables(text)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(WRITTEN), st.integers(0, 30), st.sampled_from("0123456789 :-+.TZ"))
def test_so_is_one_that_is_damaged(text, place, other):
    damaged = text[:place] + other + text[place + 1 :]
    assert moment_of(damaged) == by_tables(damaged)


@given(st.datetimes())
def test_a_moment_comes_back_from_how_it_is_written(moment):
    text = moment.isoformat(timespec="microseconds") + "Z"
    micros = moment_of(text)
    assert micros is not None
    assert written(micros) == text
