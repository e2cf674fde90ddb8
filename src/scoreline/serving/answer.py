"""The one function that answers requests. It knows no transport: Flask, WSGI and ASGI only carry it."""

from __future__ import annotations

import logging
import os
import re
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast
from urllib.parse import parse_qsl

import msgspec

from scoreline.app.declaration import App
from scoreline.app.moments import now_us
from scoreline.errors import FeatureError, ScorelineError, StoreAwayError, StoreLostError
from scoreline.generations.parts import Parts
from scoreline.predictor import InputRow, Missing, NewRow, Options, StoredScorer
from scoreline.serving.codecs import (
    BY_TYPE,
    NUMBERS_ALONE,
    TABLES,
    Replies,
    ReplyTables,
    default_type,
    not_taken,
    types_given,
)
from scoreline.serving.kinds import SpineRow
from scoreline.serving.media import choose_reply, parse_type
from scoreline.serving.problems import MEDIA_TYPE, Problem
from scoreline.serving.records import Records, RequestSchema
from scoreline.serving.service import Service
from scoreline.settings import MOST_PAYLOAD_MB

DOCUMENT = "/openapi.json"
EXECUTION_PARAMETERS = "/execution-parameters"
PROBE_VARIABLE = "SCORELINE_PROBE_PATH"  # a path that only the supervisor knows: golden rows, by a pool worker
PROBLEMS_TOLD = 1_000  # where no record is good; more of them make a reply many times as long as the request
ATTRIBUTES, STALE = "X-Amzn-SageMaker-Custom-Attributes", "X-Scoreline-Stale"
INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"
_SCORED_APART = {Problem, InputRow, Missing}
_EXCEPTIONS = {Problem, InputRow, SpineRow}  # what may stand among records besides those that the app asks for
_log = logging.getLogger("scoreline.serving")
_is_attributes = re.compile(r"[\x20-\x7e]{1,1024}").fullmatch  # what the API lets through, on either way
_is_inference_id = re.compile(r"[\x20-\x7e]{1,64}").fullmatch


class Headers(Protocol):
    """A request's headers, whatever case their names are in."""

    def get(self, name: str, /) -> str | None:
        """Return a header's value, None where there is none."""


class Scene(Protocol):
    """What records are scored for: a `Service`, or what stands for one where there is no state folder."""

    @property
    def app(self) -> App:
        """The app."""

    @property
    def schema(self) -> RequestSchema:
        """What a record may be."""

    @property
    def tables(self) -> ReplyTables:
        """The tables of its replies."""

    def stale(self) -> list[str]:
        """Return the tables whose age is past their declared limit."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: status, headers (Content-Type among them where there is a body), body."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def answer(service: Service, method: str, path: str, headers: Headers, body: bytes, query: str = "") -> Answer:
    """Answer one request, from the generation that is published as it comes.

    Parameters
    ----------
    headers : looked up without regard to case
        Content-Type, Accept and X-Amzn-SageMaker-Custom-Attributes are read; the last is given back
        too. What fails inside is logged with X-Amzn-SageMaker-Inference-Id.
    query : str
        The query string, without its question mark.

    Returns
    -------
    Answer
        Never raises: what goes wrong inside is a 500 problem, its kind and place in the log.
    """
    name = service.last_known
    try:
        parts = service.current()
        name = parts.generation.name
        given = _route(service, parts, method, path, headers, body, query)
    except ScorelineError as error:
        _log.error("failed%s: %s: %s", _inference_id(headers), type(error).__name__, error)
        given = _failed(service, error)
    except Exception as error:  # the last line of defence; a client never sees a traceback
        where = "".join(traceback.format_tb(error.__traceback__))
        # not its message: it may hold values
        _log.error("failed%s: %s\n%s", _inference_id(headers), type(error).__name__, where)
        given = _problem(Problem(500, "internal", "an unexpected error; the server's log says where"))
    return Answer(given.status, given.body, {**given.headers, **_echo(path, headers), "X-Scoreline-Generation": name})


def score_records(service: Scene, parts: Parts, decoded: Records, options: Options, now: int | None = None) -> Replies:
    """Score the good records; the others keep their problem, in place. Without HTTP too, this is what decides.

    Parameters
    ----------
    now : the time of new rows that have none, in microseconds; None: this moment

    Raises
    ------
    FeatureError
        A feature function of the app fails on one of them.
    StoreAwayError
        The networked store can't be asked.
    """
    records, now = decoded.records, now_us() if now is None else now
    of_inputs: frozenset[int] = frozenset()
    entries: list[Any]
    if _EXCEPTIONS.isdisjoint(map(type, records)) and not options.explain:
        entries = cast(Any, parts.scorer.score(cast(Any, records), options))
    elif len(records) == 1 and type(records[0]) is SpineRow and not (options.explain or records[0].asks_why):
        entries = _score_placed(service, parts, decoded, records[0], options, now)
    else:
        of_inputs = _places_of_inputs(decoded)
        entries = _score_mixed(parts, records, options)
        new = _score_new(service, parts, decoded, entries, now)
        _explain(parts, records, entries, new, options)
    for index, entry in enumerate(entries):
        if type(entry) is Missing:
            entries[index] = _not_found(service, entry, index if decoded.is_list else None)
    return Replies(entries, decoded.shape, service.tables, service.stale(), of_inputs)


def _echo(path: str, headers: Headers) -> dict[str, str]:
    """Give the caller's Custom-Attributes back: they are opaque to us, and may carry the name of a request."""
    sent = headers.get(ATTRIBUTES) if path == "/invocations" else None
    return {} if sent is None or not _is_attributes(sent) else {ATTRIBUTES: sent}


def _inference_id(headers: Headers) -> str:
    sent = headers.get(INFERENCE_ID)
    return f", Inference-Id {sent!r}" if sent is not None and _is_inference_id(sent) else ""


def _failed(service: Service, error: ScorelineError) -> Answer:
    """Say that a generation can't be adopted, or that scoring failed in the app's own code."""
    if isinstance(error, StoreAwayError):
        return _problem(_store_away(error))
    if isinstance(error, FeatureError):
        return _problem(Problem(500, "internal", "a feature function of the app failed; the server's log says which"))
    return _problem(Problem(503, "not-ready", "the published generation can't be adopted; the server's log says why"))


def _route(service: Service, parts: Parts, method: str, path: str, headers: Headers, body: bytes, query: str) -> Answer:
    if path == "/invocations":
        if method != "POST":
            return _not_allowed("POST", path)
        return _invoke(service, parts, headers, body, query)
    if path == EXECUTION_PARAMETERS:
        if method not in ("GET", "HEAD"):
            return _not_allowed("GET", path)
        return Answer(200, msgspec.json.encode(execution_parameters(service)), {"Content-Type": "application/json"})
    if path == "/ping" or path == os.environ.get(PROBE_VARIABLE):
        if method not in ("GET", "HEAD"):
            return _not_allowed("GET", path)
        return _ping(service)
    if path == DOCUMENT:
        if method not in ("GET", "HEAD"):
            return _not_allowed("GET", path)
        return Answer(200, service.document(parts), {"Content-Type": "application/json"})
    expected = f"GET /ping, GET {EXECUTION_PARAMETERS}, GET {DOCUMENT} or POST /invocations"
    return _problem(Problem(404, "no-such-route", f"expected {expected}"))


def execution_parameters(service: Service) -> dict[str, int]:
    """Return what a batch transform job asks for before it sends anything.

    Each worker takes one body at a time, and no body is larger than the limit; the product of the two
    is 100 at the most, by the API. BatchStrategy is left out, since its two spellings each break a
    client, and its default, several records a request, is what we want.
    """
    payload_mb = min(service.max_body_mb, MOST_PAYLOAD_MB)
    return {
        "MaxConcurrentTransforms": max(1, min(service.workers, MOST_PAYLOAD_MB // payload_mb)),
        "MaxPayloadInMB": payload_mb,
    }


def _ping(service: Service) -> Answer:
    try:
        service.check_golden()
    except ScorelineError as error:
        return _problem(Problem(503, "not-ready", str(error)))
    return Answer(200)


def _invoke(service: Service, parts: Parts, headers: Headers, body: bytes, query: str) -> Answer:
    accept = headers.get("Accept")
    content_type, parameters = parse_type(headers.get("Content-Type"))
    default = service.default_accept or default_type(content_type)
    reply_type = choose_reply(accept, service.given, default)
    if reply_type is None:
        return _not_acceptable(service.given)
    if (headers.get("Content-Encoding") or "identity").strip().lower() != "identity":
        detail = "Content-Encoding: expected none, since bodies are taken as they are, not compressed"
        return _problem(Problem(415, "unsupported-media-type", detail))
    if content_type not in service.taken:
        return _problem(not_taken(service.schema, content_type))
    if len(body) > service.max_body_bytes:
        detail = f"expected at most {service.max_body_bytes} bytes; SCORELINE_MAX_BODY_MB raises the limit"
        return _problem(Problem(413, "too-large", detail))
    options = _options(service, headers, query)
    if isinstance(options, Problem):
        return _problem(options)
    decoded = BY_TYPE[content_type].decode(service.schema, body, parameters, batch=service.batch)
    if isinstance(decoded, Problem):
        return _problem(decoded)
    if not decoded.records:
        return _problem(Problem(400, "no-records", "expected at least one record, got none"))
    options = _first_of(decoded.options, options)
    if reply_type in TABLES and service.tables.first_alone and options.top is None:
        options = replace(options, top=1)
    replies = _score(service, parts, decoded, options)
    if reply_type in NUMBERS_ALONE and not replies.are_numeric():
        offers = types_given(numbers=False)
        reply_type = choose_reply(accept, offers, default)
        if reply_type is None:
            return _not_acceptable(offers)
    return _as_answer(service, replies, reply_type)


def _options(service: Service, headers: Headers, query: str) -> Options | Problem:
    """Read the options of a ranked reply: those of the query come before those of the header."""
    if service.schema.new_rows is not None:
        asked = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
        return service.schema.new_rows.read_options(asked) if asked else Options()
    if not query and service.schema.select is None:
        return Options()
    asked = dict(parse_qsl(query, keep_blank_values=True))
    attributes = headers.get(ATTRIBUTES) or ""
    sent = dict(part.strip().split("=", 1) for part in re.split("[;&]", attributes) if "=" in part)
    in_query = service.schema.read_options(asked, "query", strict=True)
    in_header = service.schema.read_options(sent, ATTRIBUTES, strict=False)
    if isinstance(in_query, Problem):
        return in_query
    if isinstance(in_header, Problem):
        return in_header
    return _first_of(in_query, in_header)


def _first_of(options: Options, others: Options) -> Options:
    """Return of each option the first that is given."""
    return Options(
        others.top if options.top is None else options.top,
        others.keys if options.keys is None else options.keys,
        options.live or others.live,
        options.explain or others.explain,
    )


def _score(service: Service, parts: Parts, decoded: Records, options: Options) -> Replies:
    """Score the records of a request; where the networked store is away, what needs none of it."""
    if not service.is_networked:
        return score_records(service, parts, decoded, options)
    try:
        with service.asked_ahead(parts, decoded.records, options) as now:
            return score_records(service, parts, decoded, options, now)
    except StoreAwayError as error:
        service.note_away(error)
        entries, of_inputs = _without_store(parts, decoded, _store_away(error))
        return Replies(entries, decoded.shape, service.tables, service.stale(), of_inputs)


def _places_of_inputs(decoded: Records) -> frozenset[int]:
    places = frozenset(place for place, record in enumerate(decoded.records) if type(record) is InputRow)
    return places | ({0} if decoded.header_of_inputs else set())


def _without_store(parts: Parts, decoded: Records, away: Problem) -> tuple[list[Any], frozenset[int]]:
    """Answer what needs no store: the inputs of the heads. The other good records get the problem."""
    direct = iter(parts.direct.score([record for record in decoded.records if type(record) is InputRow]))
    entries = [
        next(direct) if type(record) is InputRow
        else record if type(record) is Problem
        else away.at(place) if decoded.is_list else away
        for place, record in enumerate(decoded.records)
    ]  # fmt: skip
    return entries, _places_of_inputs(decoded)


def _store_away(error: StoreAwayError) -> Problem:
    if isinstance(error, StoreLostError):
        why = "it has lost rows of the features that are served, so that none can be said to be missing"
    else:
        why = "it does not answer"
    return Problem(503, "store-away", f"nothing can be looked up in the online store: {why}. Ask again in a moment")


def _score_placed(
    service: Scene, parts: Parts, decoded: Records, record: SpineRow, options: Options, now: int
) -> list[Any]:
    """Score the one record of a body, by its key or else as a new row: what an order is that was just placed."""
    scorer, schema = cast(StoredScorer, parts.scorer), service.schema.new_rows
    reply = None if options.live else scorer.reply_to(record.key)
    if reply is not None:
        return [reply]
    if schema is None or scorer.new_rows is None:
        return [Missing(record.key)]
    entry = schema.read(record, now, scorer.new_rows.since_us)
    if type(entry) is NewRow:
        return scorer.score_new((entry,))
    return [entry.at(0) if type(entry) is Problem and decoded.is_list else entry]


def _score_mixed(parts: Parts, records: Sequence[Any], options: Options) -> list[Any]:
    """Score what the app asks for, and inputs, each by their own scorer; problems stay in their places."""
    keys: list[Any] = [
        record if type(record) is not SpineRow else Missing(record.key) if options.live else record.key
        for record in records
    ]
    asked = [record for record in keys if type(record) not in _SCORED_APART]
    inputs = [record for record in records if type(record) is InputRow]
    scored = iter(parts.scorer.score(asked, options) if asked else ())
    direct = iter(parts.direct.score(inputs))
    return [
        next(direct) if type(record) is InputRow else record if type(record) in _SCORED_APART else next(scored)
        for record in keys
    ]


def _score_new(service: Scene, parts: Parts, decoded: Records, entries: list[Any], now: int) -> dict[int, NewRow]:
    """Answer those that are not in the table and have more than their key: as new rows, as of their own time.

    Returns
    -------
    dict
        The new rows, by their place.
    """
    records = decoded.records
    missing = [place for place, record in enumerate(records)
               if type(record) is SpineRow and type(entries[place]) is Missing]  # fmt: skip
    scorer, schema = parts.scorer, service.schema.new_rows
    if not missing or schema is None or not isinstance(scorer, StoredScorer) or scorer.new_rows is None:
        return {}
    since = scorer.new_rows.since_us
    for place in missing:
        entry = schema.read(cast(SpineRow, records[place]), now, since)
        entries[place] = entry.at(place) if type(entry) is Problem and decoded.is_list else entry
    new: dict[int, NewRow] = {place: entries[place] for place in missing if type(entries[place]) is NewRow}
    for place, reply in zip(new, scorer.score_new(list(new.values())), strict=True):
        entries[place] = reply
    return new


def _explain(
    parts: Parts, records: Sequence[Any], entries: list[Any], new: Mapping[int, NewRow], options: Options
) -> None:
    """Put beside a reply how it came about, where that was asked for."""
    scorer = parts.scorer
    if not isinstance(scorer, StoredScorer) or parts.trail is None:
        return
    for place, record in enumerate(records):
        level = options.explain or ("all" if type(record) is SpineRow and record.asks_why else "")
        if level and type(entries[place]) is dict and type(record) is not InputRow:
            key = record.key if type(record) is SpineRow else record
            told = scorer.explain(key, level, parts.trail, new.get(place))
            entries[place] = {**entries[place], "explanation": told}


def _not_found(service: Scene, missing: Missing, index: int | None) -> Problem:
    spine = service.app.spine.spec
    key = ", ".join(f"{name}={value!r}" for name, value in zip(spine.key, missing.key, strict=True))
    detail = f"no row in table {spine.name} for {key}; keys are compared to the letter"
    if missing.lacks:
        detail += f". To be answered as a new row the record lacks {', '.join(missing.lacks)}"
    return Problem(404, "key-not-found", detail, index=index)


def _as_answer(service: Service, replies: Replies, reply_type: str) -> Answer:
    if type(replies.entries[0]) is Problem and not service.batch and replies.are_all_bad():
        problems = replies.problems()[:PROBLEMS_TOLD]
        all_of_them = {"problems": [problem.describe() for problem in problems]} if replies.shape != "object" else {}
        return _problem(problems[0], all_of_them)
    headers = {"Content-Type": reply_type}
    if replies.stale:
        headers[STALE] = ", ".join(replies.stale)
    return Answer(200, BY_TYPE[reply_type].encode(replies), headers)


def _not_acceptable(offers: Sequence[str]) -> Answer:
    return _problem(Problem(406, "not-acceptable", f"expected an Accept with one of {', '.join(offers)}"))


def _not_allowed(allowed: str, path: str) -> Answer:
    refused = _problem(Problem(405, "method-not-allowed", f"expected {allowed} {path}"))
    return replace(refused, headers={**refused.headers, "Allow": allowed})


def _problem(problem: Problem, more: Mapping[str, Any] | None = None) -> Answer:
    again = {"Retry-After": "1"} if problem.kind == "store-away" else {}
    return Answer(problem.status, problem.encode(more), {"Content-Type": MEDIA_TYPE, **again})
