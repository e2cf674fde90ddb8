"""How a row of the feature table is asked for as if it were new, and as the table has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from scoreline.app.declaration import App
from scoreline.app.reply import FeaturesFrom, Ranked
from scoreline.model.inputs import inputs_of

ORIGIN, EXPLANATION = "features_from", "explanation"
_PROBLEM = "urn:scoreline:problem:"  # what the type of each problem begins with; a reply may have a `type` too
Row = Mapping[str, Any]


def is_problem(reply: Row) -> bool:
    """Whether a problem came in a reply's place."""
    return str(reply.get("type")).startswith(_PROBLEM)


class Replay(Protocol):
    """Makes the two records of a row, and takes their replies apart.

    Attributes
    ----------
    as_new_query, as_known_query : sent beside the records
    """

    as_new_query: str
    as_known_query: str

    def as_new(self, spine: Row) -> dict[str, Any]:
        """Return the record of a row of the spine as a client would send it, were it new."""

    def as_known(self, table: Row, spine: Row) -> dict[str, Any]:
        """Return the record that is answered from the row of the feature table."""

    def features(self, reply: Row) -> Row | None:
        """Return the features of a reply to a new record; None where it has none."""

    def is_beyond(self, reply: Row) -> bool:
        """Whether the reply to a new record says that no client could send it, so that nothing can be compared."""

    def fields(self, known: Row, new: Row) -> Iterator[tuple[str, Any, Any]]:
        """Yield name and both values of each field that the two replies must have alike."""


def replay_of(app: App) -> Replay:
    """Return how rows of an app are replayed."""
    return KeyReplay(app) if app.declared_request is None else RequestReplay(app)


class KeyReplay:
    """Of an app whose records are keys: the spine's columns with the key, against the key alone."""

    as_new_query, as_known_query = f"{ORIGIN}=live&explain=values", "explain=values"

    def __init__(self, app: App) -> None:
        assert app.new_row is not None
        self._key, self._time = app.spine.spec.key, app.new_row.time
        self._sent = (*self._key, *app.new_row.columns)
        roads = [name for name, given in app.reply_fields.items() if isinstance(given, FeaturesFrom)]
        self._apart = {*roads, EXPLANATION}

    def as_new(self, spine: Row) -> dict[str, Any]:
        """Return the row's columns, its time among them."""
        time = {} if self._time is None else {self._time: f"{spine[self._time].isoformat()}Z"}
        return {name: spine[name] for name in self._sent} | time

    def as_known(self, table: Row, spine: Row) -> dict[str, Any]:
        """Return the key."""
        return {name: spine[name] for name in self._key}

    def features(self, reply: Row) -> Row | None:
        """Return the features that the explanation tells."""
        told: Row | None = reply.get(EXPLANATION)
        return None if told is None else told["features"]

    def is_beyond(self, reply: Row) -> bool:
        """Whether the row is before what the store keeps for new rows."""
        return is_problem(reply) and reply["type"] == f"{_PROBLEM}before-history"

    def fields(self, known: Row, new: Row) -> Iterator[tuple[str, Any, Any]]:
        """Yield every field but what says which road it was."""
        for name, value in known.items():
            if name not in self._apart:
                yield name, value, new.get(name)


class RequestReplay:
    """Of an app that declares its request: the request of the row, against the heads' inputs from the table."""

    as_new_query, as_known_query = "explain=values", ""

    def __init__(self, app: App) -> None:
        request = app.declared_request
        assert request is not None
        self._fields = [name for name in request.table.spec.columns if name in app.spine.spec.columns]
        self._each = None if request.each is None else request.each.spec.key[0]
        self._select = request.select
        self._inputs = inputs_of(app).names
        self._ranked = next((name for name, given in app.reply_fields.items() if isinstance(given, Ranked)), None)

    def as_new(self, spine: Row) -> dict[str, Any]:
        """Return the request, for the row's own row of the reference table alone."""
        record = {name: spine[name] for name in self._fields}
        return record if self._each is None else {**record, str(self._select): [spine[self._each]]}

    def as_known(self, table: Row, spine: Row) -> dict[str, Any]:
        """Return what the heads take of the feature table's row."""
        return {name: table[name] for name in self._inputs}

    def features(self, reply: Row) -> Row | None:
        """Return the features that the explanation tells; None too where the reference table has no such row now."""
        told: Row = reply.get(EXPLANATION, {})
        if self._each is not None:
            told = next(iter(told.get("rows", ())), {})
        return told.get("features")

    def is_beyond(self, reply: Row) -> bool:
        """Whether the request was refused: history may hold what a client may not send."""
        return is_problem(reply) and reply.get("status") == 400

    def fields(self, known: Row, new: Row) -> Iterator[tuple[str, Any, Any]]:
        """Yield what the heads say, unless the row is one that is left out of replies."""
        entry: Row = new
        if self._ranked is not None:
            entry = next(iter(new[self._ranked]), {})
        for name, value in known.items():
            if name in entry:
                yield name, value, entry[name]
