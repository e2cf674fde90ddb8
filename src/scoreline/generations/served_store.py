"""The feature table that a generation gets: that of the results folder, or what is current in the networked store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scoreline.app.declaration import App
from scoreline.errors import GenerationError, StampError, StoreAwayError, StoreError
from scoreline.features.plan import make_plan
from scoreline.features.stamp import check_plan, read_stamp
from scoreline.generations.manifest import NETWORKED_FILE, Generation
from scoreline.generations.online import Online
from scoreline.generations.state import StateFolder


@dataclass(frozen=True)
class ServedStore:
    """The online store that a generation gets: digest, columns of its rows, what of the other tables is in it.

    Attributes
    ----------
    path : its file; None for a networked store
    layout : what a networked store says of itself; empty for a file
    at : when that made it current
    note : what a person should hear of it
    """

    digest: str
    columns: tuple[str, ...]
    events: int
    newest: Mapping[str, int | None]
    path: Path | None = None
    layout: bytes = b""
    at: str = ""
    note: str | None = None

    def is_that_of(self, generation: Generation) -> bool:
        """Whether a generation answers from it: the same rows, and both in a file or both over the network."""
        return generation.store == self.digest and bool(generation.store_at) == bool(self.at)


def store_of_results(app: App, results: Path, *, verify: bool) -> ServedStore:
    """Return the store that `feature` wrote into a results folder.

    Raises
    ------
    ScorelineError
        There is none, it is damaged (where that is to be verified), or was made by another `app.py`.
    """
    stamp = read_stamp(results, verify=verify)
    check_plan(stamp, make_plan(app), results)
    if stamp.store is None:
        raise GenerationError(f"{results}: its feature table has no online store. Run `scoreline feature`.")
    newest = {name: table["newest_us"] for name, table in stamp.tables.items()}
    return ServedStore(stamp.digest, tuple(stamp.columns), stamp.events, newest, results / stamp.store)


def store_of_online(
    app: App, online: Online, state: StateFolder, current: Generation | None, *, at_start: bool
) -> ServedStore:
    """Return what is current in the networked store; where that is away at start, what was published before.

    Raises
    ------
    StoreAwayError
        It can't be reached, and this is no start or nothing was published before.
    StoreError
        It holds an older copy than the one that was answered from already.
    StampError
        It holds the features of another `app.py`.
    GenerationError
        It holds none.
    """
    try:
        publication, layout = online.current()
    except StoreAwayError as error:
        if not at_start or current is None or not current.store_at:
            raise
        raw = (state.folder_of(current.number) / NETWORKED_FILE).read_bytes()
        note = f"{error}. Lookups are answered 503 until it is back."
        facts = (str(current.store), current.columns, current.events, current.newest)
        return ServedStore(*facts, layout=raw, at=current.store_at, note=note)
    if current is not None and publication.at < current.store_at:
        raise StoreError(
            f"the online store at {online.where} went back to what was current at {publication.at}, generation "
            f"{current.name} has that of {current.store_at}: the server lost its data. Run `scoreline feature "
            "--publish` again."
        )
    if layout.meta["plan"] != make_plan(app).digest:
        raise StampError(
            f"the online store at {online.where} holds the features of another app.py. Run `scoreline feature "
            "--publish` with this one."
        )
    facts = (layout.digest, layout.columns, layout.events, layout.newest)
    return ServedStore(*facts, layout=layout.encode(), at=publication.at)
