"""`scoreline up`."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click

from scoreline.cli.feature import run_feature
from scoreline.cli.inference import run_inference
from scoreline.cli.options import SERVED, STATE_NAMED, options
from scoreline.cli.train import run_train
from scoreline.errors import ServeError
from scoreline.settings import Settings, environment_of, variables_of, without_settings

_READY_S, _STOP_S = 90, 35


@click.command(short_help="feature, train, serve and inference, one after the other.")
@options(*SERVED, "workers", "concurrency")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=None,
    help="The port to serve on. Default: a free one, unless the environment names one.  "
    "[env: SAGEMAKER_BIND_TO_PORT, SCORELINE_PORT]",
)  # fmt: skip
def up(settings: Settings, port: int | None) -> None:
    """Run feature, train, serve and inference, one after the other, then stop the server.

    Ends with where the results are; exits 0 if every record was scored.
    """
    from scoreline.serving.supervisor import refuse_taken_port

    named = any(os.environ.get(variable) for variable in variables_of("port"))
    settings = replace(settings, port=port or (settings.port if named else _free_port()))
    refuse_taken_port("127.0.0.1", settings.port)
    started = time.monotonic()
    run_feature(settings)
    run_train(settings)
    with _own_state(settings) as settings, _server(settings):
        run_inference(settings, f"http://127.0.0.1:{settings.port}")
    click.echo(f"up: done in {time.monotonic() - started:.1f} s, the server is stopped")


@contextlib.contextmanager
def _own_state(settings: Settings) -> Iterator[Settings]:
    """Give this run's server a state folder of its own, so that no other server takes on what is tried here."""
    context = click.get_current_context()
    if os.environ.get(variables_of("state")[0]) or context.meta.get(STATE_NAMED):
        yield settings
        return
    with tempfile.TemporaryDirectory(prefix="scoreline-") as folder:
        yield replace(settings, state=Path(folder))


@contextlib.contextmanager
def _server(settings: Settings) -> Iterator[None]:
    """Run `scoreline serve` as a process of its own; stop it at the end, whatever happens."""
    from scoreline.serving.supervisor import PARENT_VARIABLE

    command = [sys.executable, "-m", "scoreline", "serve", "--port", str(settings.port), "--host", "127.0.0.1"]
    environment = without_settings(os.environ) | environment_of(settings) | {PARENT_VARIABLE: "1"}
    server = subprocess.Popen(command, env=environment, start_new_session=True)  # Ctrl-C reaches us alone
    try:
        _wait_until_ready(server, settings.port)
        yield
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_until_ready(server: subprocess.Popen[bytes], port: int) -> None:
    import urllib3

    until = time.monotonic() + _READY_S
    while time.monotonic() < until:
        if server.poll() is not None:
            raise ServeError(f"serve ended with exit code {server.returncode}; its lines above say why")
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            if urllib3.request("GET", f"http://127.0.0.1:{port}/ping", retries=False, timeout=2).status == 200:
                return
        time.sleep(0.05)
    raise ServeError(f"serve was not ready within {_READY_S} s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
