"""Who we are at a registry: what `docker login` has kept, and a docker configuration that is thrown away."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scoreline.errors import ContainerError

_CONFIG = "config.json"
_HUB, _HUB_KEY = "docker.io", "https://index.docker.io/v1/"
_HELPER_S = 30


@dataclass(frozen=True)
class Login:
    """A user and a password."""

    user: str
    password: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The value of a header Authorization."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def find_login(host: str) -> Login | None:
    """Return what docker would log in with at a registry; None where it knows nothing of it."""
    config = _read(_folder())
    key = _HUB_KEY if host == _HUB else host
    helper = _dict(config, "credHelpers").get(key) or config.get("credsStore")
    if helper and (found := _ask_helper(str(helper), key)) is not None:
        return found
    return _decoded(str(_dict(_dict(config, "auths"), key).get("auth", "")))


@contextlib.contextmanager
def logged_in(host: str, login: Login) -> Iterator[list[str]]:
    """Give the docker command with a configuration that is logged in at a registry and gone at the end.

    It is the person's own otherwise: contexts, proxies and plugins count. The password goes through standard
    input; neither a command line nor the person's files ever hold it.

    Raises
    ------
    ContainerError
        The registry does not let us in.
    """
    with tempfile.TemporaryDirectory(prefix="scoreline-docker-") as own:
        _borrow(_folder(), Path(own))
        docker = ["docker", "--config", own]
        command = [*docker, "login", "--username", login.user, "--password-stdin", host]
        done = subprocess.run(command, input=login.password, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = " ".join(done.stderr.replace(login.password, "...").split())
            raise ContainerError(f"{host}: the registry refuses the login: {said}. Check the address and the account.")
        yield docker


def _folder() -> Path:
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")


def _read(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / _CONFIG).read_bytes())
    except (OSError, ValueError):  # there is none, or docker itself will complain of it
        return {}
    return content if isinstance(content, dict) else {}


def _dict(content: dict[str, Any], name: str) -> dict[str, Any]:
    found = content.get(name)
    return found if isinstance(found, dict) else {}


def _borrow(theirs: Path, own: Path) -> None:
    """Make a configuration like the person's, but without any login, nor a store that would keep one."""
    logins = ("auths", "credsStore", "credHelpers")
    config = {name: value for name, value in _read(theirs).items() if name not in logins}
    (own / _CONFIG).write_text(json.dumps(config))
    if theirs.is_dir():
        for path in theirs.iterdir():
            if path.name != _CONFIG:
                (own / path.name).symlink_to(path.resolve())


def _ask_helper(name: str, key: str) -> Login | None:
    try:
        done = subprocess.run(
            [f"docker-credential-{name}", "get"],
            input=key, capture_output=True, text=True, timeout=_HELPER_S, check=False,
        )  # fmt: skip
        found = json.loads(done.stdout)
        return Login(found["Username"], found["Secret"])
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError):  # it has none, or is not there
        return None


def _decoded(auth: str) -> Login | None:
    try:
        user, colon, password = base64.b64decode(auth).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return Login(user, password) if colon else None
