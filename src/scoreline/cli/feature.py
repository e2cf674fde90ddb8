"""`scoreline feature`."""

from __future__ import annotations

import click

from scoreline.cli.options import FOLDERS, options
from scoreline.settings import Settings


@click.command(short_help="Raw tables -> point-in-time features.")
@options(*FOLDERS)
def feature(settings: Settings) -> None:
    """Build point-in-time features from the raw tables.

    Writes feature.csv, feature.parquet and the online store to the results folder; rows that can't
    be read go to rejected/ there. On any error the last good results stay.
    """
    run_feature(settings)


def run_feature(settings: Settings) -> None:
    """Build the features and print the summary."""
    from scoreline.app.load import load_app
    from scoreline.cli.report import feature_lines
    from scoreline.features.build import build_features
    from scoreline.serving.plan import plan_workers

    report = build_features(
        load_app(settings.app),
        settings.data,
        settings.results,
        threads=plan_workers(None).workers,
        max_bad_percent=settings.max_bad_percent,
        max_bad_rows=settings.max_bad_rows,
    )
    click.echo("\n".join(feature_lines(report, settings.results)))
