"""Making sure, at start, that there is a generation to answer from. Engines are loaded here, and not in workers."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path

from scoreline.app.declaration import App
from scoreline.app.load import load_app
from scoreline.errors import AppError, ArtifactError, ScorelineError
from scoreline.generations.builder import Builder
from scoreline.generations.online import open_online
from scoreline.generations.package import APP_FOLDER, MEND_PACKAGE, read_package
from scoreline.generations.report import RefreshReport
from scoreline.generations.state import StateFolder
from scoreline.serving.service import make_predictor
from scoreline.settings import PACKAGE_FILE, Settings
from scoreline.tables.fetch import Source, open_source

# What the parts of a generation say to whoever has the app's folder at hand.
_TO_AN_APP = re.compile(r"(?:\. Run|; run) `scoreline (?:feature|train)`(?: first| again)?\.$")


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
        None if settings.copies is None else read_package(settings.copies),
        settings.events_days,
        open_online(settings, app),
    )


def open_generation(settings: Settings, say: Callable[[str], None], *, verb: str = "serve") -> RefreshReport:
    """Verify model, feature table and reference tables, and publish them unless they are published already.

    Where the source of a reference table gives no good file, the copy of the last generation is
    taken, and said so.

    Parameters
    ----------
    verb : who says so

    Raises
    ------
    ScorelineError
        Something is missing or damaged, and there is no copy: the message says what to do.
    """
    _refuse_without_app(settings)
    try:
        app = load_app(settings.app)
        report = make_builder(settings, app, StateFolder(settings.state)).refresh("start")
    except ScorelineError as error:
        if settings.package is None or not _TO_AN_APP.search(str(error)):
            raise
        raise type(error)(_TO_AN_APP.sub(f". {MEND_PACKAGE}", str(error))) from error
    for note in report.notes:
        say(f"{verb}: {note}")
    return report


def _refuse_without_app(settings: Settings) -> None:
    """Say what was looked at where there is neither an app nor a whole package that brings one."""
    path = settings.app / "app.py"
    if path.is_file():
        return
    if settings.package is not None and settings.app == settings.package / APP_FOLDER:
        raise ArtifactError(f"{path}: is missing from the model package. {MEND_PACKAGE}")
    if settings.package is None and settings.app.is_dir() and settings.model.is_dir():
        raise AppError(
            f"{settings.app.absolute()}: no app.py here, and {settings.model}: no {PACKAGE_FILE}, so that it is no "
            "model package. Unpack a whole package there, or name the app's folder with --app DIR or SCORELINE_APP."
        )
