"""`scoreline feature`."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scoreline.app.declaration import App
from scoreline.cli.options import FOLDERS, options, say
from scoreline.cli.signals import interrupted_as_terminated
from scoreline.distributed.addresses import is_address
from scoreline.errors import SettingError
from scoreline.settings import Settings

if TYPE_CHECKING:
    from scoreline.features.build import FeatureReport
    from scoreline.generations.online import Online
    from scoreline.store.merged import Events


@click.command(short_help="Raw tables -> point-in-time features.")
@options(*FOLDERS, "data_url", "state", "engine", "master")
@click.option(
    "--input", "source", help="With --engine spark: folder or address (s3a:, hdfs:) of the tables, not --data."
)
@click.option("--output", help="With --engine spark: a folder or address for features in parts, not --results.")
@click.option(
    "--format", "file_format", type=click.Choice(["parquet", "csv"]), help="What --output gets. Default: parquet."
)
@click.option("--publish", is_flag=True, help="Then publish them in the networked store that SCORELINE_STORE names.")
def feature(settings: Settings, source: str | None, output: str | None, file_format: str | None, publish: bool) -> None:
    """Build point-in-time features from the raw tables.

    Writes feature.csv, feature.parquet and the online store to the results folder; rows that can't
    be read go to rejected/ there. Rows that were ingested, in the state folder, are folded in. On any
    error the last good results stay.

    The engine spark gives the same from a cluster. With --output it writes parts at any address that
    Spark writes to, and no online store: docs/spark.md.
    """
    if settings.engine != "spark" and (source or output or file_format):
        raise SettingError("--input, --output and --format are for --engine spark; the engine is duckdb")
    if source is not None and not is_address(source) and not Path(source).is_dir():
        raise SettingError(f"--input {source}: no such folder; expected one that holds the tables, or an address")
    if file_format is not None and output is None:
        raise SettingError("--format: is for what --output gets; without it, results have their own formats")
    if publish and settings.store is None:
        raise SettingError(
            "--publish: expected a networked store in SCORELINE_STORE, for example redis://127.0.0.1:6379"
        )
    if publish and output is not None:
        raise SettingError("--publish: is for features in the results folder; what --output gets has no online store")
    run_feature(settings, Elsewhere(source, output, file_format or "parquet"), publish=publish)


@dataclass(frozen=True)
class Elsewhere:
    """Where the engine spark reads and writes, other than in the folders of the settings."""

    source: str | None = None
    output: str | None = None
    file_format: str = "parquet"


def run_feature(settings: Settings, elsewhere: Elsewhere | None = None, *, publish: bool = False) -> list[str]:
    """Build the features; print the summary and return its lines.

    Parameters
    ----------
    publish : then publish them in the networked store
    """
    from scoreline.app.load import load_app
    from scoreline.cli.report import feature_lines
    from scoreline.generations.online import open_events, open_online
    from scoreline.generations.state import refuse_passed_over
    from scoreline.store.events import EVENTS_FILE

    app = load_app(settings.app)
    online = open_online(settings, app)
    if online is None and (settings.app / "state" / EVENTS_FILE).exists():
        refuse_passed_over(settings)
    elsewhere = elsewhere or Elsewhere()
    events = open_events(settings, online, only_if_there=True)
    with reference_data(settings, app) as folder:
        if settings.engine == "spark":
            with interrupted_as_terminated():
                report = _on_spark(settings, app, elsewhere, folder, events)
        else:
            report = _here(settings, app, folder, events)
    lines = feature_lines(report, settings.results, at=elsewhere.output)
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


def _here(settings: Settings, app: App, references: Path | None, events: Events | None) -> FeatureReport:
    from scoreline.features.build import build_features
    from scoreline.serving.plan import plan_workers

    return build_features(
        app,
        settings.data,
        settings.results,
        threads=plan_workers(None).workers,
        max_bad_percent=settings.max_bad_percent,
        max_bad_rows=settings.max_bad_rows,
        reference_data=references,
        history_days=settings.history_days,
        events=events,
    )


def _on_spark(
    settings: Settings, app: App, elsewhere: Elsewhere, references: Path | None, events: Events | None
) -> FeatureReport:
    from scoreline.distributed.session import open_session, require_pyspark, stopped_after

    require_pyspark()
    session = open_session(settings.master, name=f"scoreline feature {app.name}")

    from scoreline.features.spread import Tables, build_features_at, build_features_in

    source = elsewhere.source or settings.data
    tables = Tables(source, settings.max_bad_percent, settings.max_bad_rows, references, events)
    with stopped_after(session):
        if elsewhere.output is not None:
            return build_features_at(elsewhere.output, app, session, tables, file_format=elsewhere.file_format)
        return build_features_in(settings.results, app, session, tables, history_days=settings.history_days)


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
