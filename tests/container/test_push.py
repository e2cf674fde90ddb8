"""`scoreline push`: into a real registry on loopback, with moto's ECR in front of it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from images import BUILD
from moto_server import ACCOUNT, REGION, AwsRelay, MotoServer
from registry_server import RegistryServer
from servers import copy_app, without_aws

from scoreline.cli.main import run
from scoreline.container.build import revision_of
from scoreline.container.context import find_context
from scoreline.container.push import check_arrived
from scoreline.container.registry import DOCKER_MANIFEST, Arrived
from scoreline.errors import ContainerError

ROOT = Path(__file__).parent.parent.parent
ECR = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
OCI = "application/vnd.oci.image.manifest.v1+json"
PASSWORD = f"{ACCOUNT}-auth-token"  # moto's
TAGS = {"latest", "0.9", "abc123-dirty"}  # what was asked for, and the labels of the fixture's image
VERSION = importlib.metadata.version("scoreline")
SHIM = '#!/bin/sh\nprintf "%s\\n" "$*" >> "{log}"\nexec {docker} "$@"\n'
ORIGINAL = "434418615032.dkr.ecr.us-east-2.amazonaws.com/approval-odds-allcards-tmp"
REAL = [pytest.mark.slow, pytest.mark.needs("docker"), pytest.mark.needs("registry")]


@dataclass(frozen=True)
class Ran:
    """A command that ran: its exit code, and what it printed."""

    code: int
    out: str
    err: str


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

        def start(**how):
            there = stack.enter_context(RegistryServer(tmp_path / "registry", **how))
            stack.callback(forget, there.host)
            return there

        yield start


def forget(host):
    """Let the engine forget what images were called at a registry."""
    shown = "{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}"
    for pattern in (f"{host}/*", f"{host}/*/*"):
        listed = ["docker", "images", "--digests", "--format", shown, "--filter", f"reference={pattern}"]
        names = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()
        known = sorted(name for name in set(names) if "<none>" not in name)
        if known:
            subprocess.run(["docker", "rmi", *known], capture_output=True, check=False)


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
        subprocess.run(["docker", "rmi", "-f", name], capture_output=True, check=False)


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


@pytest.fixture
def app(tmp_path):
    """Give the folder of an app."""
    return copy_app(tmp_path / "app")


def pushed(told):
    """Return the addresses that docker was told to push."""
    return [line.split()[-1] for line in told() if " push " in f" {line}"]


class TestAnyRegistry:
    pytestmark = REAL

    def test_an_image_arrives_as_one_docker_manifest_under_all_its_tags(self, cli, app, image, registry):
        there = registry()
        ran = cli("push", "--app", app, "--image", image(), "--no-build", "--unchecked", "--repository",
                  f"{there.host}/team/cards")  # fmt: skip
        assert ran.code == 0, ran.err
        assert there.tags("team/cards") == TAGS
        came = there.ask("GET", "team/cards/manifests/0.9", Accept=f"{DOCKER_MANIFEST}, {OCI}")
        digest = came.headers["Docker-Content-Digest"]
        assert came.headers["Content-Type"] == DOCKER_MANIFEST
        assert ran.out == (
            f"push: {there.host}/team/cards@{digest}, linux/amd64, one Docker v2 manifest; "
            "new tags: latest, 0.9, abc123-dirty\n"
        )

    def test_the_tag_that_was_asked_for_takes_the_place_of_latest(self, cli, app, image, registry):
        there = registry()
        ran = cli("push", "--app", app, "--image", image(), "--no-build", "--unchecked", "--repository",
                  f"{there.host}/cards:v1")  # fmt: skip
        assert ran.code == 0, ran.err
        assert there.tags("cards") == {"v1", "0.9", "abc123-dirty"}

    def test_a_second_push_of_the_same_image_pushes_nothing_and_one_of_another_does(
        self, cli, app, image, registry, told
    ):
        there = registry()
        push = ["push", "--app", app, "--image", image(), "--no-build", "--unchecked", "--repository",
                f"{there.host}/cards"]  # fmt: skip
        assert cli(*push).code == 0
        before = pushed(told)
        assert len(before) == 3
        again = cli(*push)
        assert again.code == 0, again.err
        assert again.out.endswith("nothing was left to push\n")
        assert f"push: {there.host}/cards:0.9 is this image already" in again.err
        assert pushed(told) == before
        image(content="2")
        assert cli(*push).out.endswith("new tags: latest, 0.9, abc123-dirty\n")

    def test_an_image_for_another_platform_is_not_pushed(self, cli, app, image, registry, told):
        there = registry()
        name = image()
        ran = cli("push", "--app", app, "--image", name, "--no-build", "--unchecked", "--repository",
                  f"{there.host}/cards", "--platform", "linux/arm64")  # fmt: skip
        assert ran.code == 1
        assert ran.err.startswith(f"scoreline: {name}: is for linux/amd64, expected linux/arm64. Build it for that one")
        assert pushed(told) == []

    def test_what_is_there_in_another_form_is_refused(self, cli, app, image, registry):
        there = registry()
        push = ["push", "--app", app, "--image", image(), "--no-build", "--unchecked", "--repository",
                f"{there.host}/cards"]  # fmt: skip
        assert cli(*push).code == 0
        manifest = there.ask("GET", "cards/manifests/latest", Accept=DOCKER_MANIFEST).json()
        manifest["mediaType"] = OCI  # as another builder pushes it
        manifest["config"]["mediaType"] = "application/vnd.oci.image.config.v1+json"
        for layer in manifest["layers"]:
            layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar+gzip"
        assert there.ask("PUT", "cards/manifests/latest", json.dumps(manifest).encode(), Content_Type=OCI).status == 201
        ran = cli(*push)
        assert (ran.code, ran.out) == (1, "")
        assert f"cards:latest: arrived as {OCI}, SageMaker takes {DOCKER_MANIFEST} alone." in ran.err

    def test_an_image_that_is_not_there_is_told_how_to_make_it(self, cli, app, registry):
        ran = cli("push", "--app", app, "--image", "no-such-image", "--no-build", "--repository",
                  f"{registry().host}/cards")  # fmt: skip
        assert (ran.code, ran.out) == (1, "")
        assert "no-such-image: the engine has no such image. Build it: scoreline build" in ran.err

    def test_what_the_doctor_fails_is_pushed_with_unchecked_alone(self, cli, app, image, registry, told):
        there = registry()
        push = ["push", "--app", app, "--image", image(), "--no-build", "--repository", f"{there.host}/cards"]
        ran = cli(*push)
        assert (ran.code, ran.out) == (1, "")
        assert "FAIL" in ran.err
        assert "SageMaker or its clients would break on it, so it is not pushed." in ran.err
        assert pushed(told) == []
        assert cli(*push, "--unchecked").code == 0

    def test_a_registry_that_lets_nobody_in_says_to_log_in(self, cli, app, image, registry):
        there = registry(is_closed=True)
        ran = cli("push", "--app", app, "--image", image(), "--no-build", "--unchecked", "--repository",
                  f"{there.host}/cards")  # fmt: skip
        assert ran.code == 1
        assert ran.err.endswith(f"lets nobody of ours look (401). Run: docker login {there.host}\n")

    def test_a_registry_that_is_away_is_named(self, cli, app, image, registry):
        there = registry()
        there.__exit__()
        ran = cli("push", "--app", app, "--image", image(), "--no-build", "--unchecked", "--repository",
                  f"{there.host}/cards")  # fmt: skip
        assert ran.code == 1
        assert f"{there.host}: it can't be asked (NewConnectionError). Check the address" in ran.err


class TestEcr:
    pytestmark = REAL

    @pytest.fixture
    def push(self, cli, app, image, registry, aws):
        """Give a function that pushes to ECR; the images themselves go to a registry that asks for ECR's password."""
        self.registry = registry(is_closed=True)
        self.image = image()
        return lambda *more: cli("push", "--app", app, "--image", self.image, "--no-build", "--unchecked",
                                 "--registry", self.registry.host, *more)  # fmt: skip

    def test_a_missing_repository_is_made_and_the_image_pushed_with_the_password(self, push, aws, told):
        ran = push("--repository", f"{ECR}/cards")
        assert ran.code == 0, ran.err
        (made,) = aws.client("ecr").describe_repositories()["repositories"]
        assert made["repositoryName"] == "cards"
        assert "push: the repository cards is made" in ran.err
        assert len(pushed(told)) == 3
        digest = ran.out.partition("@")[2].partition(",")[0]
        assert f"scoreline deploy --image {ECR}/cards@{digest} --role ARN" in ran.err

    def test_a_bare_name_goes_to_the_account_of_the_credentials(self, push, aws):
        ran = push("--repository", "team/cards:1")
        assert ran.code == 0, ran.err
        assert f"--image {ECR}/team/cards@sha256:" in ran.err
        assert ("DescribeRepositories", {"registryId": ACCOUNT, "repositoryNames": ["team/cards"]}) in aws.asked

    def test_run_again_it_makes_no_second_repository_and_pushes_nothing(self, push, aws, told):
        assert push("--repository", f"{ECR}/cards").code == 0
        before = pushed(told)
        again = push("--repository", f"{ECR}/cards")
        assert again.code == 0, again.err
        assert again.out.endswith("nothing was left to push\n")
        assert aws.operations.count("CreateRepository") == 1
        assert pushed(told) == before

    def test_the_password_is_on_no_command_line_in_no_output_and_in_no_file_of_the_person(
        self, push, told, monkeypatch, tmp_path
    ):
        theirs = tmp_path / "docker"
        theirs.mkdir()
        config = '{"auths": {"example.com": {"auth": "YTpi"}}, "credsStore": "none-such"}'
        (theirs / "config.json").write_text(config)
        monkeypatch.setenv("DOCKER_CONFIG", str(theirs))
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        ran = push("--repository", f"{ECR}/cards")
        assert ran.code == 0, ran.err
        assert PASSWORD not in ran.out + ran.err + "\n".join(told())
        assert (theirs / "config.json").read_text() == config
        assert list(tmp_path.glob("scoreline-docker-*")) == []

    def test_a_registry_that_refuses_the_password_is_said_to(self, push, aws):
        aws.say("GetAuthorizationToken", authorizationData=[{"authorizationToken": "QVdTOndyb25n"}])  # AWS:wrong
        ran = push("--repository", f"{ECR}/cards")
        assert ran.code == 1
        assert "wrong" not in ran.err
        assert f"scoreline: {self.registry.host}: the registry refuses the login: " in ran.err

    def test_credentials_that_will_not_do_show_before_any_work(self, cli, app, aws, told):
        aws.refuse("GetAuthorizationToken", "ExpiredTokenException", "The security token included is expired")
        ran = cli("push", "--app", app, "--repository", f"{ECR}/cards")
        assert (ran.code, ran.out) == (1, "")
        assert "the session token has expired. Get new credentials." in ran.err
        assert [line for line in told() if line.startswith(("build", "image", "tag"))] == []


class TestDryRun:
    @pytest.fixture(autouse=True)
    def old_builder(self, monkeypatch):
        """Let the builder be the one of old, whatever this machine has."""
        monkeypatch.setenv("DOCKER_BUILDKIT", "0")

    def test_every_command_and_every_aws_call_is_printed_and_none_made(self, cli, app, aws, told):
        ran = cli("push", "--app", app, "--repository", f"{ECR}/cards:v1", "--dry-run", "--", "--network=host")
        where = f"--registry-id {ACCOUNT} --region {REGION}"
        context = find_context(app).folder
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.splitlines() == [
            f"aws ecr get-authorization-token --region {REGION}",
            f"docker build --tag order-triage --build-arg APP=app --build-arg VERSION={VERSION} --build-arg "
            f"REVISION=unknown --platform linux/amd64 --network=host {context}",
            f"scoreline doctor --app {app} --image order-triage",
            f"aws ecr describe-repositories --repository-names cards {where}",
            f"aws ecr create-repository --repository-name cards {where}  # where it is missing",
            f"docker --config TEMPORARY login --username AWS --password-stdin {ECR}  # the token by stdin",
            f"docker tag order-triage {ECR}/cards:v1",
            f"docker --config TEMPORARY push {ECR}/cards:v1",
            f"docker tag order-triage {ECR}/cards:{VERSION}",
            f"docker --config TEMPORARY push {ECR}/cards:{VERSION}",
            f"GET https://{ECR}/v2/cards/manifests/v1  # what arrived",
            f"GET https://{ECR}/v2/cards/manifests/{VERSION}  # what arrived",
        ]
        assert aws.asked == []
        assert told() == []

    def test_without_a_repository_it_is_the_apps_name_in_the_account_that_aws_would_tell(self, cli, app, aws):
        ran = cli("push", "--app", app, "--dry-run", "--no-build", "--unchecked")
        assert ran.out.startswith(f"aws sts get-caller-identity\naws ecr get-authorization-token --region {REGION}\n")
        assert f"docker tag order-triage ACCOUNT.dkr.ecr.{REGION}.amazonaws.com/order-triage:latest\n" in ran.out
        assert "docker build" not in ran.out
        assert "doctor" not in ran.out
        assert aws.asked == []

    def test_another_registry_takes_the_place_of_ecr_for_docker_alone(self, cli, app, aws):
        ran = cli("push", "--app", app, "--dry-run", "--repository", f"{ECR}/cards", "--registry", "127.0.0.1:5000")
        assert f"docker --config TEMPORARY push 127.0.0.1:5000/cards:{VERSION}\n" in ran.out
        assert f"GET http://127.0.0.1:5000/v2/cards/manifests/{VERSION}" in ran.out
        assert f"create-repository --repository-name cards --registry-id {ACCOUNT}" in ran.out


class TestTheScriptOfOld:
    SCRIPT = ROOT / "apps/approval_odds/Script-BuildDocker-Sagemaker"

    def ran(self, *arguments, **environment):
        """Run it as a person does."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.run(
            [self.SCRIPT, *arguments],
            env={**os.environ, "PATH": path, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def test_it_pushes_to_the_repository_of_old(self):
        done = self.ran("--dry-run", DOCKER_BUILDKIT="0")
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert lines[0] == "aws ecr get-authorization-token --region us-east-2"
        assert lines[1].startswith("docker build --tag approval-odds --build-arg APP=apps/approval_odds ")
        assert f"docker --config TEMPORARY push {ORIGINAL}:latest" in lines
        assert f"docker tag approval-odds {ORIGINAL}:{revision_of(ROOT / 'apps/approval_odds')}" in lines
        assert len(self.SCRIPT.read_text().splitlines()) <= 10

    def test_another_repository_can_be_named(self):
        done = self.ran("--dry-run", REPOSITORY="127.0.0.1:5000/mine")
        assert "docker push 127.0.0.1:5000/mine:latest" in done.stdout.splitlines()

    @pytest.mark.slow
    @pytest.mark.needs("docker")
    @pytest.mark.needs("registry")
    def test_it_builds_asks_the_doctor_and_pushes(self, odds_image, registry, aws):
        there = registry()
        done = self.ran("--image", odds_image, "--registry", there.host, *BUILD)
        assert done.returncode == 0, done.stderr
        assert re.search(r"^doctor: \d+ passed, .* 0 failures", done.stderr, re.M)
        assert "push: the repository approval-odds-allcards-tmp is made" in done.stderr
        assert there.tags("approval-odds-allcards-tmp") >= {"latest", VERSION}
        assert done.stdout.startswith(f"push: {there.host}/approval-odds-allcards-tmp@sha256:")
        assert ", linux/amd64, one Docker v2 manifest; new tags: latest, " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--repository", "Cards"], "--repository Cards: expected a name of small letters"),
        (["--registry", "http://a"], "--registry http://a: expected a host"),
        (["--dry_run"], "No such option '--dry_run'"),  # and not an option of docker build
    ],
)
def test_misuse_exits_2(cli, app, arguments, says):
    ran = cli("push", "--app", app, *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err


@pytest.mark.parametrize(
    ("arrived", "says"),
    [
        (Arrived(OCI, "sha256:1", "sha256:2", "linux/amd64"), f"arrived as {OCI}"),
        (Arrived("application/vnd.oci.image.index.v1+json", "sha256:1"), "arrived as application/vnd.oci.image.index"),
        (
            Arrived(DOCKER_MANIFEST, "sha256:1", "sha256:2", "linux/arm64"),
            "arrived for linux/arm64, expected linux/amd64",
        ),
    ],
)
def test_what_sagemaker_would_refuse_is_refused(arrived, says):
    with pytest.raises(ContainerError, match=re.escape(f"host/cards:1: {says}")):
        check_arrived(arrived, "host/cards:1", "linux/amd64")


def test_one_docker_manifest_for_the_platform_is_what_sagemaker_takes():
    check_arrived(Arrived(DOCKER_MANIFEST, "sha256:1", "sha256:2", "linux/amd64"), "host/cards:1", "linux/amd64")
