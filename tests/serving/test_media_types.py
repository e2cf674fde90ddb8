"""What comes in and goes out over all types of body: the same replies, whatever carries them."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from cards import PERSON, made_cards
from flowers import COLUMNS, MEASURES, made_flowers
from hypothesis import HealthCheck, given
from hypothesis import settings as bounded
from hypothesis import strategies as st
from servers import KEY, open_service, settings_for

from scoreline.errors import SettingError
from scoreline.generations.state import StateFolder
from scoreline.serving.answer import answer
from scoreline.serving.codecs import BY_TYPE
from scoreline.serving.service import Service

JSON, CSV, LINES, NPY = "application/json", "text/csv", "application/jsonlines", "application/x-npy"
UNKNOWN = ("O9999999", "C1", "000001", "00501")
WEIRD = ["application/json", "text/csv", "text/csv;header=present", "application/jsonlines", "application/x-npy"]


def npy(rows):
    out = io.BytesIO()
    np.save(out, np.array(rows, dtype=float))
    return out.getvalue()


def body_of(rows, names, media_type):
    """Return rows of values in a body of some type."""
    if media_type == CSV:
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(rows)
        return out.getvalue().encode()
    if media_type == NPY:
        return npy(rows)
    records = [dict(zip(names, row, strict=True)) for row in rows]
    if media_type == LINES:
        return "\n".join(json.dumps(record) for record in records).encode()
    return json.dumps(records).encode()


def replies_in(reply):
    """Return the replies in a body as rows of text, in order."""
    kind = reply.headers["Content-Type"]
    if kind == CSV:
        return list(csv.reader(io.StringIO(reply.body.decode())))
    if kind == NPY:
        return np.load(io.BytesIO(reply.body), allow_pickle=False).tolist()
    content = reply.body.decode()
    return [json.loads(line) for line in content.splitlines()] if kind == LINES else json.loads(content)


@pytest.fixture(scope="module")
def flowers(tmp_path_factory):
    """Give the service of an app whose records and replies are numbers alone."""
    return open_service(settings_for(made_flowers(tmp_path_factory), tmp_path_factory.mktemp("state")))


@pytest.fixture(scope="module")
def cards(tmp_path_factory):
    """Give the service of an app that scores a person against each card."""
    return open_service(settings_for(made_cards(tmp_path_factory), tmp_path_factory.mktemp("state")))


@pytest.fixture
def keys(orders):
    """Give the keys of four orders, with leading zeros."""
    return [[row[name] for name in KEY] for row in orders[:4]]


# Any type in, any type out


@pytest.mark.parametrize("given_", [JSON, "text/json", CSV, LINES, "application/x-jsonlines", "application/x-ndjson"])
@pytest.mark.parametrize("asked", [JSON, "text/json", CSV, LINES, "application/x-ndjson"])
def test_the_same_replies_come_whatever_type_was_sent_and_asked_for(ask, keys, given_, asked):
    body = body_of(keys, KEY, {"text/json": JSON}.get(given_, LINES if "js" in given_ and given_ != JSON else given_))
    if given_ in (JSON, "text/json"):
        body = body_of(keys, KEY, JSON)
    reply = ask(body, headers={"Content-Type": given_, "Accept": asked})
    expected = ask(body_of(keys, KEY, JSON), headers={"Content-Type": JSON}).json()
    assert (reply.status, reply.headers["Content-Type"]) == (200, asked)
    if asked == CSV:
        expected = [
            [r["order_id"], r["recommendation"], r["reason"]["rule"], str(r["fulfilment_probability"]), "table"]
            for r in expected
        ]
        assert replies_in(reply) == expected
    else:
        content = reply.body.decode()
        found = json.loads(content) if asked.endswith("/json") else [json.loads(line) for line in content.splitlines()]
        assert found == expected


@pytest.mark.parametrize("given_", [JSON, CSV, LINES, NPY])
@pytest.mark.parametrize("asked", [JSON, CSV, LINES, NPY])
@pytest.mark.parametrize("names", [COLUMNS, MEASURES], ids=["request", "inputs"])
def test_numbers_come_in_and_go_out_in_every_type(ask, flowers, given_, asked, names):
    rows = [[7, 5.1, 3.5, 1.4, 0.2], [8, 7.9, 2.5, 6.5, 2.25]]
    rows = rows if names is COLUMNS else [row[1:] for row in rows]
    found = replies_in(ask(body_of(rows, names, given_), headers={"Content-Type": given_, "Accept": asked}, of=flowers))
    expected = ask(body_of(rows, names, JSON), headers={"Content-Type": JSON}, of=flowers).json()
    fields = ["flower_id", "tall", "unlike"] if names is COLUMNS else ["tall", "unlike"]
    assert [list(reply) for reply in expected] == [fields, fields]
    if asked == CSV:
        assert found == [[json.dumps(value) for value in reply.values()] for reply in expected]
    else:
        assert found == (expected if asked in (JSON, LINES) else [list(reply.values()) for reply in expected])


@pytest.mark.parametrize(
    ("given_", "accept", "asked"),
    [
        (CSV, None, CSV),
        (CSV, "*/*", CSV),
        (CSV, "text/*", CSV),
        (CSV, "application/*", JSON),
        (CSV, "text/csv, application/json", JSON),  # pandas reads CSV with a header alone
        (CSV, "application/json;q=0.1, text/csv", CSV),
        (CSV, "*/*;q=0.1, application/jsonlines;q=0.2", LINES),
        (CSV, "application/x-npy, */*;q=0.1", CSV),
        (LINES, None, LINES),
        ("application/x-ndjson", "*/*", "application/x-ndjson"),
        ("text/json", None, JSON),
        (JSON, "*/*", JSON),
    ],
)
def test_what_is_not_asked_for_is_of_the_kind_that_was_sent(ask, keys, given_, accept, asked):
    body = body_of(keys, KEY, LINES if "lines" in given_ or "nd" in given_ else CSV if given_ == CSV else JSON)
    reply = ask(body, headers={"Content-Type": given_, **({"Accept": accept} if accept else {})})
    assert (reply.status, reply.headers["Content-Type"]) == (200, asked)


@pytest.mark.parametrize(
    ("accept", "asked"), [(None, NPY), ("*/*", NPY), ("application/json", JSON), ("text/*", "text/json")]
)
def test_an_array_is_answered_with_an_array(ask, flowers, accept, asked):
    headers = {"Content-Type": NPY, **({"Accept": accept} if accept else {})}
    reply = ask(npy([[5.1, 3.5, 1.4, 0.2]]), headers=headers, of=flowers)
    assert (reply.status, reply.headers["Content-Type"]) == (200, asked)


@pytest.mark.parametrize(
    ("accept", "asked"), [(None, LINES), ("*/*", LINES), ("text/csv", CSV), ("text/*", "text/json")]
)
def test_a_setting_names_what_is_given_where_nothing_is_asked_for(ask, but, keys, accept, asked):
    headers = {"Content-Type": JSON, **({"Accept": accept} if accept else {})}
    reply = ask(body_of(keys, KEY, JSON), headers=headers, of=but(default_accept=LINES))
    assert (reply.status, reply.headers["Content-Type"]) == (200, asked)


def test_a_default_that_replies_cannot_have_is_refused_at_start(service, tmp_path):
    settings = settings_for(tmp_path, tmp_path, default_accept=NPY)
    with pytest.raises(
        SettingError, match="SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT='application/x-npy': this app's replies"
    ):
        Service(service.app, settings, StateFolder(tmp_path))


# What is not taken


@pytest.mark.parametrize("content_type", ["application/x-npy", "image/png", "foo", "application/x-npz", "text/libsvm"])
def test_a_type_that_is_not_taken_is_415_with_those_that_are(ask, content_type):
    reply = ask(b"1,2", headers={"Content-Type": content_type})
    assert (reply.status, reply.headers["Content-Type"]) == (415, "application/problem+json")
    taken, _, came = reply.json()["detail"].partition(", got ")
    for name in (JSON, CSV, LINES):
        assert name in taken
    assert NPY not in taken  # orders are found by text
    if content_type == NPY:
        assert came == f"{NPY}, which holds numbers alone: order_id and payment_status hold text"
    else:
        assert came == (content_type if "/" in content_type else "what is no media type")


@pytest.mark.parametrize(
    ("content_type", "came"), [(None, "none"), ("", "none"), ("a/<b>", "what"), ("a/" + "b" * 65, "what")]
)
def test_what_is_no_type_is_not_given_back(ask, content_type, came):
    reply = ask(b"1,2", headers={} if content_type is None else {"Content-Type": content_type})
    assert reply.status == 415
    assert reply.json()["detail"].partition(", got ")[2] in (came, f"{came} is no media type")


@pytest.mark.parametrize(
    ("encoding", "status"),
    [("gzip", 415), ("br", 415), ("gzip, identity", 415), ("identity", 200), ("Identity", 200), ("", 200)],
)
def test_a_compressed_body_is_415(ask, keys, encoding, status):
    headers = {"Content-Type": JSON, "Content-Encoding": encoding}
    reply = ask(body_of(keys, KEY, JSON), headers=headers)
    assert reply.status == status
    if status == 415:
        assert reply.json()["detail"].startswith("Content-Encoding: expected none")


def test_where_records_can_be_numbers_npy_is_among_them(ask, flowers):
    reply = ask(b"1,2", headers={"Content-Type": "image/png"}, of=flowers)
    assert NPY in reply.json()["detail"]


def test_a_type_that_cannot_be_given_is_406_with_those_that_can(ask, keys):
    reply = ask(body_of(keys, KEY, JSON), headers={"Content-Type": JSON, "Accept": NPY})
    assert (reply.status, reply.headers["Content-Type"]) == (406, "application/problem+json")
    assert CSV in reply.json()["detail"]
    assert NPY not in reply.json()["detail"]


def test_replies_carry_bare_types(ask, keys):
    reply = ask(body_of(keys, KEY, CSV), headers={"Content-Type": "text/csv; charset=utf-8", "Accept": "text/csv;q=1"})
    assert reply.headers["Content-Type"] == "text/csv"


# Bad records


@pytest.mark.parametrize("given_", [CSV, LINES])
@pytest.mark.parametrize("asked", [JSON, CSV, LINES])
def test_a_bad_line_costs_itself(ask, keys, given_, asked):
    lines = body_of([keys[0], ["x"] * 4, keys[1]], KEY, given_).splitlines()
    lines[1:1] = [b'"torn', b"\xff"]
    reply = ask(b"\n".join(lines), headers={"Content-Type": given_, "Accept": asked})
    found = replies_in(reply)
    assert (reply.status, len(found)) == (200, 5)
    problems = [json.loads(cell) for (cell,) in found[1:4]] if asked == CSV else found[1:4]
    assert [(problem["status"], problem["index"]) for problem in problems] == [(400, 1), (400, 2), (404, 3)]


def test_a_bad_row_is_a_row_of_nan_in_an_array(ask, flowers):
    rows = [[7, 5.1, 3.5, 1.4, 0.2], [7.5, 5.1, 3.5, 1.4, 0.2], [8, 5.1, 3.5, 1.4, 0.2]]
    found = np.array(replies_in(ask(npy(rows), headers={"Content-Type": NPY}, of=flowers)))
    assert np.isnan(found).all(axis=1).tolist() == [False, True, False]


@pytest.mark.parametrize("given_", [CSV, LINES, JSON])
def test_where_no_line_is_good_the_problem_is_no_list(ask, given_):
    reply = ask(body_of([UNKNOWN, UNKNOWN], KEY, given_), headers={"Content-Type": given_})
    assert (reply.status, reply.headers["Content-Type"]) == (404, "application/problem+json")
    assert [problem["index"] for problem in reply.json()["problems"]] == [0, 1]


@pytest.mark.parametrize("given_", [CSV, LINES])
@pytest.mark.parametrize("body", [b"", b"\n", b"\xef\xbb\xbf", b"\r\n\r\n"])
def test_a_body_without_a_line_is_400(ask, given_, body):
    reply = ask(body, headers={"Content-Type": given_})
    assert (reply.status, reply.json()["type"]) == (400, "urn:scoreline:problem:no-records")


# The two kinds of record


@pytest.mark.parametrize("by", ["name", "place"])
def test_inputs_are_scored_as_the_record_that_they_were_made_from(ask, service, keys, by):
    parts, names = service.current(), service.schema.inputs.names
    stored = [dict(zip(parts.generation.columns, parts.store.get(tuple(key)), strict=True)) for key in keys]
    rows = [[row[name] for name in names] for row in stored]
    body = body_of(rows, names, JSON) if by == "name" else json.dumps({"instances": rows}).encode()
    found = ask(body, headers={"Content-Type": JSON}).json()
    expected = ask(body_of(keys, KEY, JSON), headers={"Content-Type": JSON}).json()
    assert (found if by == "name" else found["predictions"]) == [
        {name: value for name, value in reply.items() if name not in ("order_id", "features_from")}
        for reply in expected
    ]


@pytest.mark.parametrize("asked", [JSON, CSV])
def test_both_kinds_may_stand_in_one_body(ask, keys, asked):
    body = [dict(zip(KEY, keys[0], strict=True)), [13, 86, "OK", True, 2, "CREDIT_CARD"]]
    found = replies_in(ask(json.dumps(body).encode(), headers={"Content-Type": JSON, "Accept": asked}))
    if asked == CSV:
        assert [len(line) for line in found] == [5, 3]
        assert found[1][:2] == ["Deliver", "all_clear"]
    else:
        assert ["order_id" in reply for reply in found] == [True, False]
        assert found[1]["recommendation"] == "Deliver"


def test_inputs_of_one_card_get_what_the_heads_say_of_it(ask, cards):
    full = ask(json.dumps(PERSON).encode(), headers={"Content-Type": JSON}, of=cards).json()
    best = full["cards"][0]
    inputs = {
        "score": PERSON["score"], "income": PERSON["income"], "years": PERSON["years"], "housing": PERSON["housing"],
        "fee": 0, "minimum_income": None, "margin": PERSON["score"] - 300,
    }  # fmt: skip
    reply = ask(json.dumps(inputs).encode(), headers={"Content-Type": JSON}, of=cards)
    assert reply.status == 200
    assert best["card_id"] == "alder"
    assert reply.json() == {"odds": best["odds"], "reason": best["reason"]}
    in_csv = ask(json.dumps(inputs).encode(), headers={"Content-Type": JSON, "Accept": CSV}, of=cards)
    assert in_csv.body == f"{best['odds']}\n".encode()


def test_options_beside_a_wrapper_count_unless_the_record_has_its_own(ask, cards):
    body = {"instances": [PERSON, {**PERSON, "top": 2}], "top": 1}
    reply = ask(json.dumps(body).encode(), headers={"Content-Type": JSON}, query="top=3", of=cards)
    assert [len(one["cards"]) for one in reply.json()["predictions"]] == [1, 2]
    asked = ask(json.dumps({**body, "top": None}).encode(), headers={"Content-Type": JSON}, query="top=3", of=cards)
    assert [len(one["cards"]) for one in asked.json()["predictions"]] == [3, 2]


def test_as_many_columns_as_the_request_has_are_a_request(ask, but, service, keys):
    from scoreline.app.columns import Number, Text
    from scoreline.serving.records import RequestSchema

    alike = RequestSchema(dict.fromkeys(KEY, Text()), inputs={name: Number() for name in "abcd"})
    assert alike.counts == f"4 values ({', '.join(KEY)})"
    reply = ask(body_of(keys, KEY, CSV), headers={"Content-Type": CSV}, of=but(schema=alike))
    assert [line[0] for line in replies_in(reply)] == [key[0] for key in keys]


# Batch transform


@pytest.mark.parametrize("given_", [CSV, LINES])
@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("asked", [None, CSV, LINES])
def test_each_line_that_goes_into_a_batch_job_comes_out_for_any_split(ask, batch, keys, given_, size, asked):
    lines = body_of([*keys, UNKNOWN], KEY, given_).splitlines()
    lines[1:1] = [b"", b'"torn', b"\xff\xfe", b"1,2,3,4,5,6,7,8,9"]
    out = b""
    for start in range(0, len(lines), size):
        part = b"\n".join(lines[start : start + size]) + b"\n"
        reply = ask(part, headers={"Content-Type": given_, **({"Accept": asked} if asked else {})}, of=batch)
        assert (reply.status, reply.headers["Content-Type"]) == (200, asked or given_)
        out += reply.body
    found = out.decode().removesuffix("\n").split("\n")
    assert len(found) == len(lines)
    good = [place for place, line in enumerate(found) if "urn:scoreline:problem" not in line]
    assert good == [0, 5, 6, 7]
    assert [keys[n][0] in found[place] for n, place in enumerate(good)] == [True] * 4


def test_a_header_in_a_batch_job_gives_a_header(ask, batch, keys):
    body = ",".join(KEY).encode() + b"\n" + body_of(keys, KEY, CSV)
    lines = ask(body, headers={"Content-Type": CSV}, of=batch).body.decode().splitlines()
    assert lines[0] == "order_id,recommendation,reason,fulfilment_probability,features_from"
    assert len(lines) == 5


@pytest.mark.parametrize("lines", [1, 2])
def test_a_header_over_inputs_in_a_batch_job_gives_the_header_of_their_replies(ask, batch, lines):
    header = ",".join(batch.schema.inputs.names)
    body = "\n".join([header, "13,86,OK,true,2,CREDIT_CARD"][:lines]).encode()
    reply = ask(body, headers={"Content-Type": CSV}, of=batch)
    found = replies_in(reply)
    assert (reply.status, len(found)) == (200, lines)
    assert found[0] == ["recommendation", "reason", "fulfilment_probability"]
    assert {len(line) for line in found} == {3}


# Anything at all


@bounded(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=80) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    content_type=st.sampled_from(WEIRD),
    accept=st.sampled_from([None, *BY_TYPE]),
    is_batch=st.booleans(),
)
def test_no_body_in_any_type_is_a_failure_of_ours(flowers, body, content_type, accept, is_batch):
    flowers.batch = is_batch
    try:
        reply = answer(flowers, "POST", "/invocations", {"Content-Type": content_type, "Accept": accept}, body)
    finally:
        flowers.batch = False
    assert reply.status in (200, 400), reply
    if reply.status == 400:
        assert reply.headers["Content-Type"] == "application/problem+json"
