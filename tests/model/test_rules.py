"""Compiled rules: the first that holds wins, for one row as for many."""

from __future__ import annotations

import math
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoreline import Boolean, Category, Number, Rule
from scoreline.app.heads import declare_rules
from scoreline.model.inputs import Inputs
from scoreline.model.rules import CompiledRules

TYPES = {"stock": Number(), "served": Boolean(), "status": Category("OK", "FAILED", "LOST")}
NULL = math.nan


def compiled(*rules):
    """Compile rules, given as lists of comparisons; a last one that always holds is added."""
    numbered = [Rule(f"rule {n}", when=when, then=f"answer {n}") for n, when in enumerate(rules)]
    return CompiledRules(declare_rules("head", [*numbered, Rule("rest", then="rest")], TYPES), Inputs(TYPES))


def answers(rules, *values):
    """Answer raw rows one at a time and all together; both must agree."""
    matrix = Inputs(TYPES).encode([list(column) for column in zip(*values, strict=True)])
    together = rules.predict(matrix)
    alone = [rules.predict(matrix[row : row + 1]) for row in range(len(matrix))]
    assert together.dtype == alone[0].dtype == np.int64
    assert together.tolist() == np.concatenate(alone).tolist()
    return together.tolist()


@pytest.mark.parametrize(
    ("comparison", "holds_for", "not_for"),
    [
        pytest.param(("stock", "<", 2), [1, -5], [2, 3, None], id="less"),
        pytest.param(("stock", "<=", 2), [1, 2], [3, None], id="less-or-equal"),
        pytest.param(("stock", ">", 2), [3], [2, 1, None], id="greater"),
        pytest.param(("stock", ">=", 2), [2, 3], [1, None], id="greater-or-equal"),
        pytest.param(("stock", "==", 2), [2], [1, None], id="equal"),
        pytest.param(("stock", "!=", 2), [1, 3], [2, None], id="not-equal-holds-for-no-null"),
        pytest.param(("stock", "is null"), [None], [0, 1], id="null"),
        pytest.param(("served", "==", False), [False], [True, None], id="false-is-not-null"),
        pytest.param(("served", "!=", True), [False], [True, None], id="not-true-is-not-null"),
        pytest.param(("status", "==", "FAILED"), ["FAILED"], ["OK", "STOLEN", None], id="category"),
        pytest.param(("status", "!=", "OK"), ["FAILED", "STOLEN"], ["OK", None], id="an-unknown-value-is-not-that-one"),
        pytest.param(("status", "is null"), [None], ["OK", "STOLEN"], id="an-unknown-value-is-no-null"),
    ],
)
def test_a_comparison_holds_for_these_values_and_not_for_those(comparison, holds_for, not_for):
    place = list(TYPES).index(comparison[0])
    rows = [[None] * place + [value] + [None] * (2 - place) for value in holds_for + not_for]
    assert answers(compiled([comparison]), *rows) == [0] * len(holds_for) + [1] * len(not_for)


def test_the_first_rule_that_holds_wins():
    rules = compiled([("stock", "<", 10)], [("stock", "<", 5)], [("stock", ">", 20)])
    assert answers(rules, [1, None, None], [7, None, None], [21, None, None], [15, None, None]) == [0, 0, 2, 3]


def test_a_rule_holds_as_soon_as_one_of_its_comparisons_does():
    rules = compiled([("stock", "is null"), ("stock", "<", 1), ("served", "==", False)])
    assert answers(rules, [None, True, "OK"], [0, True, "OK"], [5, False, "OK"], [5, True, "OK"]) == [0, 0, 0, 1]


def test_with_everything_missing_only_is_null_or_the_last_rule_holds():
    everything = [("stock", "!=", 3), ("served", "!=", True), ("status", "!=", "OK"), ("stock", ">=", -1e300)]
    assert answers(compiled(everything), [None, None, None]) == [1]
    assert answers(compiled(everything, [("served", "is null")]), [None, None, None]) == [1]


def test_no_rows_have_no_answers():
    assert compiled([("stock", "<", 1)]).predict(np.empty((0, 3))).tolist() == []


def test_predicting_leaves_the_matrix_as_it_was():
    matrix = np.array([[1.0, NULL, 2.0], [NULL, 1.0, 0.0]])
    before = matrix.copy()
    compiled([("stock", "<", 1)]).predict(matrix)
    assert np.array_equal(matrix, before, equal_nan=True)


number_tests = st.tuples(
    st.just("stock"), st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), st.sampled_from([-1, 0, 0.5, 1, 1e300])
)
comparisons = st.one_of(
    number_tests,
    st.tuples(st.just("served"), st.sampled_from(["==", "!="]), st.booleans()),
    st.tuples(st.just("status"), st.sampled_from(["==", "!="]), st.sampled_from(["OK", "FAILED", "LOST"])),
    st.tuples(st.sampled_from(list(TYPES)), st.just("is null")),
)
matrices = st.lists(
    st.tuples(
        st.sampled_from([NULL, math.inf, -math.inf, -1.0, -0.0, 0.0, 0.5, 1.0, 1e300, 5e-324]),
        st.sampled_from([NULL, 0.0, 1.0]),
        st.sampled_from([NULL, 0.0, 1.0, 2.0, 3.0]),
    ),
    min_size=1,
    max_size=12,
)
COMPARE = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def plain_answer(rules, row):
    codes = {"OK": 0, "FAILED": 1, "LOST": 2}
    for position, when in enumerate(rules):
        for name, verb, *value in when:
            x = row[list(TYPES).index(name)]
            if verb == "is null":
                if math.isnan(x):
                    return position
            elif not math.isnan(x) and COMPARE[verb](x, codes.get(value[0], value[0])):
                return position
    return len(rules)


@given(rules=st.lists(st.lists(comparisons, min_size=1, max_size=4), max_size=4), matrix=matrices)
@settings(deadline=None, database=None, max_examples=200)
def test_one_row_and_many_agree_with_a_plain_loop(rules, matrix):
    expected = [plain_answer(rules, row) for row in matrix]
    head = compiled(*rules)
    assert head.predict(np.array(matrix)).tolist() == expected
    assert [head.predict(np.array([row])).tolist()[0] for row in matrix] == expected
