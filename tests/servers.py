"""What tests of serving, inference and the command line share: order triage made once, and servers in processes.

Whatever is started here is stopped here, by its process id, also when the test fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import http.client
import importlib.util
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from ports import free_port

from scoreline.cli.main import run
from scoreline.serving.asgi_app import AsgiShell
from scoreline.serving.service import Service, load_service
from scoreline.serving.start import open_generation
from scoreline.settings import Settings, resolve_settings

APP_FOLDER = Path(__file__).parent.parent / "apps/order_triage"
KEY = ("order_id", "customer_id", "sku_code", "zip_code")
JSON = {"Content-Type": "application/json"}
_made: dict[int, Any] = {}

# A command that tests start must take SIGINT, also where a shell started pytest in the background, which ignores it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def made_app(tmp_path_factory) -> Path:
    """Return a copy of order triage with 300 orders, features built and model trained; once a session, read only."""
    if 0 not in _made:
        _made[0] = make_app(tmp_path_factory.mktemp("triage"))
    return _made[0]


def made_service(tmp_path_factory):
    """Return the service of `made_app`; one for all tests, since a process can open a store once."""
    if 1 not in _made:
        app = made_app(tmp_path_factory)
        _made[1] = open_service(settings_for(app, tmp_path_factory.mktemp("state")))
    return _made[1]


def settings_for(app: Path, state: Path, **others: Any) -> Settings:
    """Return settings made from an app's folders and a state folder, whatever this machine has."""
    own = {name: app / name for name in ("data", "model", "results")}
    return resolve_settings({"app": app, **own, "state": state, **others}, {})


def open_service(settings: Settings) -> Service:
    """Verify and publish what the folders hold, as `serve` does at start, and load it, as its workers do."""
    open_generation(settings, print)
    return load_service(settings)


def make_app(folder: Path) -> Path:
    """Make a copy of order triage in `folder`, with 300 orders, features and model."""
    copy_app(folder)
    write_sample(folder / "data")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        for name in os.environ.keys() - plain_environment().keys():
            patch.delenv(name)
        for command in ("feature", "train"):
            assert run([command, *folders(folder)]) == 0
    return folder


def copy_app(folder: Path, *changes: tuple[str, str]) -> Path:
    """Copy the file app.py of order triage, with changes of its text."""
    folder.mkdir(exist_ok=True)
    text = (APP_FOLDER / "app.py").read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "app.py").write_text(text)
    return folder


def write_sample(folder: Path, orders: int = 300, **more: Any) -> dict[str, int]:
    """Write the raw tables of order triage."""
    spec = importlib.util.spec_from_file_location("order_triage_sample", APP_FOLDER / "make_sample.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module.write_sample(folder, orders=orders, seed=1, **more)


def folders(app: Path, **others: Path) -> list[str]:
    """Return the options for the folders of an app, so that nothing of the machine decides on them."""
    at = {"app": app, "data": app / "data", "model_dir": app / "model", "results": app / "results", **others}
    return [part for name, folder in at.items() for part in (f"--{name.replace('_', '-')}", str(folder))]


def plain_environment(**more: str) -> dict[str, str]:
    """Return the environment without the variables that set Scoreline, with some of ours."""
    scrubbed = ("SCORELINE_", "MODEL_SERVER_", "SAGEMAKER_")
    return {name: value for name, value in os.environ.items() if not name.startswith(scrubbed)} | more


def keys_of(app: Path) -> list[dict[str, str]]:
    """Return the keys of all orders, in the order of their file."""
    with (app / "data/orders.csv").open(newline="") as file:
        return [{name: row[name] for name in KEY} for row in csv.DictReader(file)]


def own_predictor(folder: Path, body: str) -> None:
    """Write a predictor.py whose `predict` starts with `body`; it sees `matrix`, and golden rows are over 40."""
    lines = "\n".join(f"        {line}" for line in body.splitlines())
    (folder / "predictor.py").write_text(
        "import pathlib, time\n"
        "from scoreline.predictor import Predictor as Base\n"
        "class Predictor(Base):\n"
        "    def predict(self, matrix):\n"
        f"{lines}\n"
        "        return super().predict(matrix)\n"
    )


class SlowApp:
    """A copy of app.py whose predictor takes as long over a record as the test says. Golden rows take no time.

    Attributes
    ----------
    begun : how many records it has begun to score slowly
    """

    def __init__(self, folder: Path) -> None:
        self.folder = copy_app(folder)
        self._nap, self._begun = folder / "nap", folder / "begun"
        self._begun.touch()
        self.take(0)
        own_predictor(
            folder,
            f"nap = float(pathlib.Path({str(self._nap)!r}).read_text())\n"
            "if nap and len(matrix) == 1:\n"
            f"    with open({str(self._begun)!r}, 'a') as begun: begun.write('.')\n"
            "    time.sleep(nap)",
        )

    def take(self, seconds: float) -> None:
        """Let each further record take some seconds."""
        self._nap.with_suffix(".new").write_text(str(seconds))
        self._nap.with_suffix(".new").rename(self._nap)

    @property
    def begun(self) -> int:
        return self._begun.stat().st_size


@dataclass(frozen=True)
class Answered:
    """An HTTP answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the decoded body."""
        return json.loads(self.body)


def ask(port: int, method: str, path: str, body: Any = b"", headers: dict[str, str] | None = None) -> Answered:
    """Send one request over a connection of its own."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        return ask_over(connection, method, path, body, headers)


def ask_over(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any = b"", headers: Any = None
) -> Answered:
    """Send one request over an open connection; what is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, content or None, {**(JSON if content else {}), **(headers or {})})
    response = connection.getresponse()
    return Answered(response.status, dict(response.headers), response.read())


def ping(port: int) -> int:
    """Return the status of /ping, 0 where nobody answers."""
    try:
        return ask(port, "GET", "/ping").status
    except (OSError, http.client.HTTPException):
        return 0


def wait_until(condition, within_s: float = 20, what: str = "it") -> None:
    """Return when `condition()` holds; fail if it does not within some seconds."""
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, f"{what} did not happen within {within_s} s"
        time.sleep(0.01)


def is_listened_on(port: int) -> bool:
    """Whether somebody takes connections at a port."""
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Command:
    """A command in a process of its own, with all processes that it starts.

    Attributes
    ----------
    out, err : files with what it printed
    """

    def __init__(self, arguments: list[str], folder: Path, environment: dict[str, str] | None = None) -> None:
        self.out, self.err = folder / "stdout", folder / "stderr"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                arguments, stdout=out, stderr=err, env=plain_environment(**(environment or {})), start_new_session=True
            )
        self._seen: dict[int, psutil.Process] = {}
        self.look()

    def look(self) -> list[psutil.Process]:
        """Return the processes that it has started and that still run; remember them for `stop`."""
        with contextlib.suppress(psutil.NoSuchProcess):
            started = psutil.Process(self.process.pid)
            for process in (started, *started.children(recursive=True)):
                self._seen.setdefault(process.pid, process)
        return [process for process in self._seen.values() if _runs(process)]

    def wait(self, within_s: float = 30) -> int:
        """Return its exit code."""
        wait_until(lambda: (self.look(), self.process.poll() is not None)[1], within_s, "the end of the command")
        return self.process.wait()

    def wait_until(self, condition, within_s: float = 60) -> None:
        """Return when `condition()` holds; fail with what it printed if it ends before."""

        def holds() -> bool:
            assert self.process.poll() is None, self.printed
            self.look()
            return bool(condition())

        wait_until(holds, within_s)

    @property
    def printed(self) -> str:
        """All that it printed, stdout first."""
        return self.out.read_text() + self.err.read_text()

    def nothing_is_left(self, within_s: float = 5) -> bool:
        """Whether all processes that it started end within some seconds."""
        until = time.monotonic() + within_s
        while left := [process for process in self._seen.values() if _runs(process)]:
            if time.monotonic() > until:
                print("left behind:", left)
                return False
            time.sleep(0.02)
        return True

    def stop(self) -> None:
        """End whatever is left of it."""
        self.look()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
        for process in self._seen.values():
            with contextlib.suppress(psutil.NoSuchProcess):  # psutil checks that the id is still the same process
                process.kill()
        self.process.wait(10)


class Server(Command):
    """`scoreline serve`.

    Attributes
    ----------
    run_dir : the folder with its sockets, once it is ready
    """

    run_dir: Path | None = None

    def __init__(self, app: Path, folder: Path, *options: str, environment: dict[str, str] | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "scoreline", "serve", "--host", "127.0.0.1", "--port", str(self.port)]
        super().__init__([*command, *options], folder, {"SCORELINE_APP": str(app), **(environment or {})})

    def wait_until_ready(self) -> None:
        """Return when it says so, which is when operators' routes answer too; fail with what it printed if it ends."""
        self.wait_until(lambda: ping(self.port) == 200 and "ready on" in self.err.read_text())
        command = " ".join(self.part("nginx").cmdline())
        self.run_dir = Path(command.split(" -p ")[1].split()[0])

    def stop(self) -> None:
        """End whatever is left of it, and remove the folder with its sockets, which it can't if it was killed."""
        super().stop()
        if self.run_dir is not None:
            shutil.rmtree(self.run_dir, ignore_errors=True)

    def part(self, name: str) -> psutil.Process:
        """Return the master process of nginx or gunicorn."""
        children = psutil.Process(self.process.pid).children()
        (found,) = [child for child in children if name in " ".join(child.cmdline()[:4])]
        return found

    def workers(self) -> list[psutil.Process]:
        """Return gunicorn's workers."""
        return self.part("gunicorn").children()

    def post(self, body: Any, **headers: str) -> Answered:
        """Ask for predictions."""
        return ask(self.port, "POST", "/invocations", body, headers)


@contextlib.contextmanager
def serving(app: Path, model: Path, folder: Path, *options: str, **environment: str):
    """Give a ready server of an app with the model and features of another; stop it at the end.

    Its generations are kept in `folder`, so that servers share none, unless the options or the
    environment name a state folder.
    """
    made = ("--model-dir", str(model / "model"), "--results", str(model / "results"))
    environment.setdefault("SCORELINE_STATE", str(folder / "state"))
    folder.mkdir(exist_ok=True)
    server = Server(app, folder, *made, *options, environment=environment)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


def without_aws(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Take away what this machine knows of AWS; `folder` is where its files would be."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def ask_asgi(service, method, path, headers, body, query=""):
    """Ask a service through the ASGI shell, the body in two pieces; return status, headers and body."""
    half = len(body) // 2
    pieces = [
        {"type": "http.request", "body": body[:half], "more_body": True},
        {"type": "http.request", "body": body[half:], "more_body": False},
    ]
    sent = []

    async def receive():
        return pieces.pop(0)

    async def send(message):
        sent.append(message)

    fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": fields}
    asyncio.run(AsgiShell(service, timeout_s=60)(scope, receive, send))
    start, end = sent
    named = {name.decode().title(): value.decode() for name, value in start["headers"]}
    return start["status"], named, end["body"]
