"""Estimators on disk: the same bytes each time, and nothing but trusted types."""

from __future__ import annotations

import json
import pickle
import zipfile

import numpy as np
import pytest
import skops.io
from lightgbm import LGBMClassifier
from sklearn.base import clone
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from xgboost import XGBClassifier

from scoreline.errors import ArtifactError
from scoreline.model.estimator import find_estimator, load_estimator, save_estimator
from scoreline.model.evaluate import raw_scores

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 3))
X[:, 1] = RNG.integers(0, 5, 300)
Y = X[:, 0] + RNG.normal(size=300) > 0
ESTIMATORS = [
    pytest.param(HistGradientBoostingClassifier(max_iter=5, random_state=0, early_stopping=False), id="hist"),
    pytest.param(HistGradientBoostingClassifier(max_iter=5, random_state=0, early_stopping=True), id="stopped-early"),
    pytest.param(GradientBoostingClassifier(n_estimators=5, random_state=0), id="exact"),
    pytest.param(RandomForestClassifier(n_estimators=5, random_state=0), id="forest"),
    pytest.param(ExtraTreesClassifier(n_estimators=5, random_state=0), id="extra-trees"),
    pytest.param(HistGradientBoostingClassifier(max_iter=5, random_state=0, categorical_features=[1]), id="categories"),
]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_an_estimator_read_back_answers_as_before(estimator, tmp_path):
    estimator.fit(X, Y)
    save_estimator(estimator, tmp_path / "a.skops")
    read = load_estimator(tmp_path / "a.skops")
    assert np.array_equal(read.predict_proba(X), estimator.predict_proba(X))
    assert read.get_params() == estimator.get_params()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_an_estimator_of_three_classes_read_back_answers_as_before(estimator, tmp_path):
    estimator.fit(X, Y + (X[:, 2] > 0.5).astype(int))
    save_estimator(estimator, tmp_path / "a.skops")
    assert np.array_equal(load_estimator(tmp_path / "a.skops").predict_proba(X), estimator.predict_proba(X))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_an_estimator_fitted_again_gives_the_same_bytes(estimator, tmp_path):
    for name in ("a.skops", "b.skops"):  # a new one each time, as `train` does: fitting over keeps another order
        save_estimator(clone(estimator).fit(X, Y), tmp_path / name)
    assert (tmp_path / "a.skops").read_bytes() == (tmp_path / "b.skops").read_bytes()


def test_what_lies_between_the_fields_of_a_tree_is_not_written(tmp_path):
    estimator = GradientBoostingClassifier(n_estimators=2, random_state=0).fit(X, Y)
    written = []
    for rubbish in (0, 255):
        nodes = estimator.estimators_[0, 0].tree_.__getstate__()["nodes"]  # the tree's own memory
        used = {at + byte for kind, at in nodes.dtype.fields.values() for byte in range(kind.itemsize)}
        between = [byte for byte in range(nodes.itemsize) if byte not in used]
        assert between
        nodes.view(np.uint8).reshape(len(nodes), -1)[:, between] = rubbish
        written.append(save_estimator(estimator, tmp_path / "a").read_bytes())
    assert written[0] == written[1]


@pytest.mark.parametrize("estimator", ESTIMATORS[:2])
def test_an_estimator_read_back_gives_the_same_bytes(estimator, tmp_path):
    save_estimator(estimator.fit(X, Y), tmp_path / "a.skops")
    save_estimator(load_estimator(tmp_path / "a.skops"), tmp_path / "b.skops")
    assert (tmp_path / "a.skops").read_bytes() == (tmp_path / "b.skops").read_bytes()


XGB, LGB = {"n_estimators": 5, "n_jobs": 1}, {"n_estimators": 5, "n_jobs": 1, "verbose": -1}
OTHERS = [
    pytest.param(XGBClassifier(**XGB), ".ubj", id="xgboost"),
    pytest.param(XGBClassifier(**XGB, enable_categorical=True, feature_types=["q", "c", "q"]), ".ubj", id="xgboost-c"),
    pytest.param(LGBMClassifier(**LGB), ".txt", id="lightgbm"),
]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(("estimator", "suffix"), OTHERS)
def test_an_estimator_of_another_library_is_kept_in_its_own_format(estimator, suffix, classes, tmp_path):
    estimator.fit(X, Y if classes == 2 else Y + (X[:, 2] > 0.5).astype(int))
    for name in ("a", "b"):
        file = save_estimator(estimator, tmp_path / name)
        assert (file, find_estimator(tmp_path / name)) == (tmp_path / (name + suffix), file)
    rows = np.where(RNG.random(X.shape) < 0.2, np.nan, X)
    assert np.array_equal(raw_scores(load_estimator(file), rows), raw_scores(estimator, rows))
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", [".ubj", ".txt"])
@pytest.mark.parametrize("content", [b"", b"garbage" * 100, b"{}"], ids=["empty", "garbage", "an-empty-object"])
def test_a_damaged_file_of_another_library_is_refused(suffix, content, tmp_path):
    (tmp_path / f"a{suffix}").write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"a{suffix}: can't be read as an estimator"):
        load_estimator(tmp_path / f"a{suffix}")


@pytest.mark.parametrize(("field", "value"), [("left", 10_000), ("right", 0), ("feature_idx", 3), ("feature_idx", -1)])
def test_a_hist_tree_that_points_outside_is_refused(field, value, tmp_path):
    estimator = HistGradientBoostingClassifier(max_iter=2, random_state=0).fit(X, Y)
    estimator._predictors[0][0].nodes[field][0] = value
    skops.io.dump(estimator, tmp_path / "a.skops")
    with pytest.raises(ArtifactError, match=r"a tree (points outside itself|names a column)"):
        load_estimator(tmp_path / "a.skops")


@pytest.mark.parametrize(("field", "value"), [("children_left", 10_000), ("children_right", 0), ("feature", 3)])
def test_an_exact_tree_that_points_outside_is_refused(field, value, tmp_path):
    estimator = GradientBoostingClassifier(n_estimators=2, random_state=0).fit(X, Y)
    getattr(estimator.estimators_[0, 0].tree_, field)[0] = value
    skops.io.dump(estimator, tmp_path / "a.skops")
    with pytest.raises(ArtifactError, match=r"a tree (points outside itself|names a column)"):
        load_estimator(tmp_path / "a.skops")


def test_another_estimator_gives_other_bytes(tmp_path):
    for name, seed in (("a.skops", 0), ("b.skops", 1)):
        estimator = HistGradientBoostingClassifier(max_iter=5, max_features=0.5, random_state=seed)
        save_estimator(estimator.fit(X, Y), tmp_path / name)
    assert (tmp_path / "a.skops").read_bytes() != (tmp_path / "b.skops").read_bytes()


def test_a_file_names_its_parts_by_number_and_has_no_date(tmp_path):
    save_estimator(HistGradientBoostingClassifier(max_iter=2).fit(X, Y), tmp_path / "a.skops")
    with zipfile.ZipFile(tmp_path / "a.skops") as archive:
        names = archive.namelist()
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert names == [*(f"{n:06d}.npy" for n in range(1, len(names))), "schema.json"]


def test_an_estimator_with_a_type_that_is_not_trusted_is_not_written(tmp_path):
    own = make_pipeline(FunctionTransformer(np.tanh), HistGradientBoostingClassifier(max_iter=2)).fit(X, Y)
    own.steps[0][1].note_ = Note()
    with pytest.raises(ArtifactError, match=r"Pipeline: holds types that are not trusted from a file: .*Note"):
        save_estimator(own, tmp_path / "a.skops")
    assert not (tmp_path / "a.skops").exists()


class Note:
    """A type of nobody's list."""


def test_a_file_with_a_type_that_is_not_trusted_is_refused(tmp_path):
    skops.io.dump({"note": Note()}, tmp_path / "a.skops")
    with pytest.raises(
        ArtifactError, match=r"a.skops: can't be read as an estimator \(UntrustedTypesFoundException.*Note"
    ):
        load_estimator(tmp_path / "a.skops")


def rewrite(path, change):
    """Change the schema of a skops file."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(files["schema.json"])
    change(schema)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**files, "schema.json": json.dumps(schema)}.items():
            archive.writestr(name, content)


def test_a_file_that_names_a_function_to_call_is_refused_and_does_not_call_it(tmp_path):
    path, witness = tmp_path / "a.skops", tmp_path / "called"
    save_estimator(HistGradientBoostingClassifier(max_iter=2).fit(X, Y), path)
    rewrite(path, lambda schema: schema.update(__module__="os", __class__="system", content=f"touch {witness}"))
    with pytest.raises(ArtifactError, match=r"can't be read as an estimator"):
        load_estimator(path)
    assert not witness.exists()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: b"garbage" * 100, id="garbage"),
        pytest.param(lambda content: pickle.dumps({"a": 1}), id="a-pickle"),
        pytest.param(lambda content: content[: len(content) // 2], id="cut-in-half"),
        pytest.param(lambda content: content[:50] + bytes(50) + content[100:], id="zeros-inside"),
    ],
)
def test_a_damaged_file_is_refused(damage, tmp_path):
    path = tmp_path / "a.skops"
    save_estimator(HistGradientBoostingClassifier(max_iter=2).fit(X, Y), path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ArtifactError, match=r"a.skops: can't be read as an estimator"):
        load_estimator(path)


def test_a_missing_file_is_an_artifact_error(tmp_path):
    with pytest.raises(ArtifactError, match=r"none.skops: can't be read"):
        load_estimator(tmp_path / "none.skops")
