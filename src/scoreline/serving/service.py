"""A service: the app, and the generation that requests are answered from at this moment."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from scoreline.app.declaration import App
from scoreline.app.load import load_app, load_module, shown
from scoreline.app.moments import now_us
from scoreline.errors import AppError, GenerationError, ScorelineError, SettingError, StoreAwayError
from scoreline.generations.ingest import ingestable_tables
from scoreline.generations.online import open_link
from scoreline.generations.parts import Parts, load_parts
from scoreline.generations.state import StateFolder, age_s, newest_age_s
from scoreline.model.artifact import Artifact
from scoreline.predictor import NewRow, Options, Predictor, StoredScorer, check_golden
from scoreline.serving.codecs import recommended, reply_tables, types_given, types_taken
from scoreline.serving.kinds import SpineRow
from scoreline.serving.records import schema_of
from scoreline.settings import Settings, variables_of
from scoreline.store.events import event_log
from scoreline.store.layout import Names
from scoreline.store.link import Link
from scoreline.store.merged import Events
from scoreline.store.networked import NetworkedStore
from scoreline.store.networked_events import NetworkedEvents

OWN_PREDICTOR = "predictor.py"
ADOPT_S = 5  # a worker that can't adopt a published generation in this time is replaced
_TRIES = 5  # a generation may be superseded, and pruned, while it is being loaded
_SAY_S = 10.0  # between two lines that say that the store is away
_AGES_S = 1.0  # how long what is known of tables' ages is used again
_log = logging.getLogger("scoreline.serving")


class Service:
    """What `answer` works with.

    Parameters
    ----------
    state : where generations are published; the newest is loaded at once
    events : the folder with the event log, where that is not the state folder

    Raises
    ------
    ScorelineError
        Nothing is published, or it does not fit the app.
    """

    def __init__(self, app: App, settings: Settings, state: StateFolder, events: Path | None = None) -> None:
        self.app = app
        self.schema = schema_of(app)
        self.taken = types_taken(self.schema)
        self.tables = reply_tables(app)
        self.given = types_given(numbers=self.tables.request.is_numeric or self.tables.inputs.is_numeric)
        self.default_accept = _default_accept(settings, self.given)
        self.max_body_bytes = settings.max_body_mb << 20
        self.max_body_mb, self.workers = settings.max_body_mb, settings.workers or 1
        self.batch = settings.batch
        self.replace_worker: Callable[[], None] | None = None  # set in workers of a server that replaces them
        self._folder, self._state, self._runtime = settings.app, state, settings.runtime
        self._lock = threading.Lock()
        self._limits = {
            name: table.spec.reference.stale_after_s
            for name, table in app.reference_tables.items()
            if table.spec.reference is not None and table.spec.reference.stale_after_s is not None
        }
        self._event_limits = {
            name: spec.stale_after_s for name, spec in ingestable_tables(app).items() if spec.stale_after_s is not None
        }
        self._stale: tuple[float, list[str]] = (float("-inf"), [])
        self._document: tuple[str, bytes] = ("", b"")
        self._said_away = float("-inf")
        self._link = open_link(settings) if app.declared_request is None else None
        self._events = None if self.schema.new_rows is None else _events_of(app, events or state.path, self._link)
        self._parts = self._load(None)

    def current(self) -> Parts:
        """Return the published generation, adopting it first if it is new.

        Raises
        ------
        ScorelineError
            It can't be adopted. The worker is replaced, where there is something that replaces it.
        """
        if self._state.number == self._parts.generation.number:
            return self._parts
        with self._lock:
            if self._state.number != self._parts.generation.number:
                try:
                    with self._deadline():
                        self._parts = self._load(self._parts)
                except ScorelineError:
                    if self.replace_worker is not None:
                        self.replace_worker()
                    raise
        return self._parts

    @property
    def last_known(self) -> str:
        """Name of the generation adopted last."""
        return self._parts.generation.name

    @property
    def is_networked(self) -> bool:
        """Whether rows come from a networked store."""
        return self._link is not None

    @property
    def scored_by(self) -> str:
        """What scores the trees, as a clause: `, trees by kernel`; empty where there are none."""
        runtimes = {head.runtime.name for head in self._parts.artifact.learnt.values() if head and head.runtime}
        return f", trees by {' and '.join(sorted(runtimes))}" if runtimes else ""

    def stale(self) -> list[str]:
        """Return the tables whose age is past their declared limit."""
        if not self._limits and not self._event_limits:
            return []
        looked_at, names = self._stale
        if time.monotonic() - looked_at > _AGES_S:
            ages = {name: age_s(self._state, name) for name in self._limits}
            names = [name for name, limit in self._limits.items() if (age := ages[name]) is None or age > limit]
            newest = {name: self._newest_age_s(name) for name in self._event_limits}
            names += [
                name for name, limit in self._event_limits.items() if (age := newest[name]) is None or age > limit
            ]
            self._stale = (time.monotonic(), names)
        return names

    def _newest_age_s(self, table: str) -> float | None:
        """Return the age of a table's newest row, of those built in and those ingested since; None without one."""
        try:
            return newest_age_s(self._parts.generation, self._events, table)
        except StoreAwayError:
            return newest_age_s(self._parts.generation, None, table)

    @contextlib.contextmanager
    def asked_ahead(self, parts: Parts, records: Sequence[Any], options: Options) -> Iterator[int]:
        """Give the moment of a request; what it will look up in a networked store is there, by one round trip.

        Without new rows there is nothing to gain: keys alone are one question. Whether a record is a new row shows
        only by its key, so that of those both are asked for: its feature row, and what it would be made from.
        """
        now, scorer, schema = now_us(), parts.scorer, self.schema.new_rows
        rows = [record for record in records if type(record) is SpineRow]
        if not rows or schema is None or not isinstance(scorer, StoredScorer) or scorer.new_rows is None:
            yield now
            return
        if not isinstance(parts.store, NetworkedStore):  # a rollback holds on to a generation of a file
            yield now
            return
        read = [schema.read(row, now, scorer.new_rows.since_us) for row in rows]
        new = [row for row in read if type(row) is NewRow]
        keys = [] if options.live else [row.key for row in rows]
        keys += [record for record in records if type(record) is tuple]
        wanted = scorer.new_rows.wanted(new)
        commands = [*parts.store.ask_rows(keys), *(parts.states.commands(wanted) if parts.states else ())]
        with parts.store.link.ahead(commands):
            yield now

    def note_away(self, error: StoreAwayError) -> None:
        """Say in the log that requests are answered 503, once in a while."""
        if time.monotonic() - self._said_away > _SAY_S:
            self._said_away = time.monotonic()
            _log.error("answered 503: %s", error)

    def document(self, parts: Parts) -> bytes:
        """Return the OpenAPI document of a generation as JSON; made when it is first asked for."""
        if self._document[0] != parts.generation.name:
            from scoreline.serving.openapi import make_document

            content = make_document(self.app, parts, recommended(self.taken), recommended(self.given))
            self._document = (parts.generation.name, msgspec.json.encode(content))
        return self._document[1]

    def check_golden(self) -> None:
        """Score the golden rows of the published generation; ArtifactError where they differ."""
        parts = self.current()
        check_golden(parts.predictor, parts.artifact)

    def _load(self, former: Parts | None) -> Parts:
        for attempt in range(_TRIES):
            number = self._state.number
            if number == 0:
                raise GenerationError(f"{self._state.path}: nothing is published here. Run `scoreline refresh`.")
            try:
                return load_parts(
                    self.app,
                    self._state.folder_of(number),
                    functools.partial(make_predictor, self._folder),
                    former,
                    self._runtime,
                    self._events,
                    self._link,
                )
            except ScorelineError:
                if self._state.number == number or attempt == _TRIES - 1:
                    raise
        raise AssertionError("the last try returns or raises")

    @contextlib.contextmanager
    def _deadline(self) -> Any:
        """End this worker if adopting takes longer than `ADOPT_S`: another is started in its place."""
        if self.replace_worker is None:
            yield
            return
        timer = threading.Timer(ADOPT_S, os._exit, [1])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def _events_of(app: App, folder: Path, link: Link | None) -> Events:
    return event_log(folder) if link is None else NetworkedEvents(link, Names(app.name))


def _default_accept(settings: Settings, given: tuple[str, ...]) -> str | None:
    chosen = settings.default_accept
    if chosen is not None and chosen not in given:
        variable = variables_of("default_accept")[0]
        raise SettingError(f"{variable}={chosen!r}: this app's replies are not numbers alone; expected another type")
    return chosen


def load_service(settings: Settings) -> Service:
    """Load the app and the published generation.

    Raises
    ------
    ScorelineError
        Something is missing, damaged, or belongs to something else: the message says what to run.
    """
    return Service(load_app(settings.app), settings, StateFolder(settings.state))


def end_after_this_request() -> None:
    """Ask gunicorn to replace this worker once it has answered."""
    signal.raise_signal(signal.SIGTERM)


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
