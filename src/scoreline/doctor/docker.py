"""The docker command, as much of it as the doctor needs."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

from scoreline.doctor.findings import NotChecked
from scoreline.errors import SettingError

_PATIENCE_S = 120


@dataclass(frozen=True)
class Image:
    """An image of the local engine.

    Attributes
    ----------
    inspected : what `docker image inspect` says of it
    """

    name: str
    inspected: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        """What a container of it starts with: Entrypoint, Cmd, User, Labels, Env."""
        config: dict[str, Any] = self.inspected.get("Config") or {}
        return config


def find_image(name: str) -> Image:
    """Inspect an image.

    Raises
    ------
    NotChecked
        There is no docker command here, or no engine answers it.
    SettingError
        The engine has no such image.
    """
    if shutil.which("docker") is None:
        raise NotChecked("there is no docker command here")
    engine = docker("version", "--format", "{{.Server.Version}}")
    if engine.returncode != 0:
        raise NotChecked(f"no Docker engine answers: {last_line(engine.stderr)}")
    done = docker("image", "inspect", name)
    if done.returncode != 0:
        raise SettingError(f"--image {name}: {last_line(done.stderr)}. Build it, or `docker pull {name}` first.")
    (inspected,) = json.loads(done.stdout)
    return Image(name, inspected)


def docker(*arguments: str, timeout_s: float = _PATIENCE_S) -> subprocess.CompletedProcess[str]:
    """Run a docker command; it may fail."""
    try:
        return subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise NotChecked(f"docker {arguments[0]} did not end within {timeout_s:g} s") from error


def last_line(text: str) -> str:
    """Return the last line with something on it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
