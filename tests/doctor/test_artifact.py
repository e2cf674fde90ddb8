"""An app at rest: each way to spoil it is found by its check, and told its fix."""

from __future__ import annotations

import json
import shutil

import pytest
from servers import copy_app, own_predictor, settings_for

from scoreline.container.eject import eject
from scoreline.doctor.artifact import CHECKS, Bench
from scoreline.doctor.findings import Outcome


@pytest.fixture
def app(triage, tmp_path):
    """Give a copy of an app with features and model, to spoil."""
    return shutil.copytree(triage, tmp_path / "app")


def look_at(folder, **others):
    return list(CHECKS.look_at(Bench(settings_for(folder, folder / "state", **others))))


def tear_model(app):
    path = app / "model/heads/fulfilment_probability.trees"
    path.write_bytes(path.read_bytes()[:-100])


def remove_model(app):
    shutil.rmtree(app / "model")


def model_of_another_app(app):
    copy_app(app, ('App("order-triage")', 'App("order-triage-north")'))


def change_rule(app):
    copy_app(app, ("NIGHT_ENDS = 6", "NIGHT_ENDS = 7"))


def change_feature(app):
    copy_app(app, ("timestamp >= available_from ", "timestamp > available_from "))


def torn_features(app):
    path = app / "results/feature.parquet"
    path.write_bytes(path.read_bytes()[:-1])


def features_without_stamp(app):
    (app / "results/feature.stamp.json").unlink()


def torn_store(app):
    (path,) = (app / "results/store").glob("*.lmdb")
    path.write_bytes(b"\0" * path.stat().st_size)
    stamp_anew(app, path)


def store_of_another_app(app):
    from scoreline.store.writer import StoreWriter

    (path,) = (app / "results/store").glob("*.lmdb")
    path.unlink()
    with StoreWriter(path, 1, {"plan": "of-another-app"}) as store:
        store.add([["a", 1]])
    stamp_anew(app, path)


def stamp_anew(app, path):
    """Let the stamp name a file as it is, so that only what is in it is wrong."""
    from scoreline.features.stamp import describe_file

    stamp = json.loads((app / "results/feature.stamp.json").read_text())
    stamp["files"][str(path.relative_to(app / "results"))] = describe_file(path)
    (app / "results/feature.stamp.json").write_text(json.dumps(stamp))


def golden_rows_differ(app):
    own_predictor(app, "matrix = matrix + 1")


def own_predictor_fails(app):
    own_predictor(app, "raise OSError('no such file: /mnt/scaler')")


def own_predictor_without_class(app):
    (app / "predictor.py").write_text("def predict(matrix): return matrix\n")


def broken_app(app):
    (app / "app.py").write_text("from scoreline import Ap\n")


def own_nginx(text):
    return lambda app: (app / "nginx.conf").write_text(text)


def old_versions(app):
    manifest = json.loads((app / "model/manifest.json").read_text())
    manifest["versions"] |= {"scikit-learn": "0.24.2", "no-such-library": "1.0"}
    (app / "model/manifest.json").write_text(json.dumps(manifest))


NGINX = "events {}\nhttp { server { listen {{ host }}:{{ port }}; } %s }\n"
SPOILT = [
    pytest.param(remove_model, "artifact", "no model artifact here", "scoreline train", id="no-model"),
    pytest.param(tear_model, "artifact", "changed or torn", "Copy the whole folder", id="torn-model"),
    pytest.param(model_of_another_app, "artifact-app", "is the model of 'order-triage'", "SCORELINE_MODEL_DIR",
                 id="model-of-another-app"),
    pytest.param(change_rule, "artifact-app", "rule night", "after each change of a schema", id="rule-changed-since"),
    pytest.param(golden_rows_differ, "golden", "golden rows: head", "predictor.py", id="golden-rows-differ"),
    pytest.param(own_predictor_fails, "golden", "OSError: no such file", "predictor.py", id="own-predictor-fails"),
    pytest.param(own_predictor_without_class, "own-predictor", "expected a class Predictor", "predict(matrix)",
                 id="own-predictor-without-class"),
    pytest.param(broken_app, "app", "app.py, line 1", "scoreline check", id="app-with-a-mistake"),
    pytest.param(torn_features, "features", "it is torn", "scoreline feature", id="torn-features"),
    pytest.param(features_without_stamp, "features", "has no stamp", "scoreline feature", id="no-stamp"),
    pytest.param(torn_store, "store", "can't be opened", "scoreline feature", id="torn-store"),
    pytest.param(store_of_another_app, "store", "of another feature", "don't copy a store",
                 id="store-of-another-app"),
    pytest.param(old_versions, "versions", "scikit-learn 0.24.2 then", "Install the versions", id="other-versions"),
    pytest.param(own_nginx("events {"), "own-nginx", "nginx refuses it", "where nginx says", id="nginx-conf-torn"),
    pytest.param(own_nginx("{{ no_such }}"), "own-nginx", "no_such", "double braces", id="nginx-conf-unknown-value"),
    pytest.param(own_nginx(NGINX % "client_max_body_size 5m;"), "own-nginx-body", "client_max_body_size 5m",
                 "max_body_mb", id="nginx-conf-5m"),
    pytest.param(own_nginx(NGINX % ""), "own-nginx-body", "nginx takes 1m", "max_body_mb", id="nginx-conf-1m"),
    pytest.param(lambda app: (app / "wsgi.py").write_text("application = 1\n"), "own-wsgi", "defines no `app`",
                 "a WSGI callable", id="wsgi-without-app"),
    pytest.param(lambda app: (app / "wsgi.py").write_text("app.run()\n"), "own-wsgi", "defines no `app`", "wsgi.py",
                 id="wsgi-that-only-uses-app"),
    pytest.param(lambda app: (app / "wsgi.py").write_text("def app(\n"), "own-wsgi", "never closed", "wsgi.py",
                 id="wsgi-torn"),
]  # fmt: skip


def test_an_app_that_is_whole_passes_every_check(app):
    assert {found.name: found.came for found in look_at(app) if found.outcome is not Outcome.PASSED} == {}


@pytest.mark.parametrize(("spoil", "check", "came", "fix"), SPOILT)
def test_what_is_spoilt_is_found_by_its_check_alone_and_told_its_fix(app, spoil, check, came, fix):
    spoil(app)
    (found,) = [finding for finding in look_at(app) if finding.outcome is Outcome.FAILED]
    assert found.name == check
    assert came in found.came
    assert fix in found.fix


def test_a_changed_feature_function_makes_both_the_model_and_the_table_old(app):
    change_feature(app)
    found = {finding.name: finding for finding in look_at(app) if finding.outcome is Outcome.FAILED}
    assert set(found) == {"artifact-app", "features"}


def test_every_check_of_an_app_is_failed_by_something_here():
    assert {check.name for check in CHECKS} == {param.values[1] for param in SPOILT}


@pytest.mark.parametrize("size", ["6m", "6144k", "6291456", "0", "1g", "{{ max_body_mb }}m"])
def test_an_nginx_conf_with_room_for_6_mib_is_good(app, size):
    own_nginx(NGINX % f"client_max_body_size {size};")(app)
    assert [found.name for found in look_at(app) if found.outcome is Outcome.FAILED] == []


@pytest.mark.parametrize(
    ("name", "old", "new", "came"),
    [
        ("nginx.conf", "server_tokens off;", "server_token off;", 'unknown directive "server_token"'),
        ("wsgi.py", "def app(", "def application(", "defines no `app`"),
        ("predictor.py", "class Predictor(Base)", "class Halved(Base)", "expected a class Predictor"),
    ],
    ids=["nginx.conf", "wsgi.py", "predictor.py"],
)
def test_our_own_file_ejected_passes_and_is_named_once_it_is_broken(app, name, old, new, came):
    path = eject(name, app)
    check = f"own-{path.stem}"
    found = {finding.name: finding for finding in look_at(app)}
    assert {name: finding.came for name, finding in found.items() if finding.outcome is not Outcome.PASSED} == {}
    assert found[check].came != "there is none"
    path.write_text(path.read_text().replace(old, new))
    (failed,) = [finding for finding in look_at(app) if finding.outcome is Outcome.FAILED]
    assert failed.name == check
    assert came in failed.came
    assert f"`scoreline eject {name}`" in failed.fix


@pytest.mark.parametrize(
    "text",
    [
        "from scoreline.serving.wsgi import app\n",
        "import flask\napp = flask.Flask(__name__)\n",
        "def app(environ, start_response): ...\n",
        "class App: ...\nif True:\n    app = App()\n",
    ],
)
def test_a_wsgi_py_may_define_app_in_any_way(app, text):
    (app / "wsgi.py").write_text(text)
    assert [found.name for found in look_at(app) if found.outcome is Outcome.FAILED] == []
