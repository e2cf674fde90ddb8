"""The image's health check: a file of its own, run as Docker runs it."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading

import pytest

from scoreline.container import health


@pytest.fixture
def server():
    """Give a server whose /ping answers `server.status`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(self.server.status if self.path == "/ping" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.status = 200
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def check(**variables):
    command = [sys.executable, "-I", "-S", health.__file__]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("variable", ["SAGEMAKER_BIND_TO_PORT", "SCORELINE_PORT"])
@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1), (404, 1)])
def test_it_is_healthy_where_ping_is_200_on_the_port_that_is_set(server, variable, status, code):
    server.status = status
    done = check(**{variable: str(server.server_port)})
    assert (done.returncode, done.stdout) == (code, f"/ping on port {server.server_port}: {status}\n")


@pytest.mark.parametrize("port", ["1", "many"])
def test_nobody_there_is_unhealthy_with_why(port):
    done = check(SCORELINE_PORT=port)
    assert done.returncode == 1
    assert done.stdout.startswith(f"/ping on port {port}: ")
    assert done.stderr == ""
