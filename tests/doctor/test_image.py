"""Images: what their inspection tells, and what they do when they run as SageMaker runs them."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from scoreline.cli.main import run
from scoreline.doctor import container, image
from scoreline.doctor.container import Case
from scoreline.doctor.docker import Image
from scoreline.doctor.examine import examine_case
from scoreline.doctor.findings import Outcome
from scoreline.doctor.wire import Effort

HERE = Path(__file__).parent
INSPECTED = json.loads((HERE / "inspect.json").read_text())  # of the image that DOCKERFILE makes, its layers' paths cut
LITTLE = Effort(pings=3, idle=20, uploads=4, requests=3, busy_s=0.2)
DOCKERFILE = """\
FROM python:3.13-slim-trixie
COPY broken.py /app/broken.py
ENV SCORELINE_MODEL_DIR=/opt/ml/model PYTHONUNBUFFERED=1
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true
USER nobody
ENTRYPOINT ["python3", "/app/broken.py"]
CMD ["serve"]
"""
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
SHELL, SERVE = ["/bin/sh", "-c", "python3 /app/broken.py serve"], ["python3", "/app/broken.py"]

# what is changed of the inspection, the one check that it fails, what came, words of its fix
INSPECTIONS = [
    pytest.param({"Os": "windows"}, "image-platform", "windows/amd64", "--platform linux/amd64", id="windows"),
    pytest.param({"Architecture": "riscv64"}, "image-platform", "linux/riscv64", "also on a Mac", id="riscv"),
    pytest.param({"Config.Entrypoint": SHELL}, "image-entrypoint", "shell form", "a JSON list", id="shell-form"),
    pytest.param({"Config.Entrypoint": ["/usr/bin/tini", "--", *SERVE]}, "image-init", "tini", "Take tini", id="tini"),
    pytest.param({"Config.Entrypoint": ["dumb-init", *SERVE]}, "image-init", "dumb-init", "Take tini", id="dumb-init"),
    pytest.param({"Config.Labels": None}, "image-label", "there is none", "LABEL com.amazonaws", id="no-label"),
    pytest.param({"Config.Labels": {image.BIND_LABEL: "yes"}}, "image-label", "it is yes", "LABEL", id="label-yes"),
    pytest.param({"Descriptor": {"mediaType": OCI_INDEX}}, "image-manifest", OCI_INDEX, "--provenance=false",
                 id="oci-index"),
    pytest.param({"Size": 3 << 30}, "image-size", "3.0 GiB", "slim base image", id="large"),
]  # fmt: skip


def changed(changes):
    """Return an image as it was inspected, but for some changes."""
    inspected = copy.deepcopy(INSPECTED)
    for path, value in changes.items():
        *folders, name = path.split(".")
        place = inspected
        for folder in folders:
            place = place[folder]
        place[name] = value
    return Image("doctor-test:1", inspected)


@pytest.fixture
def no_engine(monkeypatch):
    """Let every docker command say that there is nothing, so that inspections alone count."""
    nothing = subprocess.CompletedProcess([], 0, "", "")
    monkeypatch.setattr(image, "docker", lambda *_: nothing)


@pytest.mark.parametrize(("changes", "check", "came", "fix"), INSPECTIONS)
def test_what_an_inspection_tells_is_found_by_its_check_alone(no_engine, changes, check, came, fix):
    (found,) = [found for found in image.CHECKS.look_at(changed(changes)) if found.outcome is Outcome.FAILED]
    assert found.name == check
    assert came in found.came
    assert fix in found.fix


def test_an_image_as_it_should_be_fails_nothing(no_engine):
    came = {found.name: found for found in image.CHECKS.look_at(changed({}))}
    assert {name for name, found in came.items() if found.outcome is not Outcome.PASSED} == {"image-manifest"}
    assert came["image-manifest"].came == "it is not pushed yet; look again after `docker push`"


@pytest.mark.parametrize(
    ("kind", "outcome"), [(image.DOCKER_MANIFEST, Outcome.PASSED), (OCI_INDEX, Outcome.FAILED), (None, Outcome.FAILED)]
)
def test_the_manifest_of_a_pushed_image_is_asked_for(monkeypatch, kind, outcome):
    asked = []

    def registry(*arguments):
        asked.append(arguments)
        return subprocess.CompletedProcess([], 0, json.dumps({"mediaType": kind} if kind else {"a": 1}), "")

    monkeypatch.setattr(image, "docker", registry)
    pushed = Image("localhost:5000/a:1", changed({"RepoDigests": ["localhost:5000/a@sha256:1"]}).inspected)
    (found,) = [found for found in image.CHECKS.look_at(pushed) if found.name == "image-manifest"]
    assert found.outcome is outcome
    assert ("manifest", "inspect", "--insecure", "localhost:5000/a:1") in asked


def test_without_docker_nothing_is_checked_which_is_no_pass_and_the_reason_is_said(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    assert run(["doctor", "--image", "a:1", "--app", str(tmp_path)]) == 1
    *lines, last = capsys.readouterr().out.splitlines()
    assert last == f"doctor: 0 passed, 0 warnings, 0 failures, {len(lines)} not checked"
    assert all(line.endswith("not checked, there is no docker command here") for line in lines)


# With an engine

RUNS = [
    pytest.param("own-port", "", "image-serves", "listens on 0.0.0.0:8089", "SAGEMAKER_BIND_TO_PORT", id="own-port"),
    pytest.param("loopback", "", "image-serves", "listens on 127.0.0.1:8091", "listen on 0.0.0.0", id="loopback"),
    pytest.param("second-port", "", "image-port", "also on 127.0.0.1:", "unix sockets", id="second-port"),
    pytest.param("", "USER root", "image-user", "all as root", "Write USER", id="root"),
    pytest.param("silent", "", "image-logs", "docker logs is empty", "PYTHONUNBUFFERED", id="silent"),
    pytest.param("ignores-sigterm", "", "image-sigterm", "still runs", "ENTRYPOINT in exec form", id="ignores-sigterm"),
    pytest.param("writes-to-disk", "USER root\nRUN mkdir -m 777 /var/broken\nUSER nobody", "image-read-only",
                 "Read-only file system", "Write to /tmp alone", id="writes-to-disk"),
    pytest.param("needs-device", "", "image-no-network", "Network is unreachable", "bake a copy in", id="needs-device"),
    pytest.param("charset", "", "content-type-exact", "charset", "Set the header", id="charset"),
]  # fmt: skip


@pytest.fixture
def case(tmp_path, sample):
    """Give a function that builds an image with faults and returns it with a model; images go at the end."""
    names = []

    def build(fault="", more="", **others):
        folder = tmp_path / "context"
        folder.mkdir()
        shutil.copy(HERE / "broken.py", folder)
        entry = json.dumps(["python3", "/app/broken.py", *filter(None, [fault])])
        text = DOCKERFILE.replace('["python3", "/app/broken.py"]', entry).replace("CMD", f"{more}\nCMD")
        (folder / "Dockerfile").write_text(text)
        names.append(f"scoreline-doctor-test:{os.getpid()}-{tmp_path.name}")  # tests run in several processes
        subprocess.run(["docker", "build", "-q", "-t", names[0], str(folder)], check=True, capture_output=True)
        (tmp_path / "model").mkdir()
        (tmp_path / "model/model.txt").write_text("good")
        return Case(image_of(names[0]), tmp_path / "model", sample, **{"start_s": 60, "effort": LITTLE, **others})

    yield build
    for name in names:
        subprocess.run(["docker", "rmi", "-f", name], check=False, capture_output=True)


def image_of(name):
    done = subprocess.run(["docker", "image", "inspect", name], check=True, capture_output=True)
    return Image(name, json.loads(done.stdout)[0])


@pytest.mark.slow
@pytest.mark.needs("docker")
def test_an_image_that_keeps_the_contract_passes(case):
    given = case()
    found = [*image.CHECKS.look_at(given.image), *examine_case(given)]
    npy_needs_numpy = {"image-manifest", "npy"}
    came = {finding.name: finding.came for finding in found if finding.outcome is not Outcome.PASSED}
    assert came.keys() == npy_needs_numpy, came


@pytest.mark.slow
@pytest.mark.needs("docker")
@pytest.mark.parametrize(("fault", "more", "check", "came", "fix"), RUNS)
def test_what_a_container_does_is_found_by_its_check_alone(case, fault, more, check, came, fix):
    limits = {"start_s": 3.0} if check == "image-serves" else {"stop_s": 2.0} if fault == "ignores-sigterm" else {}
    findings = examine_case(case(fault, more, **limits))
    (found,) = [f for f in findings if f.outcome is Outcome.FAILED and f.name != "npy"]
    assert found.name == check
    assert came in found.came
    assert fix in found.fix


@pytest.mark.slow
@pytest.mark.needs("docker")
def test_files_under_opt_ml_are_found_and_missing_programs_too(case):
    given = case("", "USER root\nRUN mkdir -p /opt/ml/model && touch /opt/ml/model/baked\nENTRYPOINT []")
    found = {found.name: found for found in image.CHECKS.look_at(given.image)}
    assert found["image-opt-ml"].came == "/opt/ml/model/baked"
    assert "mounts over /opt/ml" in found["image-opt-ml"].fix
    assert found["image-entrypoint"].came == "there is none, and no `serve` and `train` on PATH"


@pytest.mark.slow
@pytest.mark.needs("docker")
def test_an_image_that_there_is_not_is_misuse(capsys, tmp_path):
    assert run(["doctor", "--image", "scoreline-doctor-no-such:1", "--app", str(tmp_path)]) == 2
    assert "docker pull scoreline-doctor-no-such:1" in capsys.readouterr().err


def test_every_check_of_an_image_is_failed_by_something_here():
    failed = {param.values[1] for param in INSPECTIONS} | {param.values[2] for param in RUNS} | {"image-opt-ml"}
    every = {
        check.name for checks in (image.CHECKS, container.BEGIN, container.END, container.CHECKS) for check in checks
    }
    assert every <= failed
