"""`scoreline feature`."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scoreline.app.declaration import App
from scoreline.cli.options import FOLDERS, options, say
from scoreline.errors import SettingError
from scoreline.settings import Settings

if TYPE_CHECKING:
    from scoreline.generations.online import Online


@click.command(short_help="Raw tables -> point-in-time features.")
@options(*FOLDERS, "data_url", "state")
@click.option("--publish", is_flag=True, help="Then publish them in the networked store that SCORELINE_STORE names.")
def feature(settings: Settings, publish: bool) -> None:
    """Build point-in-time features from the raw tables.

    Writes feature.csv, feature.parquet and the online store to the results folder; rows that can't
    be read go to rejected/ there. Rows that were ingested, in the state folder, are folded in. On any
    error the last good results stay.
    """
    if publish and settings.store is None:
        raise SettingError(
            "--publish: expected a networked store in SCORELINE_STORE, for example redis://127.0.0.1:6379"
        )
    run_feature(settings, publish=publish)


def run_feature(settings: Settings, *, publish: bool = False) -> list[str]:
    """Build the features; print the summary and return its lines.

    Parameters
    ----------
    publish : then publish them in the networked store
    """
    from scoreline.app.load import load_app
    from scoreline.cli.report import feature_lines
    from scoreline.features.build import build_features
    from scoreline.generations.online import open_events, open_online
    from scoreline.generations.state import refuse_passed_over
    from scoreline.serving.plan import plan_workers
    from scoreline.store.events import EVENTS_FILE

    app = load_app(settings.app)
    online = open_online(settings, app)
    if online is None and (settings.app / "state" / EVENTS_FILE).exists():
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
            events=open_events(settings, online, only_if_there=True),
        )
    lines = feature_lines(report, settings.results)
    click.echo("\n".join(lines))
    if publish and online is not None:
        lines.append(_publish(settings, app, online))
        click.echo(lines[-1])
    return lines


def _publish(settings: Settings, app: App, online: Online) -> str:
    """Publish the feature table in the networked store; drop what was ingested long ago; say what is current now."""
    publication = online.publish(settings.results, lambda line: say(f"feature: {line}"))
    dropped = online.drop_events(app, settings.events_days)
    told = f"; {dropped:,} ingested rows dropped, which it holds" if dropped else ""
    return f"  published in {online.where}: {publication.digest[:12]}, current since {publication.at[:19]}Z{told}"


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
