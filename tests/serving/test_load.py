"""Loading a service: what is missing, damaged or of another app is refused, with what to run."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil

import numpy as np
import pytest
from servers import KEY, copy_app, folders, open_service, own_predictor

from scoreline.cli.main import run
from scoreline.errors import AppError, ArtifactError, ScorelineError, StampError
from scoreline.features.stamp import read_stamp
from scoreline.generations.state import StateFolder
from scoreline.serving.service import load_service
from scoreline.serving.start import open_generation


@pytest.fixture
def results(triage, tmp_path):
    """Give a copy of the results, to damage."""
    return shutil.copytree(triage / "results", tmp_path / "results")


@pytest.fixture
def model(triage, tmp_path):
    """Give a copy of the model, to damage."""
    return shutil.copytree(triage / "model", tmp_path / "model")


@pytest.fixture
def features_of(triage, tmp_path):
    """Give a function that builds the features of another app.py and returns the results folder."""

    def build(*changes):
        app = copy_app(tmp_path / "other", *changes)
        with contextlib.redirect_stdout(io.StringIO()):
            assert run(["feature", *folders(app, data=triage / "data")]) == 0
        return app / "results"

    return build


def refusal(settings):
    """Return why a start is refused, having seen that nothing was published."""
    with pytest.raises(ScorelineError) as caught:
        open_generation(settings, print)
    state = StateFolder(settings.state)
    assert (state.number, state.generations()) == (0, [])
    return caught.value


# What is not there


def test_without_a_model_artifact_it_says_to_train(triage, settings_of, tmp_path):
    error = refusal(settings_of(triage, model=tmp_path))
    assert isinstance(error, ArtifactError)
    assert str(error) == f"{tmp_path}: no model artifact here. Run `scoreline train` first."


@pytest.mark.parametrize("exists", [True, False])
def test_without_a_feature_table_it_says_to_run_feature(triage, settings_of, tmp_path, exists):
    where = tmp_path if exists else tmp_path / "nowhere"
    error = refusal(settings_of(triage, results=where))
    assert isinstance(error, StampError)
    assert str(error) == f"{where}: no feature table here. Run `scoreline feature` first."


def test_without_an_app_it_says_how_to_name_one(triage, settings_of, tmp_path):
    error = refusal(settings_of(tmp_path, model=triage / "model", results=triage / "results"))
    assert isinstance(error, AppError)
    assert "no app.py here" in str(error)
    assert "--app" in str(error)


def test_a_feature_table_without_its_stamp_is_refused(triage, settings_of, results):
    (results / "feature.stamp.json").unlink()
    error = refusal(settings_of(triage, results=results))
    assert (
        str(error) == f"{results}: its feature table has no stamp (feature.stamp.json). Run `scoreline feature` again."
    )


# What is damaged


def store_of(results):
    return results / read_stamp(results).store


@pytest.mark.parametrize("name", ["feature.parquet", "feature.csv", "targets.parquet", "store"])
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-1]), "it is torn", id="one-byte-short"),
        pytest.param(
            lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\7"), "it was changed or torn", id="one-byte-else"
        ),
        pytest.param(lambda path: path.unlink(), "is missing, the feature table is torn", id="gone"),
    ],
)
def test_a_torn_feature_table_is_refused_by_name(triage, settings_of, results, name, damage, says):
    path = store_of(results) if name == "store" else results / name
    damage(path)
    error = refusal(settings_of(triage, results=results))
    assert isinstance(error, StampError)
    assert str(error).startswith(f"{path}: ")
    assert says in str(error)
    assert str(error).endswith("Run `scoreline feature` again.")


def test_a_feature_table_that_is_torn_since_the_last_start_is_refused_too(triage, settings_of, results):
    settings = settings_of(triage, results=results)
    open_generation(settings, print)
    path = store_of(results)
    path.write_bytes(path.read_bytes()[:-1] + b"\7")
    with pytest.raises(StampError, match="it was changed or torn"):
        open_generation(settings, print)


@pytest.mark.parametrize("name", ["golden.json", "heads/fulfilment_probability.trees"])
def test_a_changed_model_file_is_refused_by_name(triage, settings_of, model, name):
    (model / name).write_bytes((model / name).read_bytes()[:-1] + b"\x07")
    error = refusal(settings_of(triage, model=model))
    assert isinstance(error, ArtifactError)
    assert str(error).startswith(f"{model / name}: ")
    assert str(error).endswith("Run `scoreline train` again.")


def test_golden_rows_that_score_otherwise_refuse_the_artifact(triage, settings_of, model):
    golden = json.loads((model / "golden.json").read_text())
    golden["outputs"]["recommendation"][3] = (golden["outputs"]["recommendation"][3] + 1) % 5
    rewrite(model, "golden.json", json.dumps(golden))
    error = refusal(settings_of(triage, model=model))
    assert isinstance(error, ArtifactError)
    assert str(error).startswith("golden rows: head 'recommendation' gives ")
    assert " for row 3, " in str(error)
    assert "scoreline train" in str(error)


def rewrite(model, name, text):
    """Replace a file of an artifact as somebody would who knows the manifest."""
    (model / name).write_text(text)
    manifest = json.loads((model / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256(text.encode()).hexdigest()
    (model / "manifest.json").write_text(json.dumps(manifest))


# What belongs to another app


@pytest.mark.parametrize(
    ("change", "names"),
    [
        pytest.param(("MINIMUM_STOCK = 1 ", "MINIMUM_STOCK = 2 "), "'rule no_stock'", id="rule-value"),
        pytest.param(('then="Decline"', 'then="Refuse"'), "'rule night'", id="decision"),
        pytest.param(
            ('Category("OK", "FAILED", ', 'Category("FAILED", "OK", '), "'payment_status'", id="category-order"
        ),
        pytest.param(('"ON_DELIVERY")', '"ON_DELIVERY", "GIFT")'), "'payment_method'", id="category-added"),
        pytest.param(('TIME_ZONE = "UTC"', 'TIME_ZONE = "Asia/Tokyo"'), "'order_hour_of_day'", id="feature-function"),
        pytest.param((", digits=4", ", digits=2"), "'fulfilment_probability'", id="reply"),
        pytest.param(('App("order-triage")', 'App("orders")'), "'orders'", id="name"),
    ],
)
def test_the_model_of_another_app_py_is_refused_with_what_differs(triage, settings_of, tmp_path, change, names):
    app = copy_app(tmp_path / "changed", change)
    error = refusal(settings_of(app, model=triage / "model", results=triage / "results"))
    assert isinstance(error, ArtifactError)
    assert str(triage / "model") in str(error)
    assert names in str(error)


def test_a_comment_in_app_py_changes_nothing(triage, settings_of, tmp_path, results, service):
    app = copy_app(tmp_path / "commented", ("def order_hour_of_day", "# a word\n\ndef order_hour_of_day"))
    loaded = open_service(settings_of(app, model=triage / "model", results=results))
    assert loaded.last_known == service.last_known


def test_the_feature_table_of_another_app_py_is_refused_with_its_column(triage, settings_of, features_of):
    results = features_of(
        ("    quantity=orders.quantity,", "    quantity=orders.quantity,\n    pieces=orders.quantity,")
    )
    error = refusal(settings_of(triage, results=results))
    assert isinstance(error, StampError)
    assert f"{results}: column 'pieces' of the feature table" in str(error)
    assert "Run `scoreline feature` again." in str(error)


def test_the_feature_table_of_another_feature_function_is_refused(triage, settings_of, features_of):
    results = features_of(('TIME_ZONE = "UTC"', 'TIME_ZONE = "Asia/Tokyo"'))
    error = refusal(settings_of(triage, results=results))
    assert isinstance(error, StampError)
    assert "built by another app.py" in str(error)
    assert "Run `scoreline feature` again." in str(error)


def test_the_store_of_another_feature_table_is_refused_by_a_worker_too(triage, settings_of, features_of, results):
    settings = settings_of(triage, results=results)
    open_generation(settings, print)
    other = features_of(('TIME_ZONE = "UTC"', 'TIME_ZONE = "Asia/Tokyo"'))
    state = StateFolder(settings.state)
    store = state.folder_of(state.number) / "store.lmdb"
    store.unlink()
    shutil.copyfile(store_of(other), store)
    with pytest.raises(StampError, match="belongs to another feature table") as caught:
        load_service(settings)
    assert str(caught.value).startswith(f"{store}: ")


# An app's own predictor.py


def test_an_apps_own_predictor_replaces_ours(triage, settings_of, tmp_path, results, orders):
    app = copy_app(tmp_path / "own")
    halved = "{name: outputs[name] * (0.5 if name == 'fulfilment_probability' else 1) for name in outputs}"
    own_predictor(app, f"if len(matrix) == 1:\n    outputs = super().predict(matrix)\n    return {halved}")
    loaded = open_service(settings_of(app, model=triage / "model", results=results)).current()
    keys = [tuple(row[name] for name in KEY) for row in orders[:2]]
    alone, together = loaded.scorer.score(keys[:1])[0], loaded.scorer.score(keys)[0]
    assert alone["recommendation"] == together["recommendation"]
    assert alone["fulfilment_probability"] == pytest.approx(together["fulfilment_probability"] / 2, abs=1e-4)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("x = 1", "expected a class Predictor with a method predict(matrix)", id="no-class"),
        pytest.param("Predictor = 1", "expected a class Predictor with a method predict(matrix)", id="not-a-class"),
        pytest.param("class Predictor: ...", "expected a class Predictor with a method", id="no-method"),
        pytest.param("import nowhere", "line 1: ModuleNotFoundError", id="import"),
        pytest.param("class Predictor(:", "line 1: ", id="syntax"),
        pytest.param(
            "class Predictor:\n    def predict(self, matrix): return {}",
            "failed on the golden rows: TypeError: Predictor() takes no arguments",
            id="constructor",
        ),
    ],
)
def test_a_predictor_py_that_is_none_is_refused(triage, settings_of, tmp_path, text, says):
    app = copy_app(tmp_path / "own")
    (app / "predictor.py").write_text(text)
    error = refusal(settings_of(app, model=triage / "model", results=triage / "results"))
    assert isinstance(error, AppError)
    assert f"{app / 'predictor.py'}" in str(error)
    assert says in str(error)


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        ("raise RuntimeError('boom')", AppError, "failed on the golden rows: RuntimeError: boom"),
        ("return []", AppError, "failed on the golden rows: AttributeError"),
        ("return {'recommendation': ['a']}", AppError, "failed on the golden rows: ValueError"),
        ("return {}", ArtifactError, "head 'recommendation' gives nothing"),
        ("return {k: v[:1] for k, v in super().predict(matrix).items()}", ArtifactError, "gives shape (1,)"),
        ("return {k: v + 1 for k, v in super().predict(matrix).items()}", ArtifactError, "for row 0, training gave"),
    ],
)
def test_a_predictor_py_that_scores_otherwise_is_refused(triage, settings_of, tmp_path, body, kind, says):
    app = copy_app(tmp_path / "own")
    own_predictor(app, body)
    error = refusal(settings_of(app, model=triage / "model", results=triage / "results"))
    assert isinstance(error, kind)
    assert says in str(error)


def test_a_service_answers_alike_from_many_records_and_from_one(service, orders):
    keys = [tuple(row[name] for name in KEY) for row in orders]
    scorer = service.current().scorer
    together = scorer.score(keys)
    assert together == [scorer.score([key])[0] for key in keys]
    assert np.isfinite([reply["fulfilment_probability"] for reply in together]).all()
