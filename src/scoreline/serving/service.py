"""A service: everything that requests are answered from, loaded and proved once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoreline.app.declaration import App
from scoreline.app.load import load_app, load_module, shown
from scoreline.errors import AppError, ScorelineError, StampError
from scoreline.features.plan import make_plan
from scoreline.features.stamp import Stamp, check_plan, read_stamp
from scoreline.model.artifact import Artifact, check_belongs, load_artifact
from scoreline.predictor import Predictor, Scorer, check_golden
from scoreline.serving.records import RequestSchema
from scoreline.settings import Settings
from scoreline.store.embedded import EmbeddedStore

OWN_PREDICTOR = "predictor.py"


@dataclass(frozen=True)
class Service:
    """What `answer` works with.

    Attributes
    ----------
    generation : name of what is answered from, `<number>-<digest>`
    """

    app: App
    schema: RequestSchema
    scorer: Scorer
    generation: str
    max_body_bytes: int
    batch: bool
    check_golden: Callable[[], None]


def load_service(settings: Settings, *, verify: bool = True) -> Service:
    """Load app, model and online store, check that they belong together, and score the golden rows.

    Parameters
    ----------
    verify : bool
        Also hash the feature table and the store; the supervisor does it once, workers need not.

    Raises
    ------
    ScorelineError
        Something is missing, damaged, or belongs to something else: the message says what to run.
    """
    app = load_app(settings.app)
    artifact = load_artifact(settings.model, runtime=settings.runtime)
    check_belongs(artifact, app)
    stamp = read_stamp(settings.results, verify=verify)
    check_plan(stamp, make_plan(app), settings.results)
    predictor = make_predictor(settings.app, app, artifact)
    store = EmbeddedStore(settings.results / stamp.store)
    if store.read_meta()["plan"] != stamp.plan:
        raise StampError(f"{store.path}: belongs to another feature table. Run `scoreline feature` again.")
    store.close()  # a worker opens its own, after the fork
    types = {name: app.spine.spec.columns[name] for name in app.spine.spec.key}
    return Service(
        app=app,
        schema=RequestSchema(types),
        scorer=Scorer(app, predictor, store, list(stamp.columns)),
        generation=f"1-{_digest(artifact, stamp)[:6]}",
        max_body_bytes=settings.max_body_mb << 20,
        batch=settings.batch,
        check_golden=lambda: check_golden(predictor, artifact),
    )


def predictor_class(folder: Path) -> Callable[[App, Artifact], Predictor]:
    """Return the class `Predictor` of the app's own `predictor.py`, else ours.

    Raises
    ------
    AppError
        The file has no class `Predictor` with a method `predict`.
    """
    path = folder / OWN_PREDICTOR
    if not path.is_file():
        return Predictor
    own: Any = getattr(load_module(path), "Predictor", None)
    if not isinstance(own, type) or not callable(getattr(own, "predict", None)):
        raise AppError(
            f"{shown(path)}: expected a class Predictor with a method predict(matrix). Start from: "
            "from scoreline.predictor import Predictor as Base; class Predictor(Base): ..."
        )
    return own


def make_predictor(folder: Path, app: App, artifact: Artifact) -> Predictor:
    """Make the app's predictor and score the golden rows with it.

    Raises
    ------
    ArtifactError
        The golden rows score otherwise than in training.
    AppError
        The app's own `predictor.py` fails on them.
    """
    own = folder / OWN_PREDICTOR
    try:
        predictor = predictor_class(folder)(app, artifact)
        check_golden(predictor, artifact)
    except Exception as error:  # an app's own predictor may raise anything; ours is left as it is
        if isinstance(error, ScorelineError) or not own.is_file():
            raise
        raise AppError(f"{shown(own)}: failed on the golden rows: {type(error).__name__}: {error}") from error
    return predictor


def _digest(artifact: Artifact, stamp: Stamp) -> str:
    return hashlib.sha256(f"{artifact.digest} {stamp.digest}".encode()).hexdigest()
