"""Settings: which place counts, and what is said of a value that can't be used."""

from __future__ import annotations

import os
import traceback
from dataclasses import fields
from pathlib import Path

import pytest

from scoreline import settings
from scoreline.errors import SettingError
from scoreline.settings import SETTINGS, Settings, environment_of, resolve_settings, without_settings

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
    assert (found.safe_ports, found.payload_mb, found.log_level, found.multi_model) == (None, None, "warning", False)
    assert found.ml_root == NOWHERE


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


def test_a_master_that_nothing_would_ask_is_refused_but_may_be_set_for_another_day():
    with pytest.raises(SettingError, match=r"^--master yarn: is for --engine spark; the engine is duckdb$"):
        resolve({"master": "yarn"})
    assert resolve({"master": "yarn"}, SCORELINE_ENGINE="spark").master == "yarn"
    assert resolve(SCORELINE_SPARK_MASTER="yarn").engine == "duckdb"


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
    assert resolve(SAGEMAKER_BIND_TO_PORT="81", SCORELINE_PORT="http").port == 81


TIMEOUTS = ("MODEL_SERVER_TIMEOUT", "SAGEMAKER_MODEL_SERVER_TIMEOUT", "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS")


@pytest.mark.parametrize(
    ("name", "variables"),
    [("workers", ("MODEL_SERVER_WORKERS", "SAGEMAKER_MODEL_SERVER_WORKERS")), ("timeout_s", TIMEOUTS)],
)
def test_each_spelling_sets_it_and_two_must_not_contradict_one_another(name, variables):
    for variable in variables:
        assert getattr(resolve(**{variable: "3"}), name) == 3
    first, *others = variables
    for other in others:
        assert getattr(resolve(**{first: "3", other: " 3 "}), name) == 3
        assert getattr(resolve(**{first: "", other: "3"}), name) == 3
        with pytest.raises(SettingError) as caught:
            resolve(**{first: "2", other: "3"})
        assert str(caught.value) == (
            f"{first}='2' and {other}='3' contradict one another: expected one of them, or the same in each"
        )
        with pytest.raises(SettingError, match=f"{other}='x': expected"):
            resolve(**{first: "2", other: "x"})
        assert getattr(resolve({name: 5}, **{first: "2", other: "3"}), name) == 5


@pytest.mark.parametrize(
    ("variables", "port"),
    [
        pytest.param({"SAGEMAKER_BIND_TO_PORT": "8091"}, 8091, id="the-platform-chose-it"),
        pytest.param({}, 8080, id="the-port-of-the-contract"),
        pytest.param({"SCORELINE_PORT": "8100"}, 8100, id="the-first-of-the-range"),
        pytest.param({"SCORELINE_PORT": "8199"}, 8199, id="the-last-of-the-range"),
        pytest.param({"SCORELINE_PORT": "9000", "SAGEMAKER_BIND_TO_PORT": "8091"}, 8091, id="not-asked-for-our-own"),
    ],
)
def test_a_port_is_the_platforms_own_or_in_its_safe_range(variables, port):
    assert resolve(**variables, SAGEMAKER_SAFE_PORT_RANGE="8100-8199").port == port


@pytest.mark.parametrize(
    ("variables", "own"), [({"SAGEMAKER_BIND_TO_PORT": "8091"}, 8091), ({"SAGEMAKER_BIND_TO_PORT": ""}, 8080)]
)
@pytest.mark.parametrize("port", [8099, 8200])
def test_any_other_port_is_refused_where_there_is_a_safe_range(variables, own, port):
    assert resolve({"port": port}, **variables).port == port
    with pytest.raises(SettingError) as caught:
        resolve({"port": port}, **variables, SAGEMAKER_SAFE_PORT_RANGE="8100-8199")
    assert str(caught.value) == (
        f"port {port} is outside SAGEMAKER_SAFE_PORT_RANGE=8100-8199: expected one inside, or {own}, "
        "where the platform looks for the server"
    )


@pytest.mark.parametrize(
    ("variables", "limit"),
    [
        ({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "50"}, 50),
        ({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "1"}, 6),
        ({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "0"}, 100),
        ({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "50", "SCORELINE_MAX_BODY_MB": "8"}, 8),
        ({"SCORELINE_MAX_BODY_MB": "500"}, 500),
    ],
)
def test_the_largest_body_of_a_batch_transform_job_raises_the_limit(variables, limit):
    assert resolve(**variables).max_body_mb == limit


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("20", "info"),
        ("10", "debug"),
        ("0", "debug"),
        ("30", "warning"),
        ("25", "warning"),
        ("40", "error"),
        ("50", "critical"),
        ("INFO", "info"),
        ("Error", "error"),
    ],
)
def test_a_log_level_is_a_number_of_pythons_logging_or_its_name(text, level):
    assert resolve(SAGEMAKER_CONTAINER_LOG_LEVEL=text).log_level == level


def test_every_request_is_logged_where_a_platform_mounts_a_model(tmp_path):
    (tmp_path / "model").mkdir()
    assert resolve_settings({}, {}, tmp_path).log_level == "info"
    assert resolve_settings({}, {"SAGEMAKER_CONTAINER_LOG_LEVEL": "30"}, tmp_path).log_level == "warning"


def test_the_platforms_folders_may_be_elsewhere(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "input/data").mkdir(parents=True)
    found = resolve(SCORELINE_ML_ROOT=str(tmp_path), SCORELINE_APP="/app")
    assert (found.ml_root, found.model, found.data) == (tmp_path, tmp_path / "model", tmp_path / "input/data")


@pytest.mark.parametrize("inside", ["input", "input/config", "input/data/training"])
def test_a_training_job_uses_no_folder_of_the_app_whatever_the_platform_made(tmp_path, inside):
    (tmp_path / inside).mkdir(parents=True)
    found = resolve(SCORELINE_ML_ROOT=str(tmp_path), SCORELINE_APP="/app")
    assert (found.data, found.model, found.results) == (
        tmp_path / "input/data",
        tmp_path / "model",
        tmp_path / "output/data",
    )
    assert resolve({"results": Path("/named")}, SCORELINE_ML_ROOT=str(tmp_path)).results == Path("/named")


@pytest.mark.parametrize("exists", [False, True])
def test_the_state_folder_is_elsewhere_where_the_app_is_on_a_read_only_disk(tmp_path, monkeypatch, exists):
    app = tmp_path / "app"
    (app / "state" if exists else app).mkdir(parents=True)
    assert resolve({"app": app}).state == app / "state"
    real = os.statvfs(tmp_path)
    read_only = os.statvfs_result([*real[:8], real.f_flag | os.ST_RDONLY, *real[9:]])
    monkeypatch.setattr(os, "statvfs", lambda path: read_only)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert resolve({"app": app}).state == Path("/tmp/scoreline-state")
    assert resolve({"app": app, "state": tmp_path / "named"}).state == tmp_path / "named"


def test_another_process_gets_the_very_same_settings(tmp_path):
    (tmp_path / "model").mkdir()
    wild = {
        "SCORELINE_ML_ROOT": str(tmp_path),
        "SCORELINE_APP": str(tmp_path / "app"),
        "MODEL_SERVER_WORKERS": "junk",
        "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "7",
        "SAGEMAKER_SAFE_PORT_RANGE": "8100-8199",
        "SAGEMAKER_BATCH": "True",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "0",
        "SCORELINE_ADMIN_TOKEN": "hush",
        "SCORELINE_PORT": "8150",
        "HOME": "/root",
    }
    settings = resolve_settings({"workers": 2, "data": tmp_path / "data"}, wild)
    passed = without_settings(wild) | environment_of(settings)
    assert resolve_settings({}, passed) == settings
    assert passed["HOME"] == "/root"
    assert "SCORELINE_PORT" not in passed


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
        *(
            ("MODEL_SERVER_WORKERS", bad, "a whole number from 1 to 256, for example 2")
            for bad in ("0", "-1", "two", "1.5", "257")
        ),
        ("SAGEMAKER_MODEL_SERVER_WORKERS", "0", "a whole number from 1 to 256, for example 2"),
        ("MODEL_SERVER_TIMEOUT", "5m", "a whole number of seconds from 1 to 3600, for example 60"),
        ("MODEL_SERVER_TIMEOUT", "3601", "a whole number of seconds from 1 to 3600, for example 60"),
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT", "0", "a whole number of seconds from 1 to 3600, for example 60"),
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", "1.5", "a whole number of seconds from 1 to 3600, for example 60"),
        *(
            ("SAGEMAKER_SAFE_PORT_RANGE", bad, "two ports, lowest first, for example 8100-8199")
            for bad in ("8100", "8199-8100", "0-10", "8100-", "8100-99999", "a-b", "8100-8199-8200")
        ),
        ("SCORELINE_MAX_BODY_MB", "6MB", "a whole number of mebibytes above 0, for example 6"),
        (
            "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT",
            "csv",
            "one of application/json, text/csv, application/jsonlines, application/x-npy",
        ),
        *(
            ("SAGEMAKER_MAX_PAYLOAD_IN_MB", bad, "a whole number of mebibytes from 0 to 100")
            for bad in ("-1", "101", "6.5")
        ),
        *(("SAGEMAKER_CONTAINER_LOG_LEVEL", bad, "a level such as 20 or info") for bad in ("loud", "-1", "1.5")),
        ("SAGEMAKER_MULTI_MODEL", "many", "true or false"),
        ("SCORELINE_RUNTIME", "onnx", "kernel, gtil or estimator"),
        ("SCORELINE_ENGINE", "polars", "duckdb or spark"),
        ("SAGEMAKER_BATCH", "perhaps", "true or false"),
        ("SCORELINE_WORKER_CLASS", "gevent", "asgi or sync"),
        *(
            ("SCORELINE_MAX_BAD_PERCENT", bad, "a share from 0 to 100, for example 1")
            for bad in ("-1", "101", "nan", "inf", "1%")
        ),
        *(("SCORELINE_MAX_BAD_ROWS", bad, "a whole number, for example 20") for bad in ("-1", "1.5", "many")),
        *(("SCORELINE_HISTORY_DAYS", bad, "a whole number of days above 0, for example 400") for bad in ("0", "1.5")),
        ("SCORELINE_EVENTS_DAYS", "0", "a whole number of days above 0, for example 30"),
        ("SCORELINE_STORE_TIMEOUT_MS", "0.5", "a whole number of milliseconds above 0, for example 250"),
        ("SCORELINE_STORE_KEEP_SECONDS", "1d", "a whole number of seconds above 0, for example 86400"),
        ("SCORELINE_CONCURRENCY", "0", "a whole number above 0, for example 2"),
        ("SCORELINE_INFERENCE_TIMEOUT", "soon", "a whole number of seconds above 0, for example 70"),
        *(
            ("SCORELINE_REFRESH_SECONDS", bad, "a whole number of seconds above 0, for example 300")
            for bad in ("0", "-5", "5m", "0.5", "never")
        ),
    ],
)
def test_a_value_that_can_not_be_used_is_named_with_what_was_expected(variable, bad, expected):
    with pytest.raises(SettingError) as caught:
        resolve(**{variable: bad})
    assert str(caught.value) == f"{variable}='{bad}': expected {expected}"


@pytest.mark.parametrize("bad", ["http://:hush@cache", "hush", "redis:hush", "redis://"])
def test_a_store_that_is_none_is_refused_and_not_shown_since_a_password_may_be_in_it(bad):
    with pytest.raises(SettingError) as caught:
        resolve(SCORELINE_STORE=bad)
    assert str(caught.value).startswith("SCORELINE_STORE: expected redis://, rediss:// (TLS), unix:// or valkey://")
    assert "hush" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "url", ["redis://:hush@h", "rediss://u:hush@h:1/2", "unix:///hush", "valkey://hush", "valkeys://hush"]
)
def test_a_store_and_its_password_are_taken_and_never_shown(url):
    found = resolve(SCORELINE_STORE=url, SCORELINE_STORE_PASSWORD="hush-hush")
    assert (found.store, found.store_password) == (url, "hush-hush")
    assert "hush" not in repr(found)


def test_every_setting_that_can_be_wrong_is_told_above():
    told = test_a_value_that_can_not_be_used_is_named_with_what_was_expected.pytestmark[0].args[1]
    told = [*told, ("SCORELINE_STORE", "", "")]
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


def test_a_working_directory_that_was_removed_is_named_and_matters_only_where_it_is_the_app(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    monkeypatch.setenv("PWD", str(gone))
    gone.rmdir()
    assert resolve(SCORELINE_APP="/app").app == Path("/app")
    with pytest.raises(SettingError, match=rf"^the working directory {gone} was removed or replaced: cd into one"):
        resolve()


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
