"""`scoreline doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scoreline.cli.options import FOLDERS, options
from scoreline.settings import Settings

if TYPE_CHECKING:
    from scoreline.doctor.findings import Finding


@click.command(short_help="Does an app, a server or an image keep SageMaker's contract?")
@options(*FOLDERS, "data_url", "url")
@click.option("--image", metavar="NAME:TAG", help="Look at an image instead, with the docker command.")
@click.option(
    "--record",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Valid records to send: a JSON body, JSON Lines, or .csv without a header. Default: the app's own data, "
    "else the examples of /openapi.json.",
)
@click.option("--strict", is_flag=True, help="Exit 1 on warnings too.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(settings: Settings, image: str | None, record: Path | None, *, strict: bool, as_json: bool) -> None:
    """Check an app, a running server (--url) or an image (--image) against SageMaker's contract.

    An app is looked at as its files are, then `serve` is started on a free port, with a state folder of its own,
    and asked, stopped and hurt as a platform would. Prints a line for each check, with the fix for each that
    fails. FAIL: SageMaker or its clients break. warn: good practice. Exit codes: 0 nothing that must
    hold fails, 1 something does, 2 misused.
    """
    from scoreline.doctor.report import is_good, json_of, lines_of, summary_of

    if image is not None and settings.url is not None:
        raise click.UsageError("either --url or --image, not both")
    findings = []
    for finding in _examine(settings, image, record):
        findings.append(finding)
        if not as_json:
            click.echo("\n".join(lines_of(finding)))
    click.echo(json_of(findings) if as_json else summary_of(findings))
    if not is_good(findings, strict=strict):
        raise click.exceptions.Exit(1)


def _examine(settings: Settings, image: str | None, record: Path | None) -> Iterator[Finding]:
    from scoreline.doctor import examine

    if settings.url is not None:
        return examine.examine_url(settings.url, settings, record)
    if image is not None:
        return examine.examine_image(image, settings, record)
    return examine.examine_app(settings, record)
