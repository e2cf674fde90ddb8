"""The docker command, as much of it as the doctor needs."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import Any

from scoreline.container.engine import PATIENCE_S, ask, last_line, require_engine
from scoreline.doctor.findings import NotChecked
from scoreline.errors import ContainerError, SettingError

__all__ = ["Image", "docker", "find_image", "last_line"]


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
    try:
        require_engine()
    except ContainerError as error:
        raise NotChecked(str(error)) from error
    done = docker("image", "inspect", name)
    if done.returncode != 0:
        raise SettingError(f"--image {name}: {last_line(done.stderr)}. Build it, or `docker pull {name}` first.")
    (inspected,) = json.loads(done.stdout)
    return Image(name, inspected)


def docker(*arguments: str, timeout_s: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
    """Run a docker command; it may fail. NotChecked where it does not end in time."""
    try:
        return ask(*arguments, timeout_s=timeout_s)
    except ContainerError as error:
        raise NotChecked(str(error)) from error
