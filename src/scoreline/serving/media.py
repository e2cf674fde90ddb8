"""Media types: what comes by Content-Type, what goes by Accept."""

from __future__ import annotations

JSON_TYPES = ("application/json", "text/json")


def media_type_of(content_type: str | None) -> str:
    """Return the bare media type, in lower case, without parameters.

    Examples
    --------
    >>> media_type_of("Application/JSON; charset=utf-8")
    'application/json'
    """
    return (content_type or "").split(";")[0].strip().lower()


def choose_reply(accept: str | None) -> str | None:
    """Return the reply's media type for an Accept header (RFC 9110, with q-values); None if none fits.

    Examples
    --------
    >>> choose_reply("text/csv, */*;q=0.1"), choose_reply("text/json"), choose_reply("image/png")
    ('application/json', 'text/json', None)
    """
    if not accept or not accept.strip():
        return JSON_TYPES[0]
    best = max(JSON_TYPES, key=lambda offered: _quality(offered, accept))
    return best if _quality(best, accept) > 0 else None


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
