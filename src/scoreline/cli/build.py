"""`scoreline build`."""

from __future__ import annotations

import shlex

import click

from scoreline.cli.options import options, say
from scoreline.settings import Settings


@click.command(short_help="An app and its model -> a container image.")
@options("app")
@click.option("--tag", help="Name of the image, NAME or NAME:TAG. Default: the app's name.")
@click.option("--base", help="The image to build on, any Debian with Python 3.11 to 3.13. Default: the Dockerfile's.")
@click.option("--platform", help="The platform to build for, for example linux/amd64. Default: the engine's.")
@click.option("--dry-run", is_flag=True, help="Print the docker command only.")
@click.argument("more", nargs=-1, type=click.UNPROCESSED, metavar="[-- OPTIONS OF docker build]")
def build(
    settings: Settings, tag: str | None, base: str | None, platform: str | None, more: tuple[str, ...], *, dry_run: bool
) -> None:
    """Build the image that runs feature, train, serve and inference of an app.

    It carries the app and a model: the app's own model/ where there is one, else one that is trained from
    the app's data on the way. What follows -- goes to `docker build` as it is, for example -- --network=host.
    """
    from scoreline.app.load import load_app
    from scoreline.container.build import Build, build_image, image_name
    from scoreline.container.engine import has_buildx

    app = load_app(settings.app)
    wanted = Build(settings.app, tag or image_name(app.name), base, platform, more)
    if dry_run:
        if not wanted.context.is_checkout:
            say(f"build: the context {wanted.context.folder} is laid out by a run without --dry-run")
        click.echo(shlex.join(wanted.command(is_buildkit=has_buildx())))
        return
    size = build_image(wanted)
    click.echo(f"build: {wanted.tag}, {size / 1e6:,.0f} MB; docker run -p 8080:8080 {wanted.tag}")
