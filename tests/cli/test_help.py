"""Help, exit codes and misuse."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from ports import free_port
from servers import plain_environment

from scoreline.cli.main import scoreline
from scoreline.settings import SETTINGS

COMMANDS = [
    "check", "feature", "train", "serve", "inference", "up", "score", "ingest", "explain", "parity", "refresh",
    "status", "rollback", "package", "build", "eject", "push", "deploy", "doctor",
]  # fmt: skip
EXECUTABLE = Path(sys.executable).with_name("scoreline")
VARIABLES = {setting.name: setting.variables for setting in SETTINGS}
OTHER_FOLDERS = {"build": ["--app"], "eject": ["--app"], "deploy": ["--app", "--model-dir"]}  # these read no others
OPTIONS = [
    pytest.param(command, option, id=f"{command}-{option.name}")
    for command in COMMANDS
    for option in scoreline.commands[command].params
    if isinstance(option, click.Option)
]


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_goes_to_stdout_and_exits_0(cli, command, flag):
    ran = cli(*([command] if command else []), flag)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"Usage: scoreline {command + ' ' if command else ''}[OPTIONS]")


def test_help_names_every_command_in_the_order_of_use(cli):
    listed = [line.split()[0] for line in cli("--help").out.partition("Commands:")[2].splitlines() if line.strip()]
    assert listed == COMMANDS


@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_every_option_has_help_that_names_its_variables(command, option):
    assert option.help
    if option.name in VARIABLES:
        assert f"[env: {', '.join(VARIABLES[option.name])}]" in option.help


def test_only_what_is_asked_for_once_has_no_variable():
    without = {(param.values[0], param.values[1].name) for param in OPTIONS if param.values[1].name not in VARIABLES}
    assert without == {
        *(("refresh", "dry_run"), ("status", "as_json"), ("rollback", "to"), ("rollback", "unpin")),
        *(("explain", "record"), ("explain", "as_json"), ("parity", "rows"), ("ingest", "batch_id")),
        *(("feature", name) for name in ("publish", "source", "output", "file_format")),
        *(("package", "out"), ("package", "more"), ("package", "dry_run")),
        *(("build", name) for name in ("tag", "base", "platform", "dry_run")),
        ("eject", "force"),
        *(("score", name) for name in ("input", "output", "format", "top", "part_records", "features", "anew")),
        *(("push", name) for name in ("repository", "image", "platform", "registry")),
        *(("push", name) for name in ("no_build", "unchecked", "dry_run")),
        *(
            ("deploy", name)
            for name in ("endpoint", "image", "role", "model_data", "variables", "instance_type", "count")
        ),
        *(("deploy", name) for name in ("serverless_memory", "serverless_concurrency", "capture", "capture_percent")),
        *(("deploy", name) for name in ("region", "unchecked", "delete", "dry_run")),
        *(("doctor", name) for name in ("image", "record", "strict", "as_json")),
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_the_folders_that_it_works_on(command):
    names = [option.opts[0] for option in scoreline.commands[command].params]
    expected = OTHER_FOLDERS.get(command, ["--app", "--data", "--model-dir", "--results"])
    assert names[: len(expected)] == expected


def test_without_arguments_it_shows_help_and_exits_2(cli):
    ran = cli()
    assert (ran.code, ran.out) == (2, "")
    assert "Usage: scoreline [OPTIONS] COMMAND" in ran.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["feature", "--fast"], "No such option"),
        (["train", "all"], "unexpected extra argument"),
        (["trian"], "No such command"),
        (["serve", "--port", "0"], "0 is not in the range"),
        (["serve", "--port", "http"], "'http' is not a valid integer"),
        (["serve", "--workers", "0"], "0 is not in the range"),
        (["inference", "--concurrency", "-1"], "-1 is not in the range"),
        (["up", "--port", "65536"], "65536 is not in the range"),
        (["feature", "--data", __file__], "is a file"),
        (["serve", "--state", __file__], "is a file"),
        (["rollback", "--to", "0"], "0 is not in the range"),
        (["rollback", "--to", "3-abc"], "is not a valid integer range"),
        (["rollback", "--to", "3", "--unpin"], "either --to or --unpin, not both"),
        (["refresh", "cards"], "unexpected extra argument"),
        (["package", "--out", "/"], "is a directory"),
    ],
)
def test_misuse_exits_2_and_says_what_is_wrong_on_stderr(cli, arguments, says):
    ran = cli(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("MODEL_SERVER_WORKERS", "many", "a whole number from 1 to 256, for example 2"),
        ("MODEL_SERVER_WORKERS", "0", "a whole number from 1 to 256, for example 2"),
        ("MODEL_SERVER_WORKERS", "1.5", "a whole number from 1 to 256, for example 2"),
        ("SAGEMAKER_MODEL_SERVER_WORKERS", "-2", "a whole number from 1 to 256, for example 2"),
        ("MODEL_SERVER_TIMEOUT", "1m", "a whole number of seconds from 1 to 3600, for example 60"),
        ("MODEL_SERVER_TIMEOUT", "0", "a whole number of seconds from 1 to 3600, for example 60"),
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT", "soon", "a whole number of seconds from 1 to 3600, for example 60"),
        ("MODEL_SERVER_WORKERS", "9999", "a whole number from 1 to 256, for example 2"),
        ("MODEL_SERVER_TIMEOUT", "100000", "a whole number of seconds from 1 to 3600, for example 60"),
        ("SAGEMAKER_SAFE_PORT_RANGE", "9100-9000", "two ports, lowest first, for example 8100-8199"),
        ("SAGEMAKER_BIND_TO_PORT", "65536", "a port from 1 to 65535"),
        ("SCORELINE_MAX_BODY_MB", "6m", "a whole number of mebibytes above 0, for example 6"),
        ("SAGEMAKER_BATCH", "maybe", "true or false"),
        ("SCORELINE_REFRESH_SECONDS", "5m", "a whole number of seconds above 0, for example 300"),
    ],
)
def test_a_variable_that_cannot_be_used_exits_2_with_one_line(cli, monkeypatch, triage, variable, value, expected):
    monkeypatch.setenv(variable, value)
    ran = cli("serve", "--app", triage)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"scoreline: {variable}='{value}': expected {expected}\n"


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("SCORELINE_APP", "/nope", "SCORELINE_APP=/nope (or --app): expected a folder with an app.py"),
        ("SCORELINE_HOST", "999.1.1.1", "SCORELINE_HOST=999.1.1.1 (or --host): expected an address of this machine"),
        ("SCORELINE_HOST", "192.0.2.1", "SCORELINE_HOST=192.0.2.1 (or --host): expected an address of this machine"),
        ("SCORELINE_HOST", "a..b", "SCORELINE_HOST=a..b (or --host): expected an address of this machine"),
        ("SCORELINE_NGINX", "/nope", "SCORELINE_NGINX=/nope: expected a program that can be run"),
        ("SAGEMAKER_MULTI_MODEL", "true", "SAGEMAKER_MULTI_MODEL=true: expected it unset"),
    ],
)
def test_a_setting_that_names_what_there_is_not_exits_2_with_one_line(cli, monkeypatch, triage, variable, value, says):
    monkeypatch.setenv("SCORELINE_APP", str(triage))
    monkeypatch.setenv("SCORELINE_PORT", str(free_port()))
    monkeypatch.setenv("SCORELINE_HOST", "127.0.0.1")
    monkeypatch.setenv(variable, value)
    ran = cli("serve")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"scoreline: {says}")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("start", [[str(EXECUTABLE)], [sys.executable, "-m", "scoreline"]], ids=["command", "module"])
def test_the_installed_command_answers(start):
    def ran(*arguments):
        return subprocess.run(
            [*start, *arguments], capture_output=True, text=True, env=plain_environment(), check=False
        )

    assert ran("--version").stdout.startswith("scoreline 0.")
    assert ran("--help").returncode == 0
    assert ran().returncode == 2
    assert ran("feature", "--fast").returncode == 2
