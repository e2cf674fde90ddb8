"""Training: from the feature table to a model artifact, also where there is little or nothing to learn."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from scoreline.app.load import load_module
from scoreline.cli.report import train_lines
from scoreline.errors import AppError, ArtifactError, StampError
from scoreline.features.build import build_features
from scoreline.model import compiling
from scoreline.model.artifact import check_belongs, load_artifact
from scoreline.model.estimator import load_estimator
from scoreline.model.importing import import_trees
from scoreline.model.inputs import inputs_of
from scoreline.model.parity import load_corpus
from scoreline.model.train import train
from scoreline.model.trees import EXACT, LEAF
from scoreline.predictor import Predictor, check_golden

ORDER_TRIAGE = Path(__file__).parent.parent.parent / "apps/order_triage"


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def feature_matrix(app, results):
    table = pq.read_table(results / "feature.parquet")
    inputs = inputs_of(app)
    return inputs.encode([table.column(name).to_pylist() for name in inputs.names])


def test_a_model_folder_holds_what_its_manifest_names(trained):
    manifest = json.loads((trained.model / "manifest.json").read_bytes())
    visible = {name for name in files_of(trained.model) if not name.startswith(".")}
    assert visible == {"manifest.json", *manifest["files"]}
    assert set(manifest["files"]) == {
        "golden.json", "heads/odds.parity.npz", "heads/odds.skops", "heads/odds.trees",
    }  # fmt: skip
    assert (manifest["format"], manifest["app"]) == (2, "visits")
    assert manifest["heads"]["odds"]["rows"] == {"train": 180, "calibrate": 60, "test": 60}


def test_what_was_trained_belongs_to_the_app_and_answers_its_golden_rows(trained):
    app, artifact = trained.load(), trained.artifact()
    check_belongs(artifact, app)
    check_golden(Predictor(app, artifact), artifact)
    assert artifact.learnt["odds"].inputs == ("spent", "colour", "minutes")


def test_trees_corpus_and_estimator_on_disk_agree(trained):
    head = trained.artifact().learnt["odds"]
    corpus = load_corpus(trained.model / "heads/odds.parity.npz")
    estimator = load_estimator(trained.model / "heads/odds.skops")
    assert np.array_equal(head.trees.predict_raw(corpus.rows), corpus.raw)
    assert np.array_equal(head.predict_raw(corpus.rows), corpus.raw)
    assert np.array_equal(estimator.decision_function(corpus.rows), corpus.raw)


def test_a_learned_head_takes_its_own_inputs_in_its_own_order(trained):
    """The app declares minutes, spent, colour; the head takes spent, colour, minutes."""
    app, artifact = trained.load(), trained.artifact()
    matrix = feature_matrix(app, trained.results)
    assert inputs_of(app).names == ("minutes", "spent", "colour", "is_long")
    estimator = load_estimator(trained.model / "heads/odds.skops")
    expected = artifact.learnt["odds"].link.apply(estimator.decision_function(matrix[:, [1, 2, 0]]))
    assert np.array_equal(Predictor(app, artifact).predict(matrix)["odds"], expected)


def test_what_raises_the_target_in_the_data_raises_the_probability_in_the_answers(trained):
    app, spent = trained.load(), [-2.0, 0.0, 2.0]
    matrix = inputs_of(app).encode([[0.1] * 3, spent, ["BLUE"] * 3, [False] * 3])
    low, middle, high = Predictor(app, trained.artifact()).predict(matrix)["odds"]
    assert low < 0.3 < middle < 0.7 < high


def test_golden_rows_cover_every_rule_and_everything_missing(trained):
    golden = trained.artifact().golden
    assert set(golden.outputs["action"]) == {0, 1, 2}
    assert golden.rows[-1] == [None] * 4
    assert len(golden.rows) > 40


def test_metrics_are_of_the_latest_rows_and_beat_the_base_rate(workshop):
    app = workshop.load()
    workshop.write_visits(1000)
    workshop.build(app)
    report = workshop.train(app)
    metrics = report.metrics["odds"]
    assert (report.rows, metrics.rows, report.absent) == (1000, 200, {})
    assert metrics.auc > 0.8
    assert metrics.beats_base_rate
    assert workshop.artifact().manifest["heads"]["odds"]["metrics"] == metrics.describe()


@pytest.mark.parametrize(
    ("rows", "paid", "why"),
    [
        pytest.param(300, None, "no row has the target", id="no-target-column"),
        pytest.param(300, "always", "the target is true in all 300 rows", id="always-true"),
        pytest.param(300, "never", "the target is false in all 300 rows", id="always-false"),
        pytest.param(30, "by-spent", "only 30 rows have the target, at least 200 are needed", id="thirty-rows"),
    ],
)
def test_where_a_head_can_not_be_learnt_the_rules_are_made_all_the_same(workshop, rows, paid, why):
    app = workshop.load()
    workshop.write_visits(rows, paid=paid)
    workshop.build(app)
    report = workshop.train(app)
    artifact = workshop.artifact()
    assert report.absent == {"odds": why}
    assert report.metrics == {}
    assert artifact.manifest["heads"]["odds"]["absent"] == why
    assert artifact.learnt == {"odds": None}
    assert artifact.golden.outputs["odds"] is None
    assert set(artifact.golden.outputs["action"]) <= {0, 1, 2}
    check_belongs(artifact, app)
    check_golden(Predictor(app, artifact), artifact)


def test_a_table_without_rows_gives_a_model_of_rules(workshop):
    app = workshop.load()
    workshop.write_visits(0)
    workshop.build(app)
    assert workshop.train(app).absent == {"odds": "no row has the target"}
    assert workshop.artifact().golden.rows == [[None] * 4]


def test_a_row_without_the_target_is_not_learnt_from(workshop):
    app = workshop.load()
    workshop.write_visits(300)
    path = workshop.folder / "data/visits.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line.rpartition(",")[0] + "," if n % 4 == 1 else line for n, line in enumerate(lines)))
    workshop.build(app)
    workshop.train(app)
    assert sum(workshop.artifact().manifest["heads"]["odds"]["rows"].values()) == 225


def test_training_again_removes_the_files_of_a_head_that_is_no_more(trained):
    (trained.model / "heads/former.trees").write_bytes(b"of a head that the app had once")
    app = trained.load()
    trained.write_visits(300, paid=None)
    trained.build(app)
    trained.train(app)
    assert [path.name for path in (trained.model / "heads").iterdir()] == []
    assert trained.artifact().learnt == {"odds": None}


SCRIPT = """
import sys
from pathlib import Path
from scoreline.app.load import load_app
from scoreline.features.build import build_features
from scoreline.model.train import train
from scoreline.predictor import Predictor

folder, out = Path(sys.argv[1]), Path(sys.argv[2])
app = load_app(folder / "app")
build_features(app, folder / "data", out / "results", threads=1, max_bad_percent=1.0, max_bad_rows=20)
train(app, out / "results", out / "model", Predictor)
"""


@pytest.mark.slow
def test_two_processes_with_other_threads_and_hashes_make_the_same_bytes(trained):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    runs = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", SCRIPT, str(trained.folder), str(trained.folder / number)],
            env={**environment, "OMP_NUM_THREADS": number, "PYTHONHASHSEED": number},
        )
        for number in ("1", "2")
    ]
    assert [run.wait() for run in runs] == [0, 0]
    first, second = (files_of(trained.folder / number / "model") for number in ("1", "2"))
    assert "heads/odds.skops" in first
    assert first == second
    assert first == files_of(trained.model)


def test_a_feature_table_that_is_not_there_is_refused(workshop):
    with pytest.raises(StampError, match=r"no feature table here. Run `scoreline feature` first"):
        workshop.train(workshop.load())
    assert not workshop.model.exists()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(("LONG = 1.0", "LONG = 1.5"), id="a-constant-that-a-feature-function-reads"),
        pytest.param(("minutes > LONG", "minutes >= LONG"), id="a-feature-function"),
        pytest.param(('Category("RED", "BLUE")', 'Category("BLUE", "RED")'), id="the-values-of-a-category"),
        pytest.param(("spent=visits.spent", "spent=visits.minutes"), id="a-feature-from-another-column"),
    ],
)
def test_a_feature_table_of_another_app_file_is_refused(trained, change):
    before = files_of(trained.model)
    with pytest.raises(
        StampError,
        match=r"(built by another app.py|column 'colour' of the feature table) .* Run `scoreline feature` again",
    ):
        trained.train(trained.load(change))
    assert files_of(trained.model) == before


def test_a_feature_table_that_was_changed_is_refused(trained):
    path = trained.results / "targets.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(StampError, match=r"targets.parquet: its content is not what its stamp says"):
        trained.train(trained.load())


HIST = "return HistGradientBoostingClassifier(max_iter=15, random_state=0, early_stopping=False)"


@pytest.mark.parametrize(
    ("estimator", "says"),
    [
        pytest.param("raise OSError('no licence')", "its estimator failed: OSError: no licence", id="making-it-fails"),
        pytest.param("return None", "its estimator failed: AttributeError", id="it-is-nothing"),
        pytest.param(
            "return HistGradientBoostingClassifier(max_iter=-1)", "its estimator failed: InvalidParameterError",
            id="fitting-fails",
        ),
        pytest.param(
            "from sklearn.ensemble import RandomForestRegressor\n    return RandomForestRegressor(max_depth=1)",
            "RandomForestRegressor gives no probability", id="one-that-gives-no-probability",
        ),
        pytest.param(
            "from sklearn.ensemble import GradientBoostingClassifier\n    return GradientBoostingClassifier()",
            "its estimator failed: ValueError: Input X contains NaN", id="one-that-takes-no-missing-value",
        ),
    ],
)  # fmt: skip
def test_an_estimator_that_fails_is_a_mistake_of_the_app_and_names_the_head(trained, estimator, says):
    before = files_of(trained.model)
    with pytest.raises(AppError, match=f"head 'odds': {says}"):
        trained.train(trained.load((HIST, estimator)))
    assert files_of(trained.model) == before


ALL_INPUTS, NEVER_NULL = 'inputs=["spent", "colour", "minutes"]', 'inputs=["spent"]'


def test_an_estimator_without_trees_serves_itself_and_training_says_so(trained):
    other = "from sklearn.linear_model import LogisticRegression\n    return LogisticRegression()"
    app = trained.load((HIST, other), (ALL_INPUTS, NEVER_NULL))
    report = trained.train(app)
    assert "LogisticRegression: its trees can't be read" in report.uncompiled["odds"]
    artifact = trained.artifact()
    head = artifact.learnt["odds"]
    assert (head.trees, head.runtime.name, head.takes_missing) == (None, "estimator", False)
    check_golden(Predictor(app, artifact), artifact)
    predictor = Predictor(app, artifact)
    rows = np.ones((3, len(predictor.inputs.names)))
    rows[1:, predictor.inputs.position("spent")] = np.nan, np.inf
    chances = predictor.predict(rows)["odds"]
    assert np.isnan(chances).tolist() == [False, True, False]


FOREST = "from sklearn.ensemble import {0}\n    return {0}(n_estimators=10, random_state=0)"


@pytest.mark.parametrize("forest", ["RandomForestClassifier", "ExtraTreesClassifier"])
def test_a_forest_can_be_trained_and_takes_missing_inputs(trained, forest):
    app = trained.load((HIST, FOREST.format(forest)))
    report = trained.train(app)
    assert (report.uncompiled, report.metrics["odds"].auc > 0.6) == ({}, True)
    head = trained.artifact().learnt["odds"]
    assert (head.trees.average, head.trees.link, head.trees.float_width) == (True, "identity", 32)
    assert head.takes_missing
    check_golden(Predictor(app, trained.artifact()), trained.artifact())


OTHERS = {
    "xgboost": ("from xgboost import XGBClassifier as Made", ".ubj", "float32, added in float32"),
    "lightgbm": ("from lightgbm import LGBMClassifier as Made", ".txt", "float64, added in float64"),
}


@pytest.mark.parametrize("library", OTHERS)
def test_an_estimator_of_another_library_can_be_trained_and_serves_by_every_runtime(trained, library):
    imported, suffix, widths = OTHERS[library]
    app = trained.load((HIST, f"{imported}\n    return Made(n_estimators=12, **{{'verbosity': 0, 'n_jobs': 1}})"))
    report = trained.train(app)
    assert (report.uncompiled, report.metrics["odds"].auc > 0.6) == ({}, True)
    assert (trained.model / f"heads/odds{suffix}").exists()
    assert not (trained.model / "heads/odds.skops").exists()
    head = trained.artifact().learnt["odds"]
    assert f"float{head.trees.float_width}, added in float{head.trees.sum_width}" == widths
    assert head.takes_missing
    for name in ("gtil", "estimator"):
        artifact = load_artifact(trained.model, runtime=name)
        check_golden(Predictor(app, artifact), artifact)


def test_an_estimator_with_categories_of_its_own_can_be_trained(trained):
    categorical = HIST.replace("max_iter=15", "max_iter=15, categorical_features=[0]")
    app = trained.load((HIST, categorical), (ALL_INPUTS, 'inputs=["colour"]'))
    assert trained.train(app).uncompiled == {}
    assert trained.artifact().learnt["odds"].trees.kinds.tolist() == [EXACT]
    check_golden(Predictor(app, trained.artifact()), trained.artifact())


def test_an_estimator_that_compares_in_float32_can_be_trained(trained):
    other = "from sklearn.ensemble import GradientBoostingClassifier\n    return GradientBoostingClassifier()"
    app = trained.load((HIST, other), (ALL_INPUTS, NEVER_NULL))
    trained.train(app)
    assert trained.artifact().learnt["odds"].trees.float_width == 32
    check_golden(Predictor(app, trained.artifact()), trained.artifact())


def test_an_estimator_that_takes_no_missing_input_gives_no_probability_for_one(trained):
    other = "from sklearn.ensemble import GradientBoostingClassifier\n    return GradientBoostingClassifier()"
    app = trained.load((HIST, other), (ALL_INPUTS, NEVER_NULL))
    trained.train(app)
    predictor = Predictor(app, trained.artifact())
    row = np.array([[1.0] * len(predictor.inputs.names)])
    assert 0 < predictor.predict(row)["odds"][0] < 1
    row[0, predictor.inputs.position("spent")] = np.nan
    assert np.isnan(predictor.predict(row)["odds"][0])


def test_flat_trees_that_answer_otherwise_are_refused_by_name_of_the_row_and_the_estimator_serves(trained, monkeypatch):
    monkeypatch.setattr(
        compiling, "import_trees", lambda estimator, **given: one_leaf_off(import_trees(estimator, **given))
    )
    app = trained.load()
    report = trained.train(app)
    said = r"row \d+ of the parity corpus gives [-.\d]+, the estimator [-.\d]+"
    assert re.fullmatch(said, report.uncompiled["odds"])
    assert "odds is served by its estimator itself, slowly: row " in "\n".join(train_lines(report, trained.model))
    assert not (trained.model / "heads/odds.trees").exists()
    artifact = trained.artifact()
    assert artifact.learnt["odds"].runtime.name == "estimator"
    check_golden(Predictor(app, artifact), artifact)
    check_belongs(artifact, app)


def one_leaf_off(made):
    leaf = np.flatnonzero((made.nodes["flags"] & LEAF != 0) & (made.nodes["value"] != 0))[0]
    made.nodes["value"][leaf] += 0.5
    return made


def test_trees_compiled_for_float32_instead_of_float64_are_refused(trained, monkeypatch):
    """The mistake that other compilers make with this estimator: it changes few answers, the corpus finds them."""
    monkeypatch.setattr(
        compiling, "import_trees", lambda *given, **named: import_trees(*given, **{**named, "float_width": 32})
    )
    report = trained.train(trained.load())
    assert "of the parity corpus gives" in report.uncompiled["odds"]
    assert trained.artifact().learnt["odds"].trees is None


def test_an_estimator_whose_file_answers_otherwise_is_refused(trained, monkeypatch):
    def other(path):
        estimator = load_estimator(path)
        estimator._baseline_prediction += 0.5
        return estimator

    monkeypatch.setattr(compiling, "load_estimator", other)
    with pytest.raises(ArtifactError, match=r"head 'odds': its file does not answer as the estimator does"):
        trained.train(trained.load())


def test_the_apps_own_predictor_makes_the_golden_rows(trained):
    class Doubtful(Predictor):
        def predict(self, matrix):
            outputs = super().predict(matrix)
            return {**outputs, "odds": outputs["odds"] / 2}

    app = trained.load()
    train(app, trained.results, trained.model, Doubtful)
    artifact = trained.artifact()
    check_golden(Doubtful(app, artifact), artifact)
    with pytest.raises(ArtifactError, match=r"golden rows: head 'odds' gives"):
        check_golden(Predictor(app, artifact), artifact)


@pytest.mark.slow
def test_order_triage_learns_from_six_hundred_orders(order_triage, tmp_path):
    make_sample = load_module(ORDER_TRIAGE / "make_sample.py")
    make_sample.write_sample(tmp_path / "data", orders=600, seed=1)
    given = {"threads": 1, "max_bad_percent": 1.0, "max_bad_rows": 20}
    build_features(order_triage, tmp_path / "data", tmp_path / "results", **given)
    report = train(order_triage, tmp_path / "results", tmp_path / "model", Predictor)
    artifact = load_artifact(tmp_path / "model")
    check_belongs(artifact, order_triage)
    check_golden(Predictor(order_triage, artifact), artifact)
    assert report.metrics["fulfilment_probability"].auc > 0.7
    assert report.metrics["fulfilment_probability"].beats_base_rate
    assert set(artifact.golden.outputs["recommendation"]) == {0, 1, 2, 3, 4}


def test_order_triage_with_thirty_orders_has_its_rules_alone(order_triage, tmp_path):
    make_sample = load_module(ORDER_TRIAGE / "make_sample.py")
    make_sample.write_sample(tmp_path / "data", orders=30, seed=1)
    given = {"threads": 1, "max_bad_percent": 1.0, "max_bad_rows": 20}
    build_features(order_triage, tmp_path / "data", tmp_path / "results", **given)
    report = train(order_triage, tmp_path / "results", tmp_path / "model", Predictor)
    assert report.absent == {"fulfilment_probability": "only 30 rows have the target, at least 200 are needed"}
    assert load_artifact(tmp_path / "model").golden.outputs["fulfilment_probability"] is None


def test_an_estimator_that_gives_a_probability_and_has_no_trees_serves_itself(trained):
    other = "from sklearn.naive_bayes import GaussianNB\n    return GaussianNB()"
    app = trained.load((HIST, other), (ALL_INPUTS, NEVER_NULL))
    trained.train(app)
    artifact = trained.artifact()
    assert artifact.learnt["odds"].runtime.name == "estimator"
    assert load_corpus(trained.model / "heads/odds.parity.npz").link == "identity"
    check_golden(Predictor(app, artifact), artifact)
