"""What tests of the batch client share: its command, a real server, and small servers that misbehave."""

from __future__ import annotations

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from servers import copy_app, folders, made_app, made_service, serving, write_sample

from scoreline.cli.main import run


@pytest.fixture(scope="session")
def triage(tmp_path_factory):
    """Give the folder of order triage with 300 orders, features and model; read only."""
    return made_app(tmp_path_factory)


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    """Give the service of order triage."""
    return made_service(tmp_path_factory)


@pytest.fixture(scope="session")
def server(triage, tmp_path_factory):
    """Give a real server of order triage."""
    with serving(triage, triage, tmp_path_factory.mktemp("server"), "--workers", "2") as server:
        yield server


@pytest.fixture
def small(tmp_path):
    """Give an app folder with 20 orders and no features or model: what the client needs."""
    app = copy_app(tmp_path / "small")
    write_sample(app / "data", orders=20)
    return app


@pytest.fixture
def infer(tmp_path, capsys):
    """Give a function that runs `scoreline inference` with results of its own: exit code, lines, stdout, stderr."""

    def run_it(app, url, data=None, *, read=True):
        chosen = folders(app, data=data or app / "data", results=tmp_path / "results")
        code = run(["inference", *chosen, "--url", url])
        path = tmp_path / "results/results.json"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if read and path.is_file() else None
        return code, lines, *capsys.readouterr()

    return run_it


@pytest.fixture
def cli_with_file_for_results(tmp_path, capsys, monkeypatch):
    """Give a function that runs `scoreline inference` with a file where the results folder should be."""

    def run_it(app, url):
        (tmp_path / "in-the-way").write_text("")
        monkeypatch.setenv("SCORELINE_RESULTS", str(tmp_path / "in-the-way"))
        code = run(["inference", "--app", str(app), "--data", str(app / "data"), "--url", url])
        return code, capsys.readouterr().err

    return run_it


@pytest.fixture
def impatient(monkeypatch):
    """Let retries follow one another at once."""
    monkeypatch.setattr("scoreline.inference.client._BACKOFF_S", 0.001)


class Tiny(ThreadingHTTPServer):
    """A server on loopback whose answers to /invocations a test writes: `answer(record, number) -> (status, body)`.

    Without a body it closes the connection. Bodies that are no text are sent as JSON.

    Attributes
    ----------
    asked : path of each POST, in the order in which they came
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, answer):
        super().__init__(("127.0.0.1", 0), TinyHandler)
        self.answer, self.asked, self.ping, self.lock = answer, [], 200, threading.Lock()
        self.gone = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        pass  # a client that has gone


class TinyHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.reply(self.server.ping, "")

    def do_POST(self):
        record = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append(self.path)
            number = len(self.server.asked)
        status, body = self.server.answer(record, number)
        if self.server.gone.is_set() or body is None:
            self.close_connection = True
        else:
            self.reply(status, body)

    def reply(self, status, body):
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def tiny():
    """Give a function that starts a small server; all are stopped at the end."""
    started = []

    def start(answer):
        server = Tiny(answer)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        started.append((server, thread))
        return server

    yield start
    for server, thread in started:
        server.gone.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def changed_data(triage, tmp_path):
    """Give a function that copies the raw tables, with lines added to orders.csv."""

    def change(*lines):
        data = shutil.copytree(triage / "data", tmp_path / "changed")
        with (data / "orders.csv").open("a") as file:
            file.writelines(f"{line}\n" for line in lines)
        return data

    return change
