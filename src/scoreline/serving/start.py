"""Making sure, at start, that there is a generation to answer from. Engines are loaded here, and not in workers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from scoreline.app.declaration import App
from scoreline.app.load import load_app
from scoreline.generations.builder import Builder
from scoreline.generations.package import read_package
from scoreline.generations.report import RefreshReport
from scoreline.generations.state import StateFolder
from scoreline.serving.service import make_predictor
from scoreline.settings import Settings
from scoreline.tables.fetch import Source, open_source


def source_of(settings: Settings) -> Source:
    """Return where the reference tables come from; SettingError where the setting can't be one."""
    url = settings.data_url
    if url is not None and "://" not in url:
        url = str(Path(url).resolve())  # shown, and compared with what other processes take
    return open_source(url, settings.data.resolve())


def make_builder(settings: Settings, app: App, state: StateFolder) -> Builder:
    """Return the builder of an app's generations."""
    return Builder(
        app,
        state,
        settings.model,
        settings.results,
        source_of(settings),
        functools.partial(make_predictor, settings.app),
        None if settings.package is None else read_package(settings.package),
    )


def open_generation(settings: Settings, say: Callable[[str], None]) -> RefreshReport:
    """Verify model, feature table and reference tables, and publish them unless they are published already.

    Where the source of a reference table gives no good file, the copy of the last generation is
    taken, and said so.

    Raises
    ------
    ScorelineError
        Something is missing or damaged, and there is no copy: the message says what to do.
    """
    app = load_app(settings.app)
    report = make_builder(settings, app, StateFolder(settings.state)).refresh("start")
    for note in report.notes:
        say(f"serve: {note}")
    return report
