"""Media types: what comes by Content-Type, what goes by Accept (RFC 9110)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType


@functools.lru_cache(maxsize=256)
def parse_type(content_type: str | None) -> tuple[str, Mapping[str, str]]:
    """Return the bare media type and its parameters, names and type in lower case.

    Examples
    --------
    >>> media_type, parameters = parse_type('Text/CSV; header="Present"')
    >>> media_type, dict(parameters)
    ('text/csv', {'header': 'present'})
    """
    media_type, *pieces = (content_type or "").lower().split(";")
    pairs = (piece.partition("=") for piece in pieces)
    parameters = {name.strip(): value.strip().strip('"') for name, _, value in pairs}
    return media_type.strip(), MappingProxyType(parameters)


@functools.lru_cache(maxsize=256)
def choose_reply(accept: str | None, offers: tuple[str, ...], default: str) -> str | None:
    """Return the reply's media type for an Accept header; None where none of `offers` fits.

    Of those with the highest quality, one that is named comes before one that a wildcard covers; of
    several that are named, the first of `offers`; of several that are covered, `default` if it is among them.

    Parameters
    ----------
    default : what is given where nothing is asked for; the first of `offers` if it is none of them

    Examples
    --------
    >>> offers = ("application/json", "text/csv")
    >>> choose_reply(None, offers, "text/csv"), choose_reply("text/csv, application/json", offers, "text/csv")
    ('text/csv', 'application/json')
    >>> choose_reply("text/csv;q=0.5, */*;q=0.1", offers, "application/json"), choose_reply("image/png", offers, "")
    ('text/csv', None)
    """
    if not accept or not accept.strip():
        return default if default in offers else offers[0]
    ranges = _ranges(accept)
    rated = {offered: _rate(offered, ranges) for offered in offers}
    best = max(offers, key=lambda offered: (*rated[offered], rated[offered][1] < _NAMED and offered == default))
    return best if rated[best][0] > 0 else None


_NAMED = 2


def _rate(offered: str, ranges: Mapping[str, float]) -> tuple[float, int]:
    """Return the quality that the most specific range gives, and how specific that range is."""
    for media_range, specificity in ((offered, _NAMED), (offered.split("/")[0] + "/*", 1), ("*/*", 0)):
        if media_range in ranges:
            return ranges[media_range], specificity
    return 0.0, -1


def _ranges(accept: str) -> dict[str, float]:
    """Return the media ranges of an Accept header, each with its quality; of a repeated one the highest."""
    ranges: dict[str, float] = {}
    for part in accept.lower().split(","):
        media_range, *parameters = (piece.strip() for piece in part.split(";"))
        ranges[media_range] = max(ranges.get(media_range, 0.0), _quality(parameters))
    return ranges


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
