"""A generation's parts in memory, ready to answer. Parts that did not change are shared with the one before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from scoreline.app.declaration import App
from scoreline.errors import GenerationError, StampError
from scoreline.features.plan import make_plan
from scoreline.generations.manifest import MODEL_FOLDER, STORE_FILE, TABLES_FOLDER, Generation, read_manifest
from scoreline.model.artifact import Artifact, check_belongs, load_artifact
from scoreline.predictor import InputScorer, LiveScorer, NewRows, Predictor, ReferenceData, StoredScorer, Trail
from scoreline.store.embedded import EmbeddedStore
from scoreline.store.events import EventLog
from scoreline.store.merged import MergedStates

MakePredictor = Callable[[App, Artifact], Predictor]


@dataclass(frozen=True)
class Parts:
    """What requests are answered from.

    Attributes
    ----------
    model : digest of the artifact
    tables : reference table -> (digest, rows in memory)
    scorer : of records as the app asks for them
    direct : of records that are the inputs of the heads
    trail : the rows of other tables that features were made from; None where the request brings all
    """

    generation: Generation
    artifact: Artifact
    predictor: Predictor
    store: EmbeddedStore | None
    tables: Mapping[str, tuple[str, ReferenceData]]
    scorer: StoredScorer | LiveScorer
    direct: InputScorer
    trail: Trail | None = None


def load_parts(
    app: App,
    folder: Path,
    make_predictor: MakePredictor,
    former: Parts | None = None,
    runtime: str | None = None,
    events: EventLog | None = None,
) -> Parts:
    """Load a generation's folder; its golden rows are scored on the way.

    Parameters
    ----------
    make_predictor : makes the app's predictor and scores the golden rows with it
    former : parts of another generation, shared where their content is the same
    runtime : the one runtime that may score trees; None: the fastest that was proved
    events : rows of other tables that came since the generation was built

    Raises
    ------
    ScorelineError
        Something is missing, damaged, or does not belong to the app.
    """
    generation = read_manifest(folder)
    if former is not None and former.generation.model == generation.model:
        artifact, predictor = former.artifact, former.predictor
    else:
        artifact = load_artifact(folder / MODEL_FOLDER, runtime=runtime)
        check_belongs(artifact, app)
        predictor = make_predictor(app, artifact)
    store = None if generation.store is None else _load_store(app, folder / STORE_FILE, generation, former)
    tables = {
        name: _load_table(app, folder / TABLES_FOLDER / f"{name}.msgpack", name, generation, former)
        for name in app.reference_tables
    }
    scorer: StoredScorer | LiveScorer
    if store is not None:
        states = store if events is None else MergedStates(store, events)
        new_rows = NewRows(app, states, generation.columns, {name: data for name, (_, data) in tables.items()})
        scorer = StoredScorer(app, artifact, predictor, store, generation.columns, new_rows)
    else:
        scorer = LiveScorer(app, artifact, predictor, {name: data for name, (_, data) in tables.items()})
    direct = InputScorer(app, artifact, predictor)
    trail = store if store is None or events is None else MergedStates(store, events)
    return Parts(generation, artifact, predictor, store, tables, scorer, direct, trail)


def _load_store(app: App, path: Path, generation: Generation, former: Parts | None) -> EmbeddedStore:
    same = former is not None and former.generation.store == generation.store
    if former is not None and same and former.store is not None:
        if former.store.is_open:
            return former.store
        # Not by its old path, which may be gone; and what came open through a fork goes first, since LMDB takes
        # every link to its file for open here too.
        former.store.close()
    store = EmbeddedStore(path)
    if store.read_meta()["plan"] != make_plan(app).digest:
        raise StampError(f"{path}: belongs to another feature table. Run `scoreline feature` again.")
    return store


def _load_table(
    app: App, path: Path, name: str, generation: Generation, former: Parts | None
) -> tuple[str, ReferenceData]:
    if name not in generation.tables:
        raise GenerationError(f"{path.parent}: has no reference table '{name}', which app.py declares")
    digest = generation.tables[name].digest
    if former is not None and name in former.tables and former.tables[name][0] == digest:
        return former.tables[name]
    spec = app.tables[name].spec
    try:
        columns = msgspec.msgpack.decode(path.read_bytes(), type=dict[str, list[object]])
        return digest, ReferenceData(spec, columns)
    except (OSError, msgspec.DecodeError, KeyError) as error:
        raise GenerationError(f"{path}: can't be read as reference table '{name}' ({error})") from error
