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
from scoreline.cli.options import FOLDERS, options
from scoreline.cli.train import run_train
from scoreline.errors import ServeError
from scoreline.settings import Settings, environment_of, variables_of, without_settings

_READY_S, _STOP_S = 90, 35


@click.command(short_help="feature, train, serve and inference, one after the other.")
@options(*FOLDERS, "data_url", "workers", "concurrency")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=None,
    help="The port to serve on. Default: a free one, unless the environment names one.  "
    "[env: SAGEMAKER_BIND_TO_PORT, SCORELINE_PORT]",
)  # fmt: skip
@click.option(
    "--state", type=click.Path(file_okay=False, path_type=Path), default=None,
    help="Where this server's generations are kept. Default: a folder of its own, removed at the end.  "
    "[env: SCORELINE_STATE]",
)  # fmt: skip
def up(settings: Settings, port: int | None, state: Path | None) -> None:
    """Run feature, train, serve and inference, one after the other, then stop the server.

    Ends with where the results are; exits 0 if every record was scored.
    """
    from scoreline.serving.supervisor import refuse_taken_port

    named = any(os.environ.get(variable) for variable in variables_of("port"))
    settings = replace(settings, port=port or (settings.port if named else _free_port()))
    refuse_taken_port("127.0.0.1", settings.port)
    started = time.monotonic()
    run_feature(settings, publish=settings.store is not None)
    run_train(settings)
    named = any(os.environ.get(variable) for variable in variables_of("state"))
    with _own_state(state or (settings.state if named else None)) as own, _server(replace(settings, state=own)):
        run_inference(settings, f"http://127.0.0.1:{settings.port}")
    click.echo(f"up: done in {time.monotonic() - started:.1f} s, the server is stopped")


@contextlib.contextmanager
def _own_state(named: Path | None) -> Iterator[Path]:
    """Give the state folder that was named, else one of this run alone: no other server takes on what is tried."""
    if named is not None:
        yield named
        return
    with tempfile.TemporaryDirectory(prefix="scoreline-") as folder:
        yield Path(folder)


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
