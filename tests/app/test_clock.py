"""Hours of the day in a zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoreline import hour_of_day
from scoreline.errors import AppError


def times(*moments):
    return np.array(moments, dtype="datetime64[us]")


@pytest.mark.parametrize(
    ("zone", "moment", "hour"),
    [
        pytest.param("UTC", "2021-07-04T23:59:59.999999", 23, id="utc"),
        pytest.param("Europe/Berlin", "2021-03-28T00:59:59.999999", 1, id="berlin-before-summer-time"),
        pytest.param("Europe/Berlin", "2021-03-28T01:00:00", 3, id="berlin-the-hour-that-is-left-out"),
        pytest.param("Europe/Berlin", "2021-10-31T00:59:59.999999", 2, id="berlin-before-winter-time"),
        pytest.param("Europe/Berlin", "2021-10-31T01:00:00", 2, id="berlin-the-hour-that-comes-twice"),
        pytest.param("Europe/Berlin", "2021-10-31T02:00:00", 3, id="berlin-after-it"),
        pytest.param("America/New_York", "2021-03-14T06:59:59", 1, id="new-york-before-summer-time"),
        pytest.param("America/New_York", "2021-03-14T07:00:00", 3, id="new-york-in-summer-time"),
        pytest.param("America/New_York", "2021-11-07T06:00:00", 1, id="new-york-the-hour-that-comes-twice"),
        pytest.param("Australia/Sydney", "2021-10-02T16:00:00", 3, id="sydney-where-summer-begins-in-october"),
        pytest.param("Australia/Lord_Howe", "2021-10-02T15:30:00", 2, id="lord-howe-moves-by-half-an-hour"),
        pytest.param("Asia/Kathmandu", "2021-07-04T18:14:59", 23, id="kathmandu-at-a-quarter-of-an-hour"),
        pytest.param("Asia/Kathmandu", "2021-07-04T18:15:00", 0, id="kathmandu-midnight"),
        pytest.param("America/St_Johns", "2010-03-14T03:30:59", 0, id="st-johns-moved-one-minute-past-midnight"),
        pytest.param("America/St_Johns", "2010-03-14T03:31:00", 1, id="st-johns-in-summer-time"),
        pytest.param("Europe/Berlin", "1969-12-31T22:59:59.999999", 23, id="before-1970"),
        pytest.param("Europe/Berlin", "9999-12-31T23:59:59", 0, id="the-last-moment-there-is"),
        pytest.param("America/New_York", "0001-01-01T00:00:00", 19, id="the-first-moment-there-is"),
    ],
)
def test_the_hour_is_that_of_the_zones_clock(zone, moment, hour):
    assert hour_of_day(times(moment), zone).tolist() == [hour]
    assert hour_of_day(times(moment, "2021-07-04T12:00"), zone)[0] == hour


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_no_time_has_no_hour(zone):
    hours = hour_of_day(times("2021-01-04T20:00", "NaT"), zone)
    assert hours.dtype == np.float64
    assert hours[0] == (20 if zone == "UTC" else 21)
    assert np.isnan(hours[1])
    assert np.isnan(hour_of_day(times("NaT"), zone)).all()


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_hours_are_whole_numbers_where_no_time_is_missing(zone):
    assert hour_of_day(times("2021-01-04T20:00"), zone).dtype == np.int64
    assert hour_of_day(times(), zone).tolist() == []


@pytest.mark.parametrize("zone", ["Europe/Berln", "", "../etc/passwd", "/etc/passwd", "Europe"])
def test_an_unknown_zone_is_refused(zone):
    with pytest.raises(AppError, match=r"time zone '.*' is unknown; expected an IANA name such as 'Europe/Berlin'"):
        hour_of_day(times("2021-01-04T20:00"), zone)


@given(
    zone=st.sampled_from(
        ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Gaza"]
    ),
    seconds=st.lists(st.integers(-2_000_000_000, 4_000_000_000), min_size=1, max_size=30),
)
@settings(deadline=None, database=None, max_examples=60)
def test_agrees_with_a_plain_loop(zone, seconds):
    moments = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value) for value in seconds]
    expected = [moment.astimezone(ZoneInfo(zone)).hour for moment in moments]
    assert hour_of_day(np.array(seconds, "datetime64[s]").astype("datetime64[us]"), zone).tolist() == expected


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/St_Johns", "Asia/Gaza"])
def test_agrees_with_a_plain_loop_around_every_change_of_twenty_years(zone):
    hours = np.arange(np.datetime64("2000-01-01T00", "h"), np.datetime64("2020-01-01T00", "h"))
    offsets = [moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).utcoffset() for moment in hours.tolist()]
    changes = [hour for hour, a, b in zip(hours, offsets, offsets[1:], strict=False) if a != b]
    minutes = (np.array(changes)[:, None].astype("M8[m]") + np.arange(-90, 90)).ravel()
    expected = [moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).hour for moment in minutes.tolist()]
    assert len(changes) >= 24
    assert hour_of_day(minutes.astype("M8[us]"), zone).tolist() == expected
