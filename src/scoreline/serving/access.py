"""Who may use an operator's route."""

from __future__ import annotations

import hmac
import ipaddress
import os
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from scoreline.serving.problems import Problem
from scoreline.settings import in_container

PEER_HEADER = "X-Scoreline-Peer"  # set by nginx, over whatever a client sent under that name
_ROUTES = Path("/proc/net/route")
_OWN_SITE = ("none", "same-origin")


class Access:
    """Decides on one request: None lets it in, a Problem says why not.

    Parameters
    ----------
    token : the admin token; None: nobody has one
    gateway : the container's own gateway, from which `docker run -p` brings its host's requests
    """

    def __init__(self, token: str | None, gateway: str | None) -> None:
        self._token, self._gateway = token, gateway
        self._own = {own.address for addresses in psutil.net_if_addrs().values() for own in addresses}

    def refuse_operator(self, headers: Mapping[str, str]) -> Problem | None:
        """Let in who has the token."""
        if self._has_token(headers):
            return None
        if self._token is None:
            return Problem(403, "forbidden", "this route needs a token, and SCORELINE_ADMIN_TOKEN is not set")
        return Problem(403, "forbidden", "expected Authorization: Bearer with the token of SCORELINE_ADMIN_TOKEN")

    def refuse_refresh(self, headers: Mapping[str, str]) -> Problem | None:
        """Let in who has the token, and this machine: it takes no input and fetches only the configured source.

        A page in a browser on this machine could send such a request too. What browsers say of a
        request's origin gives that away, and so does a Host that is no name of this machine.
        """
        if self._has_token(headers):
            return None
        if not self._is_near(headers.get(PEER_HEADER)):
            return self.refuse_operator(headers)
        host = (headers.get("Host") or "").lower()
        if not self._is_own_host(host):
            return Problem(403, "forbidden", "expected a Host of this machine, such as localhost; else send the token")
        site = headers.get("Sec-Fetch-Site")
        if site is not None and site.lower() not in _OWN_SITE:
            return Problem(403, "forbidden", "a page of another site sent this request; refresh from a terminal")
        for name in ("Origin", "Referer"):
            origin = headers.get(name)
            if origin is not None and _authority(origin) != host:
                return Problem(403, "forbidden", "a page of another origin sent this request; refresh from a terminal")
        return None

    def _has_token(self, headers: Mapping[str, str]) -> bool:
        scheme, _, given = (headers.get("Authorization") or "").partition(" ")
        if self._token is None or scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(given.strip().encode(errors="replace"), self._token.encode())

    def _is_near(self, peer: str | None) -> bool:
        address = _address(peer)
        return address is not None and (address.is_loopback or str(address) == self._gateway)

    def _is_own_host(self, host: str) -> bool:
        """Whether the Host is a name or address of this machine; a foreign page's is that page's own name."""
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        if name in ("localhost", socket.gethostname().lower()):
            return True
        address = _address(name)
        return address is not None and (address.is_loopback or str(address) in self._own)


def container_gateway(environment: Mapping[str, str] | None = None, routes: Path = _ROUTES) -> str | None:
    """Return the gateway of the default route inside a container, None outside or where there is none."""
    if not in_container(os.environ if environment is None else environment):
        return None
    try:
        lines = [line.split() for line in routes.read_text().splitlines()[1:]]
    except OSError:
        return None
    for line in lines:
        if len(line) > 2 and line[1] == "00000000" and line[2] != "00000000":
            return socket.inet_ntoa(struct.pack("<L", int(line[2], 16)))
    return None


def _authority(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _address(text: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text or "")
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
