"""Parquet: the same rows as CSV, and columns whose type can or can't stand for the declared one."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from scoreline import Boolean, Category, Integer, Number, Text, Time
from scoreline.errors import TableError

ALL_TYPES = {"t": Time, "n": Integer, "x": Number, "b": Boolean, "c": Category("OK", "FAILED")}


def test_a_table_gives_the_same_rows_from_parquet_as_from_csv(read):
    csv = read(b"k,t,n,x,b,c\n007,2021-07-04 20:31:02.5,3,0.1,True,OK\nb,2021-07-05,,,,\n", **ALL_TYPES)
    table = pa.table(
        {
            "c": ["OK", None],
            "k": ["007", "b"],
            "t": [datetime(2021, 7, 4, 20, 31, 2, 500_000), datetime(2021, 7, 5)],
            "ignored": [[1], [2]],
            "n": [3, None],
            "x": [0.1, None],
            "b": [True, None],
        }
    )
    parquet = read(table, **ALL_TYPES)
    assert parquet.rows == csv.rows
    assert (parquet.lines, csv.lines) == ([1, 2], [2, 3])


def test_columns_held_as_text_are_read_as_in_csv(read):
    texts = {"k": ["007", "b", "c", ""], "n": ["3", "two", "", "1"], "t": ["2021-07-04T02:00+02:00"] * 4}
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        table = pa.table({name: pa.array(values, kind) for name, values in texts.items()})
        outcome = read(table, n=Integer, t=Time)
        assert outcome.rows == [("007", 3, datetime(2021, 7, 4)), ("c", None, datetime(2021, 7, 4))]
        assert [(row, column) for row, column, _ in outcome.bad] == [(2, "n"), (4, "k")]


@pytest.mark.parametrize(
    ("values", "kind", "held"),
    [
        pytest.param(pa.array([3779]), Text, "text, the Parquet file holds int64. Write it as text", id="zip-code"),
        pytest.param(pa.array([1.5]), Text, "text, the Parquet file holds double. Write it as text", id="float-code"),
        pytest.param(pa.array([1]), Category("A"), "category, the Parquet file holds int64.", id="category"),
        pytest.param(pa.array([b"a"]), Text, "text, the Parquet file holds binary.", id="binary"),
        pytest.param(pa.array([1]), Time, "time, the Parquet file holds int64.", id="epoch-number"),
        pytest.param(pa.array([datetime(2021, 1, 1)]), Integer, "integer, the Parquet file holds timestamp", id="time"),
        pytest.param(pa.array([[1]]), Integer, "integer, the Parquet file holds list", id="list"),
        pytest.param(pa.array([True]), Number, "number, the Parquet file holds bool", id="bool-for-number"),
    ],
)
def test_a_column_of_another_type_is_refused_with_both_types(table_file, values, kind, held):
    with pytest.raises(TableError, match=f"prices.parquet, column 'v': expected {held}"):
        table_file(pa.table({"k": ["a"], "v": values}), v=kind)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(
            pa.array([1_625_400_000_123_456_789], pa.timestamp("ns")),
            datetime(2021, 7, 4, 12, 0, 0, 123_456),
            id="nanoseconds-are-cut",
        ),
        pytest.param(
            pa.array([-1], pa.timestamp("ns")),
            datetime(1969, 12, 31, 23, 59, 59, 999_999),
            id="nanoseconds-before-1970-are-cut-downwards",
        ),
        pytest.param(
            pa.array([1_625_400_000_000_000_001], pa.timestamp("ns", "Europe/Berlin")),
            datetime(2021, 7, 4, 12),
            id="nanoseconds-with-a-zone",
        ),
        pytest.param(
            pa.array([datetime(2021, 7, 4, 14, tzinfo=ZoneInfo("Europe/Berlin"))], pa.timestamp("us", "Europe/Berlin")),
            datetime(2021, 7, 4, 12),
            id="a-zone",
        ),
        pytest.param(
            pa.array([datetime(2021, 7, 4, 12, tzinfo=UTC)], pa.timestamp("ms", "UTC")),
            datetime(2021, 7, 4, 12),
            id="utc-milliseconds",
        ),
        pytest.param(pa.array([datetime(2021, 7, 4, 12)]), datetime(2021, 7, 4, 12), id="without-a-zone-is-utc"),
        pytest.param(pa.array([date(2021, 7, 4)]), datetime(2021, 7, 4), id="a-date-is-its-midnight"),
        pytest.param(pa.array([date(2021, 7, 4)], pa.date64()), datetime(2021, 7, 4), id="date64"),
        pytest.param(pa.array([date(1, 1, 1)]), datetime(1, 1, 1), id="the-first-day"),
    ],
)
def test_timestamps_of_every_kind_are_brought_to_microseconds_utc(read, values, expected):
    assert read(pa.table({"k": ["a"], "t": values}), t=Time).rows == [("a", expected)]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(pa.array([253_402_300_800_000], pa.timestamp("ms")), id="year-10000"),
        pytest.param(pa.array([9_223_372_036_854_775_000], pa.timestamp("ms")), id="beyond-microseconds"),
        pytest.param(pa.array([-62_135_596_800_000_001], pa.timestamp("us")), id="year-0"),
        pytest.param(pa.array([2_932_897], pa.date32()), id="date-in-year-10000"),
    ],
)
def test_a_time_outside_the_years_1_to_9999_is_set_aside(read, values):
    outcome = read(pa.table({"k": ["a"], "t": values}), t=Time)
    assert outcome.rows == []
    assert [(row, column) for row, column, _ in outcome.bad] == [(1, "t")]


def test_a_bad_row_beside_nanoseconds_is_set_aside_like_any_other(read):
    times = pa.array([1_001, 2_002], pa.timestamp("ns", "UTC"))
    outcome = read(pa.table({"k": ["a", "b"], "n": ["two", "2"], "t": times}), t=Time, n=Integer)
    assert outcome.rows == [("b", datetime(1970, 1, 1, 0, 0, 0, 2), 2)]
    assert outcome.bad == [(1, "n", "expected a whole number, for example 3, got 'two'")]


def test_dictionary_encoded_columns_are_read_by_their_values(read):
    text = pa.array(["007", "b", "007", None]).dictionary_encode()
    outcome = read(pa.table({"k": text, "c": text}), c=Category("b"))
    assert outcome.rows == [("007", "007"), ("b", "b"), ("007", "007")]
    assert outcome.bad_lines == [4]


def test_whole_numbers_that_pandas_wrote_as_floats_are_whole_numbers_and_nan_is_null(read):
    floats = pa.array([12.0, float("nan"), None, 1.5, float("inf"), 1e300, -3.0])
    outcome = read(pa.table({"k": list("abcdefg"), "n": floats}), n=Integer)
    assert outcome.rows == [("a", 12), ("b", None), ("c", None), ("g", -3)]
    assert [(row, why.split(", got ")[1]) for row, _, why in outcome.bad] == [
        (4, "'1.5'"),
        (5, "'inf'"),
        (6, "'1e+300'"),
    ]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        pytest.param(pa.array([1, 0, 2, None], pa.int8()), Boolean, [True, False, "bad", None], id="int-as-boolean"),
        pytest.param(pa.array([1.0, 0.0, 0.5, float("nan")]), Boolean, [True, False, "bad", None], id="float-boolean"),
        pytest.param(pa.array([2**63, 5, None], pa.uint64()), Integer, ["bad", 5, None], id="unsigned"),
        pytest.param(pa.array([7, None], pa.int8()), Integer, [7, None], id="small-integer"),
        pytest.param(pa.array([Decimal("2.00"), Decimal("2.50")]), Integer, [2, "bad"], id="decimal-as-integer"),
        pytest.param(pa.array([Decimal("2.50")]), Number, [2.5], id="decimal"),
        pytest.param(
            pa.array([1.5, float("nan"), float("inf")], pa.float32()), Number, [1.5, None, "bad"], id="float32"
        ),
        pytest.param(pa.array([5]), Number, [5.0], id="integer-as-number"),
        pytest.param(pa.nulls(2), Number, [None, None], id="a-column-of-nulls"),
        pytest.param(
            pa.array([1, 2, 4, 5, None]), Integer(minimum=2, maximum=4), ["bad", 2, 4, "bad", None], id="range"
        ),
        pytest.param(pa.array([1.0, 2.0, float("nan")]), Integer(minimum=2), ["bad", 2, None], id="float-in-range"),
        pytest.param(
            pa.array([-0.5, 0.0, 0.5, None]), Number(minimum=0), ["bad", 0.0, 0.5, None], id="number-in-range"
        ),
        pytest.param(
            pa.array(["1", "2", "two", None]), Integer(maximum=1), [1, "bad", "bad", None], id="text-in-range"
        ),
        pytest.param(
            pa.array([Decimal("0.50"), Decimal("1.50")]), Number(maximum=1), [0.5, "bad"], id="decimal-in-range"
        ),
        pytest.param(pa.nulls(2), Integer(minimum=0), [None, None], id="nulls-are-in-every-range"),
    ],
)
def test_numbers_of_every_width_are_read_where_nothing_is_lost(read, values, kind, expected):
    keys = [f"k{row}" for row in range(len(values))]
    outcome = read(pa.table({"k": keys, "v": values}), v=kind)
    assert outcome.rows == [(key, value) for key, value in zip(keys, expected, strict=True) if value != "bad"]
    assert outcome.bad_lines == [row for row, value in enumerate(expected, start=1) if value == "bad"]


def test_keys_and_event_times_may_not_be_null(read):
    table = pa.table({"k": ["a", None, "c"], "t": [datetime(2021, 1, 1), datetime(2021, 1, 1), None]})
    outcome = read(table, t=Time, time="t")
    assert outcome.bad == [
        (2, "k", "expected text, got nothing: a key column can't be empty"),
        (3, "t", "expected a time, for example 2021-07-04 20:31:02 or 2021-07-04T20:31:02Z, got nothing"),
    ]


def test_text_in_parquet_may_hold_line_breaks_and_quotes(read):
    texts = ['two\nlines, "quoted"', "\ufeffmark", "a\0b"]
    assert read(pa.table({"k": texts})).rows == [(text,) for text in texts]


def test_a_file_that_is_no_parquet_is_refused_by_name(tmp_path, table_file):
    file = table_file(pa.table({"k": ["a" * 1000]}))
    content = file.path.read_bytes()
    file.path.write_bytes(content[: len(content) // 2])
    with pytest.raises(TableError, match=r"prices\.parquet: is not a readable Parquet file"):
        type(file)(file.spec, tmp_path)


def test_a_file_that_is_torn_within_its_rows_is_refused_by_name(tmp_path, table_file):
    file = table_file(pa.table({"k": [f"key {row}" for row in range(1000)]}))
    content = bytearray(file.path.read_bytes())
    content[4:200] = b"\xff" * 196
    file.path.write_bytes(content)
    with pytest.raises(TableError, match=r"prices\.parquet: is not a readable Parquet file"):
        list(type(file)(file.spec, tmp_path).chunks())


def test_missing_and_repeated_columns_are_refused_as_in_csv(table_file):
    with pytest.raises(TableError, match=r"has no column 'value'\. Did you mean 'values'"):
        table_file(pa.table({"k": ["a"], "values": [1]}), value=Integer)
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array([1]), pa.array([2])], names=["k", "v", "v"])
    with pytest.raises(TableError, match="has 2 columns named 'v'"):
        table_file(twice, v=Integer)
