"""Settings: which place counts, and what is said of a value that can't be used."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from scoreline import settings
from scoreline.errors import SettingError
from scoreline.settings import SETTINGS, Settings, resolve_settings

NOWHERE = Path("/nowhere/opt/ml")


def resolve(options=None, **environment):
    return resolve_settings(options, environment, NOWHERE)


def test_without_anything_the_defaults_hold(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = resolve()
    assert (found.app, found.data, found.model, found.results) == (
        tmp_path,
        tmp_path / "data",
        tmp_path / "model",
        tmp_path / "results",
    )
    assert (found.port, found.timeout_s, found.max_body_mb, found.batch) == (8080, 60, 6, False)
    assert (found.max_bad_percent, found.max_bad_rows) == (1.0, 20)
    assert (found.workers, found.concurrency, found.inference_timeout_s) == (None, 8, 70)
    assert (found.state, found.data_url, found.refresh_s, found.admin_token) == (tmp_path / "state", None, None, None)


@pytest.mark.parametrize(
    ("name", "variable", "in_opt_ml"),
    [
        ("data", "SCORELINE_DATA", "input/data"),
        ("model", "SCORELINE_MODEL_DIR", "model"),
        ("results", "SCORELINE_RESULTS", "output/data"),
    ],
)
def test_a_folder_comes_from_option_then_variable_then_opt_ml_then_the_app(tmp_path, name, variable, in_opt_ml):
    opt_ml = tmp_path / "ml"
    environment = {"SCORELINE_APP": "/app"}
    assert getattr(resolve_settings({}, environment, opt_ml), name) == Path("/app") / name
    (opt_ml / in_opt_ml).mkdir(parents=True)
    assert getattr(resolve_settings({}, environment, opt_ml), name) == opt_ml / in_opt_ml
    environment[variable] = "/from/variable"
    assert getattr(resolve_settings({}, environment, opt_ml), name) == Path("/from/variable")
    assert getattr(resolve_settings({name: Path("/from/option")}, environment, opt_ml), name) == Path("/from/option")


def test_the_state_folder_is_beside_the_app_but_never_beside_a_read_only_model(tmp_path):
    environment = {"SCORELINE_APP": "/app"}
    assert resolve_settings({}, environment, tmp_path).state == Path("/app/state")
    (tmp_path / "model").mkdir()
    assert resolve_settings({}, environment, tmp_path).state == Path("/tmp/scoreline-state")
    environment["SCORELINE_STATE"] = "/from/variable"
    assert resolve_settings({}, environment, tmp_path).state == Path("/from/variable")
    assert resolve_settings({"state": Path("/from/option")}, environment, tmp_path).state == Path("/from/option")


def test_the_admin_token_is_never_shown():
    found = resolve(SCORELINE_ADMIN_TOKEN="hush-hush")
    assert found.admin_token == "hush-hush"
    assert "hush" not in repr(found)
    assert "hush" not in str(found)


def test_an_option_that_was_not_given_counts_for_nothing():
    assert resolve({"port": None}, SCORELINE_PORT="81").port == 81
    assert resolve({"port": 82}, SCORELINE_PORT="81").port == 82


def test_an_option_of_zero_is_an_option():
    assert resolve({"max_bad_rows": 0, "max_bad_percent": 0.0}, SCORELINE_MAX_BAD_ROWS="5").max_bad_rows == 0


def test_the_first_variable_of_a_setting_wins():
    assert resolve(SAGEMAKER_BIND_TO_PORT="81", SCORELINE_PORT="82").port == 81
    assert resolve(SAGEMAKER_MODEL_SERVER_WORKERS="3").workers == 3
    assert resolve(MODEL_SERVER_WORKERS="2", SAGEMAKER_MODEL_SERVER_WORKERS="3").workers == 2


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_variable_is_unset(empty):
    assert resolve(SAGEMAKER_BIND_TO_PORT=empty, SCORELINE_PORT="82").port == 82
    assert resolve(MODEL_SERVER_TIMEOUT=empty).timeout_s == 60


def test_spaces_around_a_value_do_not_matter():
    assert resolve(SCORELINE_PORT=" 81 ").port == 81


@pytest.mark.parametrize(
    ("variable", "bad", "expected"),
    [
        *(("SCORELINE_PORT", bad, "a port from 1 to 65535") for bad in ("0", "65536", "http", "80.5", "-1")),
        ("SAGEMAKER_BIND_TO_PORT", "x", "a port from 1 to 65535"),
        *(("MODEL_SERVER_WORKERS", bad, "a whole number above 0, for example 2") for bad in ("0", "-1", "two", "1.5")),
        ("SAGEMAKER_MODEL_SERVER_WORKERS", "0", "a whole number above 0, for example 2"),
        ("MODEL_SERVER_TIMEOUT", "5m", "seconds, for example 60"),
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT", "0", "seconds, for example 60"),
        ("SCORELINE_MAX_BODY_MB", "6MB", "mebibytes, for example 6"),
        ("SCORELINE_RUNTIME", "onnx", "kernel, gtil or estimator"),
        ("SAGEMAKER_BATCH", "perhaps", "true or false"),
        ("SCORELINE_WORKER_CLASS", "gevent", "asgi or sync"),
        *(
            ("SCORELINE_MAX_BAD_PERCENT", bad, "a share from 0 to 100, for example 1")
            for bad in ("-1", "101", "nan", "inf", "1%")
        ),
        *(("SCORELINE_MAX_BAD_ROWS", bad, "a whole number, for example 20") for bad in ("-1", "1.5", "many")),
        ("SCORELINE_CONCURRENCY", "0", "a whole number above 0, for example 2"),
        ("SCORELINE_INFERENCE_TIMEOUT", "soon", "seconds, for example 70"),
        *(("SCORELINE_REFRESH_SECONDS", bad, "seconds, for example 300") for bad in ("0", "-5", "5m", "0.5", "never")),
    ],
)
def test_a_value_that_can_not_be_used_is_named_with_what_was_expected(variable, bad, expected):
    with pytest.raises(SettingError) as caught:
        resolve(**{variable: bad})
    assert str(caught.value) == f"{variable}='{bad}': expected {expected}"


def test_every_setting_that_can_be_wrong_is_told_above():
    told = test_a_value_that_can_not_be_used_is_named_with_what_was_expected.pytestmark[0].args[1]
    can_not_be_wrong = {str, Path}
    variables = {name for setting in SETTINGS if setting.parse not in can_not_be_wrong for name in setting.variables}
    assert {variable for variable, _, _ in told} == variables


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("True", True), ("1", True), ("YES", True), ("false", False), ("0", False)]
)
def test_a_flag_is_read_in_any_case(text, value):
    assert resolve(SAGEMAKER_BATCH=text).batch is value


def test_the_address_is_open_in_a_container_and_closed_outside(monkeypatch):
    assert resolve(KUBERNETES_SERVICE_HOST="10.0.0.1").host == "0.0.0.0"
    monkeypatch.setattr(settings, "in_container", lambda environment: False)
    assert resolve().host == "127.0.0.1"
    assert resolve(SCORELINE_HOST="::1").host == "::1"


def test_the_process_environment_counts_where_none_is_given(monkeypatch):
    monkeypatch.setenv("SCORELINE_PORT", "81")
    assert resolve_settings(opt_ml=NOWHERE).port == 81


def test_every_declared_setting_is_a_field_and_every_field_is_declared():
    assert [setting.name for setting in SETTINGS] == [field.name for field in fields(Settings)]


def test_no_two_settings_share_a_variable():
    variables = [variable for setting in SETTINGS for variable in setting.variables]
    assert len(variables) == len(set(variables))


def test_an_option_counts_whatever_its_variable_says():
    assert resolve({"port": 9000}, SCORELINE_PORT="nonsense").port == 9000
