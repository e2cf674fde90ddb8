"""`scoreline ingest`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from scoreline.cli.options import options
from scoreline.errors import TableError
from scoreline.settings import Settings


@click.command(short_help="New rows of a joined table, seen by a running server at once.")
@options("app", "data", "model", "results", "state")
@click.argument("table")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--batch-id", default=None, help="The batch's name; sent again, it changes nothing. Default: the file's SHA-256."
)
def ingest(settings: Settings, table: str, file: Path, batch_id: str | None) -> None:
    """Append the rows of FILE (CSV or JSON Lines, - for stdin) to TABLE, with or without a server.

    They go into the state folder, or into the networked store that SCORELINE_STORE names.
    Orders that are answered live see them at once; the next `scoreline feature` folds them in. Rows that can't be
    read are set aside, each with its line and why. Exits 1 where there is none but such rows.
    """
    from scoreline.app.load import load_app
    from scoreline.generations.ingest import SHOWN, Ingest, spooled
    from scoreline.generations.online import open_events, open_online
    from scoreline.generations.state import StateFolder, refuse_passed_over

    app = load_app(settings.app)
    online = open_online(settings, app)
    if online is None:
        refuse_passed_over(settings)
    state = StateFolder(settings.state)
    into = Ingest(app, state.path, open_events(settings, online))
    path = spooled(sys.stdin.buffer, state.path) if str(file) == "-" else file
    try:
        report = into.append_file(table, path, batch_id)
    except TableError as error:
        if path is file:
            raise
        said = str(error).replace(str(path), "<stdin>").replace(path.name, "<stdin>")
        raise TableError(said) from error
    finally:
        if path is not file:
            path.unlink(missing_ok=True)
    before = f", {report.known:,} of them there before" if report.known else ""
    aside = f", {len(report.rejected):,} set aside" if report.rejected else ""
    click.echo(f"ingest: {report.rows:,} rows of {report.table} in batch {report.batch[:12]}{before}{aside}")
    for row in report.rejected[:SHOWN]:
        column = f", column '{row.column}'" if row.column else ""
        click.echo(f"  line {row.line}{column}: {row.why}")
    if len(report.rejected) > SHOWN:
        click.echo(f"  and {len(report.rejected) - SHOWN:,} more")
    if online is None and state.current() is None:
        click.echo(
            f"  in {state.path}, from which nothing is served yet: a server sees it with that as its state folder"
        )
    if report.rejected and not report.rows:
        raise TableError(f"{file}: none of its {len(report.rejected):,} rows can be read")
