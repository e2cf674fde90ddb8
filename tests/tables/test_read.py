"""Reading a table as declared: its head, its nulls, its rows set aside."""

from __future__ import annotations

import pyarrow as pa
import pytest

from scoreline import Boolean, Category, Integer, Number, Text, Time
from scoreline.errors import TableError


def test_an_empty_field_is_null_but_for_keys_and_event_times(read):
    content = b"k,t,v\na,2021-01-01,\n,2021-01-02,5\nc,,5\n"
    outcome = read(content, t=Time, v=Integer, time="t")
    assert [row[2] for row in outcome.rows] == [None]
    assert [(line, column) for line, column, _ in outcome.bad] == [(3, "k"), (4, "t")]


def test_a_key_of_several_columns_needs_each_of_them(read):
    outcome = read(b"k,n\na,1\na,\n,1\n,\n", n=Integer, key=["k", "n"])
    assert outcome.rows == [("a", 1)]
    assert [(line, column) for line, column, _ in outcome.bad] == [(3, "n"), (4, "k"), (5, "k")]


def test_a_quoted_empty_field_is_null_too(read):
    outcome = read(b'k,v\n"",1\n"b",""\n', v=Integer)
    assert (outcome.rows, outcome.bad_lines) == ([("b", None)], [2])


def test_a_row_set_aside_names_its_first_wrong_column_in_declared_order(read):
    outcome = read(b"v,w,k\ntwo,three,a\n", v=Integer, w=Integer)
    assert [(line, column) for line, column, _ in outcome.bad] == [(2, "v")]


def test_a_long_bad_value_is_shortened(read):
    outcome = read(b"k,v\na," + b"x" * 500 + b"\n", v=Integer)
    assert outcome.bad == [(2, "v", f"expected a whole number, for example 3, got '{'x' * 40}...'")]


def test_a_value_out_of_range_is_set_aside_with_the_range(read):
    score, share = Integer(minimum=300, maximum=850), Number(minimum=0)
    outcome = read(b"k,v,w\na,300,0\nb,299,0\nc,850,-0.5\nd,,\ne,1e3,1\n", v=score, w=share)
    assert outcome.rows == [("a", 300, 0.0), ("d", None, None)]
    assert outcome.bad == [
        (3, "v", "expected a whole number from 300 to 850, got '299'"),
        (4, "w", "expected a number of at least 0, got '-0.5'"),
        (6, "v", "expected a whole number from 300 to 850, got '1e3'"),
    ]


def test_a_value_out_of_range_in_parquet_is_set_aside_with_the_range(read):
    outcome = read(pa.table({"k": list("abc"), "v": [300, 299, None]}), v=Integer(minimum=300, maximum=850))
    assert outcome.rows == [("a", 300), ("c", None)]
    assert outcome.bad == [(2, "v", "expected a whole number from 300 to 850, got '299'")]


def test_a_key_out_of_range_is_no_readable_key(table_file):
    (chunk,) = table_file(b"k,n\na,7\nb,-7\n", n=Integer(minimum=0), key="n").chunks()
    assert chunk.rows.column("n").to_pylist() == [7]
    assert [(row.column, row.key) for row in chunk.rejected] == [("n", None)]


def test_a_row_set_aside_keeps_its_key_and_time_where_they_can_be_read(table_file):
    content = b'k,t,v\na,1970-01-01 00:00:01,two\nb,noon,5\n,1970-01-01,5\n"d,1970-01-01,5\n'
    (chunk,) = table_file(content, t=Time, v=Integer, time="t").chunks()
    kept = {row.line: (row.key, row.time_us) for row in chunk.rejected}
    assert kept == {2: (("a",), 1_000_000), 3: (("b",), None), 4: (None, 0), 5: (None, None)}
    assert chunk.rows_read == 4


def test_a_missing_column_is_named_with_the_nearest_in_the_file(table_file):
    with pytest.raises(TableError) as caught:
        table_file(b"k,shiped_at\n", shipped_at=Time)
    assert str(caught.value) == (
        "table 'prices', prices.csv: has no column 'shipped_at'. Did you mean 'shiped_at'? Its head has: k, shiped_at."
    )


@pytest.mark.parametrize(("head", "name"), [(b"k;v\n", "semicolons"), (b"k\tv\n", "tabs"), (b"k|v\n", "bars")])
def test_another_separator_is_guessed_in_the_message(table_file, head, name):
    with pytest.raises(TableError, match=f"The fields seem to be separated by {name}; expected commas"):
        table_file(head, v=Integer)


def test_a_declared_column_may_not_be_there_twice(table_file):
    with pytest.raises(TableError, match="has 2 columns named 'v'; expected one"):
        table_file(b"k,v,v\n", v=Integer)


def test_an_undeclared_column_may_be_there_twice(read):
    assert read(b"k,x,x,v\na,8,9,1\n", v=Integer).rows == [("a", 1)]


def test_an_optional_column_may_be_absent_and_is_null_then(table_file, read):
    target = Boolean(optional=True)
    assert table_file(b"k\na\n", target=target).absent == ["target"]
    assert read(b"k\na\n", target=target).rows == [("a", None)]
    assert read(b"k,target\na,True\nb,\n", target=target).rows == [("a", True), ("b", None)]


def test_an_unknown_category_is_a_good_row(read):
    assert read(b"k,s\na,OK\nb,NEW\n", s=Category("OK", "FAILED")).rows == [("a", "OK"), ("b", "NEW")]


def test_integer_keys_are_integers(read):
    outcome = read(b"k,n\na,007\nb,7.5\n", n=Integer, key="n")
    assert (outcome.rows, outcome.bad_lines) == ([("a", 7)], [3])


def test_rows_and_their_lines_stay_in_the_order_of_the_file_across_chunks(read):
    content = b"k,v\n" + b"".join(b"%d,%d\n" % (row, row) for row in range(200))
    outcome = read(content, v=Integer, chunk_bytes=50)
    assert outcome.rows == [(str(row), row) for row in range(200)]
    assert outcome.lines == list(range(2, 202))


def test_text_is_never_read_as_a_null_word(read):
    words = ["NA", "null", "NULL", "nan", "None", "-", " "]
    assert read(b"k,v\n" + "".join(f"a,{word}\n" for word in words).encode(), v=Text).rows == [
        ("a", word) for word in words
    ]
