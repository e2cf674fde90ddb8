"""docker compose, of old and of today: three containers, one after the other, results out, Ctrl-C stops."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from images import ROOT, owner_of
from servers import Command

pytestmark = [pytest.mark.slow, pytest.mark.needs("docker"), pytest.mark.needs("root")]
OLD = pytest.param(("docker-compose",), id="docker-compose 1.29", marks=pytest.mark.needs("docker-compose 1"))
NEW = pytest.param(("docker", "compose"), id="docker compose v2", marks=pytest.mark.needs("docker compose"))
CLOSING = "inference: results/results.json is written; serve listens on :8080"
MODEL_TOO = """
services:
  serve:
    volumes:
      - ./apps/order_triage/results:/app/results:ro
      - ./apps/order_triage/model:/app/model:ro
"""


class Project:
    """A copy of what compose reads, owned by a user of the host. A context manager; its containers go at the end."""

    def __init__(self, compose: tuple[str, ...], folder: Path, app: str, image: str) -> None:
        self.compose, self.folder, self.place = compose, folder, folder  # the last: where it is typed
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.variables = {"IMAGE": image, "PORT": str(self.port), "BUILD_NETWORK": "host"}
        self.variables |= {"COMPOSE_PROJECT_NAME": f"scoreline-test-{os.getpid()}-{self.port}"}
        self.app = folder / "apps" / app
        shutil.copytree(ROOT / "apps" / app / "data", self.app / "data")
        (self.app / "results").mkdir()
        for name in ("docker-compose.yml", f"apps/{app}/docker-compose.yml", f"apps/{app}/s3"):
            source = ROOT / name
            if source.exists():
                (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self.run("down", "-v", "--remove-orphans", "-t", "1")

    def belongs_to(self, uid: int) -> None:
        """Give all of it to a user of the host."""
        for path in [self.folder, *self.folder.rglob("*")]:
            os.chown(path, uid, uid)
            path.chmod(path.stat().st_mode | 0o055)

    def start(self, *arguments: str) -> Command:
        """Start a compose command, as typed."""
        printed = self.folder / "-".join(("printed", *filter(str.isalnum, arguments)))
        printed.mkdir(exist_ok=True)
        command = [sys.executable, "-c", _IN_FOLDER, str(self.place), *self.compose, *arguments]
        return Command(command, printed, self.variables)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a compose command to its end."""
        variables = os.environ | self.variables
        command = [*self.compose, *arguments]
        return subprocess.run(command, cwd=self.place, env=variables, capture_output=True, text=True, check=False)

    def results(self) -> list[dict]:
        """Return what inference wrote."""
        return [json.loads(line) for line in (self.app / "results/results.json").read_text().splitlines()]


def said(done: subprocess.CompletedProcess[str], what: str) -> list[str]:
    """Return the lines of ours that say something."""
    return [line for line in (done.stdout + done.stderr).splitlines() if "scoreline: " in line and what in line]


_IN_FOLDER = "import os, sys; os.chdir(sys.argv[1]); os.execvp(sys.argv[2], sys.argv[2:])"


@pytest.fixture
def project(request, tmp_path, triage_image):
    """Give a function that makes a project of order triage."""
    made = []

    def make(compose, uid=1000, app="order_triage", image=triage_image):
        project = Project(compose, tmp_path / "project", app, image)
        project.belongs_to(uid)
        made.append(project)
        return project

    yield make
    for project in made:
        project.__exit__()


@pytest.mark.parametrize("compose", [OLD, NEW])
def test_up_ends_with_results_and_a_server_and_ctrl_c_stops(project, compose):
    project = project(compose)
    command = project.start("up")
    try:
        command.wait_until(lambda: CLOSING in command.printed, 180)
        assert len(project.results()) == 2000
        with urllib.request.urlopen(f"http://127.0.0.1:{project.port}/ping", timeout=5) as reply:
            assert reply.status == 200
        command.process.send_signal(signal.SIGINT)
        command.wait(60)
    finally:
        command.stop()
    assert {owner_of(path)[0] for path in (project.app / "results").rglob("*")} == {1000}
    assert project.run("ps", "-q", "--filter", "status=running").stdout.strip() == "" or compose == ("docker-compose",)


@pytest.mark.parametrize("compose", [OLD, NEW])
@pytest.mark.parametrize("uid", [1001, 0])
def test_run_inference_does_the_same_and_returns_its_exit_code(project, compose, uid):
    project = project(compose, uid)
    done = project.run("run", "--rm", "inference")
    assert done.returncode == 0, done.stdout + done.stderr
    assert CLOSING in done.stdout
    assert len(project.results()) == 2000
    assert {owner_of(path)[0] for path in (project.app / "results").rglob("*")} == {uid}


@pytest.mark.needs("docker compose")
def test_results_are_those_of_a_run_outside_with_the_same_model(project, tmp_path):
    project = project(("docker", "compose"))
    outside = tmp_path / "outside"
    shutil.copytree(ROOT / "apps/order_triage/data", outside / "data")
    shutil.copy(ROOT / "apps/order_triage/app.py", outside)
    subprocess.run([sys.executable, "-m", "scoreline", "up", "--app", str(outside)], check=True, capture_output=True)
    shutil.copytree(outside / "model", project.app / "model")
    (project.folder / "docker-compose.override.yml").write_text(MODEL_TOO)
    done = project.run("run", "--rm", "inference")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project.app / "results/results.json").read_bytes() == (outside / "results/results.json").read_bytes()
    assert (project.app / "results/feature.csv").read_bytes() == (outside / "results/feature.csv").read_bytes()


@pytest.mark.parametrize("compose", [OLD, NEW])
def test_a_broken_table_stops_it_with_a_clear_line(project, compose):
    project = project(compose)
    path = project.app / "data/inventory.csv"
    path.write_text(path.read_text().replace("inventory", "stock", 1))
    done = project.run("up")
    assert done.returncode != 0
    if compose == ("docker-compose",):  # it names the container, and shows no line of one that ended before all were up
        assert "exited with code 1" in done.stderr
        done = project.run("logs", "feature")
    assert len(said(done, "inventory.csv")) == 1, done.stdout + done.stderr
    assert not (project.app / "results/results.json").exists()


@pytest.mark.needs("docker compose")
def test_a_model_whose_golden_rows_differ_stops_it_with_a_clear_line(project, triage):
    project = project(("docker", "compose"))
    shutil.copytree(triage / "model", project.app / "model")
    golden = project.app / "model/golden.json"
    golden.write_text(golden.read_text().replace("0.", "0.1", 1))
    (project.folder / "docker-compose.override.yml").write_text(MODEL_TOO)
    done = project.run("up")
    assert done.returncode != 0
    assert said(done, "golden"), done.stdout + done.stderr
    assert not (project.app / "results/results.json").exists()


@pytest.mark.needs("docker compose")
def test_records_that_can_not_be_scored_are_its_exit_code(project):
    project = project(("docker", "compose"))
    assert project.run("run", "--rm", "feature").returncode == 0
    path = project.app / "data/orders.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines, lines[-1].replace("O0", "Z0", 1)]))
    done = project.run("run", "--rm", "--no-deps", "-e", "SCORELINE_URL=http://nobody:8080", "inference")
    assert done.returncode == 1
    assert "scoreline: " in done.stderr


@pytest.mark.needs("docker compose")
def test_approval_odds_runs_on_a_real_s3_server_and_the_documented_curl_takes_on_what_it_holds(project, odds_image):
    project = project(("docker", "compose"), app="approval_odds", image=odds_image)
    project.place = project.app
    command = project.start("up")
    try:
        command.wait_until(lambda: CLOSING in command.printed, 240)
        assert len(project.results()) == 100
        cards = project.app / "data/card_variables.csv"
        cards.write_text("".join(cards.read_text().splitlines(keepends=True)[:-1]))
        assert project.run("exec", "-T", "s3", "python3", "/s3.py", "put").returncode == 0
        curl = ["curl", "-s", "-X", "GET", f"localhost:{project.port}/updateccdata"]
        refreshed = json.loads(subprocess.run(curl, capture_output=True, text=True, check=True).stdout)
        assert refreshed["generation"].startswith("2-"), refreshed
        command.process.send_signal(signal.SIGINT)
        command.wait(60)
    finally:
        command.stop()


@pytest.mark.parametrize("compose", [OLD, NEW])
def test_a_second_run_beside_the_server_of_the_first_answers_from_the_new_features(project, compose):
    project = project(compose)
    assert project.run("run", "--rm", "inference").returncode == 0
    before = project.results()
    path = project.app / "data/payments.csv"
    path.write_text(path.read_text().replace(",OK\n", ",DECLINED\n"))
    done = project.run("run", "--rm", "inference")
    assert done.returncode == 0, done.stdout + done.stderr
    features = (project.app / "results/feature.csv").read_text()
    assert "DECLINED" in features
    assert any(line["recommendation"] == "Deliver" for line in before)
    assert not any(line["recommendation"] == "Deliver" for line in project.results())


@pytest.mark.needs("docker compose")
def test_the_ejected_compose_file_runs_an_app_of_ones_own(project, tmp_path):
    project = project(("docker", "compose"))
    project.place = project.app
    shutil.copy(ROOT / "apps/order_triage/app.py", project.app)
    eject = [sys.executable, "-m", "scoreline", "eject", "--app", str(project.app), "docker-compose.yml"]
    subprocess.run(eject, check=True, capture_output=True)
    done = project.run("run", "--rm", "inference")
    assert done.returncode == 0, done.stdout + done.stderr
    assert CLOSING in done.stdout
    assert len(project.results()) == 2000
