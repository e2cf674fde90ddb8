"""One record, one request, with retries: what `inference` says to a server."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec
import urllib3
from urllib3.util import Retry, Timeout

from scoreline.errors import InferenceError

RETRY_STATUSES = (502, 503, 504)
_RETRIES = 5
_BACKOFF_S = 0.2  # 0.4, 0.8, ... between tries: about 6 s in all
_AWAY_AFTER = 10  # records in a row that found no server at all: the rest is not tried
_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


@dataclass(frozen=True)
class Reply:
    """What came for one record.

    Attributes
    ----------
    reply : the decoded reply, None where there is an error
    error : a problem as the server gave it, or ours where it gave none
    """

    reply: dict[str, Any] | None
    error: dict[str, Any] | None = None


class Client:
    """Posts records to a server, from many threads.

    Retries connection errors and 502, 503 and 504 with growing pauses. Scoring changes nothing on
    the server, so that sending a record twice does no harm.

    Parameters
    ----------
    url : str
        Of the server, with or without `/invocations`.
    connections : int
        How many requests are in flight at the most.
    timeout_s : float
        How long one answer may take.
    """

    def __init__(self, url: str, connections: int, timeout_s: float) -> None:
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # a port or an IPv6 address that can't be one
            is_address = False
        if not is_address:
            raise InferenceError(f"--url {url}: expected a server's address, for example http://127.0.0.1:8080")
        self.base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/invocations')}"
        retry = Retry(
            total=_RETRIES, backoff_factor=_BACKOFF_S, status_forcelist=RETRY_STATUSES, allowed_methods=None,
            raise_on_status=False, respect_retry_after_header=False,
        )  # fmt: skip
        self._pool = urllib3.PoolManager(
            maxsize=connections, block=True, retries=retry, timeout=Timeout(connect=5, read=timeout_s)
        )
        self._lock = threading.Lock()
        self._away = 0

    def wait_for_server(self) -> None:
        """Return when `/ping` is 200; InferenceError after a few seconds of tries."""
        try:
            status = self._pool.request("GET", f"{self.base}/ping").status
        except urllib3.exceptions.HTTPError as error:
            raise InferenceError(
                f"no server answers at {self.base} ({_reason(error)}). Start one with `scoreline serve`, or name one "
                "with --url."
            ) from error
        if status != 200:
            raise InferenceError(f"the server at {self.base} is not ready: its /ping answers {status}, expected 200")

    def served_features(self) -> str | None:
        """Return the digest of the feature table that the server answers from; None where it does not tell."""
        try:
            answer = self._pool.request("GET", f"{self.base}/ping")
        except urllib3.exceptions.HTTPError:
            return None
        return answer.headers.get("X-Scoreline-Features")

    def post(self, record: dict[str, Any]) -> Reply:
        """Post one record; never raises for what the server or the network does."""
        if self._away >= _AWAY_AFTER:
            return Reply(None, _error("not tried: the server went away"))
        try:
            answer = self._pool.request(
                "POST", f"{self.base}/invocations", body=msgspec.json.encode(record), headers=_HEADERS
            )
        except urllib3.exceptions.HTTPError as error:
            with self._lock:
                self._away += 1
            return Reply(None, _error(f"no answer after {_RETRIES + 1} tries ({_reason(error)})"))
        self._away = 0
        return _read(answer.status, answer.data)

    def post_all(self, records: Sequence[Mapping[str, Any]], query: str = "") -> Sequence[dict[str, Any]]:
        """Post several records in one request; return one reply or problem each, in order.

        Raises
        ------
        InferenceError
            They were not answered as a list.
        """
        url = f"{self.base}/invocations" + (f"?{query}" if query else "")
        try:
            answer = self._pool.request("POST", url, body=msgspec.json.encode(records), headers=_HEADERS)
            content = msgspec.json.decode(answer.data)
        except urllib3.exceptions.HTTPError as error:
            raise InferenceError(f"no answer from {self.base} ({_reason(error)})") from error
        except msgspec.DecodeError as error:
            raise InferenceError(f"{self.base}: expected JSON, the server answered {answer.status}") from error
        if isinstance(content, dict) and len(content.get("problems", ())) == len(records):
            return list(content["problems"])
        if not isinstance(content, list) or len(content) != len(records):
            raise InferenceError(f"{self.base}: expected a list of replies, the server answered {answer.status}")
        return content


def _read(status: int, body: bytes) -> Reply:
    try:
        content = msgspec.json.decode(body)
    except msgspec.DecodeError:
        content = None
    if status == 200 and isinstance(content, dict):
        return Reply(content)
    if isinstance(content, dict) and "status" in content:
        return Reply(None, content)
    return Reply(None, _error(f"expected a JSON reply, the server answered {status} with something else", status))


def _error(detail: str, status: int | None = None) -> dict[str, Any]:
    return {"title": "The record was not scored", "status": status, "detail": detail}


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    text = str(reason).rsplit(": ", maxsplit=1)[-1]
    return text or type(reason).__name__
