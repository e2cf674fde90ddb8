"""Records that are keys: looked up, encoded, scored, answered."""

from __future__ import annotations

import pytest
from lines import COLUMNS, HIGH, LOW, ROWS, artifact_of, make_app, price_stump

from scoreline import band, outside_support, probability, reason
from scoreline.model.artifact import LearntHead
from scoreline.model.evaluate import Link
from scoreline.predictor import Missing, Predictor, StoredScorer


@pytest.fixture
def score(artifact):
    """Give a function that answers keys from ROWS."""
    app = make_app()
    return StoredScorer(app, artifact, Predictor(app, artifact), ROWS, COLUMNS).score


def test_replies_come_in_the_order_of_the_keys(score):
    replies = score([("C", 1), ("A", 2), ("A", 1), ("A", 2)])
    assert [(reply["line"], reply["action"]) for reply in replies] == [
        (1, "Check"), (2, "Hold"), (1, "Ship"), (2, "Hold"),
    ]  # fmt: skip


def test_a_reply_has_the_declared_fields_in_the_declared_order(score):
    [reply] = score([("C", 1)])
    assert list(reply) == ["line", "action", "why", "odds"]
    assert reply == {
        "line": 1, "action": "Check", "why": {"rule": "not_ok", "status": "STOLEN", "served": False}, "odds": 0.9707,
    }  # fmt: skip


def test_an_unknown_key_is_missing_and_its_neighbours_are_answered(score):
    replies = score([("Z", 1), ("A", 1), ("A", 9), ("D", 1)])
    assert replies[0] == Missing(("Z", 1))
    assert replies[2] == Missing(("A", 9))
    assert [replies[1]["action"], replies[3]["action"]] == ["Ship", "Ship"]


def test_nothing_but_unknown_keys_and_no_keys_at_all_need_no_model(score):
    assert score([("Z", 1), ("Y", 1)]) == [Missing(("Z", 1)), Missing(("Y", 1))]
    assert score([]) == []


@pytest.mark.parametrize(
    ("key", "why"),
    [
        pytest.param(("A", 2), {"rule": "no_stock", "stock": 0}, id="the-inputs-of-the-rule-each-once"),
        pytest.param(("B", 1), {"rule": "no_stock", "stock": None}, id="a-null"),
        pytest.param(
            ("C", 1), {"rule": "not_ok", "status": "STOLEN", "served": False}, id="an-unknown-value-as-it-came"
        ),
        pytest.param(
            ("A", 1),
            {"rule": "clear", "stock": 5, "status": "OK", "served": True},
            id="the-last-rule-all-that-did-not-hold",
        ),
        pytest.param(
            ("D", 1), {"rule": "clear", "stock": 5, "status": None, "served": None}, id="nulls-that-held-nothing"
        ),
    ],
)
def test_a_reason_holds_the_rule_and_what_it_looked_at(score, key, why):
    [reply] = score([key])
    assert reply["why"] == why
    assert list(reply["why"]) == list(why)
    assert [type(value) for value in reply["why"].values()] == [type(value) for value in why.values()]


def test_a_key_alone_is_answered_as_among_others(score):
    together = score(list(ROWS))
    assert [score([key])[0] for key in ROWS] == together


@pytest.mark.parametrize(("digits", "expected"), [(0, 1.0), (1, 1.0), (2, 0.97), (4, 0.9707), (12, round(HIGH, 12))])
def test_a_probability_is_rounded_to_its_digits(artifact, digits, expected):
    app = make_app(odds=probability("odds", digits=digits))
    scorer = StoredScorer(app, artifact, Predictor(app, artifact), ROWS, COLUMNS)
    assert scorer.score([("C", 1)]) == [{"odds": expected}]


def test_a_probability_has_four_digits_unless_it_says_otherwise(score):
    assert score([("C", 1)])[0]["odds"] == round(HIGH, 4)


def test_a_head_that_was_not_learnt_answers_null_and_the_rules_go_on():
    app = make_app()
    artifact = artifact_of({"odds": None})
    replies = StoredScorer(app, artifact, Predictor(app, artifact), ROWS, COLUMNS).score([("A", 1), ("C", 1)])
    assert [(reply["action"], reply["odds"]) for reply in replies] == [("Ship", None), ("Check", None)]


def test_replies_are_made_of_plain_values(score):
    for reply in score(list(ROWS)):
        assert [type(reply[name]) for name in ("line", "action", "odds")] == [int, str, float]


def test_rows_may_have_their_columns_in_any_order(artifact):
    app = make_app()
    backwards = {key: row[::-1] for key, row in ROWS.items()}
    scorer = StoredScorer(app, artifact, Predictor(app, artifact), backwards, COLUMNS[::-1])
    assert scorer.score([("C", 1)])[0]["why"] == {"rule": "not_ok", "status": "STOLEN", "served": False}


def test_the_parts_of_a_key_are_given_back_by_their_names(artifact):
    app = make_app(number="line", order="order_id")
    scorer = StoredScorer(app, artifact, Predictor(app, artifact), ROWS, COLUMNS)
    assert scorer.score([("A", 2), ("B", 1)]) == [{"number": 2, "order": "A"}, {"number": 1, "order": "B"}]


@pytest.fixture
def answer(artifact):
    """Give a function from the declared reply to the replies of some keys."""

    def reply_to(*keys, of=artifact, **reply):
        app = make_app(**reply)
        return StoredScorer(app, of, Predictor(app, of), ROWS, COLUMNS).score(keys)

    return reply_to


@pytest.mark.parametrize(
    ("bands", "digits", "name"),
    [
        pytest.param({"sure": 0.9, "open": 0.5, "poor": 0}, 4, "sure", id="the-highest-that-it-reaches"),
        pytest.param({"sure": 0.9707, "poor": 0}, 4, "sure", id="from-its-lowest-on"),
        pytest.param({"sure": 0.98, "open": 0.5, "poor": 0}, 4, "open", id="the-next"),
        pytest.param({"sure": 0.971, "poor": 0}, 4, "poor", id="not-quite"),
        pytest.param({"sure": 0.971, "poor": 0}, 3, "sure", id="as-it-is-rounded"),
        pytest.param({"sure": 1, "poor": 0}, 0, "sure", id="as-it-is-rounded-up-to-1"),
        pytest.param({"any": 0}, 4, "any", id="a-single-band"),
    ],
)
def test_a_probability_lies_in_a_band(answer, bands, digits, name):
    assert round(HIGH, 4) == 0.9707
    assert answer(("C", 1), band=band("odds", bands, digits=digits)) == [{"band": name}]


def test_where_there_is_no_probability_there_is_no_band_and_no_word_on_its_support(answer):
    fields = {"band": band("odds", {"any": 0}), "unsure": outside_support("odds")}
    assert answer(("C", 1), of=artifact_of({"odds": None}), **fields) == [{"band": None, "unsure": None}]
    blind = artifact_of({"odds": LearntHead(price_stump(), Link(1.0, 0.5), ("price", "stock"), takes_missing=False)})
    assert answer(("B", 1), of=blind, **fields) == [{"band": None, "unsure": None}]


@pytest.mark.parametrize(
    ("support", "expected"),
    [
        pytest.param((0.0, 1.0), [False, False], id="all"),
        pytest.param((LOW, HIGH), [False, False], id="both-ends-included"),
        pytest.param((LOW + 1e-9, HIGH), [True, False], id="below"),
        pytest.param((LOW, HIGH - 1e-9), [False, True], id="above"),
        pytest.param((LOW + 1e-16, HIGH - 1e-16), [False, False], id="within-the-rounding-of-arithmetic"),
    ],
)
def test_a_probability_outside_what_the_calibrating_rows_reached_is_marked(answer, support, expected):
    head = LearntHead(price_stump(), Link(1.0, 0.5), ("price", "stock"), support=support)
    replies = answer(("A", 1), ("C", 1), of=artifact_of({"odds": head}), unsure=outside_support("odds"))
    assert [reply["unsure"] for reply in replies] == expected


def test_a_reason_may_be_left_out_where_it_was_the_last_rule(answer):
    replies = answer(("A", 2), ("A", 1), ("C", 1), why=reason("action", of_last=False))
    assert [reply["why"] for reply in replies] == [
        {"rule": "no_stock", "stock": 0}, None, {"rule": "not_ok", "status": "STOLEN", "served": False},
    ]  # fmt: skip
