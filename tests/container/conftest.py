"""What tests of pushing share: a real registry on loopback, a tiny image, and a record of what docker was told."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from moto_server import AwsRelay, MotoServer, without_aws
from servers import ask, free_port, is_listened_on, wait_until

from scoreline.cli.main import run

# bcrypt of the password that moto gives out for its account
HTPASSWD = "AWS:$2b$04$scorelinescorelinescoedBMG3br26c48biAWO4LbDIgcpY.p1Dq\n"
SHIM = '#!/bin/sh\nprintf "%s\\n" "$*" >> "{log}"\nexec {docker} "$@"\n'


@dataclass(frozen=True)
class Ran:
    """A command that ran: its exit code, and what it printed."""

    code: int
    out: str
    err: str


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


@pytest.fixture(autouse=True)
def no_aws_settings(monkeypatch, tmp_path):
    """Take away what this machine knows of AWS."""
    without_aws(monkeypatch, tmp_path)


@pytest.fixture(scope="session")
def moto():
    """Give moto's server; one for all tests of a process."""
    with MotoServer() as server:
        yield server


@pytest.fixture
def aws(moto, monkeypatch):
    """Give what our environment takes for AWS, with nothing in it."""
    moto.forget()
    with AwsRelay(moto) as relay:
        for name, value in relay.environment.items():
            monkeypatch.setenv(name, value)
        yield relay


@pytest.fixture
def registry(tmp_path):
    """Give a function that starts a registry, open to all or closed but to moto's password."""
    with contextlib.ExitStack() as stack:
        yield lambda **how: stack.enter_context(RegistryServer(tmp_path / "registry", **how))


@pytest.fixture
def image(tmp_path):
    """Give a function that builds an image of a few bytes, with our labels; all tags of it go at the end."""
    names = set()

    def build(name="tiny", content="1", base="scratch"):
        tag = f"scoreline-push-test/{os.getpid()}-{name}"
        folder = tmp_path / "context"
        folder.mkdir(exist_ok=True)
        (folder / "file").write_text(content)
        labels = "org.opencontainers.image.version=0.9 org.opencontainers.image.revision=abc123-dirty"
        (folder / "Dockerfile").write_text(f'FROM {base}\nLABEL {labels}\nCOPY file /file\nCMD ["/file"]\n')
        command = ["docker", "build", "-q", "--provenance=false", "-t", tag, str(folder)]
        subprocess.run(command, check=True, capture_output=True)
        names.add(tag)
        return tag

    yield build
    for name in names:
        listed = ["docker", "image", "inspect", "-f", '{{join .RepoTags " "}}', name]
        tags = subprocess.run(listed, capture_output=True, text=True, check=False).stdout.split()
        subprocess.run(["docker", "rmi", "-f", *tags, name], capture_output=True, check=False)


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Give a function that returns what docker was told so far, a line a command."""
    log, folder = tmp_path / "docker.log", tmp_path / "bin"
    folder.mkdir()
    log.touch()
    (folder / "docker").write_text(SHIM.format(log=log, docker=shutil.which("docker") or "true"))
    (folder / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return lambda: log.read_text().splitlines()


@pytest.fixture
def cli(capfd):
    """Give a function that runs a command line in this process."""

    def run_it(*arguments):
        code = run([str(argument) for argument in arguments])
        return Ran(code, *capfd.readouterr())

    return run_it
