"""Splitting by time, the link, and telling how good a head is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoreline.model.evaluate import (
    Link,
    Metrics,
    Split,
    evaluate,
    fit_link,
    reliability,
    split_by_time,
    why_not_learnable,
)


def days(*numbers):
    return np.array(numbers, dtype="datetime64[D]").astype("datetime64[us]")


def parts_of(split):
    """Give each row's part: 0 train, 1 calibrate, 2 test; every row is in exactly one."""
    masks = np.array([split.train, split.calibrate, split.test])
    assert (masks.sum(axis=0) == 1).all()
    return masks.argmax(axis=0).tolist()


@pytest.mark.parametrize(
    ("times", "parts"),
    [
        pytest.param([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [0, 0, 0, 0, 0, 0, 1, 1, 2, 2], id="sixty-twenty-twenty"),
        pytest.param([9, 0, 8, 1, 7, 2, 6, 3, 5, 4], [2, 0, 2, 0, 1, 0, 1, 0, 0, 0], id="in-any-order-of-rows"),
        pytest.param([0, 1, 2, 3, 4, 6, 6, 7, 8, 9], [0, 0, 0, 0, 0, 1, 1, 1, 2, 2], id="one-instant-stays-together"),
        pytest.param([0, 1, 2, 3, 4, 5, 6, 8, 8, 8], [0, 0, 0, 0, 0, 0, 1, 2, 2, 2], id="a-tie-at-the-second-moment"),
        pytest.param([3, 3, 3, 3, 3], [2, 2, 2, 2, 2], id="all-at-one-instant-leave-nothing-to-train-on"),
        pytest.param([5], [2], id="a-single-row"),
    ],
)
def test_rows_are_split_at_two_moments(times, parts):
    assert parts_of(split_by_time(days(*times))) == parts


@given(st.lists(st.integers(0, 40), min_size=1, max_size=120))
@settings(deadline=None, database=None, max_examples=200)
def test_no_row_is_earlier_than_a_row_of_a_part_before_its_own(numbers):
    parts = np.array(parts_of(split_by_time(days(*numbers))))
    for earlier, later in ((0, 1), (1, 2), (0, 2)):
        before, after = np.array(numbers)[parts == earlier], np.array(numbers)[parts == later]
        assert not len(before) or not len(after) or before.max() < after.min()


def split_of(train, calibrate, test):
    part = np.repeat([0, 1, 2], [train, calibrate, test])
    return Split(part == 0, part == 1, part == 2)


def target_of(*counts):
    """`(true, false)` for each part, in order."""
    return np.concatenate([np.repeat([True, False], pair) for pair in counts])


@pytest.mark.parametrize(
    ("train", "calibrate", "test", "why"),
    [
        pytest.param((0, 0), (0, 0), (0, 0), "no row has the target", id="no-row"),
        pytest.param((150, 0), (50, 0), (50, 0), "the target is true in all 250 rows", id="always-true"),
        pytest.param((0, 2), (0, 1), (0, 1), "the target is false in all 4 rows", id="always-false"),
        pytest.param((60, 59), (20, 20), (20, 20), "only 199 rows have the target, at least 200 are needed", id="few"),
        pytest.param((19, 141), (20, 20), (20, 20), "the train part, by time, has 19 rows of one class, at least 20",
                     id="few-true-to-train-on"),
        pytest.param((141, 19), (20, 20), (20, 20), "the train part, by time, has 19 rows", id="few-false-to-train-on"),
        pytest.param((80, 80), (4, 40), (20, 20), "the calibrate part, by time, has 4 rows of one class, at least 5",
                     id="few-to-calibrate-with"),
        pytest.param((80, 80), (20, 20), (40, 0), "the test part, by time, has 0 rows of one class", id="none-to-test"),
        pytest.param((20, 140), (5, 15), (15, 5), None, id="just-enough"),
    ],
)  # fmt: skip
def test_says_why_a_head_can_not_be_learnt(train, calibrate, test, why):
    answer = why_not_learnable(target_of(train, calibrate, test), split_of(sum(train), sum(calibrate), sum(test)))
    assert answer is None if why is None else answer.startswith(why)


def test_rows_of_one_instant_are_not_learnable_and_say_so():
    target = np.arange(300) % 2 == 0
    assert "the train part" in why_not_learnable(target, split_by_time(days(*[7] * 300)))


def test_a_link_turns_raw_scores_into_probabilities():
    assert Link(0.0, 0.0).apply(np.array([-5.0, 5.0])).tolist() == [0.5, 0.5]
    assert Link(1.0, 0.0).apply(np.array([-1e308, 0.0, 1e308])).tolist() == [0.0, 0.5, 1.0]
    assert Link(2.0, -1.0).apply(np.array([0.5]))[0] == 0.5


def test_a_link_learns_the_rate_at_which_scores_come_true():
    rng = np.random.default_rng(0)
    raw = rng.normal(size=20_000)
    target = rng.random(20_000) < 1 / (1 + np.exp(-(0.5 * raw - 1)))
    link = fit_link(raw, target)
    assert link.slope == pytest.approx(0.5, abs=0.05)
    assert link.intercept == pytest.approx(-1, abs=0.05)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_link_does_not_depend_on_the_scale_of_the_scores(scale):
    raw = np.linspace(-2, 2, 200)
    target = np.sin(np.arange(200) * 7) + raw > 0
    assert fit_link(raw * scale, target).apply(raw * scale) == pytest.approx(fit_link(raw, target).apply(raw), abs=1e-6)


def test_a_score_that_says_the_opposite_becomes_the_base_rate():
    raw = np.linspace(-1, 1, 100)
    link = fit_link(raw, raw < -0.5)
    assert link.slope == 0.0
    assert link.apply(raw) == pytest.approx(np.full(100, 0.25))


def test_a_score_that_says_nothing_becomes_the_base_rate():
    target = np.arange(100) % 4 == 0
    assert fit_link(np.zeros(100), target).apply(np.array([-9.0, 0.0, 9.0])) == pytest.approx([0.25] * 3, abs=1e-6)


@given(st.lists(st.tuples(st.floats(-5, 5), st.booleans()), min_size=10, max_size=40))
@settings(deadline=None, database=None, max_examples=60)
def test_a_higher_score_never_has_a_lower_probability(rows):
    raw, target = (np.array(column) for column in zip(*rows, strict=True))
    target[:2] = True, False  # both classes, as `why_not_learnable` sees to
    link = fit_link(raw.astype(float), target)
    assert link.slope >= 0
    assert np.isfinite([link.slope, link.intercept]).all()
    assert (np.diff(link.apply(np.sort(raw))) >= 0).all()


@pytest.mark.parametrize(("brier", "better"), [(0.19, True), (0.20, False), (0.21, False)])
def test_a_head_is_better_only_if_it_beats_the_base_rate(brier, better):
    metrics = Metrics(auc=0.8, brier=brier, brier_base=0.20, log_loss=0.5, base_rate=0.7, rows=100)
    assert metrics.beats_base_rate is better
    assert metrics.describe()["beats_base_rate"] is better


def test_metrics_are_those_of_the_calibrated_probability():
    raw, target = np.array([-20.0, -20.0, 20.0, 20.0]), np.array([False, False, True, True])
    metrics = evaluate(Link(1.0, 0.0), raw, target, base_rate=0.5)
    assert (metrics.auc, metrics.rows, metrics.base_rate) == (1.0, 4, 0.5)
    assert metrics.brier == pytest.approx(0, abs=1e-9)
    assert metrics.brier_base == pytest.approx(0.25)
    assert metrics.beats_base_rate


def test_the_base_rate_that_a_head_must_beat_is_that_of_earlier_rows():
    metrics = evaluate(Link(0.0, 0.0), np.zeros(4), np.array([True, True, True, False]), base_rate=0.1)
    assert metrics.brier_base == pytest.approx((3 * 0.9**2 + 0.1**2) / 4)
    assert metrics.brier == pytest.approx(0.25)


def test_each_tenth_of_the_odds_says_what_was_predicted_and_what_happened():
    chance = np.array([0.05, 0.61, 0.65, 0.69, 0.95, 1.0])
    target = np.array([False, True, False, True, True, False])
    assert reliability(chance, target) == [
        {"from": 0.0, "to": 0.1, "rows": 1, "predicted": 0.05, "observed": 0.0},
        {"from": 0.6, "to": 0.7, "rows": 3, "predicted": pytest.approx(0.65), "observed": pytest.approx(2 / 3)},
        {"from": 0.9, "to": 1.0, "rows": 2, "predicted": pytest.approx(0.975), "observed": 0.5},
    ]


@pytest.mark.parametrize(
    ("chance", "tenth"), [(0.0, 0.0), (0.0999, 0.0), (0.1, 0.1), (0.3, 0.3), (0.5, 0.5), (0.9, 0.9), (1.0, 0.9)]
)
def test_odds_on_an_edge_belong_to_the_tenth_that_begins_there(chance, tenth):
    assert [band["from"] for band in reliability(np.array([chance]), np.array([True]))] == [tenth]


def test_rows_of_one_class_alone_have_no_auc_and_all_else():
    metrics = evaluate(Link(1.0, 0.0), np.array([0.0, 0.0]), np.array([True, True]), base_rate=0.5)
    described = metrics.describe()
    assert np.isnan(metrics.auc)
    assert described["auc"] is None  # JSON has no NaN
    assert (described["brier"], described["brier_base"], described["rows"]) == (0.25, 0.25, 2)
    assert described["log_loss"] == pytest.approx(np.log(2))


def test_metrics_are_described_with_those_of_each_group():
    part = Metrics(auc=0.5, brier=0.3, brier_base=0.2, log_loss=0.7, base_rate=0.5, rows=3)
    whole = Metrics(auc=0.8, brier=0.1, brier_base=0.2, log_loss=0.5, base_rate=0.7, rows=9, by={"300": part})
    assert "by" not in part.describe()
    assert whole.describe()["by"] == {"300": part.describe()}
    assert (whole.describe()["beats_base_rate"], part.describe()["beats_base_rate"]) == (True, False)
