"""From text to values: what is a number, a time, a boolean, and what is not."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoreline import Boolean, Category, Integer, Number, Text, Time
from scoreline.tables.times import usual_times
from scoreline.tables.typed import _unusual_times, convert_strings, only_years_1_to_9999

BAD = "bad"


def convert(kind, *texts):
    """Return what each text becomes; `BAD` for one that does not fit."""
    typed = convert_strings(pa.array(texts, pa.string()), kind)
    bad = typed.bad.to_pylist() if typed.bad is not None else [False] * len(texts)
    return [BAD if is_bad else value for value, is_bad in zip(typed.values.to_pylist(), bad, strict=True)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        (" 5 ", 5),
        ("+5", 5),
        ("-5", -5),
        ("0005", 5),
        ("12.0", 12),
        ("12.", 12),
        ("999999999999999999", 999_999_999_999_999_999),
        (None, None),
        ("1.5", BAD),
        ("0x10", BAD),
        ("1e3", BAD),
        ("two", BAD),
        ("1 000", BAD),
        ("1,000", BAD),
        ("1_000", BAD),
        ("- 5", BAD),
        ("+-5", BAD),
        (".0", BAD),
        ("nan", BAD),
        ("   ", BAD),
        ("9999999999999999999", BAD),
    ],
)
def test_a_whole_number_is_digits_and_nothing_else(text, value):
    assert convert(Integer(), text) == [value]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12.5", 12.5),
        (" -12.5", -12.5),
        ("+1", 1.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("1E-3", 0.001),
        ("1e-400", 0.0),
        ("0.1", 0.1),
        ("5e-324", 5e-324),
        (None, None),
        ("inf", BAD),
        ("-inf", BAD),
        ("Infinity", BAD),
        ("nan", BAD),
        ("1e400", BAD),
        ("12,5", BAD),
        ("0x1p3", BAD),
        ("1e", BAD),
        ("e5", BAD),
        (".", BAD),
        ("n/a", BAD),
    ],
)
def test_a_number_is_finite_and_decimal(text, value):
    assert convert(Number(), text) == [value]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Integer(minimum=300, maximum=850), "300", 300),
        (Integer(minimum=300, maximum=850), "850.0", 850),
        (Integer(minimum=300, maximum=850), "299", BAD),
        (Integer(minimum=300, maximum=850), "851", BAD),
        (Integer(minimum=300, maximum=850), None, None),
        (Integer(minimum=-5), "-5", -5),
        (Integer(minimum=-5), "-6", BAD),
        (Integer(minimum=0), "999999999999999999", 999_999_999_999_999_999),
        (Integer(maximum=999_999_999_999_999_998), "999999999999999999", BAD),
        (Number(minimum=0), "-0.0", 0.0),
        (Number(minimum=0), "-5e-324", BAD),
        (Number(minimum=0, maximum=1), "1", 1.0),
        (Number(minimum=0, maximum=1), "1.0000000000000002", BAD),
        (Number(maximum=0.1), "0.1", 0.1),
        (Number(maximum=0), "1e308", BAD),
        (Number(minimum=0), None, None),
        (Number(minimum=0), "much", BAD),
    ],
)
def test_a_number_outside_its_range_does_not_fit(kind, text, value):
    assert convert(kind, text) == [value]
    assert convert(kind, "5e9", text, None)[1:] == [value, None]  # beside a value that is bad, or too large


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, True) for text in ("true", "True", "TRUE", "t", "yes", "Y", "1", "1.0", " true ")),
        *((text, False) for text in ("false", "False", "F", "no", "n", "0", "0.0")),
        (None, None),
        *((text, BAD) for text in ("2", "tru", "on", "-", "1.5")),
    ],
)
def test_a_boolean_is_one_of_twelve_words_in_any_case(text, value):
    assert convert(Boolean(), text) == [value]


def test_text_and_categories_are_kept_to_the_letter():
    texts = ["007", " x ", "None", "nan", "ÜBER", None]
    assert convert(Text(), *texts) == convert(Category("A"), *texts) == texts


NOON = datetime(2021, 7, 4, 12, 0, 5)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2021-07-04 12:00:05", NOON),
        ("2021-07-04T12:00:05", NOON),
        (" 2021-07-04T12:00:05 ", NOON),
        ("2021-07-04T12:00:05Z", NOON),
        ("2021-07-04 12:00:05 UTC", NOON),
        ("2021-07-04T14:00:05+02:00", NOON),
        ("2021-07-04T14:00:05+0200", NOON),
        ("2021-07-04T14:00:05+02", NOON),
        ("2021-07-04 14:00:05 +02:00", NOON),
        ("2021-07-04T06:30:05-05:30", NOON),
        ("2021-07-05T11:59:05+23:59", NOON),
        ("2021-07-04T12:00", NOON.replace(second=0)),
        ("2021-07-04 14:00+02:00", NOON.replace(second=0)),
        ("2021-07-04", datetime(2021, 7, 4)),
        ("2021-07-04T12:00:05.5", NOON.replace(microsecond=500_000)),
        ("2021-07-04T12:00:05.000001Z", NOON.replace(microsecond=1)),
        ("2021-07-04T12:00:05.1234567", NOON.replace(microsecond=123_456)),
        ("2021-07-04T14:00:05.999999999+02:00", NOON.replace(microsecond=999_999)),
        ("1969-12-31 23:59:59.9999999", datetime(1969, 12, 31, 23, 59, 59, 999_999)),
        ("2020-02-29", datetime(2020, 2, 29)),
        ("0001-01-01", datetime(1, 1, 1)),
        ("9999-12-31T23:59:59.999999", datetime(9999, 12, 31, 23, 59, 59, 999_999)),
        (None, None),
    ],
)
def test_every_common_way_to_write_a_time_is_read_to_the_microsecond_as_utc(text, value):
    assert convert(Time(), text) == [value]


@pytest.mark.parametrize(
    "text",
    [
        "2021-02-30",
        "2021-02-29 10:00:00",
        "2021-13-01",
        "2021-00-10",
        "2021-07-04 10",
        "2021-07-04T10Z",
        "2021-07-04 25:00:00",
        "2021-07-04T24:00:00",
        "2021-07-04 10:60",
        "2021-07-04 10:00:60",
        "2021-07-04T10:00:00+25:00",
        "2021-07-04Z",
        "2021-07-04 10:00:00 CET",
        "2021-07-04T10:00:00.",
        "2021-07-04T10:00:00,5",
        "2021-7-4",
        "20210704",
        "04.07.2021",
        "07/04/2021",
        "20:31",
        "1625429462",
        "noon",
        "0000-01-01",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
    ],
)
def test_what_is_no_moment_is_marked_and_its_neighbours_are_read(text):
    assert convert(Time(), "2021-07-04", text, "2021-07-05") == [datetime(2021, 7, 4), BAD, datetime(2021, 7, 5)]


def test_one_column_may_mix_zoned_and_plain_times_and_dates():
    texts = ["2021-07-04", "2021-07-04T02:00:00+02:00", None, "2021-07-04 00:00:00", "2021-07-03T19:00-05", "x"]
    midnight = datetime(2021, 7, 4)
    assert convert(Time(), *texts) == [midnight, midnight, None, midnight, midnight, BAD]


def test_many_bad_times_among_good_ones_are_all_found():
    texts = ["2021-02-30" if row % 7 == 3 else "2021-02-28" for row in range(500)]
    assert [row for row, value in enumerate(convert(Time(), *texts)) if value == BAD] == list(range(3, 500, 7))


zones = st.one_of(
    st.none(), st.just(UTC), st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
)
moments = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=zones)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(moments, st.sampled_from("T ")), min_size=1, max_size=8))
def test_times_are_read_as_datetime_reads_them(written):
    texts = [moment.isoformat(separator) for moment, separator in written]
    expected = [datetime.fromisoformat(text) for text in texts]
    expected = [m if m.tzinfo is None else m.astimezone(UTC).replace(tzinfo=None) for m in expected]
    assert convert(Time(), *texts) == expected


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 9999), st.integers(0, 13), st.integers(0, 32), st.integers(0, 25), st.integers(0, 61))
def test_a_time_is_good_exactly_if_the_calendar_has_it(year, month, day, hour, minute):
    try:
        expected = datetime(year, month, day, hour, minute)
    except ValueError:
        expected = BAD
    assert convert(Time(), f"{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}") == [expected]


@settings(max_examples=100, deadline=None)
@given(st.dates())
def test_a_date_alone_is_its_midnight(day):
    assert convert(Time(), day.isoformat()) == [datetime.combine(day, datetime.min.time())]


@settings(max_examples=100, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**18) + 1, 10**18 - 1))
def test_numbers_come_back_as_python_writes_them(number, integer):
    assert convert(Number(), repr(number)) == [number]
    assert convert(Integer(), str(integer)) == [integer]


# Text that is nearly good, put together from pieces: whatever its neighbours are, it is read as it is alone.
NUMBER_PIECES = [
    "",
    "0",
    "7",
    "42",
    "9" * 17,
    "-",
    "+",
    ".",
    ".0",
    ".5",
    "e3",
    "E-2",
    " ",
    "x",
    "0x1F",
    "nan",
    "inf",
    "i",
]
NEARLY_NUMBERS = st.none() | st.lists(st.sampled_from(NUMBER_PIECES), max_size=4).map("".join)


@settings(max_examples=300, deadline=None)
@given(st.lists(NEARLY_NUMBERS, max_size=4), st.sampled_from([Integer(), Number(), Boolean()]))
def test_a_value_is_read_alike_whatever_stands_beside_it(texts, kind):
    alone = [convert(kind, text)[0] for text in texts]
    assert convert(kind, *texts) == alone
    assert convert(kind, *texts, "two", " 1 ", "1.0")[: len(texts)] == alone


YEARS, DAYS = (
    ["2021", "2020", "1900", "0001", "0000", "9999", "20a1"],
    ["-02-29", "-07-04", "-12-31", "-13-01", "-04-31", "/07/04"],
)
CLOCKS = ["", "T12:00", " 23:59", "T24:00", "x12:00", " 12:60", "T12:00:05", " 12:00:60", "T12:0x:05", "T10"]
FRACTIONS = ["", ".5", ".123456", ".12345x", ".1234567", ","]
ZONES = ["", "Z", "z", "+02:00", "-23:59", "+24:00", "+02:60", "-0530", "+02", " UTC", " +02:00"]
NEARLY_TIMES = st.tuples(*map(st.sampled_from, (YEARS, DAYS, CLOCKS, FRACTIONS, ZONES))).map("".join)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.none() | NEARLY_TIMES, min_size=1, max_size=6), st.integers(0, 2))
def test_the_quick_way_to_read_a_time_agrees_with_the_complete_one(texts, first):
    strings = pa.array(texts, pa.string())[first:]
    complete = only_years_1_to_9999(_unusual_times(strings))
    assert convert_strings(strings, Time()).values.equals(complete)


@settings(max_examples=200, deadline=None)
@given(st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)))
def test_the_quick_way_takes_what_is_usual(moment):
    day, clock, micros = moment.date().isoformat(), moment.time().isoformat("seconds"), f"{moment.microsecond:06}"
    texts = [day, f"{day} {clock[:5]}", f"{day}T{clock}"]
    texts += [
        f"{day} {clock}{fraction}{zone}" for fraction in ("", f".{micros}") for zone in ("", "Z", "+02:00", "-11:30")
    ]
    assert usual_times(pa.array(texts))[1].all()


def test_an_empty_column_has_its_type():
    for kind, arrow in [(Integer(), pa.int64()), (Number(), pa.float64()), (Boolean(), pa.bool_())]:
        assert convert_strings(pa.array([], pa.string()), kind).values.type == arrow
    assert convert_strings(pa.array([None], pa.string()), Time()).values.type == pa.timestamp("us")


def test_dates_of_every_leap_rule_are_known():
    days = [date(2000, 2, 29), date(2024, 2, 29)]
    midnights = [datetime(day.year, day.month, day.day) for day in days]
    assert convert(Time(), *(day.isoformat() for day in days), "1900-02-29", "2023-02-29") == [*midnights, BAD, BAD]
