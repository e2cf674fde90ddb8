"""The online store of the settings: a file of the results, or one over the network that all servers share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from scoreline.app.declaration import App
from scoreline.app.moments import now_us
from scoreline.errors import GenerationError, SettingError, StoreLostError
from scoreline.features.stamp import read_stamp
from scoreline.generations.ingest import ingestable_tables
from scoreline.settings import Settings
from scoreline.store.address import parse_address
from scoreline.store.events import EVENTS_FILE, Table, event_log
from scoreline.store.layout import Layout, Names, read_layout
from scoreline.store.link import Link
from scoreline.store.merged import Events
from scoreline.store.networked_events import NetworkedEvents
from scoreline.store.publications import Publication, Publications

_DAY_US = 86_400_000_000
_AT_WORK_S = 10.0  # a command waits longer than a request does


class Online:
    """A networked store, as one app uses it.

    Parameters
    ----------
    link : how it is asked
    keep_s : how long features stay that are not current any more and that no server answers from
    """

    def __init__(self, app: App, link: Link, keep_s: int) -> None:
        self.link = link
        names = Names(app.name)
        self.publications, self.events = Publications(link, names, keep_s), NetworkedEvents(link, names)
        self._before = 0  # number of the last ingested row in the generation before the one that was published

    @property
    def where(self) -> str:
        """Its address, without secrets."""
        return self.link.where

    def current(self) -> tuple[Publication, Layout]:
        """Return the generation of it that is current, and what that says of itself.

        Raises
        ------
        StoreAwayError
            It can't be reached.
        GenerationError
            Nothing was published there.
        """
        for _ in range(2):  # another may become the current one in between, and this one be gone
            publication = self.publications.current()
            if publication is None:
                raise GenerationError(
                    f"the online store at {self.where} holds no features of this app. "
                    "Run `scoreline feature --publish`."
                )
            try:
                return publication, read_layout(self.publications.layout_of(publication.digest), self.where)
            except StoreLostError as error:
                lost = error
        raise lost

    def publish(self, results: Path, say: Callable[[str], None]) -> Publication:
        """Publish the feature table of a results folder; see `scoreline.store.publish`."""
        from scoreline.store.publish import publish  # loads what workers, which are here too, have no use for

        for remark in self.publications.refuse_unfit():
            say(f"the online store at {self.where}: {remark}")
        stamp = read_stamp(results)
        if stamp.store is None:
            raise GenerationError(
                f"{results}: its feature table has no online store, since requests bring all it needs"
            )
        self.events.prepare()
        self._before = self.events_in_current()
        return publish(
            self.publications,
            results / stamp.store,
            stamp.digest,
            rows=stamp.rows,
            columns=tuple(stamp.columns),
            events=stamp.events,
            newest={name: table["newest_us"] for name, table in stamp.tables.items()},
        )

    def drop_events(self, app: App, days: int | None) -> int:
        """Drop ingested rows that came so many days ago and are in the current generation and the one before it.

        Servers that have not adopted yet find them there. Returns how many.
        """
        if days is None:
            return 0
        upto = min(self._before, self.events_in_current())
        tables = {name: Table(name, spec.key, spec.time) for name, spec in ingestable_tables(app).items()}
        return self.events.drop(upto, now_us() - days * _DAY_US, tables)

    def events_in_current(self) -> int:
        """Return the number of the last ingested row that the current generation holds, 0 without one."""
        try:
            return self.current()[1].events
        except (GenerationError, StoreLostError):
            return 0


def open_link(settings: Settings, timeout_s: float | None = None) -> Link | None:
    """Return a link to the networked store, None where there is none set. Nothing is asked yet.

    Parameters
    ----------
    timeout_s : None: as long as a request waits
    """
    if settings.store is None:
        return None
    try:
        address = parse_address(settings.store, settings.store_password)
    except ValueError as error:
        raise SettingError(f"SCORELINE_STORE: {error}") from None
    return Link(address, settings.store_timeout_ms / 1000 if timeout_s is None else timeout_s)


def open_online(settings: Settings, app: App) -> Online | None:
    """Return the networked store as commands use it; None where none is set, or the app has no use for one."""
    link = None if app.declared_request is not None else open_link(settings, _AT_WORK_S)
    return None if link is None else Online(app, link, settings.store_keep_s)


def open_events(settings: Settings, online: Online | None, *, only_if_there: bool = False) -> Events | None:
    """Return the event log: the networked store's, else that of the state folder.

    Parameters
    ----------
    only_if_there : None where the state folder has none yet
    """
    if online is not None:
        return online.events
    return None if only_if_there and not (settings.state / EVENTS_FILE).exists() else event_log(settings.state)
