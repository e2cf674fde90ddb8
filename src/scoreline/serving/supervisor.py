"""The supervisor behind `serve`: it starts nginx and gunicorn, answers `/ping`, and ends with either of them."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import psutil

from scoreline.app.declaration import App
from scoreline.errors import ServeError, SettingError
from scoreline.generations.manifest import app_digest
from scoreline.generations.online import open_link
from scoreline.generations.state import StateFolder
from scoreline.serving.answer import PROBE_VARIABLE
from scoreline.serving.builder import GENERATIONS_ROUTE, INGEST_ROUTE
from scoreline.serving.builder import SOCKET as BUILDER_SOCKET
from scoreline.serving.health import Health, HealthServer
from scoreline.serving.nginx import (
    FOREGROUND,
    LOGGED,
    NGINX_LEVELS,
    find_nginx,
    prepare_nginx,
    render_configuration,
    unprivileged_user,
)
from scoreline.serving.plan import WorkerPlan, plan_workers, socket_paths
from scoreline.serving.process import (
    PUBLISHED_VARIABLE,
    RUN_DIR_VARIABLE,
    SCOREBOARD,
    WORKER_CLASS_VARIABLE,
    end_with_parent,
)
from scoreline.serving.request_log import RequestLog
from scoreline.serving.scoreboard import Scoreboard
from scoreline.serving.service import load_service
from scoreline.serving.start import open_generation, source_of
from scoreline.serving.store_watch import StoreWatch
from scoreline.settings import Settings, environment_of, variables_of, without_settings

DRAIN_S = 25  # SageMaker sends SIGKILL 30 s after SIGTERM
_LAST_S = 1  # for gunicorn, which has nothing in hand any more once nginx has ended
_START_S = 60
_OWN_WSGI = "wsgi.py"
_BUILDER_PAUSE_S = 1.0  # between two starts of the builder
PARENT_VARIABLE = "SCORELINE_ENDS_WITH_PARENT"  # set by `up`, so that a kill -9 of it leaves no server behind


def serve(settings: Settings, say: Callable[[str], None], *, on_ready: Callable[[], None] | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C, then drain and return.

    Parameters
    ----------
    say : callable
        Takes the few lines that a person should see.
    on_ready : callable, optional
        Called once, when the first golden rows were answered by the pool.

    Raises
    ------
    SettingError
        A setting names what there is not: an address that is not ours, no nginx, several models.
    ServeError
        The port is taken, a part does not start, or nginx or gunicorn dies.
    ScorelineError
        App, model or feature table are missing, damaged or do not belong together.
    """
    if PARENT_VARIABLE in os.environ:
        end_with_parent()
    if settings.multi_model:
        raise SettingError("SAGEMAKER_MULTI_MODEL=true: expected it unset, since this server holds one model")
    refuse_taken_port(settings.host, settings.port)
    find_nginx(settings.nginx)  # whatever is wrong with a setting is said before any work
    plan = plan_workers(settings.workers)
    open_generation(settings, say)
    service = load_service(settings)
    say(
        f"serve: {service.app.name}, generation {service.last_known}; {plan.workers} "
        f"worker{'s' if plan.workers > 1 else ''} ({plan.why}), "
        f"1 thread each, timeout {settings.timeout_s} s{service.scored_by}"
    )
    # Mode 0711, and in /tmp rather than TMPDIR, which may be 0700: nginx's workers, another user when we are
    # root, must reach the sockets.
    run_dir = Path(tempfile.mkdtemp(prefix="scoreline-", dir="/tmp" if os.access("/tmp", os.W_OK) else None))  # noqa: S108
    run_dir.chmod(0o711)
    try:
        state = StateFolder(settings.state)
        with state.serving(app_digest(service.app), source_of(settings).where):
            routes, is_store_used = operator_routes_of(service.app), service.app.declared_request is None
            _Supervisor(settings, state, routes, plan, run_dir, say, is_store_used=is_store_used).run(on_ready)
    finally:
        shutil.rmtree(run_dir, ignore_errors=True)


def operator_routes_of(app: App) -> list[str]:
    """Return the routes of an app that operators alone may use, besides `/generations`."""
    refresh = [app.refresh_route] if app.refresh_route else []
    return [*refresh, INGEST_ROUTE]


def refuse_taken_port(host: str, port: int) -> None:
    """Raise ServeError, naming the process where it can be seen, if the port can't be listened on.

    SettingError where the address is none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (socket.gaierror, UnicodeError) as error:
            raise _no_address(host, "no such name or address") from error
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise _no_address(host, error.strerror or "") from error
            if error.errno == errno.EADDRINUSE:
                raise ServeError(
                    f"port {port} is taken by {_owner_of(port)}. Stop it, or choose another port with --port."
                ) from error
            if error.errno == errno.EACCES:
                raise ServeError(f"port {port} needs root; choose one above 1023 with --port") from error
            raise ServeError(f"can't listen on {host}:{port} ({error.strerror})") from error


def _no_address(host: str, why: str) -> SettingError:
    return SettingError(
        f"SCORELINE_HOST={host} (or --host): expected an address of this machine, for example 0.0.0.0 ({why})"
    )


def _owner_of(port: int) -> str:
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            address: tuple[object, ...] = connection.laddr
            is_it = connection.status == psutil.CONN_LISTEN and address[1:2] == (port,)
            if is_it and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return "another process"


def open_connections(port: int) -> int:
    """Count the connections that clients have to a port of ours.

    An nginx that was asked to end closes those that are idle, so that the rest are requests in flight.
    """
    count = 0
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            address: tuple[object, ...] = connection.laddr
            count += connection.status == psutil.CONN_ESTABLISHED and address[1:2] == (port,)
    return count


class _Supervisor:
    """The running parts. `run` goes through: starting, ready, stopping."""

    def __init__(
        self,
        settings: Settings,
        state: StateFolder,
        operator_routes: Sequence[str],
        plan: WorkerPlan,
        run_dir: Path,
        say: Callable[[str], None],
        *,
        is_store_used: bool,
    ) -> None:
        self._settings, self._plan, self._run_dir, self._say = settings, plan, run_dir, say
        self._state, self._number = state, state.number
        self._features: tuple[int, str | None] = (0, None)
        self._operator_routes = [GENERATIONS_ROUTE, *operator_routes]
        self._board = Scoreboard(run_dir / SCOREBOARD)
        self._probe_path = f"/-/golden/{secrets.token_hex(16)}"
        own_wsgi = (settings.app / _OWN_WSGI).is_file()
        self._worker_class = "sync" if own_wsgi else settings.worker_class
        self._sockets = socket_paths(run_dir, self._worker_class, plan.workers)
        self._health = Health(self._sockets, self._probe_path, self._board, settings.timeout_s, plan.workers)
        # without a stdout, its number may be that of any other file
        out = 1 if sys.stdout is not None else os.open(os.devnull, os.O_WRONLY)
        link = open_link(settings) if is_store_used else None
        self._store = None if link is None else StoreWatch(link, state, say)
        self._requests = RequestLog(run_dir / "requests", out)
        self._parts: dict[str, subprocess.Popen[bytes]] = {}
        self._builder: subprocess.Popen[bytes] | None = None
        self._builder_again_at = 0.0
        self._asked_to_stop = 0

    def run(self, on_ready: Callable[[], None] | None) -> None:
        handled = (signal.SIGTERM, signal.SIGINT)
        former = {number: signal.signal(number, self._stop) for number in handled}
        try:
            self._start()
            self._wait_until_ready()
            if self._asked_to_stop == 0:
                self._say(f"serve: ready on http://{self._settings.host}:{self._settings.port}  (Ctrl-C stops)")
                if on_ready is not None:
                    on_ready()
            while not self._asked_to_stop:
                self._raise_if_a_part_died()
                self._mind_builder()
                self._say_what_is_published()
                if not self._state.is_whole:
                    self._drain()
                    raise ServeError(f"{self._state.path}: the state folder was removed while serving. Start again.")
                time.sleep(0.05)
            self._drain()
        finally:
            self._kill()
            self._health.stop()
            if self._store is not None:
                self._store.stop()
            self._requests.stop()
            for number, handler in former.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._asked_to_stop += 1

    def _start(self) -> None:
        configuration = self._run_dir / "nginx.conf"
        configuration.write_text(
            render_configuration(
                self._settings.app,
                run_dir=self._run_dir,
                host=f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host,
                port=self._settings.port,
                timeout_s=self._settings.timeout_s,
                max_body_mb=self._settings.max_body_mb,
                nginx_workers=1 + self._plan.workers // 4,
                user=unprivileged_user(),
                log_level=NGINX_LEVELS[self._settings.log_level],
                request_log=str(self._requests.path),
                logged=LOGGED[self._settings.log_level],
                operator_routes=self._operator_routes,
                sockets=[str(path) for path in self._sockets],
                keeps_alive=self._worker_class == "asgi",
            )
        )
        store = self._store
        server = HealthServer(
            self._run_dir / "health.sock",
            self._health,
            self._served_features,
            lambda: "" if store is None else store.condition,
        )
        # children first: what runs between fork and exec must not meet a second thread
        self._parts["gunicorn"] = self._start_gunicorn()
        program = find_nginx(self._settings.nginx)
        nginx = [program, "-e", "stderr", "-g", FOREGROUND, "-p", str(self._run_dir), "-c", str(configuration)]
        self._mind_builder()
        self._parts["nginx"] = subprocess.Popen(nginx, start_new_session=True, preexec_fn=prepare_nginx)
        self._requests.start()
        threading.Thread(target=server.serve_forever, name="ping", daemon=True).start()
        self._health.watch()
        if self._store is not None:
            self._store.watch()

    def _environment(self) -> dict[str, str]:
        """Return what every process of ours needs: the settings as they were resolved, whatever they came from."""
        ours = environment_of(self._settings)
        return without_settings(os.environ) | ours | {RUN_DIR_VARIABLE: str(self._run_dir), "PYTHONUNBUFFERED": "1"}

    def _mind_builder(self) -> None:
        """Start the builder, and start it anew when it has ended: what is published is answered from without it."""
        if (self._builder is not None and self._builder.poll() is None) or time.monotonic() < self._builder_again_at:
            return
        if self._builder is not None:
            self._say(f"serve: the builder ended with exit code {self._builder.returncode}; it is started again")
        self._builder_again_at = time.monotonic() + _BUILDER_PAUSE_S
        command = [sys.executable, "-m", "scoreline.serving.builder"]
        self._builder = subprocess.Popen(command, env=self._environment(), start_new_session=True)

    def _say_what_is_published(self) -> None:
        """Say what was published since, by whomever: on call one wants to know why answers changed."""
        number = self._state.number
        if number != self._number and self._state.is_whole:
            self._number = number
            current = self._state.current()
            if current is not None:
                self._say(f"serve: published generation {current.name} ({current.why})")

    def _served_features(self) -> str | None:
        """Return the digest of the feature table that requests are answered from; read when that changes."""
        number = self._state.number
        if self._features[0] != number:
            current = self._state.current()
            self._features = (number, None if current is None else current.store)
        return self._features[1]

    def _start_gunicorn(self) -> subprocess.Popen[bytes]:
        settings = self._settings
        environment = self._environment() | {
            variables_of("workers")[0]: str(self._plan.workers),
            WORKER_CLASS_VARIABLE: self._worker_class,
            PROBE_VARIABLE: self._probe_path,
            PUBLISHED_VARIABLE: "1",
        }
        environment.pop(variables_of("admin_token")[0], None)  # no worker has a use for it
        for library in ("OMP", "OPENBLAS", "MKL"):
            environment[f"{library}_NUM_THREADS"] = "1"
        target = [f"scoreline.serving.{'asgi' if self._worker_class == 'asgi' else 'wsgi'}:app"]
        if (settings.app / _OWN_WSGI).is_file():
            target = ["--pythonpath", str(settings.app.resolve()), "wsgi:app"]
        command = [sys.executable, "-m", "gunicorn", "-c", "python:scoreline.serving.gunicorn_conf", *target]
        return subprocess.Popen(command, env=environment, start_new_session=True)

    def _wait_until_ready(self) -> None:
        give_up = time.monotonic() + _START_S
        while not self._asked_to_stop and (missing := self._missing()) is not None:
            self._raise_if_a_part_died()
            if time.monotonic() > give_up:
                raise ServeError(f"not ready within {_START_S} s: {missing}")
            time.sleep(0.02)

    def _missing(self) -> str | None:
        """Return what is not ready yet. A builder that has ended is not waited for: it is started anew."""
        verdict = self._health.verdict()
        if verdict is None and self._builder is not None and self._builder.poll() is None:
            return None if (self._run_dir / BUILDER_SOCKET).exists() else "the builder has not come up"
        return verdict

    def _raise_if_a_part_died(self) -> None:
        for name, part in self._parts.items():
            code = part.poll()
            if code is not None:
                how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
                raise ServeError(f"{name} ended {how}; its last lines above say why. The server is stopped.")

    def _drain(self) -> None:
        """Let nginx stop accepting first and finish what is in flight, then end the workers."""
        self._say("serve: stopping, requests in flight are answered first")
        asked = self._asked_to_stop
        if self._end("nginx", signal.SIGQUIT, DRAIN_S):
            self._end("gunicorn", signal.SIGTERM, _LAST_S)
        elif requests := open_connections(self._settings.port):
            why = "the stop was asked for again" if self._asked_to_stop > asked else f"no answer within {DRAIN_S} s"
            self._say(f"serve: {requests} request{'' if requests == 1 else 's'} cut off, {why}")
        self._say("serve: stopped")

    def _end(self, name: str, number: signal.Signals, patience_s: float) -> bool:
        """Ask a part to end; return whether it did, within some seconds and before we were asked again."""
        part = self._parts[name]
        asked = self._asked_to_stop
        part.send_signal(number)
        until = time.monotonic() + patience_s
        while part.poll() is None and time.monotonic() < until and self._asked_to_stop == asked:
            time.sleep(0.02)
        return part.poll() is not None

    def _kill(self) -> None:
        """End whatever is left of the parts, with the processes that they started.

        Nginx first: it would complain of workers that are gone.
        """
        for part in [*reversed(self._parts.values()), *([self._builder] if self._builder else [])]:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(part.pid, signal.SIGKILL)
            part.wait()
