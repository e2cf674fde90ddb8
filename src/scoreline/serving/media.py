"""Media types: what comes by Content-Type, what goes by Accept."""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Mapping, Sequence
from typing import Any

JSON_TYPES = ("application/json", "text/json")
CSV_TYPE = "text/csv"


@functools.lru_cache(maxsize=256)
def media_type_of(content_type: str | None) -> str:
    """Return the bare media type, in lower case, without parameters.

    Examples
    --------
    >>> media_type_of("Application/JSON; charset=utf-8")
    'application/json'
    """
    return (content_type or "").split(";")[0].strip().lower()


@functools.lru_cache(maxsize=256)
def choose_reply(accept: str | None, offers: tuple[str, ...] = JSON_TYPES) -> str | None:
    """Return the reply's media type for an Accept header (RFC 9110, with q-values); None if none of `offers` fits.

    Examples
    --------
    >>> choose_reply("text/csv, */*;q=0.1"), choose_reply("text/json"), choose_reply("image/png")
    ('application/json', 'text/json', None)
    """
    if not accept or not accept.strip():
        return offers[0]
    best = max(offers, key=lambda offered: _quality(offered, accept))
    return best if _quality(best, accept) > 0 else None


def csv_line(columns: Mapping[str, tuple[str, ...]], reply: Mapping[str, Any]) -> str:
    """Return a reply as one line of CSV; a column is a reply field, or a field of the first entry of a list.

    Examples
    --------
    >>> csv_line({"id": ("id",), "best": ("cards", "name")}, {"id": "a,b", "cards": [{"name": "Plus"}]})
    '"a,b",Plus\\n'
    """
    cells = []
    for path in columns.values():
        value = reply[path[0]]
        if len(path) == 2:
            value = value[0][path[1]] if value else None
        cells.append({True: "true", False: "false"}[value] if isinstance(value, bool) else value)
    return _line(cells)


def csv_problem(problem: bytes) -> str:
    """Return a problem as one line of CSV, in a single cell: a bad record costs its own line alone."""
    return _line([problem.decode()])


def _line(cells: Sequence[Any]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()


def _quality(offered: str, accept: str) -> float:
    """Return the q-value of the most specific range that matches."""
    best = (-1, 0.0)
    for part in accept.split(","):
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        specificity = {offered: 2, offered.split("/")[0] + "/*": 1, "*/*": 0}.get(media_range)
        if specificity is not None:
            best = max(best, (specificity, _q(parameters)))
    return best[1]


def _q(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
