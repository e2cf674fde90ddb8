"""What a state folder holds, as `scoreline status` and `GET /generations` show it."""

from __future__ import annotations

from typing import Any

from scoreline.app.declaration import App
from scoreline.errors import StoreError
from scoreline.generations.ingest import ingestable_tables
from scoreline.generations.manifest import Generation
from scoreline.generations.online import Online
from scoreline.generations.state import StateFolder, age_s, newest_age_s
from scoreline.store.events import EVENTS_FILE, event_log
from scoreline.store.merged import Events
from scoreline.tables.fetch import Source


def describe_state(state: StateFolder, app: App, source: Source, online: Online | None = None) -> dict[str, Any]:
    """Return what each generation holds and how old each table is, as `GET /generations` answers it.

    Parameters
    ----------
    online : the networked store, where one is set; how it is stands under `store`
    """
    current = state.current()
    events: dict[str, Any] = {}
    store = {} if online is None else {"store": _describe_store(online)}
    if current is not None and not store.get("store", {}).get("error"):
        events = _describe_events(state, app, current, online)
    return {
        "published": None if current is None else current.name,
        "pinned": state.pinned,
        "source": source.where,
        "tables": {name: _describe_source(state, app, name) for name in app.reference_tables},
        **store,
        "events": events,
        "generations": [_describe_generation(generation) for generation in reversed(state.generations())],
    }


def _describe_store(online: Online) -> dict[str, Any]:
    told: dict[str, Any] = {"where": online.where, "current": None, "since": None, "error": None}
    try:
        publication = online.publications.current()
        if publication is not None:
            told |= {"current": publication.digest[:12], "since": publication.at}
    except StoreError as error:
        told["error"] = str(error)
    return told


def _describe_events(state: StateFolder, app: App, current: Generation, online: Online | None) -> dict[str, Any]:
    """Return for each joined table with time how old its newest row is, and for all how much was ingested since."""
    log: Events | None = event_log(state.path) if online is None and (state.path / EVENTS_FILE).exists() else None
    folded = current.events
    if online is not None:  # its features may be newer than those that a server here has taken on
        log, folded = online.events, max(folded, online.events_in_current())
    described = {}
    for name, spec in ingestable_tables(app).items():
        if spec.time is not None:
            age, limit = newest_age_s(current, log, name), spec.stale_after_s
            described[name] = {
                "age_s": None if age is None else round(age, 1),
                "stale_after_s": limit,
                "stale": limit is not None and (age is None or age > limit),
            }
    return {"tables": described, "ingested_since": 0 if log is None else max(0, log.last - folded)}


def _describe_source(state: StateFolder, app: App, name: str) -> dict[str, Any]:
    known, reference = state.source(name), app.tables[name].spec.reference
    age = age_s(state, name)
    limit = None if reference is None else reference.stale_after_s
    return {
        "seen_at": known.get("seen_at"),
        "age_s": None if age is None else round(age, 1),
        "stale_after_s": limit,
        "stale": limit is not None and (age is None or age > limit),
        "etag": known.get("etag"),
        "error": known.get("error"),
    }


def _describe_generation(generation: Generation) -> dict[str, Any]:
    return {
        "generation": generation.name,
        "created_at": generation.created_at,
        "why": generation.why,
        "model": generation.model[:12],
        "store": None if generation.store is None else generation.store[:12],
        "tables": {
            name: {"rows": table.rows, "etag": table.etag, "digest": table.digest[:12], "source": table.source}
            for name, table in generation.tables.items()
        },
    }
