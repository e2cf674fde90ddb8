"""What clients get: the same through `answer` and through Flask."""

from __future__ import annotations

import json
import logging
import shutil

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as bounded
from hypothesis import strategies as st
from servers import KEY, folders, make_app, open_service

from scoreline.cli.main import run
from scoreline.serving.answer import answer

JSON = {"Content-Type": "application/json"}
UNKNOWN = {"order_id": "O9999999", "customer_id": "C1", "sku_code": "000001", "zip_code": "00501"}


def text(record):
    return json.dumps(record).encode()


@pytest.fixture
def order(orders):
    """Give the key of one order, with leading zeros in its zip code."""
    row = next(row for row in orders if row["zip_code"].startswith("0") and row["recommendation"] == "Deliver")
    return {name: row[name] for name in KEY}


# Good requests


def test_one_record_is_answered_with_the_declared_reply(ask, orders):
    row = next(row for row in orders if row["recommendation"] == "HoldCheckDelivery")
    reply = ask(text({name: row[name] for name in KEY}), headers=JSON)
    body = reply.json()
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    assert list(body) == ["order_id", "recommendation", "reason", "fulfilment_probability", "features_from"]
    assert (body["order_id"], body["features_from"]) == (row["order_id"], "table")
    assert body["recommendation"] == "HoldCheckDelivery"
    assert body["reason"] == {"rule": "zip_not_served", "zip_code_available": False}
    assert 0 < body["fulfilment_probability"] < 1
    assert body["fulfilment_probability"] == round(body["fulfilment_probability"], 4)


@pytest.mark.parametrize(
    ("recommendation", "rule", "looked_at"),
    [
        ("HoldCheckAvailability", "no_stock", ["inventory"]),
        ("HoldCheckDelivery", "zip_not_served", ["zip_code_available"]),
        ("HoldCheckPayment", "payment_not_ok", ["payment_status"]),
        ("Decline", "night", ["order_hour_of_day"]),
        ("Deliver", "all_clear", ["inventory", "zip_code_available", "payment_status", "order_hour_of_day"]),
    ],
)
def test_the_reason_names_the_rule_and_the_inputs_that_decided(ask, orders, recommendation, rule, looked_at):
    rows = [row for row in orders if row["recommendation"] == recommendation]
    replies = ask(text([{name: row[name] for name in KEY} for row in rows]), headers=JSON).json()
    assert rows
    assert [reply["reason"] for reply in replies] == [
        {"rule": rule, **{name: row[name] for name in looked_at}} for row in rows
    ]


def test_a_list_is_answered_in_its_order_as_the_rules_say(ask, orders):
    rows = [*orders[::-1], orders[0]]
    reply = ask(text([{name: row[name] for name in KEY} for row in rows]), headers=JSON)
    assert reply.status == 200
    assert [(r["order_id"], r["recommendation"]) for r in reply.json()] == [
        (row["order_id"], row["recommendation"]) for row in rows
    ]


def test_a_record_alone_gets_the_same_reply_as_in_a_list(ask, orders):
    keys = [{name: row[name] for name in KEY} for row in orders[:20]]
    assert [ask(text(key), headers=JSON).json() for key in keys] == ask(text(keys), headers=JSON).json()


@pytest.mark.parametrize(
    "content_type",
    ["text/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8", " application/json "],
)
def test_these_content_types_are_json_too(ask, order, content_type):
    assert ask(text(order), headers={"Content-Type": content_type}).status == 200


@pytest.mark.parametrize(
    "dress",
    [
        pytest.param(lambda body: b"\xef\xbb\xbf" + body, id="byte-order-mark"),
        pytest.param(lambda body: b" \r\n\t" + body + b"\n", id="blanks-around"),
        pytest.param(lambda body: b'{"extra": {"a": [null]}, "order_fulfilled": "?",' + body[1:], id="extra-fields"),
        pytest.param(lambda body: b'{"order_id": "O0",' + body[1:], id="a-repeated-name-counts-as-its-last"),
        pytest.param(lambda body: body.replace(b"O", b"\\u004f"), id="escapes"),
    ],
)
def test_a_body_may_be_dressed_in_this(ask, order, dress):
    plain = ask(text(order), headers=JSON)
    assert plain.status == 200
    assert ask(dress(text(order)), headers=JSON) == plain
    in_list = ask(b"[" + dress(text(order)).lstrip(b"\xef\xbb\xbf") + b"]", headers=JSON)
    assert in_list.json() == [plain.json()]


def test_a_byte_order_mark_may_stand_before_a_list(ask, order):
    assert ask(b"\xef\xbb\xbf" + text([order]), headers=JSON).status == 200


def test_leading_zeros_are_part_of_a_key(ask, order):
    assert ask(text(order), headers=JSON).status == 200
    assert ask(text({**order, "zip_code": order["zip_code"].lstrip("0")}), headers=JSON).status == 404


@pytest.mark.parametrize(
    ("accept", "reply_type"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("text/*", "text/json"),
        ("text/json", "text/json"),
        ("text/csv, text/json;q=0.5", "text/csv"),
        ("text/json;q=0.2, application/json;q=0.9", "application/json"),
        ("text/json;q=0.9, application/json;q=0.2", "text/json"),
        ("*/*;q=0.1, application/json;q=0", "text/json"),
        ("APPLICATION/JSON; Q=0.5", "application/json"),
    ],
)
def test_accept_chooses_the_type_of_the_reply(ask, order, accept, reply_type):
    reply = ask(text(order), headers={**JSON, **({} if accept is None else {"Accept": accept})})
    assert (reply.status, reply.headers["Content-Type"]) == (200, reply_type)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_ping_is_200_and_empty(ask, method):
    reply = ask(method=method, path="/ping")
    assert (reply.status, reply.body) == (200, b"")
    assert "Content-Type" not in reply.headers


# Bad records


@pytest.mark.parametrize("name", KEY)
def test_a_number_for_a_key_is_refused_with_its_field_and_advice(ask, order, name):
    body = ask(text({**order, name: 3779}), headers=JSON)
    assert body.status == 400
    assert body.json()["field"] == name
    assert body.json()["detail"] == (
        f"{name}: expected text, got a number. Send it in quotes: keys keep their leading zeros."
    )
    assert "3779" not in body.body.decode()


@pytest.mark.parametrize(
    ("value", "came"),
    [
        (None, "got null"),
        (True, "got true or false"),
        (["O1"], "got a list"),
        ({"a": "O1"}, "got an object"),
        (1.5, "got a number"),
        (10**30, "got a number"),
    ],
)
def test_a_key_of_another_kind_is_refused(ask, order, value, came):
    reply = ask(text({**order, "sku_code": value}), headers=JSON)
    assert (reply.status, reply.json()["field"]) == (400, "sku_code")
    assert reply.json()["detail"].startswith(f"sku_code: expected text, {came}")


def test_a_missing_key_is_refused(ask, order):
    del order["zip_code"]
    reply = ask(text(order), headers=JSON)
    assert (reply.status, reply.json()["field"]) == (400, "zip_code")
    assert reply.json()["detail"] == "zip_code: expected text, it is missing"


@pytest.mark.parametrize(
    ("record", "kind"), [(b"null", "null"), (b'"O1"', "text"), (b"7", "a number"), (b"true", "true or false")]
)
def test_a_record_that_is_no_object_is_refused(ask, record, kind):
    reply = ask(record, headers=JSON)
    assert reply.status == 400
    assert reply.json()["detail"] == f"expected an object with {', '.join(KEY)}, got {kind}"


def test_a_list_in_a_list_is_a_bad_record(ask, order):
    reply = ask(text([order, [order]]), headers=JSON)
    assert reply.status == 200
    assert reply.json()[1]["detail"].startswith(f"expected 4 values ({', '.join(KEY)}) or the model's 6 inputs (")
    assert reply.json()[1]["detail"].endswith("got 1")


def test_one_unknown_key_is_404_and_says_which(ask):
    reply = ask(text(UNKNOWN), headers=JSON)
    assert (reply.status, reply.json()["type"]) == (404, "urn:scoreline:problem:key-not-found")
    for name, value in UNKNOWN.items():
        assert f"{name}='{value}'" in reply.json()["detail"]


def test_parts_of_a_known_key_do_not_make_a_known_key(ask, orders):
    first, other = orders[0], next(row for row in orders if row["customer_id"] != orders[0]["customer_id"])
    mixed = {**{name: first[name] for name in KEY}, "customer_id": other["customer_id"]}
    assert ask(text(mixed), headers=JSON).status == 404


def test_bad_records_of_a_list_cost_only_themselves(ask, order):
    records = [order, {**order, "zip_code": 501}, "O1", UNKNOWN, order]
    reply = ask(text(records), headers=JSON)
    entries = reply.json()
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    assert entries[0] == entries[4]
    assert entries[0]["order_id"] == order["order_id"]
    assert [(entry["status"], entry["index"], entry.get("field")) for entry in entries[1:4]] == [
        (400, 1, "zip_code"),
        (400, 2, None),
        (404, 3, None),
    ]


@pytest.mark.parametrize(
    ("records", "statuses"),
    [([UNKNOWN, 7], [404, 400]), ([7, UNKNOWN], [400, 404]), ([UNKNOWN], [404]), ([UNKNOWN, UNKNOWN], [404, 404])],
)
def test_a_list_without_a_good_record_has_the_status_of_its_first_problem(ask, records, statuses):
    reply = ask(text(records), headers=JSON)
    assert reply.status == statuses[0]
    assert reply.json()["index"] == 0
    assert [problem["status"] for problem in reply.json()["problems"]] == statuses
    assert [problem["index"] for problem in reply.json()["problems"]] == list(range(len(records)))


def test_of_very_many_problems_a_thousand_are_told(ask):
    reply = ask(b"[" + b"{}," * 2_999 + b"{}]", headers=JSON)
    assert (reply.status, len(reply.json()["problems"])) == (400, 1_000)


def test_in_a_batch_job_errors_are_entries(ask, batch, order):
    assert ask(text(UNKNOWN), headers=JSON, of=batch).json()["status"] == 404
    for body, statuses in [([UNKNOWN, 7], [404, 400]), ([order, 7], [None, 400]), ([7], [400])]:
        reply = ask(text(body), headers=JSON, of=batch)
        assert reply.status == 200
        assert [entry.get("status") for entry in reply.json()] == statuses
    alone = ask(text(UNKNOWN), headers=JSON, of=batch)
    assert (alone.status, alone.headers["Content-Type"]) == (200, "application/json")


def test_in_a_batch_job_a_body_that_cannot_be_parsed_is_still_400(ask, batch):
    assert ask(b"{", headers=JSON, of=batch).status == 400


# Errors of a request as a whole

ERRORS = [
    pytest.param(b"", {}, 400, "bad-body", id="empty"),
    pytest.param(b"  \n", {}, 400, "bad-body", id="blank"),
    pytest.param(b'{"order_id": "O1", ', {}, 400, "bad-body", id="truncated"),
    pytest.param(b'[{"order_id": NaN}]', {}, 400, "bad-body", id="nan"),
    pytest.param(b'[{"order_id": Infinity}]', {}, 400, "bad-body", id="infinity"),
    pytest.param(b"[" * 20_000, {}, 400, "bad-body", id="nested-lists"),
    pytest.param(b'{"a":' * 20_000, {}, 400, "bad-body", id="nested-objects"),
    pytest.param(b'[{"a":' * 20_000, {}, 400, "bad-body", id="nested-both"),
    pytest.param(b"[" * 20_000 + b"]" * 20_000, {}, 400, "bad-body", id="nested-and-closed"),
    pytest.param(b'{"order_id": "\xff"}', {}, 400, "bad-body", id="not-utf-8"),
    pytest.param('{"order_id": "O1"}'.encode("utf-16"), {}, 400, "bad-body", id="utf-16"),
    pytest.param(b'{"order_id": "\\ud800"}', {}, 400, "bad-body", id="lone-surrogate"),
    pytest.param(b'[{"order_id": "\\udc00\\ud800"}]', {}, 400, "bad-body", id="surrogates-reversed"),
    pytest.param(b'{"order_id": 1' + b"0" * 5_000 + b"}", {}, 400, "bad-body", id="number-of-5000-digits"),
    pytest.param(b'{"order_id": 1e400}', {}, 400, "bad-body", id="number-too-large"),
    pytest.param(b"order_id,customer_id\nO1,C1\n", {}, 400, "bad-body", id="csv"),
    pytest.param(b"[]", {}, 400, "no-records", id="empty-list"),
    pytest.param(b"{}", {}, 400, "bad-record", id="empty-object"),
    pytest.param(b"[{}]", {}, 400, "bad-record", id="list-of-an-empty-object"),
    pytest.param(text(UNKNOWN), {}, 404, "key-not-found", id="unknown-key"),
    pytest.param(text([UNKNOWN]), {}, 404, "key-not-found", id="list-of-an-unknown-key"),
    pytest.param(b"{}", {"headers": {}}, 415, "unsupported-media-type", id="no-content-type"),
    pytest.param(
        b"{}", {"headers": {"Content-Type": "text/xml"}}, 415, "unsupported-media-type", id="other-content-type"
    ),
    pytest.param(b"{}", {"headers": {**JSON, "Accept": "text/html"}}, 406, "not-acceptable", id="accept-html"),
    pytest.param(
        b"{}",
        {"headers": {**JSON, "Accept": "application/json;q=0, text/json;q=0"}},
        406,
        "not-acceptable",
        id="accept-no-json",
    ),
    pytest.param(b"{}", {"headers": {**JSON, "Accept": "*/*;q=x"}}, 406, "not-acceptable", id="accept-bad-q"),
    pytest.param(b"", {"method": "GET"}, 405, "method-not-allowed", id="get-invocations"),
    pytest.param(b"", {"method": "OPTIONS"}, 405, "method-not-allowed", id="options-invocations"),
    pytest.param(b"", {"method": "PROPFIND"}, 405, "method-not-allowed", id="a-method-that-flask-does-not-know"),
    pytest.param(b"", {"method": "POST", "path": "/ping"}, 405, "method-not-allowed", id="post-ping"),
    pytest.param(b"", {"method": "GET", "path": "/"}, 404, "no-such-route", id="root"),
    pytest.param(b"", {"method": "GET", "path": "/invocations/"}, 404, "no-such-route", id="slash-at-the-end"),
    pytest.param(b"", {"method": "GET", "path": "/a//b"}, 404, "no-such-route", id="double-slash"),
    pytest.param(b"", {"method": "PROPFIND", "path": "/a/b"}, 404, "no-such-route", id="any-method-elsewhere"),
]


@pytest.mark.parametrize(("body", "request_", "status", "kind"), ERRORS)
def test_every_error_is_a_problem_of_one_shape(ask, service, body, request_, status, kind):
    reply = ask(body, **{"headers": JSON, **request_})
    problem = reply.json()
    assert (reply.status, problem["status"]) == (status, status)
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.headers["X-Scoreline-Generation"] == service.last_known
    assert problem["type"] == f"urn:scoreline:problem:{kind}"
    assert problem["title"]
    assert problem["detail"]
    assert problem.keys() <= {"type", "title", "status", "detail", "index", "field", "problems"}


@pytest.mark.parametrize(("path", "allowed"), [("/invocations", "POST"), ("/ping", "GET")])
def test_a_wrong_method_is_told_the_right_one(ask, path, allowed):
    reply = ask(method="DELETE", path=path)
    assert (reply.status, reply.headers["Allow"]) == (405, allowed)


def test_a_body_over_the_limit_is_413(ask, but, order):
    small = but(max_body_bytes=len(text(order)))
    assert ask(text(order), headers=JSON, of=small).status == 200
    reply = ask(text(order) + b" ", headers=JSON, of=small)
    assert (reply.status, reply.json()["type"]) == (413, "urn:scoreline:problem:too-large")
    assert "SCORELINE_MAX_BODY_MB" in reply.json()["detail"]


def test_a_failure_inside_is_a_500_that_gives_nothing_away(ask, but, order, caplog):
    class Broken:
        def score(self, keys, options):
            raise ValueError(f"secret {keys}")

    with caplog.at_level(logging.DEBUG):
        reply = ask(text(order), headers=JSON, of=but(scorer=Broken()))
    assert (reply.status, reply.headers["Content-Type"]) == (500, "application/problem+json")
    assert reply.json()["type"] == "urn:scoreline:problem:internal"
    assert "Traceback" not in reply.body.decode()
    assert "ValueError" in caplog.text
    assert "test_answer.py" in caplog.text
    for value in order.values():
        assert value not in reply.body.decode()
        assert value not in caplog.text


# The generation


def test_every_reply_names_its_generation(ask, service, order):
    replies = [ask(text(order), headers=JSON), ask(text(UNKNOWN), headers=JSON), ask(method="GET", path="/ping")]
    assert {reply.headers["X-Scoreline-Generation"] for reply in replies} == {service.last_known}
    number, digest = service.last_known.split("-")
    assert (number, len(digest)) == ("1", 6)


def test_equal_data_give_an_equal_generation(service, tmp_path, settings_of):
    assert open_service(settings_of(make_app(tmp_path / "again"))).last_known == service.last_known


def test_other_features_give_another_generation(service, triage, tmp_path, settings_of, capsys):
    data = shutil.copytree(triage / "data", tmp_path / "data")
    line = (data / "orders.csv").read_text().splitlines()[1]
    (data / "orders.csv").write_text((data / "orders.csv").read_text().replace(line, line.replace("O", "P", 1)))
    assert run(["feature", *folders(triage, data=data, results=tmp_path / "results")]) == 0
    assert open_service(settings_of(triage, results=tmp_path / "results")).last_known != service.last_known


# Anything at all

_records = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KEY, "x"]), inner, max_size=5),
    max_leaves=10,
)


@bounded(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200) | _records.map(lambda record: json.dumps(record).encode()))
def test_no_body_at_all_is_a_failure_of_ours(service, body):
    reply = answer(service, "POST", "/invocations", JSON, body)
    assert reply.status in (200, 400, 404), reply
    json.loads(reply.body)


@bounded(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(accept=st.text(max_size=40), content_type=st.text(max_size=40), path=st.text(max_size=20))
def test_no_header_or_path_at_all_is_a_failure_of_ours(service, accept, content_type, path):
    for where, method in (("/invocations", "POST"), (path, "GET")):
        reply = answer(service, method, where, {"Accept": accept, "Content-Type": content_type}, b"[]")
        assert reply.status in (200, 400, 404, 405, 406, 415), reply
