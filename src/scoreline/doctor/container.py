"""An image that runs, as SageMaker runs it: `serve`, the model mounted read-only, a port of its choice."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from scoreline.doctor.docker import Image, docker, last_line
from scoreline.doctor.findings import Checks, Failed, Grade, NotChecked
from scoreline.doctor.launch import free_port
from scoreline.doctor.sample import Sample
from scoreline.doctor.wire import Effort, Site

PORT = 8091  # inside; not 8080, so that one sees whether SAGEMAKER_BIND_TO_PORT counts
MODEL = "/opt/ml/model"
_TAIL = 160
_SMALL_TMP = "--tmpfs=/tmp:size=32m"

BEGIN: Checks[Case] = Checks()
END: Checks[Case] = Checks()
CHECKS: Checks[Case] = Checks()


@dataclass(frozen=True)
class Case:
    """An image, and what it is given.

    Attributes
    ----------
    model : folder to mount, None where the image brings its own
    start_s, stop_s : until the first 200, and from SIGTERM to the end; SageMaker's own limits
    effort : how hard its server is tried
    """

    image: Image
    model: Path | None
    sample: Sample | None
    start_s: float = 240
    stop_s: float = 30
    effort: Effort = field(default_factory=Effort)

    @functools.cached_property
    def container(self) -> Container:
        """The one that most checks look at; NotChecked where the engine can't run it."""
        return Container(self)

    def close(self) -> None:
        """Remove it, where it was started."""
        if "container" in self.__dict__:
            self.container.remove()


class Container:
    """One container, started at once; `remove` ends it."""

    def __init__(self, case: Case, *options: str, published: bool = True) -> None:
        self._case, self.port = case, free_port()
        mounts = [] if case.model is None else ["-v", f"{case.model.resolve()}:{MODEL}:ro"]
        ports = ["-p", f"127.0.0.1:{self.port}:{PORT}"] if published else []
        bind = ["-e", f"SAGEMAKER_BIND_TO_PORT={PORT}"]
        self.started = time.monotonic()
        done = docker("run", "-d", *mounts, *ports, *bind, *options, case.image.name, "serve")
        if done.returncode != 0:
            self.id = done.stdout.strip()
            self.remove()
            raise Failed(f"docker run: {last_line(done.stderr)}")
        self.id = done.stdout.strip()

    @property
    def site(self) -> Site:
        """The server as a client meets it."""
        return Site(f"http://127.0.0.1:{self.port}", self._case.sample, self._case.effort)

    @property
    def exit_code(self) -> int | None:
        """Its exit code, None while it runs."""
        state = docker("inspect", "-f", "{{.State.Running}} {{.State.ExitCode}}", self.id).stdout.split()
        return None if state[:1] == ["true"] or len(state) < 2 else int(state[1])

    @property
    def logs(self) -> str:
        """What it printed."""
        done = docker("logs", self.id)
        return done.stdout + done.stderr

    @property
    def last_words(self) -> str:
        """The last line that it printed."""
        return last_line(self.logs)[-_TAIL:]

    def wait_until(self, is_ready: functools.partial[bool]) -> float:
        """Return the seconds until it is ready; Failed where it ends before, or takes too long."""
        while not is_ready():
            if (code := self.exit_code) is not None:
                raise Failed(f"it ended with exit code {code}: {self.last_words}")
            if time.monotonic() - self.started > self._case.start_s:
                where = f"; inside it listens on {', '.join(found)}" if (found := self.listening()) else ""
                raise Failed(f"no 200 on port {PORT} within {self._case.start_s:g} s{where}: {self.last_words}")
            time.sleep(0.1)
        return time.monotonic() - self.started

    def is_pinged(self) -> bool:
        """Whether /ping is 200, asked from outside."""
        with contextlib.suppress(Failed):
            return self.site.ask("GET", "/ping", timeout_s=2).status == 200
        return False

    def is_pinged_inside(self) -> bool:
        """Whether /ping is 200, asked by the image's own Python; NotChecked where it has none."""
        ask = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{PORT}/ping', timeout=2).status)"
        done = docker("exec", self.id, "python3", "-c", ask)
        if "executable file not found" in done.stderr + done.stdout:
            raise NotChecked("the image has no python3 to ask /ping with")
        return done.stdout.strip() == "200"

    def listening(self) -> list[str]:
        """Return the addresses that are listened on inside, as far as the image lets one see."""
        done = docker("exec", self.id, "cat", "/proc/net/tcp")
        fields = [line.split() for line in done.stdout.splitlines()[1:]]
        return sorted({_readable(field[1]) for field in fields if len(field) > 3 and field[3] == "0A"})

    def remove(self) -> None:
        """End it and remove it."""
        if self.id:
            docker("rm", "-f", self.id)


@contextlib.contextmanager
def _running(case: Case, *options: str, published: bool = True) -> Iterator[Container]:
    container = Container(case, *options, published=published)
    try:
        yield container
    finally:
        container.remove()


@BEGIN.add(
    "image-serves", "H1", Grade.MUST, "`docker run IMAGE serve` is ready within 4 min, on the port it is told",
    fix="Where it ended, its last line says why; its model comes from --model-dir, mounted as /opt/ml/model. Where it "
    "listens elsewhere: take the port from SAGEMAKER_BIND_TO_PORT (8080 without it) and listen on 0.0.0.0.",
)  # fmt: skip
def _serves(case: Case) -> str:
    return f"200 after {case.container.wait_until(functools.partial(case.container.is_pinged)):.1f} s"


@BEGIN.add(
    "image-port", "H2", Grade.MUST, "inside it listens on that port alone",
    fix="Bind no second TCP port: let parts talk over unix sockets, or take ports of SAGEMAKER_SAFE_PORT_RANGE alone.",
    needs=("image-serves",),
)  # fmt: skip
def _port(case: Case) -> str:
    found = case.container.listening()
    if not found:
        raise NotChecked("the image has no cat to look with")
    others = [address for address in found if not address.endswith(f":{PORT}")]
    if others:
        raise Failed(f"also on {', '.join(others)}")
    return ", ".join(found)


@BEGIN.add(
    "image-user", "", Grade.SHOULD, "not all of its processes run as root",
    fix="Write USER into the Dockerfile, or drop root at start (nginx's `user`, gunicorn's --user): a flaw in what "
    "reads requests is then no flaw in all of the container.",
    needs=("image-serves",),
)  # fmt: skip
def _user(case: Case) -> str:
    done = docker("top", case.container.id, "-eo", "user,pid")
    users = sorted({line.split()[0] for line in done.stdout.splitlines()[1:] if line.strip()})
    if not users:
        raise NotChecked(f"its processes can't be seen: {last_line(done.stderr)}")
    if users == ["root"]:
        raise Failed("all as root")
    return ", ".join(users)


@END.add(
    "image-logs", "H10", Grade.SHOULD, "what it says is on stdout or stderr, as it happens",
    fix="Log to stdout and stderr, unbuffered (PYTHONUNBUFFERED=1; `error_log stderr;` and `access_log /dev/stdout;` "
    "in nginx.conf): files in the container are lost, CloudWatch has these streams alone.",
    needs=("image-serves",),
)  # fmt: skip
def _logs(case: Case) -> str:
    lines = case.container.logs.count("\n")
    if not lines:
        raise Failed("docker logs is empty")
    return f"{lines} {'line' if lines == 1 else 'lines'}"


@END.add(
    "image-sigterm", "H7", Grade.MUST, "the container ends within 30 s of SIGTERM",
    fix="Pass SIGTERM on: ENTRYPOINT in exec form, `exec` in shell scripts, a handler in the first process (it has no "
    "default one).",
    needs=("image-serves",),
)  # fmt: skip
def _sigterm(case: Case) -> str:
    started = time.monotonic()
    docker("kill", "-s", "TERM", case.container.id)
    while (code := case.container.exit_code) is None:
        if time.monotonic() - started > case.stop_s:
            raise Failed(f"it still runs after {case.stop_s:g} s")
        time.sleep(0.1)
    if code not in (0, 143):
        raise Failed(f"exit code {code}: {case.container.last_words}")
    return f"exit code {code} after {time.monotonic() - started:.1f} s"


@CHECKS.add(
    "image-read-only", "H9", Grade.SHOULD, "it serves with a read-only root and 32 MiB of /tmp",
    fix="Write to /tmp alone, and little: SCORELINE_STATE, TMPDIR, nginx's pid, logs and temporary folders.",
    needs=("image-serves",),
)  # fmt: skip
def _read_only(case: Case) -> str:
    with _running(case, "--read-only", _SMALL_TMP) as container:
        return f"200 after {container.wait_until(functools.partial(container.is_pinged)):.1f} s"


@CHECKS.add(
    "image-no-network", "H15", Grade.MUST, "it starts and answers without any network",
    fix="Fetch nothing at start that it can't do without: bake a copy in, or put it into the model package, and let a "
    "refresh that fails go on with the copy (EnableNetworkIsolation).",
    needs=("image-serves",),
)  # fmt: skip
def _no_network(case: Case) -> str:
    with _running(case, "--network", "none", published=False) as container:
        return f"200 after {container.wait_until(functools.partial(container.is_pinged_inside)):.1f} s"


def _readable(address: str) -> str:
    """Return an address of /proc/net/tcp as one writes it.

    Examples
    --------
    >>> _readable("0100007F:1F90"), _readable("00000000:1F9B")
    ('127.0.0.1:8080', '0.0.0.0:8091')
    """
    host, _, port = address.partition(":")
    return f"{'.'.join(str(byte) for byte in reversed(bytes.fromhex(host)))}:{int(port, 16)}"
