"""`scoreline deploy`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from scoreline.cli.options import options, say
from scoreline.settings import Settings

if TYPE_CHECKING:
    from scoreline.sagemaker.deploy import Deployed
    from scoreline.sagemaker.plan import Deployment

_ROW = 24


@click.command(short_help="An image -> a SageMaker endpoint, its golden rows answered.")
@options("app", "model")
@click.option("--endpoint", metavar="NAME", help="The endpoint's name. Default: the app's name.")
@click.option("--image", metavar="ADDRESS", help="The image, as `scoreline push` prints it.")
@click.option("--role", metavar="ARN", help="The role that the endpoint runs as.")
@click.option(
    "--model-data", metavar="S3-URL", help="A model.tar.gz of `scoreline package`. Default: the image's model."
)
@click.option(
    "--env",
    "variables",
    multiple=True,
    metavar="NAME=VALUE",
    help="An environment variable of its containers, MODEL_SERVER_WORKERS=2 say. May be given many times.",
)
@click.option("--instance-type", default="ml.m5.large", help="What it runs on. Default: ml.m5.large.")
@click.option("--instances", "count", type=int, default=1, help="How many of them. Default: 1.")
@click.option("--serverless-memory", type=int, metavar="MB", help="A serverless endpoint of 1024 to 6144 MB instead.")
@click.option("--serverless-concurrency", type=int, default=5, help="Requests at once that one takes. Default: 5.")
@click.option("--capture", metavar="S3-URL", help="Keep requests and replies there. Default: none are kept.")
@click.option("--capture-percent", type=int, default=100, help="How many of a hundred. Default: 100.")
@click.option("--region", help="AWS region. Default: the image's, else that of the AWS configuration.")
@click.option("--unchecked", is_flag=True, help="Do not send golden rows; no model is needed here then.")
@click.option("--delete", is_flag=True, help="Remove what this command made for the endpoint, and only that.")
@click.option("--dry-run", is_flag=True, help="Print every request as JSON; make none.")
def deploy(
    settings: Settings,
    endpoint: str | None,
    region: str | None,
    *,
    delete: bool,
    dry_run: bool,
    **asked: Any,
) -> None:
    """Make a SageMaker model, an endpoint configuration and an endpoint, wait, and compare its golden rows.

    An endpoint that is there is moved to the new configuration, and answers all the while. Names follow
    from what is asked for, so that running this again makes nothing twice: it goes on where it was.
    The golden rows are those of the app's model here (--model-dir).
    """
    from scoreline.app.load import load_app

    name = endpoint or re.sub(r"[^a-zA-Z0-9]+", "-", load_app(settings.app).name).strip("-")
    if delete:
        _delete(name, region, dry_run=dry_run)
    else:
        _deploy(settings, name, region, is_named=endpoint is not None, dry_run=dry_run, asked=asked)


def _deploy(
    settings: Settings, endpoint: str, region: str | None, asked: dict[str, Any], *, is_named: bool, dry_run: bool
) -> None:
    from scoreline.sagemaker.calls import calls_to_deploy
    from scoreline.sagemaker.content import region_of, settle
    from scoreline.sagemaker.golden import golden_rows

    wanted = _wanted(endpoint, asked)
    region = region_of(wanted, region)
    rows = None if asked["unchecked"] else golden_rows(settings.app, settings.model)
    if dry_run:
        click.echo(json.dumps(calls_to_deploy(wanted, rows), indent=1))
        return
    from scoreline.aws.sagemaker import SageMaker
    from scoreline.sagemaker.deploy import ask_golden_rows
    from scoreline.sagemaker.deploy import deploy as run
    from scoreline.sagemaker.plan import requests_of

    sagemaker, wanted = SageMaker(region), settle(wanted, say)
    deployed = run(requests_of(wanted), sagemaker, is_named=is_named, say=say)
    click.echo("\n".join(["deploy", *_lines(deployed, wanted, sagemaker.region)]))
    if rows is not None:
        ask_golden_rows(rows, deployed, sagemaker)
        click.echo(f"  {len(rows.records)} golden rows are answered as they are here")


def _delete(endpoint: str, region: str | None, *, dry_run: bool) -> None:
    from scoreline.sagemaker.calls import calls_to_remove
    from scoreline.sagemaker.limits import check_name

    check_name("--endpoint", endpoint)
    if dry_run:
        click.echo(json.dumps(calls_to_remove(endpoint), indent=1))
        return
    from scoreline.aws.sagemaker import SageMaker
    from scoreline.sagemaker.removal import remove

    removed = remove(endpoint, SageMaker(region), say=say)
    rows = [f"  {kind:<{_ROW}} {name:<64} removed" for kind, name in removed]
    click.echo("\n".join(["deploy", *(rows or ["  there is nothing that it made"])]))


def _wanted(endpoint: str, asked: dict[str, Any]) -> Deployment:
    """Return what the options ask for; misuse where one is missing or AWS would not take it."""
    from scoreline.sagemaker.plan import Capture, Deployment, Machines

    for name in ("image", "role"):
        if asked[name] is None:
            raise click.UsageError(f"Missing option '--{name}'.")
    _refuse_idle("capture_percent", "capture", asked)
    _refuse_idle("serverless_concurrency", "serverless_memory", asked)
    if asked["serverless_memory"] is not None and _is_given("count", "instance_type"):
        raise click.UsageError("--serverless-memory is a serverless endpoint, which has no --instances of a type")
    wanted = Deployment(
        endpoint,
        asked["image"],
        asked["role"],
        _variables(asked["variables"]),
        asked["model_data"],
        Machines(asked["instance_type"], asked["count"], asked["serverless_memory"], asked["serverless_concurrency"]),
        None if asked["capture"] is None else Capture(asked["capture"], asked["capture_percent"]),
    )
    wanted.check()
    return wanted


def _refuse_idle(option: str, needed: str, asked: dict[str, Any]) -> None:
    """Refuse an option that would be without effect, since another is missing."""
    if asked[needed] is None and _is_given(option):
        raise click.UsageError(f"--{option.replace('_', '-')} says nothing without --{needed.replace('_', '-')}")


def _is_given(*options: str) -> bool:
    context = click.get_current_context()
    return any(context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in options)


def _variables(given: tuple[str, ...]) -> dict[str, str]:
    variables: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"--env {text}: expected NAME=VALUE")
        if name in variables:
            raise click.UsageError(f"--env {name}: is given twice")
        variables[name] = value
    return variables


def _lines(deployed: Deployed, wanted: Deployment, region: str) -> list[str]:
    named = {"model": deployed.model, "endpoint configuration": deployed.configuration, "endpoint": deployed.endpoint}
    lines = [f"  {kind:<{_ROW}} {name:<64} {deployed.done[kind]}" for kind, name in named.items()]
    return [*lines, f"  {'image':<{_ROW}} {wanted.image}", f"  {'region':<{_ROW}} {region}"]
