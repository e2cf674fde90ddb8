"""The model artifact: a folder with a manifest, and everything that the manifest names.

The manifest says what a client sends, what the heads take, what a client gets, what the model was
made from, and the SHA-256 of each file. `check_belongs` holds it against an app.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoreline.app.declaration import App
from scoreline.app.heads import RulesHead, TreesHead
from scoreline.errors import ArtifactError, did_you_mean
from scoreline.features.plan import make_plan
from scoreline.files import finish_commit, sha256_of
from scoreline.model.classes import ClassLink
from scoreline.model.estimator import find_estimator, load_estimator
from scoreline.model.evaluate import Link
from scoreline.model.inputs import Matrix, inputs_of
from scoreline.model.parity import load_corpus
from scoreline.model.runtimes import Runtime, choose_runtime
from scoreline.model.trees import FlatTrees, Floats

FORMAT = 2
MANIFEST_FILE, GOLDEN_FILE, HEADS_FOLDER = "manifest.json", "golden.json", "heads"
TREES_SUFFIX, CORPUS_SUFFIX = ".trees", ".parity.npz"  # of a head's files, beside its estimator's
_REQUIRED = {"app", "schemas", "features", "heads", "files"}
_DECLARED = (
    "kind",
    "rules",
    "target",
    "inputs",
    "monotonic",
    "knock_outs",
    "classes",
)  # of a head; the rest came of training
_AGAIN = "Run `scoreline train` again."


@dataclass(frozen=True)
class LearntHead:
    """A learned head ready to score.

    Attributes
    ----------
    trees : None where parity refused them, so that the estimator itself serves
    takes_missing : whether the estimator answers rows with missing inputs; where not, neither do its trees
    support : lowest and highest probability of the rows that calibrated it
    runtime : what scores; None for the walk in numpy, where trees come from nowhere but memory
    """

    trees: FlatTrees | None
    link: Link | ClassLink
    inputs: tuple[str, ...]
    takes_missing: bool = True
    support: tuple[float, float] = (0.0, 1.0)
    runtime: Runtime | None = None

    def predict_raw(self, matrix: Matrix) -> Floats:
        """Return the raw scores of rows that hold the head's own inputs, in its order."""
        scores = self.runtime or self.trees
        if scores is None:
            raise ValueError("a head without trees needs a runtime")
        return scores.predict_raw(matrix)


@dataclass(frozen=True)
class Golden:
    """Inputs with the raw outputs that each head must give for them, None where there is no such head.

    Attributes
    ----------
    rows : one list a row, in the order of the inputs schema; None is missing
    outputs : head -> one number a row (a rule's position, or a probability; None where there is none), or
        one list of them where a head has several classes
    """

    rows: list[list[float | None]]
    outputs: dict[str, list[Any] | None]


@dataclass(frozen=True)
class Artifact:
    """A model artifact that was read and found whole.

    Attributes
    ----------
    learnt : learned head -> its trees, None where it could not be learnt
    digest : SHA-256 of the manifest, which has that of every file
    """

    folder: Path
    manifest: dict[str, Any]
    learnt: dict[str, LearntHead | None]
    golden: Golden
    digest: str


def describe_app(app: App) -> dict[str, Any]:
    """Return the part of a manifest that follows from the app alone."""
    plan = make_plan(app).describe()
    return {
        "app": app.name,
        "schemas": {
            "request": _describe_request(app),
            "inputs": inputs_of(app).describe(),
            "reply": {name: field.describe() for name, field in app.reply_fields.items()},
        },
        "features": plan["features"],
        "heads": {
            head.name: {"kind": "rules", "rules": [rule.describe() for rule in head.rules]}
            if isinstance(head, RulesHead)
            else _describe_trees(head)
            for head in app.heads.values()
        },
    }


def _describe_request(app: App) -> dict[str, Any]:
    spine, request = app.spine.spec, app.declared_request
    if request is None:
        return {name: spine.columns[name].describe() for name in spine.key}
    return {
        name: {**kind.describe(), **({"optional": True} if kind.optional else {})}
        for name, kind in request.table.spec.columns.items()
    }


def _describe_trees(head: TreesHead) -> dict[str, Any]:
    described: dict[str, Any] = {"kind": "trees", "target": head.target, "inputs": list(head.inputs)}
    if head.monotonic:
        described["monotonic"] = dict(head.monotonic)
    if head.classes:
        described["classes"] = list(head.classes)
    if head.knock_outs is not None:
        described["knock_outs"] = head.knock_outs
    return described


def load_artifact(folder: Path, *, runtime: str | None = None) -> Artifact:
    """Read an artifact, check every file against the manifest, and choose what scores its learned heads.

    Parameters
    ----------
    runtime : one of `scoreline.model.runtimes.RUNTIMES`, optional
        To have that one alone; else the fastest that is present and answers as the estimator did.

    Raises
    ------
    ArtifactError
        It is missing, of another format, or damaged: the message names the file. Or no runtime scores it right.
    """
    if folder.is_dir():
        finish_commit(folder)
    path = folder / MANIFEST_FILE
    try:
        content = path.read_bytes()
        manifest = json.loads(content)
    except FileNotFoundError as error:
        raise ArtifactError(f"{folder}: no model artifact here. Run `scoreline train` first.") from error
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: can't be read ({error}). {_AGAIN}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else None
        raise ArtifactError(f"{path}: is format {found}; this version reads {FORMAT}. {_AGAIN}")
    if missing := sorted(_REQUIRED - manifest.keys()):
        raise ArtifactError(f"{path}: is not a whole manifest, it has no {', '.join(missing)}. {_AGAIN}")
    _check_files(folder, manifest["files"])
    try:
        learnt = {
            name: _load_head(folder, name, head, runtime)
            for name, head in manifest["heads"].items()
            if head["kind"] == "trees"
        }
        golden = Golden(**json.loads((folder / GOLDEN_FILE).read_bytes()))
    except ArtifactError:
        raise
    except (
        KeyError,
        TypeError,
        AttributeError,
        ValueError,
    ) as error:  # edited by hand, or by a version between two formats
        raise ArtifactError(f"{path}: is not a whole manifest ({error} is missing or wrong). {_AGAIN}") from error
    return Artifact(folder, manifest, learnt, golden, hashlib.sha256(content).hexdigest())


def read_digest(folder: Path) -> str | None:
    """Return the digest of the artifact in a folder without reading more than its manifest; None if there is none."""
    if folder.is_dir():
        finish_commit(folder)
    try:
        return hashlib.sha256((folder / MANIFEST_FILE).read_bytes()).hexdigest()
    except OSError:
        return None


def files_of(folder: Path) -> list[str]:
    """Return the names of an artifact's files, as its manifest has them; ArtifactError where it can't be read."""
    try:
        return [*json.loads((folder / MANIFEST_FILE).read_bytes())["files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{folder / MANIFEST_FILE}: can't be read ({error}). {_AGAIN}") from error


def _check_files(folder: Path, files: dict[str, str]) -> None:
    for name, expected in files.items():
        file = folder / name
        if not file.is_file():
            raise ArtifactError(f"{file}: is missing from the model artifact. {_AGAIN}")
        if sha256_of(file) != expected:
            raise ArtifactError(f"{file}: is not the file that the manifest names: changed or torn. {_AGAIN}")


def check_belongs(artifact: Artifact, app: App) -> None:
    """Raise ArtifactError, naming what differs first, unless the artifact was made for this app as it is."""
    made, now = artifact.manifest, describe_app(app)
    if made["app"] != now["app"]:
        raise ArtifactError(f"{artifact.folder}: is the model of '{made['app']}', app.py declares '{now['app']}'")
    for schema in ("request", "inputs", "reply"):
        _compare(artifact.folder, f"{schema} schema, column", made["schemas"][schema], now["schemas"][schema])
    _compare(artifact.folder, "feature", made["features"], now["features"])
    for name, head in now["heads"].items():
        if name not in made["heads"]:
            raise ArtifactError(f"{artifact.folder}: has no head '{name}'.{did_you_mean(name, made['heads'])} {_AGAIN}")
        kept = {field: value for field, value in made["heads"][name].items() if field in _DECLARED}
        _compare(artifact.folder, f"head '{name}',", _by_rule(kept), _by_rule(head))


def _by_rule(head: dict[str, Any]) -> dict[str, Any]:
    """Name rules one by one, so that a difference names the rule."""
    rules = head.get("rules") or []
    return {**head, "rules": [rule["name"] for rule in rules], **{f"rule {rule['name']}": rule for rule in rules}}


def _compare(folder: Path, what: str, made: dict[str, Any], now: dict[str, Any]) -> None:
    for name in [*now, *made]:
        if made.get(name) != now.get(name):
            raise ArtifactError(
                f"{folder}: {what} '{name}': the model was trained with {_shown(made.get(name))}, app.py declares "
                f"{_shown(now.get(name))}. {_AGAIN}"
            )
    if list(made) != list(now):
        raise ArtifactError(f"{folder}: {what}s were {', '.join(made)}, app.py declares {', '.join(now)}. {_AGAIN}")


def _shown(value: Any) -> str:
    if value is None:
        return "none of that name"
    if isinstance(value, dict) and isinstance(value.get("from"), dict):
        return f"a function of {', '.join(value['from']['of'])} that reads otherwise"
    return json.dumps(value)


def _load_head(folder: Path, name: str, head: dict[str, Any], wanted: str | None) -> LearntHead | None:
    if "absent" in head:
        return None
    base = folder / HEADS_FOLDER / name
    trees = FlatTrees.load(base.with_suffix(TREES_SUFFIX)) if head["trees"] else None
    if trees is not None and trees.features != len(head["inputs"]):
        raise ArtifactError(f"{folder}: head '{name}' has {trees.features} columns in its trees, its manifest "
                            f"says {len(head['inputs'])}. {_AGAIN}")  # fmt: skip
    link = _load_link(head)
    low, high = (0.0, 1.0) if "classes" in head else head["support"]
    runtime = choose_runtime(
        trees,
        proved=head["proved"],
        corpus=lambda: load_corpus(base.with_suffix(CORPUS_SUFFIX)),
        estimator=lambda: load_estimator(find_estimator(base)),
        wanted=wanted,
        where=f"{folder}: head '{name}'",
    )
    reached = (float(low), float(high))
    return LearntHead(trees, link, tuple(head["inputs"]), head["takes_missing"], reached, runtime)


def _load_link(head: dict[str, Any]) -> Link | ClassLink:
    described = head["link"]
    if "classes" in head:
        return ClassLink(described["kind"], tuple(described["seen"]), len(head["classes"]))
    return Link(float(described["slope"]), float(described["intercept"]))
