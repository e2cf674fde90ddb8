"""`scoreline feature --engine spark`, as a user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from servers import Command, wait_until
from spark_cluster import CONF

from scoreline.cli.main import run

APP = Path(__file__).parents[2] / "apps/order_triage"


@pytest.fixture
def start_feature(cluster, tmp_path):
    """Give a function that starts `feature --engine spark` on the cluster; what it started is stopped at the end."""
    started = []

    def start(results):
        folder = tmp_path / f"conf-{len(started)}"
        folder.mkdir()
        (folder / "spark-defaults.conf").write_text("".join(f"{name} {value}\n" for name, value in CONF.items()))
        environment = {"PYTHONPATH": os.pathsep.join(sys.path), "SPARK_CONF_DIR": str(folder)}
        environment |= {"SPARK_LOCAL_IP": "127.0.0.1"}
        arguments = ["--app", str(APP), "--results", str(results), "--engine", "spark", "--master", cluster.master]
        started.append(Command([sys.executable, "-m", "scoreline", "feature", *arguments], folder, environment))
        return started[-1]

    yield start
    for command in started:
        command.stop()


@pytest.mark.slow
@pytest.mark.needs("java")
@pytest.mark.parametrize(
    ("said_before", "number", "code", "how"),
    [
        ("reading orders.csv on Spark", signal.SIGINT, 130, "interrupted"),
        ("joining on Spark", signal.SIGTERM, 143, "terminated"),
    ],
)
def test_a_run_that_is_ended_says_so_and_leaves_nothing(start_feature, tmp_path, said_before, number, code, how):
    command = start_feature(tmp_path / "results")
    wait_until(lambda: said_before in command.err.read_text(), 120, said_before)
    command.process.send_signal(number)
    assert command.wait(60) == code
    assert command.err.read_text().endswith(f"scoreline: {how}; what was unfinished is dropped\n")
    assert "Traceback" not in command.err.read_text()
    wait_until(lambda: not command.look(), 60, "the end of its Java")
    assert [path.name for path in (tmp_path / "results").iterdir() if path.name not in ("rejected", ".lock")] == []


@pytest.mark.slow
@pytest.mark.needs("java")
def test_features_of_a_cluster_are_served_like_any_others(cluster, tmp_path):
    folder = tmp_path / "conf"
    folder.mkdir()
    (folder / "spark-defaults.conf").write_text("".join(f"{name} {value}\n" for name, value in CONF.items()))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "SPARK_CONF_DIR": str(folder)}
    environment |= {"SPARK_LOCAL_IP": "127.0.0.1", "SCORELINE_SPARK_MASTER": cluster.master}
    command = [sys.executable, "-m", "scoreline", "feature", "--app", str(APP), "--results", str(tmp_path / "there")]
    done = subprocess.run([*command, "--engine", "spark"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "  2,000 rows of features, 200 of them checked" in done.stdout
    assert run(["feature", "--app", str(APP), "--results", str(tmp_path / "here")]) == 0
    digests = [json.loads((tmp_path / name / "feature.stamp.json").read_text())["digest"] for name in ("here", "there")]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--output", "s3a://lake/x"], "--input, --output and --format are for --engine spark; the engine is duckdb"),
        (["--engine", "spark", "--format", "csv"], "--format: is for what --output gets"),
        (["--engine", "spark", "--master", "spark://host"], "--master spark://host: expected spark://host:port"),
        (
            ["--engine", "spark", "--master", "spak://host:7077"],
            "--master spak://host:7077: expected spark://host:port",
        ),
        (["--engine", "spark", "--input", "/no/such"], "--input /no/such: no such folder; expected one that holds"),
    ],
)
def test_options_that_do_not_fit_are_misuse(options, said, tmp_path, capfd):
    pytest.importorskip("pyspark")
    assert run(["feature", "--app", str(APP), "--results", str(tmp_path), *options]) == 2
    assert said in capfd.readouterr().err
    assert not list(tmp_path.iterdir())
