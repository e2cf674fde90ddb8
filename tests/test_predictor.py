"""From records to replies: looked up, encoded, scored, answered."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoreline import App, Boolean, Category, Integer, Number, Rule, Text, Time, decision, probability, reason
from scoreline.errors import ArtifactError
from scoreline.model.artifact import Artifact, Golden, LearntHead
from scoreline.model.evaluate import Link
from scoreline.model.packing import Tree, pack_trees
from scoreline.predictor import Missing, Predictor, Scorer, check_golden

COLUMNS = ["order_id", "line", "at", "note", "stock", "status", "served", "price"]
NOW = 1_625_430_662_000_000
ROWS = {
    ("A", 1): ["A", 1, NOW, "x", 5, "OK", True, 9.5],
    ("A", 2): ["A", 2, NOW, "x", 0, "OK", True, 9.5],
    ("B", 1): ["B", 1, NOW, "x", None, "OK", True, 9.5],
    ("C", 1): ["C", 1, NOW, None, 5, "STOLEN", False, 120.0],
    ("D", 1): ["D", 1, NOW, None, 5, None, None, None],
}


def make_app(**reply):
    app = App("lines")
    lines = app.table(
        "lines", key=["order_id", "line"], time="at",
        columns={
            "order_id": Text, "line": Integer, "at": Time, "note": Text, "stock": Integer,
            "status": Category("OK", "FAILED"), "served": Boolean, "price": Number, "kept": Boolean,
        },
    )  # fmt: skip
    names = ("note", "stock", "status", "served", "price")
    app.features(spine=lines, **{name: lines[name] for name in names})
    app.head(
        "action",
        rules=[
            Rule("no_stock", when=[("stock", "is null"), ("stock", "<", 1)], then="Hold"),
            Rule("not_ok", when=[("status", "!=", "OK"), ("served", "==", False)], then="Check"),
            Rule("clear", then="Ship"),
        ],
    )
    app.head("odds", target=lines.kept, inputs=["price", "stock"], estimator=print)
    fields = {"line": lines.line, "action": decision("action"), "why": reason("action"), "odds": probability("odds")}
    app.reply(**(reply or fields))
    return app


def price_stump():
    """A tree that gives -2 for a price of at most 100, else 3; a missing price counts as low."""
    stump = Tree([1, -1, -1], [2, -1, -1], [0, 0, 0], [100.0, 0, 0], [True, False, False], [0, -2.0, 3.0])
    return pack_trees([stump], base=[0.0], features=2)


LOW, HIGH = 1 / (1 + math.exp(1.5)), 1 / (1 + math.exp(-3.5))  # 0.5 is added to -2 and 3


def artifact_of(learnt, golden=None):
    return Artifact(Path("model"), {}, learnt, golden or Golden([], {}), "")


@pytest.fixture
def artifact():
    """An artifact whose learned head gives LOW or HIGH by the price."""
    return artifact_of({"odds": LearntHead(price_stump(), Link(1.0, 0.5), ("price", "stock"))})


@pytest.fixture
def score(artifact):
    """Give a function that answers keys from ROWS."""
    app = make_app()
    return Scorer(app, Predictor(app, artifact), ROWS, COLUMNS).score


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
    assert Scorer(app, Predictor(app, artifact), ROWS, COLUMNS).score([("C", 1)]) == [{"odds": expected}]


def test_a_probability_has_four_digits_unless_it_says_otherwise(score):
    assert score([("C", 1)])[0]["odds"] == round(HIGH, 4)


def test_a_head_that_was_not_learnt_answers_null_and_the_rules_go_on():
    app = make_app()
    replies = Scorer(app, Predictor(app, artifact_of({"odds": None})), ROWS, COLUMNS).score([("A", 1), ("C", 1)])
    assert [(reply["action"], reply["odds"]) for reply in replies] == [("Ship", None), ("Check", None)]


def test_replies_are_made_of_plain_values(score):
    for reply in score(list(ROWS)):
        assert [type(reply[name]) for name in ("line", "action", "odds")] == [int, str, float]


def test_rows_may_have_their_columns_in_any_order(artifact):
    app = make_app()
    backwards = {key: row[::-1] for key, row in ROWS.items()}
    scorer = Scorer(app, Predictor(app, artifact), backwards, COLUMNS[::-1])
    assert scorer.score([("C", 1)])[0]["why"] == {"rule": "not_ok", "status": "STOLEN", "served": False}


def test_the_names_of_the_key_are_those_of_the_spine(artifact):
    app = make_app()
    assert Scorer(app, Predictor(app, artifact), ROWS, COLUMNS).key_names == ("order_id", "line")


def test_a_predictor_gives_positions_and_calibrated_probabilities(artifact):
    predictor = Predictor(make_app(), artifact)
    assert predictor.inputs.names == ("stock", "status", "served", "price")
    outputs = predictor.predict(np.array([[5, 0, 1, 120.0], [0, 0, 1, 9.5], [5, 2, 1, math.nan]]))
    assert outputs["action"].tolist() == [2, 0, 1]
    assert outputs["odds"] == pytest.approx([HIGH, LOW, LOW])


maybe = st.sampled_from([math.nan, -math.inf, math.inf, -1.0, 0.0, 1.0, 2.0, 100.0, 100.00000000000001])


@given(st.lists(st.tuples(maybe, maybe, maybe, maybe), min_size=2, max_size=10))
@settings(deadline=None, database=None, max_examples=50)
def test_a_row_alone_is_scored_as_among_others(rows):
    predictor = Predictor(
        make_app(), artifact_of({"odds": LearntHead(price_stump(), Link(1.0, 0.5), ("price", "stock"))})
    )
    matrix = np.array(rows)
    together = predictor.predict(matrix)
    for name, values in together.items():
        alone = [predictor.predict(matrix[n : n + 1])[name][0] for n in range(len(rows))]
        assert alone == values.tolist()


GOLDEN = Golden(
    rows=[[5.0, 0.0, 1.0, 120.0], [None, None, None, None]], outputs={"action": [2.0, 0.0], "odds": [HIGH, LOW]}
)


def test_a_predictor_that_answers_the_golden_rows_is_accepted(artifact):
    app = make_app()
    check_golden(Predictor(app, artifact), artifact_of(artifact.learnt, GOLDEN))


@pytest.mark.parametrize(
    ("outputs", "says"),
    [
        pytest.param({"action": [2.0, 1.0], "odds": [HIGH, LOW]}, "head 'action' gives 0 for row 1", id="a-rule"),
        pytest.param({"action": [2.0, 0.0], "odds": [HIGH + 1e-8, LOW]}, "head 'odds' gives .* for row 0", id="odds"),
        pytest.param({"action": [2.0, 0.0], "odds": None}, "head 'odds' is unexpected", id="a-head-too-many"),
        pytest.param({"action": [2.0, 0.0], "more": [1.0, 1.0]}, "head 'more' gives nothing", id="a-head-too-few"),
    ],
)
def test_golden_rows_that_are_answered_otherwise_refuse_the_predictor(artifact, outputs, says):
    with pytest.raises(ArtifactError, match=f"golden rows: {says}"):
        check_golden(Predictor(make_app(), artifact), artifact_of(artifact.learnt, Golden(GOLDEN.rows, outputs)))


def test_a_head_that_was_not_learnt_then_and_is_not_there_now_is_no_difference():
    learnt = {"odds": None}
    golden = Golden(GOLDEN.rows, {"action": [2.0, 0.0], "odds": None})
    check_golden(Predictor(make_app(), artifact_of(learnt)), artifact_of(learnt, golden))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(lambda odds: odds * 0.5, "head 'odds' gives", id="another-number"),
        pytest.param(lambda odds: odds * np.nan, "head 'odds' gives nan", id="no-number"),
        pytest.param(lambda odds: odds[:1], r"head 'odds' gives shape \(1,\) for 2 rows", id="too-few-numbers"),
        pytest.param(lambda odds: odds[:, None], r"head 'odds' gives shape \(2, 1\)", id="a-matrix"),
        pytest.param(lambda odds: None, "head 'odds' gives nothing", id="nothing"),
    ],
)
def test_an_apps_own_predictor_that_scores_otherwise_is_refused(artifact, change, says):
    class Own(Predictor):
        def predict(self, matrix):
            outputs = super().predict(matrix)
            return {**outputs, "odds": change(outputs["odds"])}

    with pytest.raises(ArtifactError, match=says):
        check_golden(Own(make_app(), artifact), artifact_of(artifact.learnt, GOLDEN))
