"""One physical line is one record: what a CSV file's lines become."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoreline import Integer, Text, Time
from scoreline.errors import TableError
from scoreline.tables import csv_lines
from scoreline.tables.csv_lines import read_header, read_lines

TORN = "torn quoting: a quote is not closed on its line, or text stands beside a quoted field"


def test_leading_zeros_of_a_text_column_are_kept(read):
    assert read(b"k,v\n03779,007\n3779,7\n", v=Integer).rows == [("03779", 7), ("3779", 7)]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"k,v\na,1\nb,2\n", id="plain"),
        pytest.param(b"\xef\xbb\xbfk,v\na,1\nb,2\n", id="byte-order-mark"),
        pytest.param(b"k,v\r\na,1\r\nb,2\r\n", id="crlf"),
        pytest.param(b"k,v\r\na,1\nb,2\r\n", id="lf-and-crlf-mixed"),
        pytest.param(b"k,v\na,1\nb,2", id="no-final-newline"),
        pytest.param(b"k,v\r\na,1\r\nb,2\r", id="cut-off-within-the-last-crlf"),
        pytest.param(b'"k", v \na,1\nb,2\n', id="spaces-and-quotes-in-the-head"),
        pytest.param(b'k,v\n"a",1\n"b","2"\n', id="quoted"),
        pytest.param(b"v,k\n1,a\n2,b\n", id="another-column-order"),
        pytest.param(b"x,k,y,v\n9,a,,1\n,b,8,2\n", id="columns-that-nobody-declared"),
    ],
)
def test_the_same_rows_come_from_every_common_way_to_write_them(read, content):
    outcome = read(content, v=Integer)
    assert (outcome.rows, outcome.lines, outcome.bad) == ([("a", 1), ("b", 2)], [2, 3], [])


def test_blank_lines_are_no_rows_but_count_as_lines(read):
    outcome = read(b"k,v\n\na,1\n\r\n\nb,two\n\n", v=Integer)
    assert (outcome.rows, outcome.lines, outcome.bad_lines) == ([("a", 1)], [3], [6])


def test_quoted_fields_hold_commas_and_doubled_quotes(read):
    content = b'k,v\n"Doe, Jane","said ""hi"""\n"""",","\n"",x\nplain,"a,""b"",c"\n'
    outcome = read(content, v=Text)
    assert outcome.rows == [("Doe, Jane", 'said "hi"'), ('"', ","), ("plain", 'a,"b",c')]
    assert outcome.bad_lines == [4]


@pytest.mark.parametrize(
    "torn",
    [
        pytest.param(b'"torn,1', id="never-closed"),
        pytest.param(b'torn",1', id="never-opened"),
        pytest.param(b'"a"b,1', id="text-after-the-quotes"),
        pytest.param(b'a"b",1', id="text-before-the-quotes"),
        pytest.param(b'a"b"c,1', id="quotes-in-the-middle"),
        pytest.param(b' "a",1', id="space-before-the-quotes"),
        pytest.param(b'"a" ,1', id="space-after-the-quotes"),
        pytest.param(b'"a""b,1', id="doubled-but-not-closed"),
        pytest.param(b'a,1"', id="at-the-end"),
        pytest.param(b'"""', id="three-quotes"),
    ],
)
def test_a_line_with_torn_quoting_is_set_aside_alone(read, torn):
    outcome = read(b'k,v\n"before",1\n' + torn + b'\n"after",2\n', v=Integer)
    assert outcome.rows == [("before", 1), ("after", 2)]
    assert outcome.bad == [(3, None, TORN)]


def test_a_quoted_field_over_two_lines_is_two_bad_lines(read):
    outcome = read(b'k,v\na,1\n"b\nstill b",2\nc,3\n', v=Integer)
    assert outcome.rows == [("a", 1), ("c", 3)]
    assert outcome.bad == [(3, None, TORN), (4, None, TORN)]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        pytest.param(b"b", "expected 2 fields, got 1", id="too-few"),
        pytest.param(b"b,2,3", "expected 2 fields, got 3", id="too-many"),
        pytest.param(b'"b,2"', "expected 2 fields, got 1", id="too-few-quoted"),
        pytest.param(b'"b,c","2",""', "expected 2 fields, got 3", id="too-many-quoted"),
        pytest.param(b"   ", "expected 2 fields, got 1", id="spaces-alone"),
        pytest.param(b"M\xfcnchen,2", "the line is not UTF-8", id="latin-1"),
        pytest.param(b"b\0,2", "the line holds a NUL byte", id="nul"),
        pytest.param(b"b,2\rc,3", "the line holds a lone carriage return", id="lone-carriage-return"),
        pytest.param(b'"b\rc",2', "the line holds a lone carriage return", id="quoted-carriage-return"),
        pytest.param(b'"' + b"b" * 200_000 + b'",2,3', "expected 2 fields, got 3", id="longer-than-csv-modules-limit"),
    ],
)
def test_a_line_that_is_no_record_is_set_aside_alone(read, line, why):
    outcome = read(b"k,v\na,1\n" + line + "\nZürich,3\n".encode(), v=Integer)
    assert outcome.rows == [("a", 1), ("Zürich", 3)]
    assert outcome.bad == [(3, None, why)]


@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 7, 16, 1000])
def test_line_numbers_stay_right_across_chunk_borders(read, chunk_bytes):
    content = b'k,v\r\na,1\r\n\r\n"b\r\nc,3\r\nd,four\r\ne,5'
    outcome = read(content, v=Integer, chunk_bytes=chunk_bytes)
    assert list(zip(outcome.lines, outcome.rows, strict=True)) == [(2, ("a", 1)), (5, ("c", 3)), (7, ("e", 5))]
    assert sorted(outcome.bad_lines) == [4, 6]


def test_a_byte_order_mark_below_the_head_belongs_to_the_text(read):
    content = "k,v\n\ufeffa,1\n\ufeffb,2\n".encode()
    assert (
        read(content, v=Integer).rows
        == read(content, v=Integer, chunk_bytes=4).rows
        == [("\ufeffa", 1), ("\ufeffb", 2)]
    )


def test_a_file_may_have_more_than_a_thousand_columns_and_quotes(read):
    names, values = ",".join(f"x{i}" for i in range(1200)), ",".join(['"1"'] * 1200)
    assert read(f'k,{names}\n"a",{values}\n"b",1\n'.encode()).rows == [("a",)]


def test_a_table_of_one_column_is_read_like_others(read):
    outcome = read(b'k\n"a"\n\n""\nb\n"c"x\nd,e\n')
    assert (outcome.rows, outcome.lines, outcome.bad_lines) == ([("a",), ("b",)], [2, 5], [6, 7, 4])


def test_a_file_of_a_head_alone_has_no_rows(read):
    outcome = read(b"k,v", v=Integer)
    assert (outcome.rows, outcome.bad) == ([], [])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "is empty; expected a line with column names first", id="empty"),
        pytest.param(b"\n", "is empty; expected a line with column names first", id="a-newline-alone"),
        pytest.param(b"\xef\xbb\xbf", "is empty; expected a line with column names first", id="a-mark-alone"),
        pytest.param("k,v\na,1\n".encode("utf-16"), "is UTF-16; expected UTF-8. Save it as CSV UTF-8.", id="utf-16"),
        pytest.param("k,v\n".encode("utf-16-be"), "has no column 'k'", id="utf-16-without-a-mark"),
        pytest.param("Größe,v\n".encode("latin-1"), "line 1: the header is not UTF-8", id="latin-1"),
        pytest.param(b"k,v\ra,1\rb,2\r", "line 1: the header holds a lone carriage return", id="old-mac-line-ends"),
        pytest.param(b'k,v,"' + b"x" * 200_000 + b'"\n', "line 1: can't be read as column names", id="endless-name"),
    ],
)
def test_a_file_without_a_readable_head_is_refused_by_name(read, content, message):
    with pytest.raises(TableError, match=rf"prices\.csv.*{re.escape(message)}"):
        read(content, v=Integer)


def test_a_file_that_can_not_be_opened_is_refused_by_name(tmp_path):
    with pytest.raises(TableError, match=r"gone\.csv: can't be read \(No such file or directory\)"):
        read_header(tmp_path / "gone.csv")


def test_reading_holds_one_chunk_at_a_time(tmp_path):
    path = tmp_path / "long.csv"
    path.write_bytes(b"k,v\n" + b"a,1\n" * 1000)
    sizes = [len(lines.line) for lines in read_lines(path, 2, [0], chunk_bytes=400)]
    assert sum(sizes) == 1000
    assert max(sizes) <= 101


# Whole fields, and single bytes that tear a line: a quote, a comma and a CR among them.
FIELDS = [b"", b"a", b'"b"', b'"c,d"', b'"e""f"', b'""', "ü".encode(), b" x ", "\u2028".encode()]
TEARS = [b'"', b",", b"\r", b"\0", b"\xff", b"\xc3", b"\n", "\ufeff".encode()]


@st.composite
def csv_bodies(draw):
    lines = []
    for _ in range(draw(st.integers(0, 8))):
        fields = draw(st.lists(st.sampled_from(FIELDS), min_size=2, max_size=4))
        line = b",".join(fields[: draw(st.sampled_from([3, 3, 3, 4, 2]))])
        for tear in draw(st.lists(st.sampled_from(TEARS), max_size=2)):
            at = draw(st.integers(0, len(line)))
            line = line[:at] + tear + line[at:]
        lines.append(line + draw(st.sampled_from([b"\n", b"\r\n"])))
    body = b"".join(lines)
    return body[:-1] if body and draw(st.booleans()) else body


def read_one_line(line: bytes) -> list[str | None] | str:
    """Return the fields of one line, or why it is none: a plain character loop."""
    if b"\0" in line:
        return "the line holds a NUL byte"
    if b"\r" in line:
        return "the line holds a lone carriage return"
    try:
        rest = line.decode()
    except UnicodeDecodeError:
        return "the line is not UTF-8"
    fields, field, state = [], "", "start"  # of a field
    for char in rest + ",":
        if state != "quoted" and char == ",":
            fields.append(field)
            field, state = "", "start"
        elif state == "start" and char == '"':
            state = "quoted"
        elif state == "quoted" and char == '"':
            state = "closed"
        elif state == "closed" and char == '"':
            field, state = field + '"', "quoted"
        elif char == '"' or state == "closed":
            return TORN
        else:
            field, state = field + char, "quoted" if state == "quoted" else "plain"
    if state != "start":
        return TORN
    return [field or None for field in fields] if len(fields) == 3 else f"expected 3 fields, got {len(fields)}"


@settings(max_examples=200, deadline=None)
@given(body=csv_bodies())
def test_every_line_is_read_as_a_plain_reader_of_one_line_reads_it(body, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "lines.csv"
    path.write_bytes(b"x,y,z\n" + body)
    good, bad = [], []
    for number, line in enumerate(body.split(b"\n"), start=2):
        line = line.removesuffix(b"\r")
        fields = read_one_line(line) if line else []
        if isinstance(fields, str):
            bad.append((number, fields))
        elif fields:
            good.append((number, *fields))
    for chunk_bytes in (1, 16, 1 << 20):
        chunks = list(read_lines(path, 3, [0, 1, 2], chunk_bytes))
        rows = [
            row for c in chunks for row in zip(c.line.to_pylist(), *(a.to_pylist() for a in c.columns), strict=True)
        ]
        assert rows == good
        assert [torn for c in chunks for torn in c.torn] == bad


def test_a_bad_value_says_what_was_expected_and_what_came(read):
    outcome = read(b"k,v,t\na,two,2021-01-01\nb,2,noon\n,3,2021-01-01\n", v=Integer, t=Time, time="t")
    assert outcome.bad == [
        (2, "v", "expected a whole number, for example 3, got 'two'"),
        (3, "t", "expected a time, for example 2021-07-04 20:31:02 or 2021-07-04T20:31:02Z, got 'noon'"),
        (4, "k", "expected text, got nothing: a key column can't be empty"),
    ]


def test_a_table_that_says_multiline_has_newlines_in_quoted_fields(read):
    content = b'\xef\xbb\xbfk,v\r\n"a\r\nb",1\r\n\r\n"c\n\nd",2\n007,3'
    outcome = read(content, v=Integer, multiline=True)
    assert outcome.rows == [("a\r\nb", 1), ("c\n\nd", 2), ("007", 3)]
    assert outcome.lines == [2, 5, 8]


def test_a_multiline_record_with_wrong_fields_or_values_is_set_aside_by_its_first_line(read):
    outcome = read(b'k,v\n"a\nb",1,2\n"c\nd",two\n,5\ne,5\n', v=Integer, multiline=True)
    assert outcome.rows == [("e", 5)]
    assert [(line, column) for line, column, _ in outcome.bad] == [(2, None), (4, "v"), (6, "k")]
    assert outcome.bad[0][2] == "expected 2 fields, got 3"


@pytest.mark.parametrize("torn", [b'"a,1\nb,2\n', b'"a"x,1\n', b"M\xfcnchen,1\n"])
def test_a_multiline_table_with_torn_quoting_is_refused_as_a_whole(read, torn):
    with pytest.raises(TableError, match=r"prices\.csv, record before line \d+: can't be read .*multiline=True"):
        read(b"k,v\na,1\n" + torn, v=Integer, multiline=True)


def test_multiline_rows_keep_their_lines_across_chunks(read, monkeypatch):
    monkeypatch.setattr(csv_lines, "_MULTILINE_ROWS", 3)
    content = b"k,v\n" + b"".join(b'"a\n%d",%d\n' % (row, row) for row in range(10))
    outcome = read(content, v=Integer, multiline=True)
    assert outcome.rows == [(f"a\n{row}", row) for row in range(10)]
    assert outcome.lines == list(range(2, 22, 2))
