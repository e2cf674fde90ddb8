"""Options that commands share. Their help, defaults and variables come from the settings' one declaration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from scoreline.settings import ENGINES, MOST_WORKERS, SETTINGS, Setting, Settings, resolve_settings

_NAMES = {"model": "--model-dir"}
_TYPES: dict[str, Any] = {
    "port": click.IntRange(1, 65535),
    "workers": click.IntRange(1, MOST_WORKERS),
    "worker_class": click.Choice(["asgi", "sync"]),
    "concurrency": click.IntRange(1),
    "engine": click.Choice(ENGINES),
}
FOLDERS = ("app", "data", "model", "results")
SERVED = (*FOLDERS, "state", "data_url")  # what generations are made from, and where they are kept


def options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of some settings; it is called with `settings`, made from them."""
    wanted = [setting for setting in SETTINGS if setting.name in names]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def with_settings(**given: Any) -> None:
            own = {setting.name: given.pop(setting.name) for setting in wanted}
            command(settings=settings_of(own), **given)

        with_settings.__doc__ = command.__doc__
        with_settings.__name__ = command.__name__
        decorated: Callable[..., None] = with_settings
        decorated.__dict__.update(command.__dict__)
        for setting in reversed(wanted):
            decorated = click.option(*_declare(setting), default=None, type=_type(setting), help=_help(setting))(
                decorated
            )
        return decorated

    return decorate


def settings_of(given: dict[str, Any]) -> Settings:
    """Make the settings of a command from its options."""
    return resolve_settings(given)


def say(message: str) -> None:
    """Talk to the person at the terminal: on stderr, so that stdout holds results alone."""
    click.echo(message, err=True)


def _declare(setting: Setting) -> tuple[str, str]:
    return _NAMES.get(setting.name, f"--{setting.name.replace('_', '-')}"), setting.name


def _type(setting: Setting) -> Any:
    if setting.name in (*FOLDERS, "state"):
        return click.Path(file_okay=False, path_type=Path)
    if setting.name == "hyperparameters":
        return click.Path(dir_okay=False, path_type=Path)
    return _TYPES.get(setting.name)


def _help(setting: Setting) -> str:
    default = f" Default: {setting.default}{' ' + setting.unit if setting.unit else ''}." if setting.default else ""
    return f"{setting.help}{default}  [env: {', '.join(setting.variables)}]"
