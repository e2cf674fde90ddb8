"""JSON Lines: each line stands for itself, on the way in and on the way out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from scoreline.predictor import InputRow, Sent
from scoreline.serving.codecs.json_lines import JsonLinesCodec
from scoreline.serving.problems import Problem

ORDER = {"id": "007", "count": 2, "price": 9.5, "gift": True, "size": "L"}
SENT = Sent(("007", 2, 9.5, True, "L"))
LINE = json.dumps(ORDER).encode()


def decode(schema, body, *, batch=False):
    return JsonLinesCodec().decode(schema, body, {}, batch=batch)


@pytest.mark.parametrize(
    "line",
    [
        LINE,
        json.dumps(list(ORDER.values())).encode(),
        json.dumps({"features": list(ORDER.values())}).encode(),
        json.dumps({"data": {"features": {"values": list(ORDER.values())}}}).encode(),
    ],
)
def test_a_line_is_an_object_or_a_list_of_values(schema, line):
    found = decode(schema, line + b"\n" + LINE)
    assert (list(found.records), found.shape) == ([SENT, SENT], "list")


@pytest.mark.parametrize(
    "body", [LINE, LINE + b"\n", b"\xef\xbb\xbf" + LINE + b"\r\n", b"\n\n" + LINE + b"\n \n", b"\t" + LINE + b" "]
)
def test_ends_of_lines_and_blank_lines_make_no_record(schema, body):
    assert list(decode(schema, body).records) == [SENT]


def test_a_line_that_cannot_be_read_costs_itself(schema):
    bad = [b"{", b"\xff", b"null", b"[1]", b'{"id": 1}', b"{} {}", b"[" * 5000, b'{"id": "\\ud800"}', b"NaN"]
    found = decode(schema, b"\n".join([LINE, *bad, LINE]))
    assert [found.records[0], found.records[-1]] == [SENT, SENT]
    problems = found.records[1:-1]
    assert [(p.index, p.status, p.kind) for p in problems] == [(i + 1, 400, "bad-record") for i in range(len(bad))]


def test_the_byte_that_is_not_utf_8_is_that_of_its_line(schema):
    problem = decode(schema, LINE + b'\n["x", "caf\xe9"]\n').records[1]
    assert problem.detail == "expected a JSON object or list of values on a line: byte 10 (0xe9) is not UTF-8"


def test_a_sparse_line_is_refused_and_costs_itself(schema):
    sparse = b'{"data": {"features": {"keys": [0, 1], "shape": [2], "values": [1, true]}}}'
    problem, good = decode(schema, sparse + b"\n" + LINE).records
    assert (problem.index, problem.detail) == (0, "features: expected dense values, got a sparse record")
    assert good == SENT


def test_a_line_is_no_wrapper_and_no_list_of_records(schema):
    found = decode(schema, json.dumps({"instances": [ORDER]}).encode() + b"\n" + json.dumps([ORDER]).encode())
    assert [type(record) for record in found.records] == [Problem, Problem]


def test_in_a_batch_job_a_blank_line_is_a_line_too(schema):
    found = decode(schema, LINE + b"\n\n \n" + LINE + b"\n", batch=True)
    assert [type(record) for record in found.records] == [Sent, Problem, Problem, Sent]


def test_inputs_and_requests_may_stand_on_lines_of_one_body(schema):
    found = decode(schema, LINE + b'\n{"features": [1, true]}\n')
    assert list(found.records) == [SENT, InputRow((1.0, True))]


def test_replies_and_problems_are_lines_in_order(replies):
    problem = Problem(400, "bad-record", "two\nlines", index=1)
    body = JsonLinesCodec().encode(replies({"a": "x\ny"}, problem, {"a": float("nan")}))
    assert body.endswith(b"\n")
    assert [json.loads(line) for line in body.splitlines()] == [{"a": "x\ny"}, problem.describe(), {"a": None}]


@bounded(max_examples=150, deadline=None)
@given(
    ids=st.lists(st.text(min_size=1), min_size=1, max_size=5),
    end=st.sampled_from(["\n", "\r\n"]),
    is_ascii=st.booleans(),
)
def test_what_was_written_is_read(schema, ids, end, is_ascii):
    lines = [json.dumps({**ORDER, "id": name}, ensure_ascii=is_ascii) for name in ids]
    found = decode(schema, end.join(lines).encode())
    assert [record.values[0] for record in found.records] == ids


@bounded(max_examples=300, deadline=None)
@given(body=st.binary(max_size=60) | st.text('[]{}"\n\r,:01aN\\', max_size=40).map(str.encode))
def test_any_bytes_give_one_record_or_problem_a_line_in_a_batch_job(schema, body):
    text = body.removeprefix(b"\xef\xbb\xbf")
    lines = text.removesuffix(b"\n").split(b"\n") if text else []
    assert len(decode(schema, body, batch=True).records) == len(lines)
