"""`scoreline inference`."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import click

from scoreline.app.load import shown
from scoreline.cli.options import FOLDERS, options, say
from scoreline.errors import InferenceError
from scoreline.settings import Settings


@click.command(short_help="A file through the server -> results/results.json.")
@options(*FOLDERS, "port", "url", "concurrency")
def inference(settings: Settings) -> None:
    """Score every row of the spine's file through a running server.

    Writes results.json to the results folder: one JSON line a row, in the order of the file. Exits
    1 if any record could not be scored; those lines hold an `error`.
    """
    url = settings.url or f"http://127.0.0.1:{settings.port}"
    path = run_inference(settings, url)
    click.echo(f"inference: {shown(path)} is written; {_listener(url)}")


def _listener(url: str) -> str:
    """Say who goes on listening, for the person who looks at a terminal that stays as it is.

    Examples
    --------
    >>> _listener("http://127.0.0.1:8080"), _listener("http://serve:8080"), _listener("https://odds.example")
    ('serve listens on :8080', 'serve listens on :8080', 'odds.example listens on :443')
    """
    parts = urlsplit(url)
    name = "serve" if parts.hostname in ("127.0.0.1", "localhost", "::1") else parts.hostname
    return f"{name} listens on :{parts.port or (443 if parts.scheme == 'https' else 80)}"


def run_inference(settings: Settings, url: str) -> Path:
    """Score the file and print the summary; return where the results are.

    Raises
    ------
    InferenceError
        A record could not be scored.
    """
    from scoreline.app.load import load_app
    from scoreline.cli.report import inference_lines
    from scoreline.inference.run import run_inference as score_file

    report = score_file(
        load_app(settings.app),
        settings.data,
        settings.results,
        url=url,
        concurrency=settings.concurrency,
        timeout_s=settings.inference_timeout_s,
        say=say,
    )
    click.echo("\n".join(inference_lines(report)))
    if report.errors:
        raise InferenceError(f"{report.errors:,} of {report.records:,} records could not be scored; see {report.path}")
    return report.path
