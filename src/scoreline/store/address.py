"""Where a networked online store is: a URL, with what is secret in it kept out of sight."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

# What stands in a URL -> how the client library calls it.
_SCHEMES = {"redis": "redis", "rediss": "rediss", "unix": "unix", "valkey": "redis", "valkeys": "rediss"}
EXPECTED = "redis://host:6379/0, rediss:// (TLS), unix:///path.sock or valkey://"


@dataclass(frozen=True)
class StoreAddress:
    """A store's address.

    Attributes
    ----------
    url : as the client library takes it, with user, password and options
    password : beside the URL; None: that of the URL, if any
    shown : without user, password and options, for messages
    """

    url: str = field(repr=False)
    password: str | None = field(repr=False)
    shown: str


def parse_address(url: str, password: str | None = None) -> StoreAddress:
    """Read a store's URL.

    Raises
    ------
    ValueError
        It is none. The message holds nothing of it, since there may be a password in it.

    Examples
    --------
    >>> parse_address("valkeys://user:secret@cache.example:6380/2?ssl_ca_certs=/ca.pem")
    StoreAddress(shown='valkeys://cache.example:6380/2')
    >>> parse_address("unix:///run/redis.sock", "secret")
    StoreAddress(shown='unix:///run/redis.sock')
    """
    try:
        parts = urlsplit(url)
        scheme, port = _SCHEMES.get(parts.scheme), "" if parts.port is None else f":{parts.port}"
    except ValueError:
        scheme = None
    if scheme is None or not (parts.path if scheme == "unix" else parts.hostname):
        raise ValueError(f"expected {EXPECTED}") from None
    if scheme == "unix" and parts.hostname:
        raise ValueError("expected three slashes before the socket's path, as in unix:///run/redis.sock")
    database = parts.path.strip("/")
    if scheme != "unix" and not (database.isdecimal() or not database):  # the client would take database 0 for it
        raise ValueError("expected a database by its number, as in redis://host:6379/1")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    shown = f"{parts.scheme}://{host}{port}{parts.path.rstrip('/') or ''}"
    return StoreAddress(scheme + url[len(parts.scheme) :], password, shown)
