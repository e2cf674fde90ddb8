"""The parity corpus: what it holds, and what counts as a difference."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from scoreline.model.packing import Tree, pack_trees
from scoreline.model.parity import (
    Corpus,
    Difference,
    first_difference,
    load_corpus,
    make_corpus,
    probabilities,
    probability,
    save_corpus,
)
from scoreline.model.trees import EXACT

STUMP = pack_trees(
    [Tree([1, -1, -1], [2, -1, -1], [1, 0, 0], [0.1, 0, 0], [True, False, False], [0, -1.0, 1.0])],
    base=[0.0], features=2,
)  # fmt: skip
TRAINING = np.array([[1.0, 0.0], [2.0, np.nan], [3.0, 0.3]])


def values_of(corpus, column):
    return {repr(value) for value in corpus[:, column].tolist()}


def test_the_corpus_holds_the_training_rows():
    rows = {tuple(map(repr, row)) for row in make_corpus(TRAINING, STUMP, 0).tolist()}
    assert {tuple(map(repr, row)) for row in TRAINING.tolist()} <= rows


@pytest.mark.parametrize("column", [0, 1])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "5e-324", "-5e-324", "1e-310", "0.0", "-0.0", "1.7e+308"])
def test_every_column_holds_every_odd_value(column, value):
    assert value in values_of(make_corpus(TRAINING, STUMP, 0), column)


def test_thresholds_and_the_values_one_ulp_beside_them_stand_in_the_column_that_is_split():
    beside = {repr(float(v)) for v in (0.1, np.nextafter(0.1, -1), np.nextafter(0.1, 1))}
    corpus = make_corpus(TRAINING, STUMP, 0)
    assert beside <= values_of(corpus, 1)
    assert not beside & values_of(corpus, 0)


def test_random_rows_reach_beyond_the_training_rows_on_both_sides():
    corpus = make_corpus(TRAINING, STUMP, 0)
    finite = corpus[np.isfinite(corpus[:, 0]) & (np.abs(corpus[:, 0]) < 100), 0]
    assert finite.min() < 1 < 3 < finite.max()


def test_the_same_arguments_give_the_same_corpus_and_another_seed_another():
    first, again, other = (make_corpus(TRAINING, STUMP, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again, equal_nan=True)
    assert not np.array_equal(first, other, equal_nan=True)


def test_a_runtime_that_takes_less_or_equal_for_less_is_found_out():
    corpus = make_corpus(TRAINING, STUMP, 0)
    wrong = dataclasses.replace(STUMP, inclusive=False)
    difference = first_difference(STUMP.predict_raw(corpus), wrong.predict_raw(corpus))
    assert (difference.expected, difference.got) == (-1.0, 1.0)
    assert corpus[difference.row, 1] == 0.1


def test_a_runtime_that_sends_missing_values_the_other_way_is_found_out():
    corpus = make_corpus(TRAINING, STUMP, 0)
    nodes = STUMP.nodes.copy()
    nodes["slot"] ^= 1
    wrong = dataclasses.replace(STUMP, nodes=nodes)
    assert first_difference(STUMP.predict_raw(corpus), wrong.predict_raw(corpus)) is not None


@pytest.mark.parametrize(
    ("expected", "got", "difference"),
    [
        pytest.param([1.0, 2.0], [1.0, 2.0], None, id="equal"),
        pytest.param([1.0, 2.0], [1.0, 2.0 + 1e-7], None, id="closer-than-the-tolerance"),
        pytest.param([1.0, 2.0], [1.0, 2.0 + 1e-5], Difference(1, 2.0, 2.0 + 1e-5), id="farther-than-the-tolerance"),
        pytest.param([0.0, 1.0], [1e-12, 1.0], Difference(0, 0.0, 1e-12), id="another-label-however-close"),
        pytest.param([40.0], [50.0], None, id="both-are-certain"),
        pytest.param([1.0, 1.0], [1.0, np.nan], Difference(1, 1.0, np.nan), id="not-a-number"),
        pytest.param([5.0, 1.0, 2.0], [5.0, 9.0, 9.0], Difference(1, 1.0, 9.0), id="the-first-of-two"),
    ],
)
def test_labels_must_be_equal_and_probabilities_close(expected, got, difference):
    assert repr(first_difference(np.array(expected), np.array(got))) == repr(difference)


def test_a_probability_never_overflows():
    raw = np.array([-1e308, -800.0, 0.0, 800.0, 1e308])
    assert probability(raw).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert (probability(np.array([-30.0, -20.0])) > 0).all()


def test_a_corpus_is_read_back_as_it_was_and_written_alike_each_time(tmp_path):
    rows = make_corpus(TRAINING, STUMP, 0)
    corpus = Corpus(rows, STUMP.predict_raw(rows), "identity")
    save_corpus(tmp_path / "a.npz", corpus)
    save_corpus(tmp_path / "b.npz", corpus)
    read = load_corpus(tmp_path / "a.npz")
    assert np.array_equal(read.rows, rows, equal_nan=True)
    assert np.array_equal(read.raw, corpus.raw)
    assert read.link == "identity"
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_the_float32_values_beside_a_threshold_are_in_the_corpus_too():
    narrow = np.float32(0.1)
    beside = {repr(float(np.nextafter(narrow, np.float32(to)))) for to in (-1, 1)}
    assert beside <= values_of(make_corpus(TRAINING, STUMP, 0), 1)


def test_every_category_and_what_is_none_stand_in_the_column_of_categories():
    tree = Tree([1, -1, -1], [2, -1, -1], [1, 0, 0], [0, 0, 0], [True] * 3, [0, -1.0, 1.0], sets={0: [2, 40]})
    corpus = make_corpus(TRAINING, pack_trees([tree], base=[0.0], features=2, kinds=[0, EXACT]), 0)
    assert {repr(float(code)) for code in range(66)} | {"-1.0", "-0.5", "0.5", "1000000000.0"} <= values_of(corpus, 1)


def test_without_trees_there_is_a_corpus_all_the_same():
    assert len(make_corpus(TRAINING, None, 0)) > 400


@pytest.mark.parametrize(
    ("link", "expected", "got", "difference"),
    [
        pytest.param("identity", [0.6], [0.6], None, id="a-forest"),
        pytest.param("identity", [0.6], [0.6 + 1e-6], Difference(0, 0.6, 0.6 + 1e-6), id="a-forest-beyond-tolerance"),
        pytest.param("identity", [0.5], [0.5 + 1e-9], Difference(0, 0.5, 0.5 + 1e-9), id="a-forest-another-label"),
        pytest.param("softmax", [[1.0, 3.0]], [[1.0, 3.0]], None, id="softmax"),
        pytest.param("softmax", [[1.0, 3.0]], [[11.0, 13.0]], None, id="softmax-moved-together"),
        pytest.param("softmax", [[1.0, 3.0]], [[1.0, 3.1]], Difference(0, 3.0, 3.1), id="softmax-beyond-tolerance"),
        pytest.param(
            "softmax", [[3.0, 3.0]], [[3.0, 3.0 + 1e-9]], Difference(0, 3.0, 3.0 + 1e-9), id="softmax-another-label"
        ),
    ],
)
def test_each_link_has_its_own_probabilities_and_labels(link, expected, got, difference):
    assert first_difference(np.array(expected), np.array(got), link) == difference


def test_raw_scores_of_another_shape_are_no_answer():
    with pytest.raises(ValueError, match=r"shape \(1, 1\) instead of \(1,\)"):
        first_difference(np.zeros(1), np.zeros((1, 1)))


def test_softmax_never_overflows_and_adds_up_to_one():
    chances = probabilities(np.array([[1e308, 0.0], [-1e308, -1e308], [1.0, 2.0]]), "softmax")
    assert chances.sum(axis=1) == pytest.approx(1)
    assert chances[:2].tolist() == [[1, 0], [0.5, 0.5]]


def test_a_difference_says_row_and_both_scores():
    assert str(Difference(7, 1.0, -2.0)) == "row 7 of the parity corpus gives -2.0, the estimator 1.0"
