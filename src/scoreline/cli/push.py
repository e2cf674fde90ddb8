"""`scoreline push`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from scoreline.cli.options import FOLDERS, options, say
from scoreline.errors import AwsError, ContainerError
from scoreline.settings import Settings

if TYPE_CHECKING:
    from scoreline.aws.ecr import Ecr
    from scoreline.container.build import Build
    from scoreline.container.credentials import Login
    from scoreline.container.push import Push
    from scoreline.container.repository import Repository

_OWN = "TEMPORARY"  # stands in a dry run for a docker configuration that is thrown away
_ACCOUNT, _REGION = "ACCOUNT", "REGION"  # and these for what only AWS or its configuration can tell
_PLATFORM = "linux/amd64"


@click.command(short_help="An app's image -> ECR or any other registry.")
@options(*FOLDERS)
@click.option(
    "--repository",
    metavar="ADDRESS",
    help="HOST/NAME[:TAG] of any registry; NAME[:TAG] alone is in ECR, in the account and region of the AWS "
    "configuration. Default: the app's name, there.",
)
@click.option("--image", metavar="NAME[:TAG]", help="The image's name here. Default: the app's name.")
@click.option("--platform", default=_PLATFORM, help=f"The platform of the instances. Default: {_PLATFORM}.")
@click.option(
    "--registry", metavar="HOST[:PORT]", help="Push there instead, all else as the repository's address says."
)
@click.option("--no-build", is_flag=True, help="Push the image that is there.")
@click.option("--unchecked", is_flag=True, help="Push without asking the doctor.")
@click.option("--dry-run", is_flag=True, help="Print every command and every AWS call; make none.")
@click.argument("more", nargs=-1, type=click.UNPROCESSED, metavar="[-- OPTIONS OF docker build]")
def push(
    settings: Settings,
    repository: str | None,
    image: str | None,
    platform: str,
    registry: str | None,
    more: tuple[str, ...],
    *,
    no_build: bool,
    unchecked: bool,
    dry_run: bool,
) -> None:
    """Build the image of an app, ask the doctor, and push it where SageMaker takes it from.

    It gets the tag that was asked for (latest without one), Scoreline's version and the git commit. A repository that
    is missing in ECR is created. What arrived must be one Docker v2 manifest for the platform. Run again, it
    does only what was left undone. What follows -- goes to `docker build` as it is.
    """
    from scoreline.app.load import load_app
    from scoreline.container.build import Build, image_name
    from scoreline.container.repository import check_host, parse_repository

    name = image_name(load_app(settings.app).name)
    asked = _Asked(
        settings=settings,
        target=parse_repository(repository or name),
        host=None if registry is None else check_host(registry),
        build=None if no_build else Build(settings.app, image or name, None, platform, more),
        image=image or name,
        platform=platform,
        unchecked=unchecked,
    )
    if dry_run:
        click.echo("\n".join(_steps(asked)))
    else:
        _push(asked)


@dataclass(frozen=True)
class _Asked:
    settings: Settings
    target: Repository
    host: str | None  # of the registry that is pushed to instead
    build: Build | None
    image: str
    platform: str
    unchecked: bool

    def wanted(self, target: Repository, tags: tuple[str, ...]) -> Push:
        from scoreline.container.push import Push

        return Push(self.image, target if self.host is None else target.at(self.host), tags, self.platform)


def _push(asked: _Asked) -> None:
    from scoreline.container.build import build_image
    from scoreline.container.engine import require_engine
    from scoreline.container.push import push_image, tags_of_image

    require_engine()
    target, ecr, login = _enter(asked.target)  # first, so that credentials that will not do show before the work
    if asked.build is not None:
        build_image(asked.build)
    wanted = asked.wanted(target, tags_of_image(target.tag, asked.image))
    if not asked.unchecked:
        _ask_doctor(asked.settings, asked.image)
    if ecr is not None and not ecr.has_repository(_account(target), target.name):
        ecr.create_repository(_account(target), target.name)
        say(f"push: the repository {target.name} is made")
    pushed = push_image(wanted, login, say)
    new = f"new tags: {', '.join(pushed.new)}" if pushed.new else "nothing was left to push"
    click.echo(f"push: {pushed.address}, {pushed.platform}, one Docker v2 manifest; {new}")
    if ecr is not None:
        say(f"push: on to SageMaker: scoreline deploy --image {target.host}/{target.name}@{pushed.digest} --role ARN")


def _enter(target: Repository) -> tuple[Repository, Ecr | None, Login | None]:
    """Return the whole address, and what AWS gives to get in; of another registry docker knows enough."""
    if not target.is_ecr:
        return target, None, None
    from scoreline.aws.ecr import Ecr
    from scoreline.container.credentials import Login

    ecr = Ecr(None if target.ecr is None else target.ecr.region)
    if target.host is None:
        target = target.of_account(ecr.account(), ecr.region)
    return target, ecr, Login(*ecr.login())


def _account(target: Repository) -> str:
    assert target.ecr is not None
    return target.ecr.account


def _ask_doctor(settings: Settings, image: str) -> None:
    from scoreline.doctor.examine import examine_image
    from scoreline.doctor.findings import Outcome
    from scoreline.doctor.report import is_good, lines_of, summary_of

    say(f"push: the doctor looks at {image}")
    findings = []
    for finding in examine_image(image, settings):
        findings.append(finding)
        if finding.outcome is Outcome.FAILED:
            say("\n".join(lines_of(finding)))
    say(summary_of(findings))
    if not is_good(findings, strict=False):
        raise ContainerError(
            f"{image}: SageMaker or its clients would break on it, so it is not pushed. Do what the lines above say, "
            "or push it all the same with --unchecked."
        )


def _steps(asked: _Asked) -> list[str]:
    from scoreline.container.engine import has_buildx
    from scoreline.container.push import tags_of_app

    steps, target = [], asked.target
    if target.host is None:
        steps.append("aws sts get-caller-identity")
        target = target.of_account(_ACCOUNT, _region_here())
    if target.ecr is not None:
        steps.append(f"aws ecr get-authorization-token --region {target.ecr.region}")
    if asked.build is not None:
        is_buildkit = has_buildx()
        steps.append(shlex.join(asked.build.command(is_buildkit=is_buildkit)))
    if not asked.unchecked:
        steps.append(shlex.join(["scoreline", "doctor", "--app", str(asked.settings.app), "--image", asked.image]))
    return steps + _steps_of_push(target, asked.wanted(target, tags_of_app(target.tag, asked.settings.app)))


def _steps_of_push(target: Repository, wanted: Push) -> list[str]:
    host, name = wanted.target.host, wanted.target.name
    steps, docker = [], ["docker"]
    if target.ecr is not None:
        where = f"--registry-id {target.ecr.account} --region {target.ecr.region}"
        steps.append(f"aws ecr describe-repositories --repository-names {name} {where}")
        steps.append(f"aws ecr create-repository --repository-name {name} {where}  # where it is missing")
        docker = ["docker", "--config", _OWN]
        steps.append(f"{shlex.join(docker)} login --username AWS --password-stdin {host}  # the token by stdin")
    for tag in wanted.tags:
        steps += [shlex.join(command) for command in wanted.commands(tag, docker)]
    scheme = "http" if wanted.target.is_loopback else "https"
    return [*steps, *(f"GET {scheme}://{host}/v2/{name}/manifests/{tag}  # what arrived" for tag in wanted.tags)]


def _region_here() -> str:
    from scoreline.aws.ecr import Ecr

    try:
        return Ecr().region
    except AwsError:
        return _REGION
