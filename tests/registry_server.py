"""A registry of images for tests: Debian's docker-registry on a free port of the loopback."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ports import free_port
from servers import ask, is_listened_on, wait_until

# bcrypt of the password that moto gives out for its account
HTPASSWD = "AWS:$2b$04$scorelinescorelinescoedBMG3br26c48biAWO4LbDIgcpY.p1Dq\n"


class RegistryServer:
    """Debian's docker-registry on a free port. A context manager."""

    def __init__(self, folder: Path, *, is_closed: bool = False) -> None:
        folder.mkdir()
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        auth = f"auth: {{htpasswd: {{realm: r, path: {folder}/htpasswd}}}}\n" if is_closed else ""
        (folder / "htpasswd").write_text(HTPASSWD)
        (folder / "config.yml").write_text(
            f"version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
            f"http: {{addr: {self.host}}}\n{auth}"
        )
        self._folder = folder

    def __enter__(self):
        with (self._folder / "log").open("wb") as log:
            command = ["docker-registry", "serve", str(self._folder / "config.yml")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_until(lambda: is_listened_on(self.port), 60, "the registry")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait(10)

    def ask(self, method, path, body=b"", **headers):
        """Ask its HTTP API."""
        return ask(self.port, method, f"/v2/{path}", body, {name.replace("_", "-"): v for name, v in headers.items()})

    def tags(self, name):
        """Return the tags of a repository."""
        came = self.ask("GET", f"{name}/tags/list")
        return set(came.json()["tags"]) if came.status == 200 else set()
