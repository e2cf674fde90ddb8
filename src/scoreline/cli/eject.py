"""`scoreline eject`."""

from __future__ import annotations

import click

from scoreline.app.load import shown
from scoreline.cli.options import options
from scoreline.container.eject import FILES
from scoreline.container.eject import eject as copy
from scoreline.settings import Settings


@click.command(short_help="Our nginx.conf, or another file -> the app's folder, to edit.")
@options("app")
@click.argument("file", type=click.Choice(list(FILES)))
@click.option("--force", is_flag=True, help="Replace one that is there.")
def eject(settings: Settings, file: str, *, force: bool) -> None:
    """Copy one of our files into the app's folder, to start from.

    nginx.conf, wsgi.py and predictor.py there replace ours from the next `serve` on, in an image from the next
    `build` on, and `doctor` checks them. Dockerfile, docker-compose.yml and kubernetes.yaml are for docker and
    kubectl, by hand.
    """
    path = copy(file, settings.app, force=force)
    click.echo(f"eject: {shown(path)} is ours as it is. {FILES[file].hint}")
