"""CSV: lines with names above them and without, text kept to the letter."""

from __future__ import annotations

import csv
import io
import json

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from scoreline.app.columns import Boolean, Category, Integer, Number, Text
from scoreline.predictor import InputRow, Sent
from scoreline.serving.codecs.csv_text import CsvCodec
from scoreline.serving.codecs.replies import ReplyTable, ReplyTables
from scoreline.serving.kinds import from_text
from scoreline.serving.problems import Problem
from scoreline.tables.typed import convert_strings

NAMES = ["id", "count", "price", "gift", "size"]
SENT = Sent(("007", 2, 9.5, True, "L"))
LINE = "007,2,9.5,true,L"
HEADER = ",".join(NAMES)


def decode(schema, body, *, batch=False, **parameters):
    return CsvCodec().decode(schema, body if isinstance(body, bytes) else body.encode(), parameters, batch=batch)


@pytest.mark.parametrize(
    "body",
    [
        LINE,
        LINE + "\n",
        LINE + "\r\n",
        "\ufeff" + LINE,
        "\n" + LINE + "\n\n",
        '"007","2","9.5","true","L"',
        "007, 2 ,+9.50,T,L",
        "007,2.0,95e-1,1,L",
        HEADER + "\n" + LINE,
        "\ufeff" + HEADER + "\r\n" + LINE + "\r\n",
        '"id","count","price","gift","size"\n' + LINE,
        " id, count, price, gift, size\n" + LINE,
        "size,gift,price,count,id\nL,true,9.5,2,007",
        "placed_at,id,count,price,gift,size\nnow," + LINE,
    ],
)
def test_these_lines_are_the_same_record(schema, body):
    found = decode(schema, body)
    assert (list(found.records), found.shape) == ([SENT], "list")


def test_an_empty_cell_is_null(schema):
    assert list(decode(schema, "007,2,9.5,,L").records) == [Sent(("007", 2, 9.5, None, "L"))]
    assert list(decode(schema, "id,count,price,size\n007,2,9.5,L").records) == [Sent(("007", 2, 9.5, None, "L"))]
    (problem,) = decode(schema, "007,,9.5,,L").records
    assert (problem.field, problem.detail) == ("count", "count: expected a whole number of at least 0, got null.")


@pytest.mark.parametrize("gap", ["nan", "NaN", "NAN", " nan "])
def test_nan_is_null_where_a_number_or_truth_can_be(schema, gap):
    assert list(decode(schema, f"{gap},{gap}").records) == [InputRow((None, None))]
    assert list(decode(schema, f"007,2,9.5,{gap},L").records) == [Sent(("007", 2, 9.5, None, "L"))]
    (problem,) = decode(schema, f"007,{gap},9.5,true,L").records
    assert (problem.field, problem.detail) == ("count", "count: expected a whole number of at least 0, got text.")
    assert list(decode(schema, f"{gap},2,9.5,true,L").records) == [Sent((gap, 2, 9.5, True, "L"))]


def test_lines_are_the_inputs_of_the_model_where_there_are_as_many_cells(schema):
    found = decode(schema, f"3.5,1\n{LINE}\n,false\n")
    assert list(found.records) == [InputRow((3.5, True)), SENT, InputRow((None, False))]
    assert list(decode(schema, "is_open,stock\nyes,3.5").records) == [InputRow((3.5, True))]


@pytest.mark.parametrize(
    ("line", "field", "says"),
    [
        (",2,9.5,true,L", "id", "id: expected text, got null."),
        ("007,two,9.5,true,L", "count", "expected a whole number of at least 0, got text."),
        ("007,-1,9.5,true,L", "count", "expected a whole number of at least 0, got -1."),
        ("007,2.5,9.5,true,L", "count", "expected a whole number of at least 0, got 2.5."),
        ("007,1e3,9.5,true,L", "count", "expected a whole number of at least 0, got 1e3."),
        ("007," + "9" * 5000 + ".5,9.5,true,L", "count", "999..."),
        ("007," + "9" * 19 + ",9.5,true,L", "count", "expected a whole number of at most 18 digits, got a longer one"),
        ("007,9223372036854775808,9.5,true,L", "count", "of at most 18 digits, got a longer one"),
        ("007,2,nan,true,L", "price", "expected a number, for example 12.5, got text."),
        ("007,2,Infinity,true,L", "price", "got text."),
        ("007,2,1e999,true,L", "price", "got inf."),
        ("007,2,1_0,true,L", "price", "got text."),
        ("007,2,٣,true,L", "price", "got text."),
        ("007,2,9.5,maybe,L", "gift", "expected true or false, got text."),
        ("007,2,9.5,true,M", "size", "expected one of S, L, got text."),
        ("007,2,9.5,true", None, "expected 5 values (id, count, price, gift, size) or the model's 2 inputs"),
        ('007,2,9.5,true,"L', None, "torn quoting"),
        ('0"0"7,2,9.5,true,L', None, "torn quoting"),
        ('"007"x,2,9.5,true,L', None, "torn quoting"),
        ("00\0" + "7,2,9.5,true,L", None, "NUL"),
        ("00\r7,2,9.5,true,L", None, "carriage return"),
        ('"' + "x" * 140_000 + '",2,9.5,true,L', None, "field larger than field limit"),
    ],
)
def test_a_bad_line_costs_itself(schema, line, field, says):
    for body in (f"{LINE}\n{line}\n{LINE}\n", f"{HEADER}\n{LINE}\n{line}\n{LINE}\n"):
        good, problem, other = decode(schema, body).records
        assert [good, other] == [SENT, SENT]
        assert (problem.status, problem.index, problem.field) == (400, 1, field)
        if "expected 5 values" not in says or not body.startswith(HEADER):
            assert says in problem.detail


def test_a_line_that_is_not_utf_8_costs_itself(schema):
    found = decode(schema, LINE.encode() + b"\ncaf\xe9" + LINE.encode() + b"\n" + LINE.encode())
    assert found.records[1].detail.endswith("its byte 3 (0xe9) is not UTF-8")
    assert [found.records[0], found.records[2]] == [SENT, SENT]


# The header


@pytest.mark.parametrize(
    ("header", "field", "says"),
    [
        ("id,count,price,gift", "size", "size: expected a column of that name, it is missing."),
        ("id,count,price,gift,sizes", "size", "it is missing. There is 'sizes'."),
        (HEADER + ",coluor", "coluor", "coluor: no record has a column of that name."),
        (HEADER + ",id", "id", "id: expected each column once"),
        (HEADER + ",", "", "a column without a name (an index?): no record has one. Leave it out"),
        ("," + HEADER, "", "a column without a name (an index?): no record has one. Leave it out"),
        (" ,," + HEADER, "", "a column without a name (an index?)"),
        ("stock,open", "is_open", "is_open: expected a column of that name, it is missing. There is 'open'."),
        ("stock," + "x" * 500, "is_open", "it is missing."),
    ],
)
def test_a_column_that_is_missing_or_unknown_is_named(schema, header, field, says):
    found = decode(schema, f"{header}\n{LINE}\n")
    assert (found.status, found.kind, found.field) == (400, "bad-column", field)
    assert says in found.detail
    assert len(found.detail) < 300


def test_a_header_may_be_announced_or_denied(schema):
    assert list(decode(schema, f"{HEADER}\n{LINE}", header="present").records) == [SENT]
    assert decode(schema, f"{HEADER}\n{LINE}", header="absent").records[0].field == "count"
    assert decode(schema, LINE, header="present").kind == "bad-column"
    assert decode(schema, '"torn\n' + LINE, header="present").kind == "bad-body"
    assert list(decode(schema, "", header="present").records) == []
    assert decode(schema, LINE, header="perhaps").status == 415


def test_a_line_is_a_header_where_half_of_its_cells_are_names(schema):
    assert decode(schema, "id,count,x,y\n" + LINE).kind == "bad-column"
    assert decode(schema, "id,2,9.5,true,L\n").records[0] == Sent(("id", 2, 9.5, True, "L"))
    assert decode(schema, "id,count,9.5,true,L\n").records[0].field == "count"


def test_a_header_alone_is_no_record(schema):
    assert list(decode(schema, HEADER).records) == []


def test_only_utf_8_is_taken(schema):
    assert list(decode(schema, LINE, charset="utf-8").records) == [SENT]
    assert decode(schema, LINE, charset="iso-8859-1").status == 415


# Batch jobs


def test_in_a_batch_job_each_line_counts(schema):
    found = decode(schema, f"\n{LINE}\n\n", batch=True)
    assert [type(record) for record in found.records] == [Problem, Sent, Problem]


def test_in_a_batch_job_a_header_is_a_line_too(schema, replies):
    found = decode(schema, f"{HEADER}\n{LINE}\n", batch=True)
    assert [found.records[0].kind, found.records[1]] == ["header-line", SENT]
    out = CsvCodec().encode(replies(found.records[0], {"id": "007", "why": None, "odds": 0.5}))
    assert out == b"id,why,odds\n007,,0.5\n"


def test_in_a_batch_job_a_header_in_another_order_is_refused_since_other_parts_lack_it(schema):
    shuffled = "size,gift,price,count,id\nL,true,9.5,2,007"
    found = decode(schema, shuffled, batch=True)
    assert (found.status, found.kind) == (400, "bad-body")
    assert "header=present" in found.detail
    assert decode(schema, shuffled, batch=True, header="present").records[1] == SENT


# Replies


def test_a_reply_is_a_line_of_its_fields(replies):
    entries = [
        {"id": 'a,"b"', "why": {"rule": "clear", "stock": 5}, "odds": 0.25},
        {"id": "é", "why": None, "odds": None},
        Problem(400, "bad-record", "two\nlines", index=2),
        {"odds": 1.0},
    ]
    out = CsvCodec().encode(replies(*entries, of_inputs=[3]))
    rows = list(csv.reader(io.StringIO(out.decode())))
    assert rows[:2] == [['a,"b"', "clear", "0.25"], ["é", "", ""]]
    assert json.loads(rows[2][0]) == entries[2].describe()
    assert rows[3] == ["1.0"]
    assert out.endswith(b"1.0\n")


def test_a_problem_is_one_physical_line(replies):
    out = CsvCodec().encode(replies(Problem(400, "bad-record", "two\nlines"), {"odds": None}, of_inputs=[1]))
    assert len(out.splitlines()) == 2


def test_truth_is_written_as_in_json_and_lists_as_json(replies):
    table = ReplyTable({"a": ("a",), "b": ("b",), "best": ("cards", "name"), "cards": ("cards",)}, is_numeric=False)
    entry = {"a": True, "b": False, "cards": [{"name": "Plus"}]}
    out = CsvCodec().encode(replies(entry, {**entry, "cards": []}, tables=ReplyTables(table, table)))
    assert list(csv.reader(io.StringIO(out.decode()))) == [
        ["true", "false", "Plus", '[{"name":"Plus"}]'],
        ["true", "false", "", "[]"],
    ]


# Round trips

_texts = st.text(st.characters(exclude_characters="\0\r\n", exclude_categories=["Cs"]), min_size=1)


@bounded(max_examples=200, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            _texts,
            st.integers(0, 10**18 - 1),
            st.floats(allow_nan=False, allow_infinity=False),
            st.none() | st.booleans(),
            st.sampled_from(["S", "L"]),
        ),
        min_size=1,
        max_size=4,
    ),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    order=st.permutations(range(5)),
    end=st.sampled_from(["\n", "\r\n"]),
)
@example(rows=[("03779", 0, -0.0, None, "S")], quoting=csv.QUOTE_MINIMAL, order=[4, 3, 2, 1, 0], end="\n")
def test_what_pythons_csv_wrote_is_read_in_any_order_of_columns(schema, rows, quoting, order, end):
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=end, quoting=quoting)
    writer.writerow([NAMES[place] for place in order])
    writer.writerows([row[place] for place in order] for row in rows)
    assert list(decode(schema, out.getvalue(), header="present").records) == [Sent(row) for row in rows]
    out = io.StringIO()
    csv.writer(out, lineterminator=end, quoting=quoting).writerows(rows)
    assert list(decode(schema, out.getvalue(), header="absent").records) == [Sent(row) for row in rows]


@bounded(max_examples=300, deadline=None)
@given(body=st.binary(max_size=60) | st.text('",\n\r\0a1.ids', max_size=40).map(str.encode))
def test_any_bytes_give_one_record_or_problem_a_line_in_a_batch_job(schema, body):
    text = body.removeprefix(b"\xef\xbb\xbf")
    lines = text.removesuffix(b"\n").split(b"\n") if text else []
    found = decode(schema, body, batch=True, header="absent")
    assert len(found.records) == len(lines)


_numbers = st.from_regex(r"\A\s?[+-]?[0-9]{0,19}\.?[0-9]{0,3}([eE][+-]?[0-9]{1,3})?\s?\Z")
_words = st.sampled_from(
    ["true", "TRUE", "t", "Yes", "y", "1", "1.0", "0", "no", "F", "n", "false", "nan", "inf", "١", "1 "]
)


@bounded(max_examples=500, deadline=None)
@given(
    text=_numbers | _words | st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    kind=st.sampled_from([Integer(), Number(), Boolean(), Text(), Category("A")]),
)
@example(text="\x1f1", kind=Number())
@example(text="1e999", kind=Number())
def test_a_cell_is_read_as_tables_read_it(text, kind):
    if text == "":
        return
    (in_table,) = convert_strings(pa.array([text]), kind).values.to_pylist()
    taken = from_text(text, kind)
    if in_table is None:
        assert taken == text or taken in (float("inf"), float("-inf"))  # not finite: refused by `Field.take`
    else:
        assert (taken, type(taken)) == (in_table, type(in_table))
