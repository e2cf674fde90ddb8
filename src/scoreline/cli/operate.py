"""`scoreline refresh`, `status` and `rollback`: on the state folder, whether a server runs or not."""

from __future__ import annotations

import click

from scoreline.cli.options import SERVED, options
from scoreline.settings import Settings


@click.command(short_help="Publish new tables, features and models to a running server.")
@options(*SERVED)
@click.option("--dry-run", is_flag=True, help="Validate only: publish nothing.")
def refresh(settings: Settings, dry_run: bool) -> None:
    """Publish what changed, as one generation: reference tables, feature table, model artifact.

    Everything is checked before; if anything is not good, the generation published before goes on
    and this exits 1. A running server answers from the new one at its next request.
    """
    from scoreline.app.load import load_app
    from scoreline.cli.report import refresh_lines
    from scoreline.generations.state import StateFolder
    from scoreline.serving.start import make_builder

    builder = make_builder(settings, load_app(settings.app), StateFolder(settings.state))
    click.echo("\n".join(refresh_lines(builder.refresh("ask", dry_run=dry_run))))


@click.command(short_help="Which generation is served, and how old its tables are.")
@options(*SERVED)
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def status(settings: Settings, as_json: bool) -> None:
    """Show the published generation, those to go back to, and each reference table's age."""
    import json

    from scoreline.app.load import load_app
    from scoreline.cli.report import status_lines
    from scoreline.generations.online import open_online
    from scoreline.generations.state import StateFolder
    from scoreline.generations.status import describe_state
    from scoreline.serving.start import source_of

    state = StateFolder(settings.state, read_only=(settings.state / "published").exists())
    app = load_app(settings.app)
    described = describe_state(state, app, source_of(settings), open_online(settings, app))
    described["servers"] = sorted(state.servers())
    click.echo(json.dumps(described, indent=1) if as_json else "\n".join(status_lines(described)))


@click.command(short_help="Go back to earlier content, and stay there until --unpin.")
@options(*SERVED)
@click.option(
    "--to", type=click.IntRange(1), default=None, help="The generation's number. Default: the content before."
)
@click.option("--unpin", is_flag=True, help="Let new content be published again.")
def rollback(settings: Settings, to: int | None, unpin: bool) -> None:
    """Publish earlier content as a new generation and pin it, so that no refresh brings the bad file back."""
    from scoreline.app.load import load_app
    from scoreline.generations.state import StateFolder
    from scoreline.serving.start import make_builder

    if unpin and to is not None:
        raise click.UsageError("either --to or --unpin, not both")
    state = StateFolder(settings.state)
    builder = make_builder(settings, load_app(settings.app), state)
    if unpin:
        was = state.pinned
        builder.unpin()
        click.echo(
            "nothing was pinned" if was is None else f"unpinned; the next refresh or poll leaves generation {was}"
        )
        return
    generation = builder.rollback(to)
    click.echo(f"published {generation.name} ({generation.why}), pinned until: scoreline rollback --unpin")
