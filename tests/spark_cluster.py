"""A real Spark standalone cluster for tests: a master and workers from the pyspark package, on the loopback.

One cluster and one session serve all tests of a process: a process can hold one Spark context. `spark` is the session;
`cluster` the machines, of which `kill_worker` ends one for good.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
from ports import free_ports

from scoreline.distributed.session import open_session

WORKERS = 2
_READY_WITHIN_S = 120  # about 6 s on two idle cores
# A test's application takes one core of each worker; there are more, so that a command can run beside the session.
CONF = {
    "spark.driver.memory": "1g",
    "spark.executor.memory": "1g",
    "spark.executor.cores": "1",
    "spark.cores.max": "2",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": "4",
    "spark.python.worker.reuse": "true",
    "spark.log.level": "ERROR",
}


class Cluster:
    """A master and its workers, each a process. A context manager; what it started is gone at its end."""

    def __init__(self, workers: int = WORKERS) -> None:
        self._wanted = workers
        self._folder = Path(tempfile.mkdtemp(prefix="spark-"))
        self._ports = free_ports(2)
        self._master: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Cluster:
        try:
            host = ["--host", "127.0.0.1", "--port", str(self._ports[0]), "--webui-port", str(self._ports[1])]
            self._master = self._start("master.Master", *host)
            self.fill()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in [*self.workers, self._master]:
            if process is not None:
                _end(process)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def master(self) -> str:
        """What a session is opened on."""
        return f"spark://127.0.0.1:{self._ports[0]}"

    def fill(self) -> None:
        """Start workers until there are as many as wanted. Returns when the master knows them all."""
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < self._wanted:
            folder = tempfile.mkdtemp(prefix="worker-", dir=self._folder)
            size = ["--cores", "4", "--memory", "6g", "--work-dir", folder, "--host", "127.0.0.1", "--webui-port", "0"]
            self.workers.append(self._start("worker.Worker", *size, self.master))
        self._wait(lambda: self._alive() >= self._wanted)

    def kill_worker(self, position: int = 0) -> int:
        """End a worker and its executors at once, as when a machine loses power; return the worker's pid."""
        worker = self.workers.pop(position)
        _end(worker)
        return worker.pid

    def executors(self) -> list[psutil.Process]:
        """Return the executors' processes that run on the workers."""
        parents = [psutil.Process(worker.pid) for worker in self.workers if worker.poll() is None]
        return [child for parent in parents for child in parent.children()]

    def log(self) -> str:
        """Return what master and workers printed."""
        return "\n".join(path.read_text(errors="replace")[-4000:] for path in sorted(self._folder.glob("*.log")))

    def _start(self, kind: str, *arguments: str) -> subprocess.Popen[bytes]:
        import pyspark

        command = [Path(pyspark.__file__).parent / "bin/spark-class", f"org.apache.spark.deploy.{kind}", *arguments]
        environment = {
            **os.environ,
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_LOCAL_DIRS": str(self._folder / "local"),
            "PYSPARK_PYTHON": sys.executable,
        }
        with (self._folder / f"{kind}-{len(self.workers)}.log").open("ab") as log:
            return subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log, env=environment)

    def _alive(self) -> int:
        """Ask the master how many workers it knows; none while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._ports[1]}/json/", timeout=5) as answer:
                return json.load(answer)["aliveworkers"]
        except (OSError, ValueError):
            return 0

    def _wait(self, is_there) -> None:
        until = time.monotonic() + _READY_WITHIN_S
        while not is_there():
            processes = [self._master, *self.workers]
            assert all(process is not None and process.poll() is None for process in processes), self.log()
            assert time.monotonic() < until, self.log()
            time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all below it: an executor outlives its worker by seconds otherwise."""
    family = []
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        family = [parent, *parent.children(recursive=True)]
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait(20)


@pytest.fixture(scope="session")
def cluster():
    """Give a standalone cluster of two workers, for the whole run."""
    with Cluster() as running:
        yield running


@pytest.fixture(scope="session")
def spark(cluster):
    """Give a session on the cluster; there is one in a process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        session = open_session(cluster.master, conf=CONF)
    yield session
    session.stop()
