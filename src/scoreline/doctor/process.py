"""A server as its platform meets it: port, start, quota, SIGTERM, parts that die."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from pathlib import Path

import psutil

from scoreline.doctor.findings import Checks, Failed, Grade, NotChecked
from scoreline.doctor.launch import Launch, Running
from scoreline.doctor.life import Life
from scoreline.doctor.quota import cpus, memory_limit
from scoreline.doctor.wire import Reply

_ENDS_S = 25.0  # after a part died
_REFUSES_S = 30.0  # a value or a model that can't be used
_SHARE = 0.8  # of the memory limit
_PARTS = ("nginx", "gunicorn")

BEGIN: Checks[Life] = Checks()
END: Checks[Life] = Checks()
CHECKS: Checks[Launch] = Checks()


@BEGIN.add(
    "start", "H3", Grade.MUST, "it is ready within 4 min of its start, on the port of SAGEMAKER_BIND_TO_PORT",
    fix="Where it ended, its last line says why. Where it listens on another port: take the port from "
    "SAGEMAKER_BIND_TO_PORT, and 8080 only without it (`listen {{ host }}:{{ port }}` in nginx.conf). Where it is "
    "slow: load the model once, before the workers fork, and fetch nothing at start.",
)  # fmt: skip
def _start(life: Life) -> str:
    return f"200 after {life.start.ready_after_s:.1f} s"


@BEGIN.add(
    "only-port", "H2", Grade.MUST, "it listens on that port alone",
    fix="Bind no second TCP port: let parts talk over unix sockets (gunicorn --bind unix:...), or take ports from "
    "SAGEMAKER_SAFE_PORT_RANGE alone. In a pipeline several containers share the ports of one host.",
    needs=("start",),
)  # fmt: skip
def _only_port(life: Life) -> str:
    found = life.listening()
    if not found:
        raise NotChecked("the processes' sockets can't be seen")
    others = sorted(f"{host}:{port}" for host, port in found if port != life.running.port)
    if others:
        raise Failed(f"also on {', '.join(others)}")
    return f"port {life.running.port}"


@BEGIN.add(
    "ready-is-ready", "H3", Grade.MUST, "the first 200 of /ping comes when a record can be answered, not before",
    fix="Answer /ping with 503 until the model is loaded and has scored something (golden rows); requests come "
    "the moment it is 200.",
    needs=("start",),
)  # fmt: skip
def _ready_is_ready(life: Life) -> str:
    first = life.start.first
    if first is None:
        raise NotChecked("no valid record is known; name a file with --record")
    if first.status >= 500:
        raise Failed(f"a record sent at once after it: {first.status} {first.says}")
    return f"a record sent at once after it: {first.status}"


@BEGIN.add(
    "worker-plan", "H17", Grade.SHOULD, "no more workers than the CPU quota lets run",
    fix="Leave MODEL_SERVER_WORKERS unset, so that the quota decides, or set it to the number of vCPUs. Don't count "
    "os.cpu_count(): in a container it is the host's.",
    needs=("start",),
)  # fmt: skip
def _worker_plan(life: Life) -> str:
    found = len(_workers(life.running))
    if not found:
        raise NotChecked("its workers can't be told from its other processes")
    most, why = cpus()
    if found > most:
        raise Failed(f"{found} workers, {why}")
    return f"{found} {'worker' if found == 1 else 'workers'}, {why}"


@BEGIN.add(
    "memory", "H18", Grade.SHOULD, "all its processes together take less than 80 % of the memory limit",
    fix="Load the model before the workers fork (preload_app), map large files rather than reading them, and run fewer "
    "workers (MODEL_SERVER_WORKERS); or choose an instance with more memory.",
    needs=("start",),
)  # fmt: skip
def _memory(life: Life) -> str:
    limit = memory_limit()
    taken = 0
    for process in life.running.processes():
        with contextlib.suppress(psutil.Error):
            taken += process.memory_full_info().pss
    if not taken:
        raise NotChecked("its memory can't be seen")
    came = f"{taken >> 20:,} MiB of {limit >> 20:,}"
    if taken > _SHARE * limit:
        raise Failed(came)
    return came


@END.add(
    "sigterm", "H7", Grade.MUST, "it ends within 30 s of SIGTERM, also with an idle connection open",
    fix="Pass SIGTERM on: ENTRYPOINT in exec form, `exec` in shell scripts, a handler in the first process (it has "
    "no default one). Stop nginx with SIGQUIT, then gunicorn with SIGTERM, graceful_timeout below 30, and don't wait "
    "for connections that do nothing.",
    needs=("start",),
)  # fmt: skip
def _sigterm(life: Life) -> str:
    code, took_s = life.end.exit_code, life.end.took_s
    if code is None:
        raise Failed(f"it still runs after {took_s:.0f} s: SageMaker kills it then")
    if code not in (0, 143, -signal.SIGTERM):
        raise Failed(f"exit code {code} after {took_s:.1f} s: {life.running.last_words}")
    return f"exit code {code} after {took_s:.1f} s"


@END.add(
    "sigterm-in-flight", "H7", Grade.SHOULD, "a request that is under way at SIGTERM is answered",
    fix="Stop accepting first and finish what is in flight: `nginx -s quit` rather than stop, SIGTERM rather than "
    "SIGINT or SIGQUIT to gunicorn, with a graceful_timeout of 25 s.",
    needs=("sigterm",),
)  # fmt: skip
def _sigterm_in_flight(life: Life) -> str:
    came = life.end.in_flight
    if came is None:
        raise NotChecked("no valid record is known; name a file with --record")
    if not isinstance(came, Reply):
        raise Failed(came)
    if came.status != 200:
        raise Failed(f"{came.status} {came.says}")
    return "200"


@END.add(
    "model-untouched", "H9", Grade.MUST, "nothing is written to the model folder",
    fix="Write caches, logs and sockets to /tmp, generations to SCORELINE_STATE: /opt/ml/model is mounted read-only.",
    needs=("start",),
)  # fmt: skip
def _model_untouched(life: Life) -> str:
    if life.written:
        raise Failed(f"changed in it: {', '.join(life.written[:5])}")
    return "as it was"


@CHECKS.add(
    "dies-with-parts", "H8", Grade.MUST, "it ends when nginx or gunicorn dies",
    fix="Wait for both (os.wait) and exit when the first is gone: SageMaker replaces a container that exits; one that "
    "lingers only fails its pings.",
    needs=("start",),
)  # fmt: skip
def _dies_with_parts(launch: Launch) -> str:
    came = [f"{part}: {_after_death_of(launch, part)}" for part in _PARTS]
    if all(said.endswith("none") for said in came):
        raise NotChecked("it runs neither nginx nor gunicorn")
    return ", ".join(came)


def _after_death_of(launch: Launch, part: str) -> str:
    with launch.start() as running:
        running.wait_until_ready()
        found = [child for child in psutil.Process(running.process.pid).children() if part in _command(child)]
        if not found:
            return "there is none"
        found[0].kill()
        code = running.wait(_ENDS_S if launch.stop_s > _ENDS_S else launch.stop_s)
        if code is not None:
            return f"exit code {code}"
        if running.is_pinged():
            return "started anew"
        raise Failed(f"{part} was killed, and it neither ended nor serves again")


@CHECKS.add(
    "bad-model", "H3", Grade.MUST, "a model folder with garbage is never reported healthy",
    fix="Load the model, and score golden rows with it, before the first 200 of /ping; exit with an error where it "
    "can't be loaded.",
    needs=("start",),
)  # fmt: skip
def _bad_model(launch: Launch) -> str:
    with tempfile.TemporaryDirectory(prefix="scoreline-doctor-") as folder:
        for path in (path for path in launch.model.rglob("*") if path.is_file()):
            garbage = Path(folder, path.relative_to(launch.model))
            garbage.parent.mkdir(parents=True, exist_ok=True)
            garbage.write_bytes(b"\0garbage")
        with launch.start(SCORELINE_MODEL_DIR=folder) as running:
            return _refuses(running, "its model is garbage")


@CHECKS.add(
    "bad-setting", "H17", Grade.SHOULD, "a variable whose value can't be used ends the start, and is named",
    fix="Parse MODEL_SERVER_TIMEOUT and MODEL_SERVER_WORKERS at start, and exit with the variable's name and what was "
    "expected; a default taken in silence is found out in production.",
    needs=("start",),
)  # fmt: skip
def _bad_setting(launch: Launch) -> str:
    with launch.start(MODEL_SERVER_TIMEOUT="soon") as running:
        came = _refuses(running, "MODEL_SERVER_TIMEOUT=soon")
        if "MODEL_SERVER_TIMEOUT" not in running.printed:
            raise Failed(f"MODEL_SERVER_TIMEOUT=soon: {came}, but it is not named: {running.last_words}")
    return came


def _refuses(running: Running, why: str) -> str:
    """Return how it ended; Failed where it is healthy, NotChecked where it neither ends nor serves."""
    until = time.monotonic() + _REFUSES_S
    while time.monotonic() < until:
        code = running.wait(0.05)
        if code is not None:
            if code == 0:
                raise Failed(f"{why}: it ended with exit code 0, as if all were well")
            return f"exit code {code}"
        if running.is_pinged():
            raise Failed(f"{why}: /ping is 200 all the same")
    return f"not healthy within {_REFUSES_S:g} s"


def _workers(running: Running) -> list[psutil.Process]:
    """Return the workers: children of gunicorn's master, else none that can be told."""
    for process in running.processes():
        if process.pid != running.process.pid and "gunicorn" in _command(process):
            return process.children()
    return []


def _command(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(os.path.basename(part) for part in process.cmdline()[:4])
    return ""
