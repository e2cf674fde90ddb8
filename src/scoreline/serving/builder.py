"""The builder process of `serve`: it looks at the sources when asked or by the clock, and answers operators' routes.

`python -m scoreline.serving.builder`, started by the supervisor and started anew when it ends. It
has a socket of its own; nginx brings it the app's refresh route, `/generations` and `/ingest/<table>`.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from scoreline.app.declaration import App
from scoreline.app.load import load_app
from scoreline.errors import PinnedError, ScorelineError, SourceAwayError, StoreAwayError, StoreError, TableError
from scoreline.generations.builder import Builder
from scoreline.generations.ingest import Format, Ingest
from scoreline.generations.online import open_events, open_online
from scoreline.generations.state import StateFolder
from scoreline.generations.status import describe_state
from scoreline.serving.access import PEER_HEADER, Access, container_gateway
from scoreline.serving.problems import Problem
from scoreline.serving.process import RUN_DIR_VARIABLE, end_with_parent
from scoreline.serving.start import make_builder, source_of
from scoreline.serving.unix_http import Handler, UnixServer
from scoreline.settings import Settings, resolve_settings

SOCKET, GENERATIONS_ROUTE, INGEST_ROUTE = "builder.sock", "/generations", "/ingest/"
_FORMATS: dict[str, Format] = {
    "application/jsonlines": "json-lines",
    "application/x-ndjson": "json-lines",
    "application/jsonl": "json-lines",
    "text/csv": "csv",
}
FOLLOW_S = 2.0  # between two looks at which features are current in the networked store
_JITTER = 0.1  # of the interval, so that containers started together do not ask together
_log = logging.getLogger("scoreline.builder")


class BuilderServer(UnixServer):
    """Answers the app's refresh route, `/generations` and `/ingest/<table>`."""

    def __init__(self, path: Path, app: App, settings: Settings, state: StateFolder, builder: Builder) -> None:
        self.app, self.settings, self.state, self.builder = app, settings, state, builder
        self.access = Access(settings.admin_token, container_gateway())
        self.online = open_online(settings, app)
        self.ingest = Ingest(app, state.path, open_events(settings, self.online))
        super().__init__(path, _OperatorHandler)


class _OperatorHandler(Handler):
    server: BuilderServer

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == GENERATIONS_ROUTE:
            self._generations()
        elif path.startswith(INGEST_ROUTE):
            self.send_error(405)
        elif path == self.server.app.refresh_route:
            self._refresh(dict(parse_qsl(query, keep_blank_values=True)))
        else:
            self.answer_problem(Problem(404, "no-such-route", "expected an operator's route"))

    def do_POST(self) -> None:
        path, _, query = self.path.partition("?")
        if path.startswith(INGEST_ROUTE):
            self._ingest(unquote(path.removeprefix(INGEST_ROUTE)), dict(parse_qsl(query, keep_blank_values=True)))
            return
        self.rfile.read(min(int(self.headers.get("Content-Length") or 0), 1 << 20))  # the others take no input
        if path == GENERATIONS_ROUTE:
            self.send_error(405)
        else:
            self.do_GET()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse a method, naming those that the route takes."""
        self.route = getattr(self, "path", "").partition("?")[0]  # there is none where the request can't be read
        is_ingest = self.route.startswith(INGEST_ROUTE)
        self.allowed = "GET" if self.route == GENERATIONS_ROUTE else "POST" if is_ingest else "GET, POST"
        super().send_error(code, message, explain)

    def _generations(self) -> None:
        refused = self.server.access.refuse_operator(self._headers())
        if refused is not None:
            self.answer_problem(refused)
            return
        server = self.server
        self.answer_json(describe_state(server.state, server.app, source_of(server.settings), server.online))

    def _refresh(self, query: dict[str, str]) -> None:
        refused = self.server.access.refuse_refresh(self._headers())
        if refused is not None:
            self.answer_problem(refused)
            return
        dry_run = query.get("dry_run", "0")
        if dry_run not in ("0", "1") or set(query) - {"dry_run"}:
            self.answer_problem(Problem(400, "bad-option", "expected no option but dry_run=1, which validates only"))
            return
        try:
            report = self.server.builder.refresh("ask", dry_run=dry_run == "1")
        except ScorelineError as error:
            _log.warning("not refreshed, as %s asked: %s", self.headers.get(PEER_HEADER), error)
            self.answer_problem(_as_problem(error), self._generation_header())
        except Exception:  # a full disk, say; what was published goes on
            _log.exception("not refreshed")
            detail = "an unexpected error; the server's log says which. The generation published before goes on."
            self.answer_problem(Problem(500, "internal", detail), self._generation_header())
        else:
            self.answer_json(report.describe(), self._generation_header())

    def _ingest(self, table: str, query: dict[str, str]) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))  # nginx lets no larger one through
        refused = self.server.access.refuse_refresh(self._headers())
        if refused is None and (why := self.server.ingest.refusal_of(table)) is not None:
            refused = Problem(404, "no-such-route", why)
        kind = _FORMATS.get((self.headers.get("Content-Type") or "").partition(";")[0].strip().lower())
        if refused is None and set(query) - {"batch"}:
            refused = Problem(400, "bad-option", "expected no option but batch=NAME, by which a batch is known again")
        if refused is None and kind is None:
            taken = " or ".join(_FORMATS)
            refused = Problem(415, "unsupported-media-type", f"expected Content-Type {taken}")
        if refused is not None or kind is None:
            self.answer_problem(refused or Problem(500, "internal", "no kind of body"))
            return
        try:
            report = self.server.ingest.append_body(table, body, kind, query.get("batch"))
        except TableError as error:
            self.answer_problem(Problem(400, "bad-body", str(error)))
        except StoreAwayError as error:
            _log.warning("not ingested: %s", error)
            detail = "the online store does not answer; send the batch again by the same name, it is kept once"
            self.answer_problem(Problem(503, "store-away", detail))
        except StoreError as error:
            self.answer_problem(Problem(409, "conflict", str(error)))
        except Exception:  # a full disk, say: nothing was acknowledged
            _log.exception("not ingested")
            self.answer_problem(Problem(500, "internal", "nothing of it was kept; the server's log says why"))
        else:
            if report.rejected and not report.rows:
                first = report.rejected[0]
                column = f", column '{first.column}'" if first.column else ""
                detail = f"no row can be read; the first: line {first.line}{column}: {first.why}"
                self.answer_problem(Problem(400, "bad-record", detail))
                return
            self.answer_json(report.describe())

    def _headers(self) -> dict[str, str]:
        return {name.title(): value for name, value in self.headers.items()}

    def _generation_header(self) -> dict[str, str]:
        current = self.server.state.current()
        return {} if current is None else {"X-Scoreline-Generation": current.name}


def _as_problem(error: ScorelineError) -> Problem:
    """Say what holds a refresh back: the source, or what is there. What was published goes on."""
    detail = f"{str(error).rstrip('.')}. The generation published before goes on."
    if isinstance(error, (SourceAwayError, StoreAwayError)):
        return Problem(502, "source-away", detail)
    return Problem(409, "conflict", str(error) if isinstance(error, PinnedError) else detail)


def poll(look: Callable[[], object], every_s: float, stop: threading.Event) -> None:
    """Look at the sources by the clock until `stop`; what goes wrong is said once for each kind, and tried again."""
    said = ""
    while not stop.wait(every_s * random.uniform(1 - _JITTER, 1 + _JITTER)):  # noqa: S311 (no secret)
        try:
            look()
            if said:
                _log.warning("the sources can be read again")
            said = ""
        except ScorelineError as error:
            if str(error) != said:
                _log.warning("not refreshed: %s", error)
            said = str(error)
        except Exception as error:  # the next turn may do better, and this thread must not end
            _log.exception("not refreshed")
            said = type(error).__name__


def main() -> None:
    """Serve until SIGTERM."""
    end_with_parent()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # the state folder survives an end at any point
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = resolve_settings()
    level = max(logging.WARNING, logging.getLevelName(settings.log_level.upper()))  # libraries have much to say below
    logging.basicConfig(format="serve: %(message)s", stream=sys.stderr, level=level)
    app, state = load_app(settings.app), StateFolder(settings.state)
    builder = make_builder(settings, app, state)
    stop = threading.Event()
    path = Path(os.environ[RUN_DIR_VARIABLE]) / SOCKET
    path.unlink(missing_ok=True)
    server = BuilderServer(path, app, settings, state, builder)
    if settings.refresh_s is not None:
        arguments: Any = (lambda: builder.refresh("poll"), settings.refresh_s, stop)
        threading.Thread(target=poll, args=arguments, name="poll", daemon=True).start()
    if server.online is not None:  # asks one question, unless others became current
        threading.Thread(target=poll, args=(builder.follow_store, FOLLOW_S, stop), name="store", daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
