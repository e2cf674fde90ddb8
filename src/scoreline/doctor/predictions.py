"""What an answer says of each record, whatever media type it is in, and whether two answers say the same."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

from scoreline.doctor.findings import Failed
from scoreline.doctor.sample import CSV, JSON, JSON_LINES
from scoreline.doctor.wire import Reply, Site

_LISTS = ("predictions", "outputs", "results", "instances")
_CLOSE = 1e-6
_TRIED = 10  # records whose answer is timed


def predictions_of(reply: Reply, what: str) -> list[Any]:
    """Return one entry a record; Failed where the answer is no list of them.

    JSON: a list, or the list in `predictions`, `outputs` or `results`. JSON Lines and CSV: the lines.
    """
    if reply.status != 200:
        raise Failed(f"{what}: {reply.status} {reply.says}")
    try:
        text = reply.body.decode()
        if reply.media_type == JSON:
            return _list_in(json.loads(text), what)
        lines = text.split("\n")[: -1 if text.endswith("\n") else None]
        if reply.media_type == JSON_LINES:
            return [json.loads(line) for line in lines]
        if reply.media_type == CSV:
            return list(csv.reader(io.StringIO(text, newline="")))
    except ValueError as error:
        raise Failed(f"{what}: {reply.content_type} that can't be read ({error}): {reply.says}") from error
    raise Failed(f"{what}: the answer is {reply.content_type or 'without a Content-Type'}")


def _list_in(content: Any, what: str) -> list[Any]:
    if isinstance(content, dict):
        content = next((content[name] for name in _LISTS if isinstance(content.get(name), list)), content)
    if not isinstance(content, list):
        raise Failed(f"{what}: the answer is one {'object' if isinstance(content, dict) else 'value'}, no list")
    return content


def ask_for(site: Site, count: int, media_type: str | None = None, accept: str | None = None) -> list[Any]:
    """Send some valid records in one body; return an entry for each."""
    sample = site.records
    media_type = media_type or sample.media_type
    what = f"{count} records" if count > 1 else "a list of one"
    reply = site.invoke(sample.many(count, media_type), content_type=media_type, accept=accept or media_type)
    entries = predictions_of(reply, what)
    if len(entries) != count:
        raise Failed(f"{what}: {len(entries)} {'reply' if len(entries) == 1 else 'replies'}")
    return entries


def how_many(site: Site, seconds: float, most: int) -> int:
    """Return how many records are answered in some seconds: one may be a lookup, or a thousand rows to score."""
    reply = site.invoke(site.records.many(_TRIED))
    return max(1, min(most, int(_TRIED * seconds / max(reply.took_s, 1e-6))))


def say_the_same(one: Any, other: Any) -> bool:
    """Whether two entries are equal, numbers to within a millionth.

    Examples
    --------
    >>> say_the_same({"odds": 0.5}, {"odds": 0.5000000001}), say_the_same(["1.0", "a"], ["1", "b"])
    (True, False)
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(say_the_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(say_the_same, one, other))
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=_CLOSE, abs_tol=_CLOSE)
    return bool(one == other)
