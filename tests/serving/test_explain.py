"""Explanations: the row that counted, those that came later or were set aside, and what decided."""

from __future__ import annotations

import contextlib
import io
import json
import os

import pytest
from servers import JSON, copy_app, folders, open_service, plain_environment, run, settings_for

from scoreline.cli.explain import explanation_lines
from scoreline.generations.ingest import Ingest
from scoreline.serving.answer import answer

HEADS = {
    "orders": "order_id,customer_id,timestamp,sku_code,quantity,zip_code",
    "inventory": "sku_code,timestamp,inventory",
    "payments": "order_id,customer_id,timestamp,payment_method,payment_status",
    "zip_codes": "zip_code,available_from",
}
ROWS = {
    "orders": ["O1,C1,2021-07-04T12:00:00Z,007,2,z"],
    "inventory": [
        "007,2021-07-01,9", "007,2021-07-05,4", "007,2021-07-04T12:00:00Z,0", "007,2021-07-04T14:00:00+02:00,3",
        "007,2021-07-04T11:59:00Z,torn", "007,2021-07-06,5", "007,2021-07-04T12:00:00Z,many", "007,2021-07-09,x",
    ],
    "payments": [],
    "zip_codes": ["z,2021-01-01"],
}  # fmt: skip


VISITS = """\
from scoreline import App, Integer, Rule, Text, Time, decision, latest

app = App("visits")
visits = app.table("visits", key="visit_id", time="at", columns={"visit_id": Text, "customer_id": Text, "at": Time})
balances = app.table(
    "balances", key="customer_id", time="at", columns={"customer_id": Text, "at": Time, "balance": Integer}
)
app.features(spine=visits, balance=latest(balances.balance))
app.head("action", rules=[Rule("poor", when=[("balance", "<", 10)], then="Wait"), Rule("else", then="Serve")])
app.reply(visit_id=visits.visit_id, action=decision("action"))
"""


@pytest.fixture
def visits(tmp_path, monkeypatch, capsys):
    """Give the folder of an app whose joined table is matched by no part of the spine's key."""
    for name in list(set(os.environ) - set(plain_environment())):
        monkeypatch.delenv(name)
    folder = tmp_path / "visits"
    (folder / "data").mkdir(parents=True)
    (folder / "app.py").write_text(VISITS)
    (folder / "data/visits.csv").write_text("visit_id,customer_id,at\nV1,C1,2021-07-04\nV2,C1,2021-07-09\n")
    (folder / "data/balances.csv").write_text("customer_id,at,balance\nC1,2021-07-01,5\nC1,2021-07-08,50\nC1,never,7\n")
    return folder


@pytest.fixture
def why(visits, tmp_path):
    """Give a function that builds the features of visits and explains the balance of one."""

    def explain(visit, *lines, **changes):
        assert run(["feature", *folders(visits), *changes.pop("feature", ())]) == 0
        if not (visits / "model").exists():
            assert run(["train", *folders(visits)]) == 0
        settings = settings_for(visits, tmp_path / "state")
        service = open_service(settings)
        if lines:
            body = "customer_id,at,balance\n" + "".join(f"{line}\n" for line in lines)
            Ingest(service.app, settings.state).append_body("balances", body.encode(), "csv", "late")
        asked = json.dumps({"visit_id": visit, "explain": True}).encode()
        reply = json.loads(answer(service, "POST", "/invocations", JSON, asked).body)
        return reply["explanation"]["features"]["balance"]

    return explain


def test_a_table_matched_by_a_column_that_is_no_key_is_explained_too(why):
    told = why("V1")
    assert told["value"] == 5
    assert told["row"] == {"file": "balances.csv", "line": 2, "time": "2021-07-01T00:00:00.000000Z"}
    assert [(row["line"], row["column"]) for row in told["set_aside"]] == [(4, "at")]  # at whatever time it was


def test_a_row_ingested_since_is_told_beside_the_one_that_gave_the_value(why):
    told = why("V1", "C1,2021-07-03,9")
    assert (told["value"], told["row"]["line"]) == (5, 2)
    assert told["ingested_since"] == {"batch": "late", "row": 1, "time": "2021-07-03T00:00:00.000000Z"}


def test_one_that_would_not_count_is_not(why):
    assert "ingested_since" not in why("V2", "C1,2021-07-03,9", "C1,2021-07-10,9")


def test_before_the_kept_history_it_says_so(why, monkeypatch):
    monkeypatch.setenv("SCORELINE_HISTORY_DAYS", "2")
    told = why("V1")
    assert (told["value"], told["row"], told["not_kept_before"]) == (5, None, "2021-07-07T00:00:00.000000Z")
    assert why("V2")["row"]["line"] == 3


def test_a_row_of_the_future_does_not_move_the_kept_history(why, visits, monkeypatch):
    with (visits / "data/balances.csv").open("a") as file:
        file.write("C2,9999-12-31,1\n")
    monkeypatch.setenv("SCORELINE_HISTORY_DAYS", "2")
    assert why("V2")["row"]["line"] == 3


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Give a function that asks a small server for a record's reply."""
    folder = copy_app(tmp_path_factory.mktemp("small"))
    (folder / "data").mkdir()
    for name, head in HEADS.items():
        (folder / f"data/{name}.csv").write_text("\n".join([head, *ROWS[name]]) + "\n")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        for name in list(set(os.environ) - set(plain_environment())):
            patch.delenv(name)
        assert run(["feature", *folders(folder)]) == 0
        assert run(["train", *folders(folder)]) == 0
    service = open_service(settings_for(folder, tmp_path_factory.mktemp("state")))

    def ask(query="", **record):
        key = {"order_id": "O1", "customer_id": "C1", "sku_code": "007", "zip_code": "z"}
        body = json.dumps({**key, **record}).encode()
        return json.loads(answer(service, "POST", "/invocations", JSON, body, query).body)

    return ask


def place(line, time):
    return {"file": "inventory.csv", "line": line, "time": f"2021-07-{time}.000000Z"}


def test_a_feature_names_the_row_that_gave_it_those_that_came_later_and_those_set_aside(told):
    stock = told(explain=True)["explanation"]["features"]["inventory"]
    assert stock == {
        "value": 3, "table": "inventory", "row": place(5, "04T12:00:00"), "considered": 3, "came_later": 2,
        "next": [place(3, "05T00:00:00"), place(7, "06T00:00:00")],
        "set_aside": [
            {**place(8, "04T12:00:00"), "column": "inventory",
             "why": "expected a whole number, for example 3, got 'many'"}
        ],
    }  # fmt: skip


def test_a_new_row_is_explained_as_of_its_own_time(told):
    new = {"order_id": "N", "quantity": 1, "timestamp": "2021-07-04T11:59:30Z", "payment_status": "OK"}
    told_of = told(**new, explain=True)["explanation"]
    assert told_of["as_of"] == "2021-07-04T11:59:30.000000Z"
    stock, status = told_of["features"]["inventory"], told_of["features"]["payment_status"]
    assert (stock["value"], stock["row"]["line"], stock["considered"], stock["came_later"]) == (9, 2, 1, 4)
    assert [row["line"] for row in stock["set_aside"]] == [6]
    assert status == {"value": "OK", "table": "payments", "from": "the request"}
    assert told_of["features"]["available_from"]["row"] == {"file": "zip_codes.csv", "line": 2}
    assert told_of["features"]["zip_code_available"] == {"value": True, "function_of": ["timestamp", "available_from"]}


def test_what_decided_and_what_would_change_it_are_told(told):
    [decided] = told(explain=True)["explanation"]["decided"]
    assert decided == {
        "head": "recommendation", "rule": "payment_not_ok", "then": "HoldCheckPayment",
        "held": ["payment_status is null"], "otherwise": {"rule": "all_clear", "then": "Deliver"},
        "instead": [
            {"rule": "no_stock", "then": "HoldCheckAvailability", "when_any": ["inventory is null", "inventory < 1"]},
            {"rule": "zip_not_served", "then": "HoldCheckDelivery", "when_any": ["zip_code_available == false"]},
        ],
    }  # fmt: skip


def test_it_is_told_where_it_is_asked_for_alone(told):
    assert "explanation" not in told()
    assert "explanation" not in told(explain=False)
    assert "explanation" not in told(explain="yes")
    assert "explanation" in told("explain=true")
    assert set(told("explain=values")["explanation"]) == {"features"}
    assert told("explain=why")["type"] == "urn:scoreline:problem:bad-option"
    assert told("features_from=elsewhere")["type"] == "urn:scoreline:problem:bad-option"


def test_a_known_key_is_made_anew_where_that_is_asked_for(told):
    more = {"quantity": 2, "timestamp": "2021-07-04T12:00:00Z"}
    assert told("features_from=live", **more)["features_from"] == "live"
    assert told("features_from=table", **more)["features_from"] == "table"
    assert told("features_from=live")["features_from"] == "table"  # a mere key: nothing to make features of


def test_the_lines_for_a_person_say_the_same(told):
    lines = explanation_lines(told(explain=True))
    assert lines[1:3] == ["  as of 2021-07-04T12:00:00.000000Z", "  order_hour_of_day = 12: made from timestamp"]
    text = "\n".join(lines)
    for said in (
        "  inventory = 3: inventory.csv, line 5, of 2021-07-04T12:00:00.000000Z; 2 older passed over",
        "    came later: inventory.csv, line 3, of 2021-07-05T00:00:00.000000Z",
        "    set aside: inventory.csv, line 8, of 2021-07-04T12:00:00.000000Z: expected a whole number",
        "  payment_status = None: no row of payments by then",
        "  recommendation: HoldCheckPayment by payment_not_ok, since payment_status is null",
        "    otherwise Deliver by all_clear",
        "    HoldCheckDelivery instead by zip_not_served, if zip_code_available == false",
    ):
        assert said in text
