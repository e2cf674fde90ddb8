"""The docker command: run, looked at, and what it says passed on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from scoreline.errors import ContainerError

PATIENCE_S = 120


def require_engine() -> None:
    """Raise ContainerError where there is no docker command, or no engine answers it."""
    if shutil.which("docker") is None:
        raise ContainerError("there is no docker command here")
    done = ask("version", "--format", "{{.Server.Version}}")
    if done.returncode != 0:
        raise ContainerError(f"no Docker engine answers: {last_line(done.stderr)}")


def ask(*arguments: str, timeout_s: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
    """Run a docker command for its output; it may fail.

    Raises
    ------
    ContainerError
        It did not end in time.
    """
    try:
        return subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise ContainerError(f"docker {arguments[0]} did not end within {timeout_s:g} s") from error


def run(arguments: Sequence[str], what: str, given: str | None = None) -> None:
    """Run a docker command whose output is for the person at the terminal: on stderr.

    Parameters
    ----------
    arguments : with `docker` in front
    what : what fails with it, for the message
    given : its standard input, a password say

    Raises
    ------
    ContainerError
        It failed.
    """
    done = subprocess.run(arguments, input=given, stdout=sys.stderr.fileno(), text=True, check=False)
    if done.returncode != 0:
        raise ContainerError(f"{what} failed, docker ended with {done.returncode}; its lines above say why")


def inspect_image(name: str) -> dict[str, Any] | None:
    """Return what the engine knows of an image; None where it has none of that name."""
    done = ask("image", "inspect", name)
    if done.returncode != 0:
        return None
    (inspected,) = json.loads(done.stdout)
    return dict(inspected)


def has_buildx() -> bool:
    """Whether `docker build` is BuildKit's, which takes other options than the builder of old."""
    wanted = shutil.which("docker") is not None and os.environ.get("DOCKER_BUILDKIT") != "0"
    return wanted and ask("buildx", "version").returncode == 0


def last_line(text: str) -> str:
    """Return the last line with something on it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
