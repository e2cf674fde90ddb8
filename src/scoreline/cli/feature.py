"""`scoreline feature`."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from scoreline.app.declaration import App
from scoreline.cli.options import FOLDERS, options, say
from scoreline.settings import Settings


@click.command(short_help="Raw tables -> point-in-time features.")
@options(*FOLDERS, "data_url", "state")
def feature(settings: Settings) -> None:
    """Build point-in-time features from the raw tables.

    Writes feature.csv, feature.parquet and the online store to the results folder; rows that can't
    be read go to rejected/ there. Rows that were ingested, in the state folder, are folded in. On any
    error the last good results stay.
    """
    run_feature(settings)


def run_feature(settings: Settings) -> list[str]:
    """Build the features; print the summary and return its lines."""
    from scoreline.app.load import load_app
    from scoreline.cli.report import feature_lines
    from scoreline.features.build import build_features
    from scoreline.generations.state import refuse_passed_over
    from scoreline.serving.plan import plan_workers
    from scoreline.store.events import EVENTS_FILE, event_log

    app = load_app(settings.app)
    if (settings.app / "state" / EVENTS_FILE).exists():
        refuse_passed_over(settings)
    with reference_data(settings, app) as folder:
        report = build_features(
            app,
            settings.data,
            settings.results,
            threads=plan_workers(None).workers,
            max_bad_percent=settings.max_bad_percent,
            max_bad_rows=settings.max_bad_rows,
            reference_data=folder,
            history_days=settings.history_days,
            events=event_log(settings.state) if (settings.state / EVENTS_FILE).exists() else None,
        )
    lines = feature_lines(report, settings.results)
    click.echo("\n".join(lines))
    return lines


@contextlib.contextmanager
def reference_data(settings: Settings, app: App) -> Iterator[Path | None]:
    """Give a folder with the reference tables' files where a source is set; None: they are with the others."""
    if settings.data_url is None or not app.reference_tables:
        yield None
        return
    from scoreline.tables.fetch import open_source
    from scoreline.tables.reference import fetch_references

    source = open_source(settings.data_url, settings.data)
    with tempfile.TemporaryDirectory(prefix="scoreline-") as folder:
        specs = [table.spec for table in app.reference_tables.values()]
        fetch_references(source, specs, Path(folder))
        say(f"feature: {', '.join(spec.name for spec in specs)} from {source.where}")
        yield Path(folder)
