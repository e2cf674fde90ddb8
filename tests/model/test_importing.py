"""From an estimator to flat trees: they answer as the estimator does, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from scoreline.errors import ArtifactError
from scoreline.model.importing import import_trees
from scoreline.model.parity import first_difference, make_corpus
from scoreline.model.train import _answered, _exact_width
from scoreline.model.trees import FlatTrees

COLUMNS = 5


def training_rows(seed, *, missing=0.15):
    """Numbers, whole numbers, a category's codes, a boolean and a number of odd scale; some missing."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([
        rng.normal(size=600), rng.integers(-3, 4, 600), rng.integers(0, 5, 600), rng.integers(0, 2, 600),
        rng.lognormal(0, 8, 600),
    ]).astype(float)  # fmt: skip
    y = x[:, 0] + (x[:, 2] == 3) - x[:, 3] + rng.normal(size=600) * 0.5 > 0
    x[rng.random(x.shape) < missing] = np.nan
    return x, y


def hist(seed, **options):
    x, y = training_rows(seed)
    given = {"max_iter": 30, "learning_rate": 0.3, "random_state": seed, "early_stopping": False, **options}
    estimator = HistGradientBoostingClassifier(**given).fit(x, y)
    return estimator, import_trees(estimator, features=COLUMNS, float_width=64), x


@pytest.fixture(scope="module", params=range(3))
def fitted(request):
    """A fitted estimator, its flat trees and its training rows, for three seeds."""
    return hist(request.param)


def random_rows(seed, count):
    rng = np.random.default_rng(seed)
    odd = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, -5e-324, 1e-310, 1.7e308, -1.7e308, 1e39, -1e39])
    rows = rng.normal(size=(count, COLUMNS)) * 10 ** rng.uniform(-3, 3, size=(count, COLUMNS))
    return np.where(rng.random(rows.shape) < 0.3, rng.choice(odd, rows.shape), rows)


def beside_thresholds(trees, rows):
    """Rows with a value on, one ulp below and one ulp above each threshold of the trees."""
    inner = np.flatnonzero(trees.left != np.arange(len(trees.left)))
    value = trees.threshold[inner]
    values = np.concatenate([value, np.nextafter(value, -np.inf), np.nextafter(value, np.inf)])
    made = rows[np.arange(len(values)) % len(rows)].copy()
    made[np.arange(len(values)), np.tile(trees.feature[inner], 3)] = values
    return made


def test_training_rows_are_scored_to_the_last_bit(fitted):
    estimator, trees, x = fitted
    assert np.array_equal(trees.predict_raw(x), estimator.decision_function(x))


def test_random_missing_infinite_and_denormal_values_are_scored_to_the_last_bit(fitted):
    estimator, trees, _ = fitted
    rows = random_rows(7, 2000)
    assert np.array_equal(trees.predict_raw(rows), estimator.decision_function(rows))


def test_values_on_and_one_ulp_beside_every_threshold_are_scored_to_the_last_bit(fitted):
    estimator, trees, x = fitted
    rows = beside_thresholds(trees, x)
    assert len(rows) > 500
    assert np.array_equal(trees.predict_raw(rows), estimator.decision_function(rows))


def test_a_row_alone_is_scored_as_among_others(fitted):
    estimator, trees, x = fitted
    rows = np.concatenate([x[:20], random_rows(3, 20)])
    alone = [trees.predict_raw(rows[n : n + 1])[0] for n in range(len(rows))]
    assert alone == trees.predict_raw(rows).tolist() == estimator.decision_function(rows).tolist()


def test_trees_read_from_a_file_score_alike(fitted, tmp_path):
    _, trees, x = fitted
    trees.save(tmp_path / "a.trees")
    assert np.array_equal(FlatTrees.load(tmp_path / "a.trees").predict_raw(x), trees.predict_raw(x))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"max_iter": 1}, id="one-tree"),
        pytest.param({"max_leaf_nodes": 2}, id="stumps"),
        pytest.param({"max_leaf_nodes": None, "max_depth": 12, "min_samples_leaf": 1}, id="deep-trees"),
        pytest.param({"min_samples_leaf": 600}, id="trees-of-one-leaf"),
        pytest.param({"max_bins": 3}, id="few-thresholds"),
        pytest.param({"monotonic_cst": [1, 0, 0, -1, 0]}, id="monotonic"),
        pytest.param({"early_stopping": True, "n_iter_no_change": 2}, id="stopped-early"),
    ],
)
def test_estimators_of_any_shape_are_scored_to_the_last_bit(options):
    estimator, trees, x = hist(11, **options)
    rows = np.concatenate([x, random_rows(1, 300)])
    assert np.array_equal(trees.predict_raw(rows), estimator.decision_function(rows))


@pytest.fixture(scope="module")
def narrow():
    """A GradientBoostingClassifier, which compares in float32, and rows without missing values."""
    x, y = training_rows(5, missing=0)
    return GradientBoostingClassifier(n_estimators=20, random_state=0).fit(x, y), x


def test_training_finds_by_itself_that_an_estimator_compares_in_float32(narrow):
    estimator, x = narrow
    corpus = make_corpus(x, import_trees(estimator, features=COLUMNS, float_width=64), seed=0)
    corpus, raw = _answered(estimator, corpus)
    trees, difference = _exact_width(estimator, corpus, raw)
    assert (trees.float_width, difference) == (32, None)
    assert trees.predict_raw(x) == pytest.approx(estimator.decision_function(x), abs=1e-12)


def test_training_finds_by_itself_that_an_estimator_compares_in_float64(fitted):
    estimator, trees, x = fitted
    corpus, raw = _answered(estimator, make_corpus(x, trees, seed=0))
    found, difference = _exact_width(estimator, corpus, raw)
    assert (found.float_width, difference) == (64, None)


def test_the_wrong_width_is_found_out_by_the_corpus(fitted, narrow):
    estimator, trees, x = fitted
    corpus = make_corpus(x, trees, seed=0)
    wrong = import_trees(estimator, features=COLUMNS, float_width=32)
    difference = first_difference(estimator.decision_function(corpus), wrong.predict_raw(corpus))
    assert difference is not None
    estimator, x = narrow
    wrong = import_trees(estimator, features=COLUMNS, float_width=64)
    corpus, raw = _answered(estimator, make_corpus(x, wrong, seed=0))
    assert first_difference(raw, wrong.predict_raw(corpus)) is not None


def test_an_estimator_that_takes_no_missing_value_is_proved_on_the_rows_that_it_takes(narrow):
    estimator, x = narrow
    corpus = make_corpus(x, import_trees(estimator, features=COLUMNS, float_width=64), seed=0)
    answered, raw = _answered(estimator, corpus)
    assert np.isfinite(answered).all()
    assert len(corpus) > len(answered) > len(corpus) / 3
    assert raw.tolist() == estimator.decision_function(answered).tolist()


def classes(count):
    x, _ = training_rows(0, missing=0)
    return x, np.arange(len(x)) % count


@pytest.mark.parametrize(
    ("estimator", "count", "says"),
    [
        pytest.param(
            HistGradientBoostingClassifier(max_iter=2, early_stopping=False), 3, "expected an additive model of two",
            id="three-classes",
        ),
        pytest.param(RandomForestClassifier(n_estimators=2), 2, "expected an additive model", id="averaged-trees"),
        pytest.param(LogisticRegression(), 2, "its trees can't be read", id="no-trees"),
        pytest.param(
            HistGradientBoostingClassifier(max_iter=5, early_stopping=False, categorical_features=[2]), 2,
            "native categorical splits can't be flattened yet", id="categorical-splits",
        ),
    ],
)  # fmt: skip
def test_an_estimator_that_can_not_be_flattened_is_refused(estimator, count, says):
    x, y = classes(count)
    x = np.abs(x[:, :4]).round()
    y = x[:, 2].astype(int) % 2 if count == 2 else y
    with pytest.raises(ArtifactError, match=says):
        import_trees(estimator.fit(x, y), features=4, float_width=64)
