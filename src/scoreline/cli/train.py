"""`scoreline train`."""

from __future__ import annotations

import click

from scoreline.cli.options import FOLDERS, options
from scoreline.settings import Settings


@click.command(short_help="Features -> model artifact.")
@options(*FOLDERS)
def train(settings: Settings) -> None:
    """Make the model artifact from the feature table.

    Prints how good each learned head is on the latest rows, beside always saying the base rate.
    """
    run_train(settings)


def run_train(settings: Settings) -> None:
    """Train and print the summary."""
    from scoreline.app.load import load_app
    from scoreline.cli.report import train_lines
    from scoreline.model.train import train as train_model
    from scoreline.serving.service import predictor_class

    app = load_app(settings.app)
    report = train_model(app, settings.results, settings.model, predictor_class(settings.app))
    click.echo("\n".join(train_lines(report, settings.model)))
