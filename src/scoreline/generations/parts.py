"""A generation's parts in memory, ready to answer. Parts that did not change are shared with the one before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from scoreline.app.declaration import App
from scoreline.errors import GenerationError, StampError, StoreError
from scoreline.features.plan import make_plan
from scoreline.generations.manifest import (
    MODEL_FOLDER,
    NETWORKED_FILE,
    STORE_FILE,
    TABLES_FOLDER,
    Generation,
    read_manifest,
)
from scoreline.model.artifact import Artifact, check_belongs, load_artifact
from scoreline.predictor import InputScorer, LiveScorer, NewRows, Predictor, ReferenceData, StoredScorer, Trail
from scoreline.store.embedded import EmbeddedStore
from scoreline.store.layout import Names, read_layout
from scoreline.store.link import Link
from scoreline.store.merged import Events, MergedStates, OnlineStore
from scoreline.store.networked import NetworkedStore

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
    states : the same with what was ingested since, as one
    """

    generation: Generation
    artifact: Artifact
    predictor: Predictor
    store: OnlineStore | None
    tables: Mapping[str, tuple[str, ReferenceData]]
    scorer: StoredScorer | LiveScorer
    direct: InputScorer
    trail: Trail | None = None
    states: MergedStates | None = None


def load_parts(
    app: App,
    folder: Path,
    make_predictor: MakePredictor,
    former: Parts | None = None,
    runtime: str | None = None,
    events: Events | None = None,
    link: Link | None = None,
) -> Parts:
    """Load a generation's folder; its golden rows are scored on the way.

    Parameters
    ----------
    make_predictor : makes the app's predictor and scores the golden rows with it
    former : parts of another generation, shared where their content is the same
    runtime : the one runtime that may score trees; None: the fastest that was proved
    events : rows of other tables that came since the generation was built
    link : to the networked store, for generations that name it

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
    store = None if generation.store is None else _load_store(app, folder, generation, former, link)
    tables = {
        name: _load_table(app, folder / TABLES_FOLDER / f"{name}.msgpack", name, generation, former)
        for name in app.reference_tables
    }
    scorer: StoredScorer | LiveScorer
    merged: MergedStates | None = None
    if store is not None:
        merged = None if events is None else MergedStates(store, events)
        new_rows = NewRows(app, merged or store, generation.columns, {name: data for name, (_, data) in tables.items()})
        scorer = StoredScorer(app, artifact, predictor, store, generation.columns, new_rows)
    else:
        scorer = LiveScorer(app, artifact, predictor, {name: data for name, (_, data) in tables.items()})
    direct = InputScorer(app, artifact, predictor)
    return Parts(generation, artifact, predictor, store, tables, scorer, direct, merged or store, merged)


def _load_store(app: App, folder: Path, generation: Generation, former: Parts | None, link: Link | None) -> OnlineStore:
    same = former is not None and former.generation.store == generation.store
    path = folder / NETWORKED_FILE
    if path.exists():
        return _load_networked(app, path, former.store if same and former else None, link)
    if former is not None and same and isinstance(former.store, EmbeddedStore):
        if former.store.is_open:
            return former.store
        # Not by its old path, which may be gone; and what came open through a fork goes first, since LMDB takes
        # every link to its file for open here too.
        former.store.close()
    store = EmbeddedStore(folder / STORE_FILE)
    _refuse_other_plan(app, store.read_meta()["plan"], store.path)
    return store


def _load_networked(app: App, path: Path, former: OnlineStore | None, link: Link | None) -> NetworkedStore:
    """Make the store of a generation out of what lies in its folder: the server need not answer for that."""
    if link is None:
        raise StoreError(f"{path}: is of a networked store. Name it with SCORELINE_STORE, or run `scoreline refresh`.")
    if isinstance(former, NetworkedStore):
        return former
    layout = read_layout(path.read_bytes(), str(path))
    _refuse_other_plan(app, layout.meta["plan"], path)
    return NetworkedStore(link, Names(app.name), layout)


def _refuse_other_plan(app: App, plan: str, path: Path) -> None:
    if plan != make_plan(app).digest:
        raise StampError(f"{path}: belongs to another feature table. Run `scoreline feature` again.")


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
