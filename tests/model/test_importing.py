"""From an estimator to flat trees: they answer as the estimator does, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from lightgbm import LGBMClassifier
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression
from xgboost import XGBClassifier

from scoreline.errors import ArtifactError
from scoreline.model.compiling import answered, exact_trees
from scoreline.model.importing import import_trees
from scoreline.model.parity import Corpus, first_difference, make_corpus, probabilities
from scoreline.model.runtimes import GtilRuntime, KernelRuntime
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
    feature, value = trees.splits()
    values = np.concatenate([value, np.nextafter(value, -np.inf), np.nextafter(value, np.inf)])
    made = rows[np.arange(len(values)) % len(rows)].copy()
    made[np.arange(len(values)), np.tile(feature, 3)] = values
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


def both_widths(estimator):
    return [import_trees(estimator, features=COLUMNS, float_width=width) for width in (64, 32)]


def test_training_finds_by_itself_that_an_estimator_compares_in_float32(narrow):
    estimator, x = narrow
    candidates = both_widths(estimator)
    corpus = Corpus(*answered(estimator, make_corpus(x, candidates[0], seed=0)))
    trees, difference = exact_trees(candidates, corpus)
    assert (trees.float_width, difference) == (32, None)
    assert np.array_equal(trees.predict_raw(x), estimator.decision_function(x))


def test_training_finds_by_itself_that_an_estimator_compares_in_float64(fitted):
    estimator, trees, x = fitted
    found, difference = exact_trees(
        both_widths(estimator)[::-1], Corpus(*answered(estimator, make_corpus(x, trees, seed=0)))
    )
    assert (found.float_width, difference) == (64, None)


def test_the_wrong_width_is_found_out_by_the_corpus(fitted, narrow):
    estimator, trees, x = fitted
    corpus = make_corpus(x, trees, seed=0)
    wrong = import_trees(estimator, features=COLUMNS, float_width=32)
    difference = first_difference(estimator.decision_function(corpus), wrong.predict_raw(corpus))
    assert difference is not None
    estimator, x = narrow
    wrong = import_trees(estimator, features=COLUMNS, float_width=64)
    corpus, raw = answered(estimator, make_corpus(x, wrong, seed=0))
    assert first_difference(raw, wrong.predict_raw(corpus)) is not None


def test_an_estimator_that_takes_no_missing_value_is_proved_on_the_rows_that_it_takes(narrow):
    estimator, x = narrow
    corpus = make_corpus(x, import_trees(estimator, features=COLUMNS, float_width=64), seed=0)
    rows, raw = answered(estimator, corpus)
    assert np.isfinite(rows).all()
    assert len(corpus) > len(rows) > len(corpus) / 3
    assert raw.tolist() == estimator.decision_function(rows).tolist()


# Every kind of estimator that can be compiled: what its trees answer is what it answers


def mixed_rows(count=900):
    """Two numbers, a category of nine values, a number of odd scale; and two and four classes to learn."""
    rng = np.random.default_rng(3)
    x = np.column_stack([
        rng.normal(size=count), rng.integers(0, 9, count), rng.normal(size=count) * 1e-3, rng.lognormal(0, 6, count),
    ]).astype(float)  # fmt: skip
    score = x[:, 0] + (x[:, 1] % 3 == 1) * 1.5 + x[:, 2] * 500 + rng.normal(size=count) * 0.5
    with_missing = np.where(rng.random(x.shape) < 0.1, np.nan, x)
    return x, with_missing, {2: (score > 0).astype(int), 4: np.digitize(score, [-1, 0, 1])}


WHOLE, MISSING, TARGETS = mixed_rows()
XGB = {"n_estimators": 12, "n_jobs": 1, "enable_categorical": True, "max_cat_to_onehot": 1}
LGB = {"n_estimators": 12, "n_jobs": 1, "verbose": -1, "min_data_per_group": 5, "cat_smooth": 1}
KINDS = {
    "hist": (lambda: HistGradientBoostingClassifier(max_iter=12, early_stopping=False), MISSING, {}),
    "hist-categories": (
        lambda: HistGradientBoostingClassifier(max_iter=12, early_stopping=False, categorical_features=[1]),
        MISSING, {},
    ),
    "hist-categories-none-missing": (
        lambda: HistGradientBoostingClassifier(max_iter=12, early_stopping=False, categorical_features=[1]), WHOLE, {},
    ),
    "exact": (lambda: GradientBoostingClassifier(n_estimators=12), WHOLE, {}),
    "exact-from-zero": (lambda: GradientBoostingClassifier(n_estimators=12, init="zero"), WHOLE, {}),
    "forest": (lambda: RandomForestClassifier(n_estimators=12), WHOLE, {}),
    "forest-missing": (lambda: RandomForestClassifier(n_estimators=12), MISSING, {}),
    "extra-trees": (lambda: ExtraTreesClassifier(n_estimators=12), MISSING, {}),
    "xgboost": (lambda: XGBClassifier(**XGB), MISSING, {}),
    "xgboost-base": (lambda: XGBClassifier(**XGB, base_score=0.3), WHOLE, {}),
    "xgboost-categories": (lambda: XGBClassifier(**XGB, feature_types=["q", "c", "q", "q"]), MISSING, {}),
    "lightgbm": (lambda: LGBMClassifier(**LGB), MISSING, {}),
    "lightgbm-none-missing": (lambda: LGBMClassifier(**LGB), WHOLE, {}),
    "lightgbm-categories": (lambda: LGBMClassifier(**LGB), MISSING, {"categorical_feature": [1]}),
}  # fmt: skip


@pytest.fixture(scope="module", params=[(kind, classes) for kind in KINDS for classes in TARGETS], ids=str)
def compiled(request):
    """An estimator of each kind and number of classes, its flat trees, and its own answers to a corpus."""
    kind, classes = request.param
    make, x, options = KINDS[kind]
    estimator = make()
    if hasattr(estimator, "random_state"):
        estimator.set_params(random_state=0)
    estimator.fit(x, TARGETS[classes], **options)
    candidates = [import_trees(estimator, features=4, float_width=width) for width in (64, 32)]
    rng = np.random.default_rng(0)
    rows = np.concatenate([make_corpus(x, candidates[0], 0), rng.permuted(x, axis=0)])
    corpus = Corpus(*answered(estimator, rows), candidates[0].link)
    trees, difference = exact_trees(candidates, corpus)
    assert difference is None
    return estimator, trees, corpus


def test_every_kind_is_scored_to_the_last_bit(compiled):
    """On training rows, random ones, thresholds and one ulp beside, NaN, inf, denormals, every category and no such."""
    _, trees, corpus = compiled
    assert len(corpus.rows) > 1000
    assert np.array_equal(trees.predict_raw(corpus.rows), corpus.raw)


@pytest.mark.parametrize("runtime", [pytest.param(KernelRuntime, marks=pytest.mark.needs("kernel")), GtilRuntime])
def test_every_kind_is_scored_to_the_last_bit_by_every_runtime(compiled, runtime):
    _, trees, corpus = compiled
    assert np.array_equal(runtime(trees).predict_raw(corpus.rows), corpus.raw)


def test_every_kind_has_its_probabilities(compiled):
    estimator, trees, corpus = compiled
    chances = probabilities(trees.predict_raw(corpus.rows), trees.link)
    own = estimator.predict_proba(corpus.rows)
    assert chances == pytest.approx(own[:, 1] if trees.outputs == 1 else own, abs=1e-6)


def test_every_kind_is_compared_in_its_own_width_and_not_in_the_other(compiled):
    estimator, trees, corpus = compiled
    wide = type(estimator).__name__ in ("HistGradientBoostingClassifier", "LGBMClassifier")
    assert trees.float_width == (64 if wide else 32)
    wrong = import_trees(estimator, features=4, float_width=96 - trees.float_width)
    assert first_difference(corpus.raw, wrong.predict_raw(corpus.rows), corpus.link) is not None


def test_every_kind_is_the_same_from_its_file(compiled, tmp_path):
    _, trees, corpus = compiled
    trees.save(tmp_path / "a.trees")
    assert np.array_equal(GtilRuntime(FlatTrees.load(tmp_path / "a.trees")).predict_raw(corpus.rows), corpus.raw)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        pytest.param(lambda: LogisticRegression(), "Not supported model type", id="no-trees"),
        pytest.param(lambda: RandomForestRegressor(n_estimators=2), "expected a classifier", id="a-regressor"),
        pytest.param(
            lambda: GradientBoostingClassifier(n_estimators=2, init=LogisticRegression()), "Custom init", id="own-start"
        ),
        pytest.param(
            lambda: HistGradientBoostingClassifier(max_iter=2, categorical_features=[0]),
            "categories of column 0 are not all whole numbers", id="categories-with-fractions",
        ),
    ],
)  # fmt: skip
def test_an_estimator_that_can_not_be_flattened_is_refused(make, says):
    x, y = np.abs(WHOLE).round(1)[:60], TARGETS[2][:60]
    with pytest.raises(ArtifactError, match=rf"its trees can't be read \(.*{says}"):
        import_trees(make().fit(x, y), features=4, float_width=64)


def test_dropped_zeros_and_averages_of_lightgbm_are_refused_by_the_corpus():
    for options in ({"zero_as_missing": True}, {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}):
        estimator = LGBMClassifier(**LGB, **options).fit(MISSING, TARGETS[2])
        trees = import_trees(estimator, features=4, float_width=64)
        corpus = Corpus(*answered(estimator, make_corpus(MISSING, trees, 0)))
        assert exact_trees([trees], corpus)[1] is not None
