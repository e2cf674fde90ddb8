"""`scoreline parity`."""

from __future__ import annotations

import click

from scoreline.cli.options import FOLDERS, options
from scoreline.errors import InferenceError
from scoreline.settings import Settings


@click.command(short_help="Prove that new rows get what the feature table would give them.")
@options(*FOLDERS, "port", "url")
@click.option("--rows", type=click.IntRange(1), default=None, help="So many, spread over the table. Default: all rows.")
def parity(settings: Settings, rows: int | None) -> None:
    """Replay rows of the feature table through a running server, as if they were new.

    Every feature and every field of the reply is compared, value by value. Exits 1 if anything
    differs; prints by feature how many rows do, how, and the first of them.
    """
    from scoreline.app.load import load_app
    from scoreline.inference.client import Client
    from scoreline.inference.parity import parity_lines, run_parity

    client = Client(settings.url or f"http://127.0.0.1:{settings.port}", 1, settings.inference_timeout_s)
    client.wait_for_server()
    report = run_parity(load_app(settings.app), settings.data, settings.results, client.post_all, rows=rows)
    click.echo("\n".join(parity_lines(report)))
    if not report.is_good:
        raise InferenceError(
            f"{report.rows:,} rows compared, {len(report.differences)} of features and reply fields differ, "
            f"{report.refused:,} rows were not answered"
        )
