"""Images and containers of the tests: built as a user would, with names of their own, and gone at the end."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
PREFIX = "scoreline-test"
BUILD = ("--", "--network=host")  # so that what reaches the registries here reaches them from a build too
_READY_WITHIN_S = 60


def name_of(app: str) -> str:
    """Return the image's name of an app; layers are shared by all that build it."""
    return f"{PREFIX}/{app.replace('_', '-')}"


def build(app: Path, tag: str) -> str:
    """Build an app's image by `scoreline build`; return what it printed."""
    command = [sys.executable, "-m", "scoreline", "build", "--app", str(app), "--tag", tag, *BUILD]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def docker(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a docker command."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, (arguments, done.stdout[-2000:], done.stderr[-2000:])
    return done


def inspect(image: str) -> dict:
    """Return what the engine knows of an image."""
    return json.loads(docker("image", "inspect", image).stdout)[0]


class Container:
    """A container that serves, published on a free port of the loopback. A context manager; gone at its end."""

    def __init__(self, image: str, *options: str, command: tuple[str, ...] = ()) -> None:
        self.id = docker("run", "-d", "-p", "127.0.0.1::8080", *options, image, *command).stdout.strip()

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_: object) -> None:
        docker("rm", "-f", "-v", self.id, check=False)

    @property
    def url(self) -> str:
        """Where it is asked from outside."""
        return f"http://{docker('port', self.id, '8080').stdout.splitlines()[0]}"

    @property
    def logs(self) -> str:
        """What it printed."""
        done = docker("logs", self.id)
        return done.stdout + done.stderr

    @property
    def health(self) -> str:
        """What its HEALTHCHECK found: starting, healthy or unhealthy."""
        return docker("inspect", "-f", "{{.State.Health.Status}}", self.id).stdout.strip()

    @property
    def exit_code(self) -> int | None:
        """Its exit code, None while it runs."""
        running, code = docker("inspect", "-f", "{{.State.Running}} {{.State.ExitCode}}", self.id).stdout.split()
        return None if running == "true" else int(code)

    def wait_until_ready(self) -> None:
        """Return when /ping is 200; fail with what it printed where it ends, or takes too long."""
        until = time.monotonic() + _READY_WITHIN_S
        while not self._is_pinged():
            assert self.exit_code is None, self.logs
            assert time.monotonic() < until, self.logs
            time.sleep(0.1)

    def wait(self, within_s: float = 60) -> int:
        """Return its exit code once it has ended."""
        until = time.monotonic() + within_s
        while (code := self.exit_code) is None:
            assert time.monotonic() < until, self.logs
            time.sleep(0.1)
        return code

    def ask(self, path: str, body: object = None) -> tuple[int, str, dict[str, str]]:
        """Return status, body and headers of a GET, or of a POST with a JSON body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, reply.read().decode(), dict(reply.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), dict(error.headers)

    def inside(self, *command: str) -> str:
        """Run a command in it; return what it printed."""
        return docker("exec", self.id, *command).stdout

    def _is_pinged(self) -> bool:
        with contextlib.suppress(OSError):
            return self.ask("/ping")[0] == 200
        return False


def mounted(**folders: Path) -> list[str]:
    """Return options that mount folders: `data` and `model` read-only, at /app or where the name says."""
    places = {"data": "/app/data:ro", "results": "/app/results", "model": "/app/model:ro", "out": "/app/model"}
    places |= {"opt_ml_model": "/opt/ml/model:ro"}
    return [word for name, folder in folders.items() for word in ("-v", f"{folder}:{places[name]}")]


def variables(**values: object) -> list[str]:
    """Return options that set environment variables."""
    return [word for name, value in values.items() for word in ("-e", f"{name}={value}")]


def owner_of(path: Path) -> tuple[int, int]:
    """Return user and group of a file."""
    found = os.stat(path)
    return found.st_uid, found.st_gid
