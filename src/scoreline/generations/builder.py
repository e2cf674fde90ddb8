"""The builder: refresh, roll back, unpin. It works in a process of its own, or in a command; never in a worker."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from scoreline.app.declaration import App
from scoreline.app.moments import now_us
from scoreline.errors import (
    GenerationError,
    PinnedError,
    ScorelineError,
    SourceAwayError,
    StoreAwayError,
)
from scoreline.features.stamp import read_stamp
from scoreline.generations.golden import check_golden_requests
from scoreline.generations.ingest import ingestable_tables
from scoreline.generations.manifest import (
    MODEL_FOLDER,
    NETWORKED_FILE,
    STORE_FILE,
    Collected,
    Generation,
    app_digest,
    content_digest,
    read_manifest,
)
from scoreline.generations.online import Online
from scoreline.generations.package import Package
from scoreline.generations.parts import MakePredictor, Parts, load_parts
from scoreline.generations.remarks import remarks_on
from scoreline.generations.report import RefreshReport, table_report, unchanged, why
from scoreline.generations.served_store import ServedStore, store_of_online, store_of_results
from scoreline.generations.state import StateFolder, utc_now
from scoreline.model.artifact import MANIFEST_FILE as MODEL_MANIFEST
from scoreline.model.artifact import check_belongs, files_of, load_artifact, read_digest
from scoreline.store.events import EVENTS_FILE, Table, event_log
from scoreline.tables.fetch import Source

Mode = Literal["ask", "poll", "start"]
_DAY_US = 86_400_000_000


class Builder:
    """Builds generations of one app out of model folder, results folder and source.

    Parameters
    ----------
    make_predictor : makes the app's predictor and scores the golden rows with it
    package : the model package that model and results are in. Its files are linked to where they are, since
        they stay as they are and /tmp may be small; its reference tables are copies at hand
    online : the networked store, from which the feature table comes then rather than from the results folder
    """

    def __init__(
        self,
        app: App,
        state: StateFolder,
        model: Path,
        results: Path,
        source: Source,
        make_predictor: MakePredictor,
        package: Package | None = None,
        events_days: int | None = None,
        online: Online | None = None,
    ) -> None:
        self._app, self._state, self._source = app, state, source
        self._model, self._results, self._make_predictor = model, results, make_predictor
        self._package, self._events_days = package, events_days
        self._digest, self._online = app_digest(app), online

    def refresh(self, mode: Mode = "ask", *, dry_run: bool = False) -> RefreshReport:
        """Publish what changed at the sources, all of it as one generation; nothing changed: nothing is published.

        Parameters
        ----------
        mode : "ask" by a person or route; "poll": while pinned it does nothing; "start": everything is
            verified, and where a source gives no good file the copy of the last generation is taken

        Raises
        ------
        PinnedError
            A rollback holds on to a generation.
        SourceAwayError
            A source can't be reached.
        ScorelineError
            A file is not good. In all cases what was published goes on.
        """
        if self._app.reference_tables:
            self._state.refuse_other_source(self._source.where)
        with self._state.locked(), self._state.staging() as staging:
            current = self._state.current()
            self._refuse_other_app(current)
            self._keep_store(current)
            if self._state.pinned is not None and not dry_run:
                return self._stay(current, mode)
            model = self._model_digest(current, mode)
            store = self._current_store(current, mode)
            tables = self._collect(staging, current, mode)
            try:
                report = self._publish(staging, current, model, store, tables, dry_run=dry_run)
            except ScorelineError as error:
                self._note_held_back(tables, current, error)
                raise
            if not dry_run:
                self._note_seen(tables)
                self._drop_events()
            return report

    def rollback(self, to: int | None = None) -> Generation:
        """Publish earlier content as a new number and pin it.

        Parameters
        ----------
        to : the number to go back to; None: the newest kept one with other content than now, and after a
            rollback one that is older than where that went

        Raises
        ------
        GenerationError
            There is no such generation, or it was made for another `app.py`.
        """
        with self._state.locked(), self._state.staging() as staging:
            wanted = self._earlier(to)
            shutil.copytree(self._state.folder_of(wanted.number), staging, copy_function=_link, dirs_exist_ok=True)
            (staging / "generation.json").unlink()  # a link: writing to it would change the old one
            again = wanted.numbered(0, why=f"rollback to {wanted.name}", created_at=utc_now())
            again.write(staging)
            self._refuse_lost_store(staging)
            self._load(staging)
            former = self._state.pinned
            self._state.pin(0)  # before the publish, so that no poll in between brings the bad content back
            try:
                published = self._state.publish(staging, again)
            except BaseException:
                self._state.unpin() if former is None else self._state.pin(former)
                raise
            self._state.pin(published.number)
            return published

    def unpin(self) -> None:
        """Let the next refresh or poll publish what the sources hold."""
        with self._state.locked():
            self._state.unpin()

    def _refuse_other_app(self, current: Generation | None) -> None:
        if current is not None and current.app_name not in ("", self._app.name):
            raise GenerationError(
                f"{self._state.path}: holds the generations of the app '{current.app_name}', this one is "
                f"'{self._app.name}'. Name another folder with --state or SCORELINE_STATE."
            )

    def _stay(self, current: Generation | None, mode: Mode) -> RefreshReport:
        if mode == "ask" or current is None:
            raise PinnedError(
                f"generation {self._state.pinned} is pinned by a rollback; nothing new is published until "
                "`scoreline rollback --unpin`"
            )
        if mode == "start" and current.app != self._digest:
            raise PinnedError(
                f"generation {current.name} is pinned by a rollback and was made for another app.py. "
                "Run `scoreline rollback --unpin`."
            )
        note = f"pinned at {current.name} ({current.why}); `scoreline rollback --unpin` lets new content in"
        return RefreshReport(current.name, tables=unchanged(current), notes=[note])

    def _model_digest(self, current: Generation | None, mode: Mode) -> str:
        """Return the digest of the model folder's artifact, checked if it is not the published one."""
        is_known = current is not None and current.app == self._digest and mode != "start"
        if is_known and current is not None and read_digest(self._model) == current.model:
            return current.model
        artifact = load_artifact(self._model)
        check_belongs(artifact, self._app)
        return artifact.digest

    def follow_store(self) -> None:
        """Publish what became current in the networked store, if anything did; let go on what is answered from.

        Asks one question where nothing changed, so that it can be called every few seconds.
        """
        if self._online is None:
            return
        current, publication = self._state.current(), self._online.publications.current()
        is_new = publication is not None and (current is None or current.store != publication.digest)
        if is_new and self._state.pinned is None:
            self.refresh("poll")
        else:
            self._keep_store(current)

    def _keep_store(self, current: Generation | None) -> None:
        """Let the networked store's generation live on that requests are answered from."""
        if self._online is not None and current is not None and current.store is not None:
            with contextlib.suppress(StoreAwayError):  # whoever needs it says so
                self._online.publications.keep(current.store)

    def _refuse_lost_store(self, folder: Path) -> None:
        if self._online is not None and (folder / NETWORKED_FILE).exists():
            self._online.publications.layout_of(str(read_manifest(folder).store))

    def _current_store(self, current: Generation | None, mode: Mode) -> ServedStore | None:
        if self._app.declared_request is not None:
            return None
        if self._online is not None:
            return store_of_online(self._app, self._online, self._state, current, at_start=mode == "start")
        return store_of_results(self._app, self._results, verify=mode == "start")

    def _collect(self, staging: Path, current: Generation | None, mode: Mode) -> dict[str, Collected]:
        """Bring all reference tables; what is wrong with any of them is said in one error."""
        if not self._app.reference_tables:
            return {}
        from scoreline.generations.collect import TableCollector  # loads pyarrow, which other apps need not

        collector = TableCollector(
            self._state, self._source, current, copies_will_do=mode == "start", package=self._package
        )
        collected: dict[str, Collected] = {}
        errors: list[ScorelineError] = []
        for name, table in self._app.reference_tables.items():
            try:
                collected[name] = collector.collect(table.spec, staging)
            except ScorelineError as error:
                errors.append(error)
        if len(errors) == 1:
            raise errors[0]
        if errors:
            away = any(isinstance(error, SourceAwayError) for error in errors)
            raise (SourceAwayError if away else GenerationError)(all_of(errors))
        return collected

    def _note_seen(self, tables: dict[str, Collected]) -> None:
        """Keep when each source was seen with the content that requests are answered from now."""
        for name, one in tables.items():
            if one.note is None:
                content = one.content
                self._state.note_source(
                    name,
                    where=self._source.where,
                    etag=content.etag,
                    digest=content.digest,
                    seen_at=utc_now(),
                    error=None,
                )

    def _drop_events(self) -> None:
        """Drop ingested rows that are old, and in the store of whatever may be answered from."""
        if self._events_days is None or self._online is not None or not (self._state.path / EVENTS_FILE).exists():
            return  # those of a networked store go when features are published, since others answer from it too
        upto = min((generation.events for generation in self._state.generations()), default=0)
        tables = {name: Table(name, spec.key, spec.time) for name, spec in ingestable_tables(self._app).items()}
        event_log(self._state.path).drop(upto, now_us() - self._events_days * _DAY_US, tables)

    def _note_held_back(self, tables: dict[str, Collected], current: Generation | None, error: ScorelineError) -> None:
        for name, one in tables.items():
            if table_report(one.content, current, name)["changed"]:
                self._state.note_source(name, error=str(error), failed_at=utc_now())

    def _publish(
        self,
        staging: Path,
        current: Generation | None,
        model: str,
        store: ServedStore | None,
        tables: dict[str, Collected],
        *,
        dry_run: bool,
    ) -> RefreshReport:
        contents = {name: one.content for name, one in tables.items()}
        digest = content_digest(model, None if store is None else store.digest, contents)
        report = RefreshReport(
            "" if current is None else current.name,
            dry_run=dry_run,
            tables={name: table_report(content, current, name) for name, content in contents.items()},
            model=current is None or current.model != model,
            store=store is not None and (current is None or not store.is_that_of(current)),
            notes=[note for note in (*(one.note for one in tables.values()), store and store.note) if note],
            pinned=self._state.pinned,
        )
        if current is not None and current.digest == digest and current.app == self._digest and self._is_there(current):
            return report
        report.changed = True
        generation = Generation(
            number=0,
            digest=digest,
            app=self._digest,
            app_name=self._app.name,
            model=model,
            store=None if store is None else store.digest,
            columns=() if store is None else store.columns,
            tables=contents,
            why=why(report, current),
            created_at=utc_now(),
            events=0 if store is None else store.events,
            newest={} if store is None else store.newest,
            store_at="" if store is None else store.at,
        )
        report.notes += self._stage(staging, generation, store)
        if not dry_run:
            report.generation = self._state.publish(staging, generation).name
        return report

    def _stage(self, staging: Path, generation: Generation, store: ServedStore | None) -> list[str]:
        """Bring model and store beside the tables, and prove that all of it answers; return remarks on it."""
        self._bring_model(staging / MODEL_FOLDER)
        if store is not None and store.layout:
            (staging / NETWORKED_FILE).write_bytes(store.layout)
        elif store is not None and store.path is not None:
            if read_stamp(self._results).digest != store.digest:  # it looks at every byte
                raise GenerationError(f"{self._results}: was built anew just now. Run `scoreline refresh` again.")
            self._bring(store.path, staging / STORE_FILE, _link)
        generation.write(staging)
        parts = self._load(staging)
        if parts.artifact.digest != generation.model:
            raise GenerationError(f"{self._model}: was trained anew just now. Run `scoreline refresh` again.")
        check_golden_requests(self._app, parts)
        remarks = remarks_on(self._app, parts)
        if parts.store is not None:
            parts.store.close()
        return remarks

    def _load(self, folder: Path) -> Parts:
        return load_parts(
            self._app, folder, self._make_predictor, link=None if self._online is None else self._online.link
        )

    def _bring_model(self, folder: Path) -> None:
        """Copy the artifact: the folder it comes from is written anew by `train`, and may be another disk."""
        for name in (MODEL_MANIFEST, *files_of(self._model)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            self._bring(self._model / name, folder / name, shutil.copyfile)

    def _bring(self, path: Path, target: Path, otherwise: Callable[[Path, Path], object]) -> None:
        """Put a file into the staging folder: what a package holds by a link to where it is."""
        if self._package is not None and self._package.holds(path):
            target.symlink_to(path.resolve())
        else:
            otherwise(path, target)

    def _is_there(self, generation: Generation) -> bool:
        """Whether all that a generation links to is still where it was; a package may have been put elsewhere.

        One of a file has another store than one of a networked store, be their content the same.
        """
        folder = self._state.folder_of(generation.number)
        is_networked = (folder / NETWORKED_FILE).exists()
        same_kind = generation.store is None or is_networked == (self._online is not None)
        return same_kind and all(path.exists() for path in folder.rglob("*"))

    def _earlier(self, to: int | None) -> Generation:
        current, kept = self._state.current(), self._state.generations()
        shown = ", ".join(generation.name for generation in kept) or "none"
        if to is not None:
            found = [generation for generation in kept if generation.number == to]
        else:
            below = 0 if current is None else current.number
            if current is not None and self._state.pinned == current.number:  # a second step goes further back
                below = min(generation.number for generation in kept if generation.digest == current.digest)
            found = [g for g in kept if current is not None and g.number < below and g.digest != current.digest]
        if not found:
            what = "earlier content" if to is None else f"generation {to}"
            raise GenerationError(f"{self._state.path}: there is no {what} to go back to. Kept: {shown}.")
        if found[-1].app != self._digest:
            raise GenerationError(f"generation {found[-1].name} was made for another app.py; it can't be gone back to")
        return found[-1]


def all_of(errors: Sequence[ScorelineError]) -> str:
    """Return several messages as one.

    Examples
    --------
    >>> all_of([ScorelineError("cards: torn."), ScorelineError("issuers: away")])
    'cards: torn; issuers: away'
    """
    return "; ".join([*(str(error).rstrip(".") for error in errors[:-1]), str(errors[-1])])


def _link(path: str | Path, target: str | Path) -> None:
    """Link a file that nobody writes to any more; copy it where the disks differ."""
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)
