"""What all tests share: a clean environment, and the app of order triage."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from jail import may_have_namespaces
from proofs import PAGE, rows_of, unproved
from redis_server import find_server, find_valkey, has_tls, redis, redis_server, valkey_server  # noqa: F401 (fixtures)
from spark_cluster import cluster, spark  # noqa: F401 (fixtures for whoever asks for them)

from scoreline.app.load import load_app

# Before anything loads OpenMP: threads that wait for one another take most of the time where several processes train.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Parts that are not installed with the rest, and how one sees that they are there.
PARTS = {
    "clients": (Path(__file__).parent.parent / ".clients/bin/python").exists,  # make clients
    "nginx": lambda: shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin"),
    "wrk": lambda: shutil.which("wrk"),
    "kernel": lambda: importlib.util.find_spec("scoreline.model._kernel"),  # a C compiler at hand at install
    "namespaces": may_have_namespaces,  # root, in most containers too
    "registry": lambda: shutil.which("docker-registry"),
    "docker": lambda: _has_image("python:3.13-slim-trixie"),  # an engine, with the base of the tests' images
    "redis": find_server,  # Redis where the system has it, else Valkey
    "valkey": find_valkey,
    "redis with TLS": has_tls,
    "java": lambda: _answers("java", "-version") and importlib.util.find_spec("pyspark"),  # with it, a Spark cluster
    "root": lambda: os.geteuid() == 0,
    "docker compose": lambda: _answers("docker", "compose", "version"),
    "docker-compose 1": lambda: _answers("docker-compose", "version"),
    "conformance": (
        Path(__file__).parents[2] / "shared/conformance"
    ).is_dir,  # the checks that CI has beside the project
    "another user": lambda: os.geteuid() == 0 and shutil.which("python3", path="/usr/bin:/usr/local/bin"),
}
SKIP_IS_FAILURE = bool(os.environ.get("SCORELINE_SKIP_IS_FAILURE"))  # as CI runs
KINDS = ("passed", "skipped", "xfailed", "xpassed", "failed", "error")  # of what a test came to; the last counts
ORDER_TRIAGE = Path(__file__).parent.parent / "apps/order_triage"


def _has_image(name):
    return _answers("docker", "image", "inspect", name)


@functools.cache
def _answers(*command):
    return bool(shutil.which(command[0])) and subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """Take away the variables that set Scoreline, so that nobody's shell changes what a test sees."""
    for name in list(os.environ):
        if name.startswith(("SCORELINE_", "MODEL_SERVER_", "SAGEMAKER_")):
            monkeypatch.delenv(name)


@pytest.fixture
def order_triage():
    """Give the `App` of apps/order_triage."""
    return load_app(ORDER_TRIAGE)


@pytest.hookimpl(tryfirst=True)  # before xdist looks for groups
def pytest_collection_modifyitems(items):
    """Skip tests whose part is not on this machine; those of Spark share one cluster, and so one process."""
    for item in items:
        for marker in item.iter_markers("needs"):
            part = marker.args[0]
            if part == "java":
                item.add_marker(pytest.mark.xdist_group("spark"))
            if not PARTS[part]():
                item.add_marker(pytest.mark.skip(reason=f"needs {part}, which is not here"))


def pytest_terminal_summary(terminalreporter, exitstatus):
    """Name the tests that did not run."""
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        terminalreporter.section("not run")
        for report in skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            terminalreporter.write_line(f"{report.nodeid}: {reason}")
        if SKIP_IS_FAILURE:
            terminalreporter.write_line("a skip is a failure here (SCORELINE_SKIP_IS_FAILURE)", red=True)
    if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return  # it was cut short
    for test, why in _without_proof(terminalreporter).items():
        terminalreporter.write_line(f"{PAGE} names {test}: {why}", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """Fail a run with skips, or without the proofs of the map of the originals, where everything must run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not SKIP_IS_FAILURE or not reporter or session.exitstatus != 0:
        return
    if reporter.stats.get("skipped") or _without_proof(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _without_proof(reporter):
    """Return the tests that docs/originals.md names and that did not pass; none where only a part of the suite ran."""
    config, page = reporter.config, reporter.config.rootpath / PAGE
    is_whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    is_whole = is_whole and not config.option.keyword and not config.option.markexpr
    if not SKIP_IS_FAILURE or not is_whole or not page.is_file():
        return {}
    outcomes = {report.nodeid: kind for kind in KINDS for report in reporter.stats.get(kind, [])}
    return unproved([test for row in rows_of(page.read_text()) for test in row.tests], outcomes)
