"""What a container of the image runs: `scoreline`, as the right user."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from scoreline.cli.main import MISUSED, main
from scoreline.cli.options import say
from scoreline.container.user import MOUNTS, become, choose_user, mount_points
from scoreline.errors import SettingError
from scoreline.settings import resolve_settings

_SERVING = ("serve", "status", "check", "doctor")  # these write nothing that a person keeps


def run() -> None:
    """Stop being root where somebody else will do, then run the command line."""
    if os.geteuid() == 0:
        _drop(sys.argv[1:])
    main()


def _drop(arguments: list[str]) -> None:
    try:
        settings = resolve_settings()
    except SettingError as error:
        click.echo(f"scoreline: {error}", err=True)
        sys.exit(MISUSED)
    written = [settings.results, settings.results.parent, settings.model]  # /opt/ml/output is mounted, not its data/
    user = choose_user(
        [path for path in written if path not in (settings.app, Path("/"))],
        [settings.model],
        writes=not arguments or arguments[0] not in _SERVING,
        mounts=mount_points(MOUNTS.read_text()),
    )
    if user is None:
        say("scoreline: stays root, to whom the folders belong that it works on")
        return
    become(user)
    say(f"scoreline: runs as user {user.uid}, {user.why}")
