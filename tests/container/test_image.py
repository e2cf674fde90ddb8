"""The image as it is run: by hand, read-only, as any user, on a small machine, as SageMaker does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
from images import ROOT, Container, build, docker, inspect, mounted, name_of, owner_of, variables
from servers import keys_of, wait_until, write_sample

pytestmark = [pytest.mark.slow, pytest.mark.needs("docker"), pytest.mark.needs("root")]
BASE = "python:3.13-slim-trixie"
ADDED_MB = 470  # with the official base, of about 125 MB, that is under 600
PERSON = 1000


@pytest.fixture
def work(tmp_path, triage):
    """Give a folder with data, model and results of order triage that belongs to a person."""
    for name in ("data", "model", "results"):
        shutil.copytree(triage / name, tmp_path / name)
    for path in [tmp_path, *tmp_path.rglob("*")]:
        os.chown(path, PERSON, PERSON)
    tmp_path.chmod(0o755)
    return tmp_path


def expected(container, key):
    """Return what order triage says of one order."""
    status, body, _ = container.ask("/invocations", key)
    assert status == 200, body
    return json.loads(body)


def test_it_is_small_and_says_what_it_is(triage_image):
    found = inspect(triage_image)
    config = found["Config"]
    assert found["Size"] - inspect(BASE)["Size"] < ADDED_MB * 1e6
    assert config["Labels"]["com.amazonaws.sagemaker.capabilities.accept-bind-to-port"] == "true"
    assert config["Labels"]["org.opencontainers.image.version"] == "0.1.0"
    assert config["Entrypoint"][0] == "python"
    assert config["Cmd"] == ["serve"]
    assert config["Healthcheck"]["Test"][0] == "CMD"
    left = "command -v gcc cc; find /opt /app /root -path '*/tests/*' -o -path '*/pip/*' -o -name .cache; true"
    assert docker("run", "--rm", "--user", "0", "--entrypoint", "sh", triage_image, "-c", left).stdout == ""


def test_without_any_mount_it_serves_the_model_that_it_carries(triage_image):
    with Container(triage_image) as container:
        container.wait_until_ready()
        key = keys_of(ROOT / "apps/order_triage")[0]
        assert expected(container, key)["order_id"] == key["order_id"]
        assert "trees by kernel" in container.logs
        wait_until(lambda: container.health == "healthy")


def test_every_verb_is_a_command_and_files_belong_to_the_person(triage_image, work):
    shutil.rmtree(work / "results")
    shutil.rmtree(work / "model")
    for name in ("results", "model"):
        (work / name).mkdir()
        os.chown(work / name, PERSON, PERSON)
    places = mounted(data=work / "data", results=work / "results", out=work / "model")
    made = docker("run", "--rm", *places, triage_image, "feature")
    assert "rows of features" in made.stdout
    assert f"runs as user {PERSON}, the owner of /app/results" in made.stderr
    assert "AUC" in docker("run", "--rm", *places, triage_image, "train").stdout
    with Container(triage_image, *places) as server:
        server.wait_until_ready()
        shared = ["--network", f"container:{server.id}"]
        scored = docker("run", "--rm", *shared, *places, triage_image, "inference").stdout
    assert scored.splitlines()[-1] == "inference: results/results.json is written; serve listens on :8080"
    files = [path for name in ("results", "model") for path in (work / name).rglob("*")]
    assert len(files) > 8
    assert {owner_of(path) for path in files} == {(PERSON, PERSON)}


def test_results_are_those_of_a_run_outside_byte_for_byte(triage_image, work, triage):
    outside = [sys.executable, "-m", "scoreline", "up", "--app", str(triage), "--results", str(work / "outside")]
    shutil.copytree(triage / "results", work / "outside")
    subprocess.run(outside, check=True, capture_output=True)
    places = mounted(data=work / "data", results=work / "results", model=triage / "model")
    with Container(triage_image, *places) as server:
        server.wait_until_ready()
        docker("run", "--rm", "--network", f"container:{server.id}", *places, triage_image, "inference")
    assert (work / "results/results.json").read_bytes() == (work / "outside/results.json").read_bytes()


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--read-only", "--tmpfs", "/tmp:size=16m"], id="read-only root and 16 MiB of /tmp"),
        pytest.param(["--user", "1234:1234"], id="as another user"),
        pytest.param(["--user", "1234", "--read-only", "--tmpfs", "/tmp:size=16m"], id="both"),
        pytest.param(["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", "10001"], id="no rights"),
    ],
)
def test_it_serves_however_little_it_may(triage_image, options):
    with Container(triage_image, *options) as container:
        container.wait_until_ready()
        key = keys_of(ROOT / "apps/order_triage")[1]
        assert expected(container, key)["order_id"] == key["order_id"]


def test_nothing_but_what_needs_it_is_root(triage_image):
    with Container(triage_image) as container:
        container.wait_until_ready()
        users = {line.split()[0] for line in docker("top", container.id, "-eo", "uid,pid").stdout.splitlines()[1:]}
    assert users == {"10001"}


@pytest.mark.parametrize(("uid", "owner"), [(1000, 1000), (1001, 1001), (0, 0)])
def test_results_belong_to_the_owner_of_their_folder(triage_image, work, uid, owner):
    shutil.rmtree(work / "results")
    (work / "results").mkdir()
    os.chown(work / "results", uid, uid)
    done = docker("run", "--rm", *mounted(data=work / "data", results=work / "results"), triage_image, "feature")
    assert {owner_of(path)[0] for path in (work / "results").rglob("*")} == {owner}
    assert ("stays root" in done.stderr) == (uid == 0)


def test_a_model_that_is_mounted_wins_over_the_images_own(triage_image, work):
    with Container(triage_image) as own, Container(triage_image, *mounted(opt_ml_model=work / "model")) as other:
        own.wait_until_ready()
        other.wait_until_ready()
        model = json.loads((work / "model/manifest.json").read_text())
        assert other.inside("cat", "/opt/ml/model/manifest.json") == (work / "model/manifest.json").read_text()
        names = [c.ask("/ping") and c.logs.partition("generation 1-")[2][:6] for c in (own, other)]
        assert names[0] != names[1], model


def test_a_model_whose_golden_rows_differ_is_refused_with_why(triage_image, work):
    path = work / "model/golden.json"
    path.write_text(path.read_text().replace("0.", "0.1", 1))
    with Container(triage_image, *mounted(model=work / "model")) as container:
        assert container.wait() == 1
        assert "golden" in container.logs.splitlines()[-1]
        assert "Traceback" not in container.logs


def test_a_broken_table_ends_feature_with_its_line_and_leaves_results_alone(triage_image, work):
    before = (work / "results/feature.csv").read_bytes()
    path = work / "data/orders.csv"
    path.write_text(path.read_text().replace(",", ";"))
    places = mounted(data=work / "data", results=work / "results")
    done = docker("run", "--rm", *places, triage_image, "feature", check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("scoreline: ")
    assert "orders.csv" in done.stderr.splitlines()[-1]
    assert (work / "results/feature.csv").read_bytes() == before


def test_on_one_core_and_512_mb_the_plan_is_one_worker_and_nothing_is_killed(triage_image, work):
    limits = ["--cpus", "1", "--memory", "512m", "--memory-swap", "512m"]
    write_sample(work / "data", orders=5000)
    places = mounted(data=work / "data", results=work / "results", out=work / "model")
    for verb in ("feature", "train"):
        docker("run", "--rm", *limits, *places, triage_image, verb)
    with Container(triage_image, *limits, *places) as container:
        container.wait_until_ready()
        assert "1 worker (CPU quota of 1), 1 thread" in container.logs
        keys = keys_of(work)
        for _ in range(3):
            status, body, _ = container.ask("/invocations", keys[:5000])
            assert (status, len(json.loads(body))) == (200, 5000)
        state = json.loads(docker("inspect", "-f", "{{json .State}}", container.id).stdout)
        assert not state["OOMKilled"]
        threads = container.inside("sh", "-c", "cat /proc/[0-9]*/status | awk '/^Name|^Threads/{print $2}'").split()
        assert max(int(number) for number in threads[1::2]) <= 4, threads


def test_a_stop_is_answered_in_time_and_a_part_that_dies_ends_it(triage_image):
    with Container(triage_image) as container:
        container.wait_until_ready()
        docker("stop", "-t", "28", container.id)
        assert container.exit_code == 0
    with Container(triage_image) as container:
        container.wait_until_ready()
        masters = container.inside("sh", "-c", "grep -l '^nginx' /proc/[0-9]*/comm")
        master = min(int(path.split("/")[2]) for path in masters.split())
        container.inside("sh", "-c", f"kill -9 {master}")
        assert container.wait() == 1
        assert "nginx" in container.logs.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "command", "said", "code"),
    [
        (["-e", "MODEL_SERVER_WORKERS=many"], ["serve"], "MODEL_SERVER_WORKERS='many': expected", 2),
        ([], ["srve"], "No such command", 2),
        ([], ["inference"], "orders", 1),
        (["-v", "/tmp:/opt/ml/model:ro"], ["serve"], "scoreline: ", 1),
    ],
)
def test_misuse_is_one_clear_line(triage_image, options, command, said, code):
    done = docker("run", "--rm", *options, triage_image, *command, check=False)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_network_the_reference_tables_that_it_carries_are_served(odds_image):
    away = {"SCORELINE_DATA_URL": "s3://efmldevelopment/data/creditcards/", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}
    away |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-2"}
    with Container(odds_image, *variables(**away)) as container:
        container.wait_until_ready()
        assert "Going on with the copy at hand" in container.logs


def test_the_documented_curl_refreshes_all_of_8_workers(odds_image, tmp_path):
    shutil.copytree(ROOT / "apps/approval_odds/data", tmp_path / "data")
    for path in [tmp_path, *tmp_path.rglob("*")]:
        path.chmod(0o755)
    places = mounted(data=tmp_path / "data")
    with Container(odds_image, *places, *variables(MODEL_SERVER_WORKERS=8)) as container:
        container.wait_until_ready()
        cards = tmp_path / "data/card_variables.csv"
        lines = cards.read_text().splitlines(keepends=True)
        fresh = tmp_path / "data/fresh.csv"
        fresh.write_text("".join(lines[:-1]))
        fresh.replace(cards)
        curl = ["curl", "-s", "-X", "GET", f"{container.url}/updateccdata"]
        done = subprocess.run(curl, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["generation"].startswith("2-"), done.stdout
        seen = {container.ask("/invocations", APPLICANT)[2]["X-Scoreline-Generation"] for _ in range(60)}
        assert seen == {json.loads(done.stdout)["generation"]}


APPLICANT = {
    "applicant_id": "A1", "credit_score": 700, "annual_income": 50000, "monthly_debt": 500, "open_accounts": 5,
    "derogatory_marks": 0, "recent_inquiries": 2, "housing": "rent", "state": "TX",
}  # fmt: skip


def test_an_apps_own_files_and_model_are_taken_along(triage, tmp_path):
    app = tmp_path / "own-triage"
    app.mkdir()
    for name in ("app.py", "data", "model"):
        source = triage / name if name != "app.py" else ROOT / "apps/order_triage/app.py"
        (shutil.copytree if source.is_dir() else shutil.copy)(source, app / name)
    command = [sys.executable, "-m", "scoreline", "eject", "--app", str(app)]
    for name in ("nginx.conf", "wsgi.py"):
        subprocess.run([*command, name], check=True, capture_output=True)
    own = app / "nginx.conf"
    own.write_text(own.read_text().replace("server_tokens off;", 'server_tokens off; add_header X-Own "yes" always;'))
    name = name_of("own")
    try:
        assert name in build(app, name)
        with Container(name) as container:
            container.wait_until_ready()
            status, _, headers = container.ask("/invocations", keys_of(triage)[0])
            assert (status, headers["X-Own"]) == (200, "yes")
            assert container.inside("cat", "/app/model/manifest.json") == (app / "model/manifest.json").read_text()
            assert container.inside("ls", "/app/data") == ""
    finally:
        docker("rmi", "-f", name, check=False)


@pytest.mark.parametrize("app", ["order_triage", "approval_odds"])
def test_the_doctor_finds_nothing(app, request, tmp_path):
    image = request.getfixturevalue("triage_image" if app == "order_triage" else "odds_image")
    command = [sys.executable, "-m", "scoreline", "doctor", "--image", image, "--app", str(ROOT / "apps" / app)]
    done = subprocess.run([*command, "--strict"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


@pytest.mark.parametrize("after_s", [0.15, 0.3, 0.6])
def test_a_stop_in_its_first_moments_is_heard(triage_image, after_s):
    with Container(triage_image) as container:
        time.sleep(after_s)
        docker("stop", "-t", "28", container.id)
        assert container.exit_code in (0, 143), container.logs  # 137 is a kill at the end of its time
        assert "Traceback" not in container.logs


def test_training_on_what_the_image_carries_says_what_is_missing(triage_image):
    done = docker("run", "--rm", triage_image, "train", check=False)
    assert done.returncode == 1
    assert "holds an online store alone, as images carry it. Run `scoreline feature` first." in done.stderr
