"""An app at rest: what it declares, its model artifact, its feature table and its own files. No server runs yet."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import re
import symtable
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from scoreline.app.declaration import App
from scoreline.app.load import load_app
from scoreline.doctor.findings import Checks, Failed, Grade, NotChecked
from scoreline.doctor.limits import PAYLOAD
from scoreline.errors import ScorelineError
from scoreline.features.plan import make_plan
from scoreline.features.stamp import Stamp, check_plan, read_stamp
from scoreline.model.artifact import MANIFEST_FILE, Artifact, check_belongs, load_artifact
from scoreline.predictor import check_golden
from scoreline.serving.nginx import OWN_TEMPLATE, check_configuration
from scoreline.serving.service import OWN_PREDICTOR, predictor_class
from scoreline.settings import Settings
from scoreline.store.embedded import EmbeddedStore

_OWN_WSGI = "wsgi.py"
_FEATURE, _TRAIN = "Run `scoreline feature`.", "Run `scoreline train`."
Loaded = TypeVar("Loaded")

CHECKS: Checks[Bench] = Checks()


@dataclass(frozen=True)
class Bench:
    """An app's folders, as the settings find them."""

    settings: Settings

    @functools.cached_property
    def app(self) -> App:
        """The app; ScorelineError where app.py has a mistake."""
        return load_app(self.settings.app)

    @functools.cached_property
    def artifact(self) -> Artifact:
        """The model artifact; ScorelineError where it is not whole."""
        return load_artifact(self.settings.model, runtime=self.settings.runtime)

    @functools.cached_property
    def stamp(self) -> Stamp:
        """The feature table's stamp; ScorelineError where it is not whole."""
        return read_stamp(self.settings.results)


@CHECKS.add(
    "app", "", Grade.MUST, "app.py loads, and declares one whole app",
    fix="Mend app.py where the message says; `scoreline check` looks at it and at the heads of the tables.",
)  # fmt: skip
def _app(bench: Bench) -> str:
    app = _or_failed(lambda: bench.app)
    return f"{app.name}: {len(app.feature_list)} features, heads {', '.join(app.heads)}"


@CHECKS.add(
    "artifact", "H9", Grade.MUST, "the model artifact is there and whole: each file is the one that its manifest names",
    fix=f"{_TRAIN} Copy the whole folder, with its sub-folders: a file of an older artifact in it, or one cut off on "
    "the way, is another model.",
)  # fmt: skip
def _artifact(bench: Bench) -> str:
    artifact = _or_failed(lambda: bench.artifact)
    return f"{len(artifact.manifest['files'])} files, {artifact.digest[:6]}"


@CHECKS.add(
    "artifact-app", "H9", Grade.MUST, "the model artifact was made for this app.py as it is now",
    fix=f"{_TRAIN} It is needed after each change of a schema, a feature, a head or a rule; or name the artifact of "
    "this app with SCORELINE_MODEL_DIR.",
    needs=("app", "artifact"),
)  # fmt: skip
def _artifact_app(bench: Bench) -> str:
    _or_failed(lambda: check_belongs(bench.artifact, bench.app))
    return "schemas, features and heads agree"


@CHECKS.add(
    "own-predictor", "", Grade.MUST, "the app's own predictor.py loads and has its class",
    fix="Mend predictor.py: a class Predictor with a method predict(matrix). `scoreline eject predictor.py` gives ours "
    "to start from. Or remove the file: ours serves then.",
    needs=("app",),
)  # fmt: skip
def _own_predictor(bench: Bench) -> str:
    if not _own(bench, OWN_PREDICTOR).is_file():
        return "there is none"
    _or_failed(lambda: predictor_class(bench.settings.app))
    return "it has a class Predictor with a method predict"


@CHECKS.add(
    "golden", "", Grade.MUST, "the golden rows score as they did in training",
    fix=f"{_TRAIN} Where the model must stay as it is: go back to the predictor.py, and to the versions of libraries, "
    "that it was trained with (`versions` in model/manifest.json).",
    needs=("artifact-app", "own-predictor"),
)  # fmt: skip
def _golden(bench: Bench) -> str:
    own = _own(bench, OWN_PREDICTOR)
    try:
        check_golden(predictor_class(bench.settings.app)(bench.app, bench.artifact), bench.artifact)
    except ScorelineError as error:
        raise Failed(str(error)) from error
    except Exception as error:  # an app's own predictor may raise anything
        if not own.is_file():
            raise
        raise Failed(f"{own.name} fails on them: {type(error).__name__}: {error}") from error
    return f"{len(bench.artifact.golden.rows)} rows, to within 1e-9"


@CHECKS.add(
    "features", "", Grade.MUST, "the feature table is stamped, whole, and made by this app.py",
    fix=f"{_FEATURE} Then train again, so that model and features agree.", needs=("app",),
)  # fmt: skip
def _features(bench: Bench) -> str:
    stamp = _or_failed(lambda: bench.stamp)
    _or_failed(lambda: check_plan(stamp, make_plan(bench.app), bench.settings.results))
    return f"{stamp.rows:,} rows, stamped {stamp.digest[:12]}"


@CHECKS.add(
    "store", "", Grade.MUST, "the online store opens, and is that of this app",
    fix=f"{_FEATURE} It writes the store beside the feature table; don't copy a store from another app or run.",
    needs=("features",),
)  # fmt: skip
def _store(bench: Bench) -> str:
    if bench.stamp.store is None:
        return "none is needed: a request brings all that features need"
    path = bench.settings.results / bench.stamp.store
    store = EmbeddedStore(path)
    try:
        meta = _or_failed(store.read_meta)
    finally:
        store.close()
    if meta.get("plan") != make_plan(bench.app).digest:
        raise Failed(f"{path.name} is the store of another feature table")
    return f"{path.name}, of this plan"


@CHECKS.add(
    "versions", "", Grade.SHOULD, "Python and the libraries are those that trained the model",
    fix="Install the versions that the manifest names (requirements.lock pins them), or train again with those that "
    "will serve: the image's.",
    needs=("artifact",),
)  # fmt: skip
def _versions(bench: Bench) -> str:
    made = bench.artifact.manifest.get("versions")
    if not made:
        raise NotChecked(f"{MANIFEST_FILE} names none: nothing was learnt")
    now = {name: _version_of(name) for name in made}
    others = [
        f"{name} {made[name]} then, {now[name] or 'none'} now" for name in made if _differs(made[name], now[name])
    ]
    if others:
        raise Failed("; ".join(others))
    return ", ".join(f"{name} {version}" for name, version in made.items())


@CHECKS.add(
    "own-nginx", "", Grade.MUST, "nginx takes the app's own nginx.conf",
    fix="Mend nginx.conf where nginx says, and keep its values in double braces. `scoreline eject nginx.conf` gives "
    "ours to start from. Or remove the file: ours serves then.",
)  # fmt: skip
def _own_nginx(bench: Bench) -> str:
    if not _own(bench, OWN_TEMPLATE).is_file():
        return "there is none"
    _or_failed(lambda: check_configuration(bench.settings.app))
    return "nginx reads it"


@CHECKS.add(
    "own-nginx-body", "H6", Grade.MUST, "the app's own nginx.conf lets a body of 6 MiB through",
    fix="Write `client_max_body_size {{ max_body_mb }}m;` into the http block of nginx.conf: nginx's default is 1m, "
    "the copied skeleton has 5m.",
    needs=("own-nginx",),
)  # fmt: skip
def _own_nginx_body(bench: Bench) -> str:
    path = _own(bench, OWN_TEMPLATE)
    if not path.is_file():
        return "there is none"
    text = re.sub("#.*", "", path.read_text())
    sizes = [size.strip() for size in re.findall(r"\bclient_max_body_size\s+([^;]+);", text)]
    if not sizes:
        raise Failed("it names no client_max_body_size: nginx takes 1m")
    if small := [size for size in sizes if not _lets_through(size)]:
        raise Failed(f"client_max_body_size {small[0]}")
    return f"client_max_body_size {', '.join(sizes)}"


@CHECKS.add(
    "own-wsgi", "", Grade.MUST, "the app's own wsgi.py can be read, and defines `app`",
    fix="Define `app` in wsgi.py, a WSGI callable: `from scoreline.serving.wsgi import app` gives ours, to wrap. "
    "`scoreline eject wsgi.py` writes such a file. Or remove it: ours serves then.",
)  # fmt: skip
def _own_wsgi(bench: Bench) -> str:
    path = _own(bench, _OWN_WSGI)
    if not path.is_file():
        return "there is none"
    try:
        symbols = symtable.symtable(path.read_text(), str(path), "exec").get_symbols()
    except (SyntaxError, ValueError) as error:
        raise Failed(f"{path.name}: {error}") from error
    names = {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}
    if "app" not in names:
        raise Failed(f"{path.name} defines no `app`")
    return "it defines `app`"


def _lets_through(size: str) -> bool:
    """Whether nginx lets 6 MiB through at this client_max_body_size; 0 is no limit."""
    number = re.fullmatch(r"(\d+)([kmg]?)", size.lower())
    if number is None:
        return "{{" in size  # the setting's, which is 6 MiB or what was asked for
    given = int(number[1]) << {"": 0, "k": 10, "m": 20, "g": 30}[number[2]]
    return given == 0 or given >= PAYLOAD


def _own(bench: Bench, name: str) -> Path:
    return bench.settings.app / name


def _or_failed(load: Callable[[], Loaded]) -> Loaded:
    try:
        return load()
    except ScorelineError as error:
        raise Failed(str(error)) from error


def _version_of(name: str) -> str | None:
    if name == "python":
        return platform.python_version()
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _differs(then: str, now: str | None) -> bool:
    """Whether a version differs in more than its last part, which mends and changes nothing."""
    return now is None or then.split(".")[:2] != now.split(".")[:2]
