"""`scoreline inference`."""

from __future__ import annotations

import click

from scoreline.cli.options import FOLDERS, options
from scoreline.errors import InferenceError
from scoreline.settings import Settings


@click.command(short_help="A file through the server -> results/results.json.")
@options(*FOLDERS, "port", "url", "concurrency")
def inference(settings: Settings) -> None:
    """Score every row of the spine's file through a running server.

    Writes results.json to the results folder: one JSON line a row, in the order of the file. Exits
    1 if any record could not be scored; those lines hold an `error`.
    """
    run_inference(settings, settings.url or f"http://127.0.0.1:{settings.port}")


def run_inference(settings: Settings, url: str) -> None:
    """Score the file and print the summary; InferenceError if any record could not be scored."""
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
    )
    click.echo("\n".join(inference_lines(report)))
    if report.errors:
        raise InferenceError(f"{report.errors:,} of {report.records:,} records could not be scored; see {report.path}")
