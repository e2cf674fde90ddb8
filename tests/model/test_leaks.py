"""Inputs that give the target away are found; those that are merely good are not."""

from __future__ import annotations

import numpy as np
import pytest

from scoreline.model.leaks import find_leaks

RNG = np.random.default_rng(0)
TARGET = RNG.random(2_000) < 0.4
NOISE = RNG.normal(size=2_000)
NULL = np.nan


def leaks(*columns, target=TARGET):
    """Find leaks among columns; the first half of the rows is the earlier one."""
    matrix = np.column_stack(columns).astype(float)
    names = [f"column {n}" for n in range(len(columns))]
    return find_leaks(names, (matrix[:1_000], target[:1_000]), (matrix[1_000:], target[1_000:]))


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(TARGET * 1.0, id="the-target-itself"),
        pytest.param(1.0 - TARGET, id="its-opposite"),
        pytest.param(np.where(TARGET, NOISE + 20, NOISE), id="a-number-that-is-high-where-it-is-true"),
        pytest.param(np.where(TARGET, 5 + NOISE / 10, np.where(NOISE > 0, 20, -20) + NOISE), id="a-middle-range"),
        pytest.param(np.where(TARGET, np.where(NOISE > 0, 20, -20), NOISE), id="both-ends"),
        pytest.param(np.where(TARGET, NULL, NOISE), id="null-where-it-is-true"),
        pytest.param(np.where(TARGET, NULL, 7.0), id="null-where-it-is-true-else-always-the-same"),
        pytest.param(np.where(TARGET, 7.0, NULL), id="known-where-it-is-true-alone"),
        pytest.param(np.where(TARGET, np.inf, NOISE), id="infinite-where-it-is-true"),
        pytest.param(np.where(TARGET, 1e300, -1e300), id="beyond-float32"),
    ],
)
def test_an_input_that_gives_the_target_away_is_named_with_its_auc(column):
    found = leaks(NOISE, column)
    assert list(found) == ["column 1"]
    assert 0.99 <= found["column 1"] <= 1.0


def a_good_one(strength):
    """Give a number that says the more of the target the stronger it is."""
    return NOISE + strength * TARGET


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(NOISE, id="noise"),
        pytest.param(a_good_one(1.5), id="a-good-one"),
        pytest.param(a_good_one(2.5), id="a-very-good-one"),
        pytest.param(np.where(RNG.random(2_000) < 0.04, ~TARGET, TARGET), id="right-in-96-of-100"),
        pytest.param(np.full(2_000, NULL), id="always-null"),
        pytest.param(np.full(2_000, 3.0), id="always-the-same"),
        pytest.param(np.where(RNG.random(2_000) < 0.3, NULL, NOISE), id="null-by-chance"),
        pytest.param(np.arange(2_000), id="the-row-number"),
    ],
)
def test_an_input_that_is_merely_good_is_not_named(column):
    assert leaks(column) == {}


def test_several_are_named_each_with_its_own_auc():
    found = leaks(TARGET, NOISE, np.where(RNG.random(2_000) < 0.005, ~TARGET, TARGET))
    assert list(found) == ["column 0", "column 2"]
    assert found["column 0"] == 1.0 > found["column 2"]


def test_an_input_that_gave_the_target_away_in_earlier_rows_alone_is_not_named():
    assert leaks(np.where(np.arange(2_000) < 1_000, TARGET, NOISE)) == {}


def test_inputs_are_left_as_they_were():
    matrix = np.column_stack([NOISE, np.where(TARGET, np.inf, NULL)])
    before = matrix.copy()
    find_leaks(["a", "b"], (matrix[:1_000], TARGET[:1_000]), (matrix[1_000:], TARGET[1_000:]))
    assert np.array_equal(matrix, before, equal_nan=True)
