"""The heads over the inputs matrix, and the golden rows that prove them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lines import HIGH, LOW, artifact_of, make_app, price_stump

from scoreline.errors import ArtifactError
from scoreline.model.artifact import Golden, LearntHead
from scoreline.model.evaluate import Link
from scoreline.predictor import Predictor, check_golden


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


def knocking_out(stump_takes_missing=True):
    """Give a predictor whose odds the rules of `action` knock out: all but its last."""
    app = make_app()
    app.heads["odds"] = replace(app.heads["odds"], knock_outs="action")
    head = LearntHead(price_stump(), Link(1.0, 0.5), ("price", "stock"), takes_missing=stump_takes_missing)
    return Predictor(app, artifact_of({"odds": head}))


def test_a_row_that_a_knock_out_rule_holds_for_has_odds_of_0_whatever_the_trees_say():
    predictor = knocking_out()
    matrix = np.array([[5, 0, 1, 120.0], [0, 0, 1, 120.0], [5, 1, 1, 120.0], [5, 0, 1, 9.5], [math.nan, 0, 1, 9.5]])
    outputs = predictor.predict(matrix)
    assert outputs["action"].tolist() == [2, 0, 1, 2, 0]
    assert outputs["odds"].tolist() == pytest.approx([HIGH, 0, 0, LOW, 0])
    assert (outputs["odds"][[1, 2, 4]] == 0.0).all()
    assert [predictor.predict(matrix[row : row + 1])["odds"][0] for row in range(5)] == outputs["odds"].tolist()


def test_a_knock_out_stands_also_where_the_trees_say_nothing():
    odds = knocking_out(stump_takes_missing=False).predict(np.array([[0, 0, 1, math.nan], [5, 0, 1, math.nan]]))["odds"]
    assert odds[0] == 0.0
    assert math.isnan(odds[1])


def test_knock_outs_leave_a_head_that_was_not_learnt_absent():
    app = make_app()
    app.heads["odds"] = replace(app.heads["odds"], knock_outs="action")
    assert Predictor(app, artifact_of({"odds": None})).predict(np.array([[0, 0, 1, 1.0]]))["odds"] is None
