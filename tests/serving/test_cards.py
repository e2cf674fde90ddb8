"""Requests that are scored against every card: options, CSV, and what is said of old tables."""

from __future__ import annotations

import csv
import json

import pytest
from cards import CARDS, PERSON, copy_cards, made_cards
from servers import Answered, ask_asgi, open_service, settings_for

from scoreline.generations.state import StateFolder, utc_now
from scoreline.serving.answer import answer
from scoreline.serving.flask_app import create_app
from scoreline.serving.service import load_service

JSON = {"Content-Type": "application/json"}
CSV = {**JSON, "Accept": "text/csv"}
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
ALL = ["alder", "cedar", "birch", "elm"]  # for PERSON, best first; dogwood is for students
BAD = {**PERSON, "score": 1000}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """Give the service of the app of cards."""
    return open_service(settings_for(made_cards(tmp_path_factory), tmp_path_factory.mktemp("state")))


@pytest.fixture(params=["answer", "flask", "asgi"])
def ask(request, service):
    """Give a function that asks for predictions, through `answer` alone, through Flask and through ASGI."""

    def through_answer(body, headers=JSON, query="", of=service):
        given = answer(of, "POST", "/invocations", headers, json.dumps(body).encode(), query)
        return Answered(given.status, dict(given.headers), given.body)

    def through_flask(body, headers=JSON, query="", of=service):
        client = create_app(of).test_client()
        given = client.post("/invocations", headers=headers, data=json.dumps(body), query_string=query)
        return Answered(given.status_code, dict(given.headers), given.data)

    def through_asgi(body, headers=JSON, query="", of=service):
        return Answered(*ask_asgi(of, "POST", "/invocations", headers, json.dumps(body).encode(), query))

    return {"answer": through_answer, "flask": through_flask, "asgi": through_asgi}[request.param]


def ids(reply):
    """Return the cards of a reply, best first."""
    assert reply.status == 200, reply
    return [card["card_id"] for card in reply.json()["cards"]]


def lines(reply):
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/csv")
    return list(csv.reader(reply.body.decode().splitlines()))


# The reply


def test_one_person_gets_every_card_that_is_open_best_first(ask):
    body = ask(PERSON).json()
    assert list(body) == ["person_id", "offered", "closed", "cards"]
    assert (body["person_id"], body["offered"], body["closed"]) == ("P1", 4, 1)
    odds = [card["odds"] for card in body["cards"]]
    assert odds == sorted(odds, reverse=True)
    assert [card["card_id"] for card in body["cards"]] == ALL
    assert all(0 < chance < 1 for chance in odds[:3])


def test_a_card_that_a_rule_knocks_out_has_odds_0_and_its_reason(ask):
    cards = ask(PERSON).json()["cards"]
    assert cards[-1] == {
        "card_id": "elm",
        "name": "Elm",
        "odds": 0.0,
        "reason": {"rule": "low_income", "income": 60000.0, "minimum_income": 80000.0},
    }
    assert [card["reason"] for card in cards[:-1]] == [None, None, None]


def test_what_is_closed_to_one_may_be_open_to_another(ask):
    replies = ask([PERSON, {**PERSON, "student": True}, {**PERSON, "student": None}]).json()
    assert [(reply["offered"], reply["closed"]) for reply in replies] == [(4, 1), (5, 0), (4, 1)]


def test_cards_of_equal_odds_stand_in_the_order_of_their_keys(ask):
    poor = {**PERSON, "income": 0.0}
    cards = ask(poor).json()["cards"]
    assert [card["card_id"] for card in cards if card["odds"] == 0] == ["cedar", "elm"]


def test_a_bad_record_costs_only_itself(ask):
    reply = ask([BAD, PERSON, 7])
    assert reply.status == 200
    problem, good, other = reply.json()
    assert (problem["index"], problem["field"]) == (0, "score")
    assert problem["detail"] == "score: expected a whole number from 300 to 850, got 1000."
    assert good == ask(PERSON).json()
    assert (other["index"], other["status"]) == (2, 400)


# Options


@pytest.mark.parametrize(
    ("in_body", "query", "attributes", "expected"),
    [
        (2, "", None, ALL[:2]),
        (None, "top=2", None, ALL[:2]),
        (None, "", "top=2", ALL[:2]),
        (1, "top=2", "top=3", ALL[:1]),
        (None, "top=2", "top=3", ALL[:2]),
        (3, "", "top=1", ALL[:3]),
        (None, "", "trace=x; top=1", ALL[:1]),
        (None, "", "top=1&card_ids=cedar,elm", ["cedar"]),
        (None, "", " top=1 ;trace", ALL[:1]),
        (99, "", None, ALL),
        (None, "top=" + "9" * 30, None, ALL),
        (None, "", "", ALL),
        (None, "", "top;no equals sign", ALL),
    ],
)
def test_top_counts_from_the_body_then_the_query_then_the_attributes(ask, in_body, query, attributes, expected):
    body = PERSON if in_body is None else {**PERSON, "top": in_body}
    headers = JSON if attributes is None else {**JSON, ATTRIBUTES: attributes}
    assert ids(ask(body, headers, query)) == expected


@pytest.mark.parametrize(
    ("in_body", "query", "attributes", "expected"),
    [
        (["elm", "alder"], "", None, ["alder", "elm"]),
        (None, "card_ids=elm,alder", None, ["alder", "elm"]),
        (None, "card_ids=elm%2Calder", None, ["alder", "elm"]),
        (None, "", "card_ids=elm,alder", ["alder", "elm"]),
        (["birch"], "card_ids=elm", "card_ids=alder", ["birch"]),
        (None, "card_ids=elm", "card_ids=alder", ["elm"]),
        (["elm", "elm"], "", None, ["elm"]),
    ],
)
def test_card_ids_count_from_the_body_then_the_query_then_the_attributes(ask, in_body, query, attributes, expected):
    body = PERSON if in_body is None else {**PERSON, "card_ids": in_body}
    headers = JSON if attributes is None else {**JSON, ATTRIBUTES: attributes}
    assert ids(ask(body, headers, query)) == expected


def test_options_of_different_places_work_together(ask):
    headers = {**JSON, ATTRIBUTES: "top=1; card_ids=alder"}
    assert ids(ask({**PERSON, "card_ids": ["elm", "birch", "cedar"]}, headers, "top=2")) == ["cedar", "birch"]


def test_each_record_of_a_list_has_its_own_options(ask):
    reply = ask([{**PERSON, "top": 1}, PERSON, {**PERSON, "card_ids": ["elm"]}], query="top=2")
    assert [[card["card_id"] for card in one["cards"]] for one in reply.json()] == [ALL[:1], ALL[:2], ["elm"]]


def test_counts_are_of_the_cards_asked_for(ask):
    body = ask({**PERSON, "card_ids": ["dogwood", "alder"], "top": 1}).json()
    assert (body["offered"], body["closed"]) == (1, 1)


def test_a_card_that_there_is_not_is_named_beside_the_others(ask):
    body = ask({**PERSON, "card_ids": ["alder", "yew", "ash"]}).json()
    assert body["unknown_card_ids"] == ["yew", "ash"]
    assert [card["card_id"] for card in body["cards"]] == ["alder"]
    assert "unknown_card_ids" not in ask(PERSON).json()


@pytest.mark.parametrize(
    ("body", "query", "attributes", "says"),
    [
        ({"top": 0}, "", None, "top: expected a whole number above 0"),
        ({"card_ids": "elm"}, "", None, "card_ids: expected a list of text keys"),
        ({}, "top=0", None, "query, top: expected a whole number above 0"),
        ({}, "top=three", None, "query, top: expected a whole number above 0"),
        ({}, "top=", None, "query, top: expected a whole number above 0"),
        (
            {},
            "tip=3",
            None,
            "query: there is no option of that name. Did you mean 'top'? Expected top, card_ids or explain.",
        ),
        ({}, "top=1&verbose=1", None, "query: there is no option of that name. Expected top, card_ids or explain."),
        ({}, "", "top=-1", f"{ATTRIBUTES}, top: expected a whole number above 0"),
        ({"top": 1}, "top=x", None, "query, top: expected a whole number above 0"),
    ],
)
def test_an_option_that_cannot_be_used_is_400(ask, body, query, attributes, says):
    headers = JSON if attributes is None else {**JSON, ATTRIBUTES: attributes}
    reply = ask({**PERSON, **body}, headers, query)
    assert (reply.status, reply.headers["Content-Type"]) == (400, "application/problem+json")
    assert reply.json()["type"] == "urn:scoreline:problem:bad-option"
    assert reply.json()["detail"] == says


def test_attributes_of_others_are_passed_over(ask):
    trace = "c000b4f9-df62-4c85-a0bf-7c525f9104a4"
    for attributes in (trace, f"trace={trace};tip=9"):
        reply, plain = ask(PERSON, {**JSON, ATTRIBUTES: attributes}), ask(PERSON)
        assert (reply.status, reply.body) == (plain.status, plain.body)


# CSV


def test_one_person_is_one_line(ask):
    assert lines(ask(PERSON, CSV)) == [["P1", "alder", str(ask(PERSON).json()["cards"][0]["odds"]), "4"]]
    assert ask(PERSON, CSV).body.endswith(b"\n")


def test_each_person_of_a_list_is_a_line_in_order(ask):
    people = [{**PERSON, "person_id": name} for name in ("b", "a", 'with "quotes", and comma', "é")]
    assert [line[0] for line in lines(ask(people, CSV))] == [person["person_id"] for person in people]


def test_a_bad_record_is_a_line_with_its_problem_in_one_cell(ask):
    found = lines(ask([PERSON, BAD, PERSON], CSV))
    assert found[0] == found[2]
    (cell,) = found[1]
    assert (json.loads(cell)["index"], json.loads(cell)["field"], json.loads(cell)["status"]) == (1, "score", 400)


def test_where_nothing_is_open_the_cells_of_the_best_are_empty(ask):
    assert lines(ask({**PERSON, "card_ids": ["dogwood"]}, CSV)) == [["P1", "", "", "0"]]


@pytest.mark.parametrize("body", [BAD, [BAD, BAD], []])
def test_where_nothing_can_be_answered_the_problem_is_no_csv(ask, body):
    reply = ask(body, CSV)
    assert (reply.status, reply.headers["Content-Type"]) == (400, "application/problem+json")


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("text/*", "text/json"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV; charset=utf-8", "text/csv"),
        ("text/csv, application/json", "application/json"),
        ("text/csv, application/json;q=0.9", "text/csv"),
        ("text/csv;q=0.1, */*;q=0.5", "application/json"),
        ("text/html, text/csv;q=0.1", "text/csv"),
        ("text/*, text/json;q=0", "text/csv"),
        ("text/csv;q=0", None),
        ("image/png", None),
    ],
)
def test_accept_chooses_between_json_and_csv(ask, accept, expected):
    reply = ask(PERSON, {**JSON, **({} if accept is None else {"Accept": accept})})
    if expected is None:
        assert (reply.status, reply.json()["type"]) == (406, "urn:scoreline:problem:not-acceptable")
        assert "application/json, text/json, text/csv" in reply.json()["detail"]
    else:
        assert (reply.status, reply.headers["Content-Type"]) == (200, expected)


# Old tables


@pytest.fixture
def aged(tmp_path_factory, tmp_path):
    """Give a function that returns the service of cards whose table was last seen some time ago."""
    settings = settings_for(copy_cards(made_cards(tmp_path_factory), tmp_path / "app"), tmp_path / "state")
    open_service(settings)

    def seen(at):
        StateFolder(settings.state).note_source("cards", seen_at=at)
        return load_service(settings)

    return seen


def test_replies_name_the_tables_that_are_older_than_declared(ask, aged):
    old = aged("2024-02-03T04:05:06.789000Z")
    alone = ask(PERSON, of=old)
    assert alone.status == 200
    assert alone.headers["X-Scoreline-Stale"] == "cards"
    assert (list(alone.json())[-1], alone.json()["stale"]) == ("stale", ["cards"])
    assert alone.json()["cards"] == ask(PERSON).json()["cards"]
    listed = ask([PERSON, BAD], of=old)
    assert listed.headers["X-Scoreline-Stale"] == "cards"
    assert listed.json()[0]["stale"] == ["cards"]
    assert "stale" not in listed.json()[1]


def test_a_csv_reply_names_them_in_its_header(ask, aged):
    old = ask(PERSON, CSV, of=aged("2024-02-03T04:05:06.789000Z"))
    assert old.headers["X-Scoreline-Stale"] == "cards"
    assert lines(old) == lines(ask(PERSON, CSV))


def test_a_table_that_was_seen_lately_is_not_named(ask, aged):
    young = ask(PERSON, of=aged(utc_now()))
    assert "X-Scoreline-Stale" not in young.headers
    assert "stale" not in young.json()


def test_a_table_that_was_never_seen_counts_as_old(ask, aged):
    assert ask(PERSON, of=aged(None)).json()["stale"] == ["cards"]


def test_ping_does_not_mind_old_tables(aged):
    assert answer(aged("2024-02-03T04:05:06.789000Z"), "GET", "/ping", {}, b"").status == 200


def test_every_card_of_the_catalogue_is_there_for_a_student(ask):
    assert sorted(ids(ask({**PERSON, "student": True}))) == [row[0] for row in CARDS[1:]]


# Why


def explained(ask, query="", **record):
    reply = ask({**PERSON, **record}, query=query)
    assert reply.status == 200, reply
    return reply.json()["explanation"]["rows"]


def test_each_entry_is_explained_in_the_order_of_the_reply(ask):
    rows = explained(ask, explain=True)
    assert [row["card_id"] for row in rows] == ALL
    told = rows[-1]["features"]
    assert told["income"] == {"value": 60000.0, "from": "the request"}
    assert told["margin"] == {"value": -20.0, "function_of": ["score", "min_score"]}
    assert told["fee"] == {
        "value": 450.0, "table": "cards", "from": "the reference table in memory", "key": {"card_id": "elm"},
    }  # fmt: skip
    assert (told["minimum_income"]["value"], told["minimum_income"]["key"]) == (80000.0, {"issuer": "West"})
    assert rows[-1]["decided"] == [
        {
            "head": "issuer_rule", "rule": "low_income", "then": "No", "held": ["income < minimum_income"],
            "otherwise": {"rule": "none", "then": "Yes"}, "instead": [],
        }
    ]  # fmt: skip


def test_a_card_asked_for_that_is_left_out_is_explained_too(ask):
    rows = explained(ask, explain=True, card_ids=["dogwood", "alder"])
    assert [(row["card_id"], row.get("left_out_by")) for row in rows] == [("alder", None), ("dogwood", "is_open")]
    assert rows[1]["features"]["is_open"]["value"] is False


def test_explain_is_an_option_of_a_query_too_and_is_off_without(ask):
    assert "explanation" not in ask(PERSON).json()
    assert "explanation" not in ask({**PERSON, "explain": False}).json()
    [row] = explained(ask, "explain=values&top=1")
    assert (set(row), row["features"]["margin"]) == ({"card_id", "features"}, 400.0)
    refused = ask(PERSON, query="explain=perhaps")
    assert (refused.status, refused.json()["detail"]) == (
        400, "query, explain: expected one of false, true, 1, values",
    )  # fmt: skip


def test_one_record_of_several_is_explained_where_it_asks(ask):
    replies = ask([PERSON, {**PERSON, "explain": True}]).json()
    assert ["explanation" in reply for reply in replies] == [False, True]
