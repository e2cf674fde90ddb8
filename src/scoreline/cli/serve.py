"""`scoreline serve`."""

from __future__ import annotations

import click

from scoreline.cli.options import SERVED, options, say
from scoreline.cli.signals import Terminated, settle
from scoreline.settings import Settings


@click.command(short_help="Model artifact -> HTTP: GET /ping, POST /invocations.")
@options(*SERVED, "port", "host", "workers", "worker_class")
def serve(settings: Settings) -> None:
    """Serve the model over HTTP: GET /ping and POST /invocations.

    nginx -> gunicorn. Runs until Ctrl-C or SIGTERM, then answers what is in flight and
    exits 0. Exits 1 if nginx or gunicorn dies.
    """
    from scoreline.serving.supervisor import serve as supervise

    try:
        supervise(settings, say)
    except (KeyboardInterrupt, Terminated):  # while it was still loading: there is nothing to drain
        settle()
        say("serve: stopped")
