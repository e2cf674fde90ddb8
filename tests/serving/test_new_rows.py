"""Orders that are not in the table: answered live, as the table would answer them."""

from __future__ import annotations

import csv
import json
import shutil
from datetime import UTC, datetime

import pytest
from oracle import integer, newest, oracle_rows, read_rows, text, time
from servers import APP_FOLDER, JSON, KEY, copy_app, folders, open_service, run, settings_for

from scoreline.predictor import StoredScorer
from scoreline.serving.answer import answer

CSV, LINES = {"Content-Type": "text/csv"}, {"Content-Type": "application/jsonlines"}


@pytest.fixture(scope="module")
def placed(triage):
    """Give the orders as a client would send them as they are placed; those whose key came before are left out."""
    with (triage / "data/orders.csv").open(newline="") as file:
        rows = list({tuple(row[n] for n in KEY): row for row in reversed(list(csv.DictReader(file)))}.values())[::-1]
    for row in rows:
        row["quantity"] = int(row["quantity"]) if row["quantity"] else None
    return [{name: row[name] for name in (*KEY, "timestamp", "quantity")} for row in rows]


@pytest.fixture
def new(orders, placed):
    """Give an order that was not placed before, at the time and place of one that is delivered."""
    like = next(order for order in orders if order["recommendation"] == "Deliver")
    [same] = [order for order in placed if order["order_id"] == like["order_id"]]
    return {**same, "order_id": "NEW"}


class Nothing:
    """A table without rows."""

    def get(self, key):
        return None


@pytest.fixture
def empty(but, service):
    """Give the service as if no order had been in the table when `feature` ran."""
    scorer = service.current().scorer
    emptied = object.__new__(StoredScorer)
    emptied.__dict__ = {**scorer.__dict__, "_source": Nothing()}
    return but(scorer=emptied)


def send(service, body, headers=JSON, query=""):
    """Send a body; return the status and the decoded reply."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = answer(service, "POST", "/invocations", headers, content, query)
    return given.status, given.body


def test_every_order_gets_the_reply_of_the_table_one_by_one_and_in_a_list(service, empty, placed):
    status, body = send(service, [{name: order[name] for name in KEY} for order in placed])
    table = [{**reply, "features_from": "live"} for reply in json.loads(body)]
    assert status == 200
    assert json.loads(send(empty, placed)[1]) == table
    assert [json.loads(send(empty, order)[1]) for order in placed[:50]] == table[:50]


def test_the_oracle_agrees(empty, placed, orders):
    replies = json.loads(send(empty, placed)[1])
    expected = {tuple(order[name] for name in KEY): order["recommendation"] for order in orders}
    got = {tuple(order[n] for n in KEY): reply["recommendation"] for order, reply in zip(placed, replies, strict=True)}
    assert got == expected


@pytest.mark.parametrize("headers", [CSV, LINES])
def test_new_orders_come_as_csv_and_as_json_lines_too(empty, placed, headers):
    some = placed[:20]
    wanted = json.loads(send(empty, some)[1])
    lines = [json.dumps(order) for order in some]
    if headers is CSV:
        lines = [",".join(some[0])]
        lines += [",".join("" if v is None else str(v) for v in order.values()) for order in some]
    status, body = send(empty, "\n".join(lines).encode(), {**headers, "Accept": "application/json"})
    assert (status, json.loads(body)) == (200, wanted)


def test_a_key_of_the_table_is_answered_from_the_table_whatever_stands_beside_it(service, placed):
    key = {name: placed[0][name] for name in KEY}
    wanted = json.loads(send(service, key)[1])
    assert wanted["features_from"] == "table"
    for more in ({"quantity": "many"}, {"timestamp": "1800-01-01", "payment_status": "FAILED"}, {"timestamp": []}):
        assert json.loads(send(service, {**key, **more})[1]) == wanted
        assert json.loads(send(service, [{**key, **more}])[1]) == [wanted]


def test_without_a_time_it_is_now(service, triage, new):
    events = read_rows(triage / "data/inventory.csv", sku_code=text, timestamp=time, inventory=integer)
    now = newest({"sku_code": new["sku_code"], "timestamp": datetime.now(UTC)}, events, "sku_code")
    without = {name: value for name, value in new.items() if name != "timestamp"}
    for body in (without, {**without, "timestamp": None}):
        reply = json.loads(send(service, {**body, "payment_status": "FAILED"})[1])
        assert reply["features_from"] == "live"
        assert (reply["reason"]["rule"] == "no_stock") == ((now["inventory"] or 0) < 1)


def test_a_payment_is_that_of_the_request_else_that_of_the_table_else_null(service, placed, orders, new):
    bodies = [new, {**new, "payment_status": "OK"}, {**new, "payment_status": "FAILED"}]
    reasons = [reply["reason"] for reply in json.loads(send(service, bodies)[1])]
    assert [reason.get("payment_status") for reason in reasons] == [None, "OK", "FAILED"]
    assert [reason["rule"] for reason in reasons] == ["payment_not_ok", "all_clear", "payment_not_ok"]
    paid = next(order for order in orders if order["recommendation"] == "Deliver")
    known = next(order for order in placed if order["order_id"] == paid["order_id"])
    elsewhere = next(o["sku_code"] for o in orders if o["inventory"] and o["sku_code"] != paid["sku_code"])
    reply = json.loads(send(service, {**known, "sku_code": elsewhere, "timestamp": "2030-01-01T12:00:00Z"})[1])
    assert reply["features_from"] == "live"
    assert reply["reason"].get("payment_status") in ("OK", None)


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"timestamp": "yesterday"}, "timestamp: expected a time, for example 2021-07-04 20:31:02 or "
         "2021-07-04T20:31:02Z, got text that is none"),
        ({"timestamp": 1625430662}, "timestamp: expected a time, for example 2021-07-04 20:31:02 or "
         "2021-07-04T20:31:02Z, got a number"),
        ({"quantity": "2"}, "quantity: expected a whole number, for example 3, got text."),
        ({"quantity": 2.5}, "quantity: expected a whole number, for example 3, got 2.5."),
        ({"payment_status": 7}, "payment_status: expected text, got a number. Send it in quotes."),
        ({"sku_code": ""}, "sku_code: a key can't be empty"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_named(service, new, change, detail):
    status, body = send(service, {**new, **change})
    assert (status, json.loads(body)["detail"], json.loads(body)["field"]) == (400, detail, next(iter(change)))
    status, body = send(service, [{**new, **change}, new])
    assert (status, json.loads(body)[0]["index"], json.loads(body)[1]["features_from"]) == (200, 0, "live")


def test_a_new_order_that_lacks_a_column_is_not_found_and_told_what_it_lacks(service, new):
    lone = {name: value for name, value in new.items() if name != "quantity"}
    assert b"lacks" not in send(service, {name: new[name] for name in KEY})[1]
    status, body = send(service, {**lone, "timestamp": "2021-07-04"})
    assert status == 404
    assert json.loads(body)["detail"].endswith("To be answered as a new row the record lacks quantity")


def test_a_category_outside_its_list_is_kept_as_tables_keep_it(service, new):
    reply = json.loads(send(service, {**new, "payment_status": "PENDING"})[1])
    assert reply["reason"] == {"rule": "payment_not_ok", "payment_status": "PENDING"}


def test_a_time_before_the_kept_history_is_refused_by_name(service, but, new):
    scorer = service.current().scorer

    class Bounded:
        since_us = 1_625_356_800_000_000  # 2021-07-04
        make = scorer.new_rows.make

    bounded = object.__new__(StoredScorer)
    bounded.__dict__ = {**scorer.__dict__, "new_rows": Bounded()}
    of = but(scorer=bounded)
    status, body = send(of, {**new, "timestamp": "2021-07-03T23:59:59.999999Z"})
    problem = json.loads(body)
    assert (status, problem["type"], problem["field"]) == (400, "urn:scoreline:problem:before-history", "timestamp")
    assert "timestamp: expected 2021-07-04T00:00:00.000000Z or later" in problem["detail"]
    assert send(of, {**new, "timestamp": "2021-07-04"})[0] == 200


def test_a_whole_number_key_beyond_64_bits_is_refused_beside_other_columns_too(service, new):
    assert send(service, {**new, "order_id": 2**70})[0] == 400


def test_an_app_without_new_rows_in_its_scorer_says_what_it_said(service, but, new):
    scorer = object.__new__(StoredScorer)
    scorer.__dict__ = {**service.current().scorer.__dict__, "new_rows": None}
    assert send(but(scorer=scorer), new)[0] == 404


@pytest.mark.slow
def test_the_oracle_agrees_on_the_whole_sample_with_its_bad_rows(tmp_path):
    """2,000 orders: ties, late events, nulls, duplicates and torn lines, each asked as if it had just been placed."""
    app = copy_app(tmp_path / "app")
    shutil.copytree(APP_FOLDER / "data", app / "data")
    for command in ("feature", "train"):
        assert run([command, *folders(app)]) == 0
    service = open_service(settings_for(app, tmp_path / "state"))
    expected = oracle_rows(app / "data")
    raw = read_rows(app / "data/orders.csv", **dict.fromkeys(KEY, text), timestamp=time, quantity=integer)
    when = {tuple(row[name] for name in KEY): row for row in reversed(raw)}
    placed = []
    for row in expected:
        own = when[tuple(row[name] for name in KEY)]
        key = {name: row[name] for name in KEY}
        placed.append({**key, "timestamp": own["timestamp"].isoformat(), "quantity": own["quantity"]})
    replies = json.loads(send(service, placed, query="features_from=live&explain=values")[1])
    assert len(replies) == 2000
    for row, reply in zip(expected, replies, strict=True):
        made = reply["explanation"]["features"]
        assert (reply["recommendation"], reply["features_from"]) == (row["recommendation"], "live")
        for name in ("inventory", "payment_status", "zip_code_available", "quantity", "order_hour_of_day"):
            assert made[name] == row[name], (row, name)
