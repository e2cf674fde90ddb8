"""Rules that compare one feature with another: the same for one row as for many, and a null holds none."""

from __future__ import annotations

import math
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoreline import Boolean, Category, Integer, Number, Rule, feature
from scoreline.app.heads import declare_rules
from scoreline.model.inputs import Inputs
from scoreline.model.rules import CompiledRules

STATUS = Category("OK", "FAILED")
TYPES = {
    "stock": Integer(), "price": Number(), "wanted": Number(), "served": Boolean(), "asked": Boolean(),
    "status": STATUS, "former": STATUS,
}  # fmt: skip
NULL = math.nan
COMPARE = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


def compiled(*rules):
    """Compile rules, given as lists of comparisons; a last one that always holds is added."""
    numbered = [Rule(f"rule {n}", when=when, then=f"answer {n}") for n, when in enumerate(rules)]
    return CompiledRules(declare_rules("head", [*numbered, Rule("rest", then="rest")], TYPES), Inputs(TYPES))


def holds(comparison, rows):
    """Tell for rows, each with the values of the two features, whether the comparison holds: at once and one by one."""
    names = (comparison[0], comparison[2].name)
    columns = [[row[names.index(name)] if name in names else None for row in rows] for name in TYPES]
    matrix, rules = Inputs(TYPES).encode(columns), compiled([comparison])
    together = rules.predict(matrix).tolist()
    assert [int(rules.predict(matrix[row : row + 1])[0]) for row in range(len(rows))] == together
    return [position == 0 for position in together]


@pytest.mark.parametrize(
    ("verb", "below", "equal", "above"),
    [
        ("<", True, False, False),
        ("<=", True, True, False),
        (">", False, False, True),
        (">=", False, True, True),
        ("==", False, True, False),
        ("!=", True, False, True),
    ],
)
def test_two_numbers_are_compared_row_by_row_and_a_null_on_either_side_holds_nothing(verb, below, equal, above):
    rows = [(1, 2.5), (2, 2.0), (3, 2.5), (None, 2.5), (1, None), (None, None)]
    assert holds(("stock", verb, feature("wanted")), rows) == [below, equal, above, False, False, False]


@pytest.mark.parametrize(("verb", "same"), [("==", True), ("!=", False)])
@pytest.mark.parametrize(
    ("comparison", "one", "other"),
    [
        pytest.param(("served", feature("asked")), True, False, id="booleans"),
        pytest.param(("status", feature("former")), "OK", "FAILED", id="categories"),
    ],
)
def test_two_booleans_or_categories_are_the_same_or_not(verb, same, comparison, one, other):
    rows = [(one, one), (other, other), (one, other), (other, one), (one, None), (None, other), (None, None)]
    expected = [same, same, not same, not same, False, False, False]
    assert holds((comparison[0], verb, comparison[1]), rows) == expected


def test_a_known_category_is_not_one_that_nobody_listed():
    rows = [("OK", "STOLEN"), ("STOLEN", "OK")]
    assert holds(("status", "==", feature("former")), rows) == [False, False]
    assert holds(("status", "!=", feature("former")), rows) == [True, True]


def test_a_feature_may_be_compared_with_itself():
    assert holds(("stock", "==", feature("stock")), [(1, 1), (None, None)]) == [True, False]


def test_a_rule_looks_at_both_features_each_once():
    rule = Rule("r", when=[("stock", "<", feature("wanted")), ("wanted", ">", 3), ("price", "is null")], then="x")
    assert rule.inputs == ("stock", "wanted", "price")


def test_rules_with_another_feature_are_described_apart_from_those_with_its_name_as_a_value():
    by_feature = Rule("r", when=[("status", "==", feature("OK"))], then="x").describe()
    by_value = Rule("r", when=[("status", "==", "OK")], then="x").describe()
    assert by_feature["when"] == [["status", "==", {"feature": "OK"}]]
    assert by_value["when"] == [["status", "==", "OK"]]


def test_predicting_leaves_the_matrix_as_it_was():
    matrix = np.array([[1.0, NULL, 2.0, NULL, 1.0, NULL, 2.0], [NULL, 1.0, 0.0, 1.0, NULL, 0.0, NULL]])
    before = matrix.copy()
    compiled([("stock", "<", feature("wanted"))], [("served", "!=", feature("asked"))]).predict(matrix)
    assert np.array_equal(matrix, before, equal_nan=True)


numbers = st.sampled_from(["stock", "price", "wanted"])
comparisons = st.one_of(
    st.tuples(numbers, st.sampled_from(list(COMPARE)), st.builds(feature, numbers)),
    st.tuples(numbers, st.sampled_from(list(COMPARE)), st.sampled_from([-1, 0, 0.5])),
    st.tuples(st.just("served"), st.sampled_from(["==", "!="]), st.just(feature("asked"))),
    st.tuples(st.just("status"), st.sampled_from(["==", "!="]), st.just(feature("former"))),
    st.tuples(st.sampled_from(list(TYPES)), st.just("is null")),
)
any_number = st.sampled_from([NULL, math.inf, -math.inf, -1.0, -0.0, 0.0, 0.5, 5e-324])
rows = st.tuples(*[any_number] * 3, *[st.sampled_from([NULL, 0.0, 1.0])] * 4)


def plain_answer(rules, row):
    value = dict(zip(TYPES, row, strict=True))
    for position, when in enumerate(rules):
        for name, verb, *other in when:
            x = value[name]
            if verb == "is null":
                if math.isnan(x):
                    return position
            else:
                y = value[other[0].name] if hasattr(other[0], "name") else other[0]
                if not math.isnan(x) and not math.isnan(y) and COMPARE[verb](x, y):
                    return position
    return len(rules)


@given(
    rules=st.lists(st.lists(comparisons, min_size=1, max_size=4), max_size=4),
    matrix=st.lists(rows, min_size=1, max_size=12),
)
@settings(deadline=None, database=None, max_examples=200)
def test_one_row_and_many_agree_with_a_plain_loop(rules, matrix):
    expected = [plain_answer(rules, row) for row in matrix]
    head = compiled(*rules)
    assert head.predict(np.array(matrix)).tolist() == expected
    assert [head.predict(np.array([row])).tolist()[0] for row in matrix] == expected
