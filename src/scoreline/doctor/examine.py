"""What `scoreline doctor` goes through: an app at rest and started, a running server, an image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scoreline.app.declaration import App
from scoreline.app.load import load_app
from scoreline.doctor import artifact, container, hosting, image, jail, process
from scoreline.doctor.docker import find_image
from scoreline.doctor.findings import Finding, NotChecked, Outcome
from scoreline.doctor.launch import Launch, launch_of
from scoreline.doctor.life import Life
from scoreline.doctor.records import find_records, read_records
from scoreline.doctor.sample import Sample
from scoreline.doctor.wire import Site
from scoreline.errors import ScorelineError
from scoreline.settings import Settings

_BROKEN = ("app", "artifact-app", "own-predictor", "golden", "features", "store")


def examine_url(url: str, settings: Settings, record: Path | None = None) -> Iterator[Finding]:
    """Look at a running server.

    Parameters
    ----------
    record : a file with valid records; else those of the app in the settings' folder, else of /openapi.json

    Raises
    ------
    SettingError
        The address or the file can't be used.
    """
    bare = Site(url)
    yield from hosting.CHECKS.look_at(Site(url, _sample(settings, record, bare)))


def examine_app(settings: Settings, record: Path | None = None) -> Iterator[Finding]:
    """Look at an app's files, then start `serve` with a state folder of its own and look at that.

    Raises
    ------
    SettingError
        The file of records can't be used.
    """
    sample = _sample(settings, record, None)
    found: dict[str, Finding] = {}
    for finding in artifact.CHECKS.look_at(artifact.Bench(settings)):
        found[finding.name] = finding
        yield finding
    ill = [name for name in _BROKEN if found[name].outcome is Outcome.FAILED]
    if ill:
        for checks in (process.BEGIN, hosting.CHECKS, process.END, process.CHECKS, jail.CHECKS):
            yield from checks.leave(f"{ill[0]} comes first")
        return
    yield from examine_launch(launch_of(settings, sample))


def examine_launch(launch: Launch) -> Iterator[Finding]:
    """Start a server, look at it from start to end, then start it some more times to see it in trouble."""
    found: dict[str, Finding] = {}
    with Life(launch) as life:
        for finding in process.BEGIN.look_at(life):
            found[finding.name] = finding
            yield finding
        if found["start"].outcome is Outcome.PASSED:
            yield from hosting.CHECKS.look_at(life.site)
        else:
            yield from hosting.CHECKS.leave("start comes first")
        yield from process.END.look_at(life, found)
    for checks in (process.CHECKS, jail.CHECKS):
        yield from checks.look_at(launch, found)


def examine_image(name: str, settings: Settings, record: Path | None = None) -> Iterator[Finding]:
    """Look at an image of the local Docker engine, then run it as SageMaker does, and look at that.

    The model folder of the settings is mounted, where there is one.

    Raises
    ------
    SettingError
        The engine has no such image, or the file of records can't be used.
    """
    sample = _sample(settings, record, None)
    try:
        found = find_image(name)
    except NotChecked as reason:
        for checks in (image.CHECKS, container.BEGIN, container.END, container.CHECKS, hosting.CHECKS):
            yield from checks.leave(str(reason))
        return
    yield from image.CHECKS.look_at(found)
    yield from examine_case(container.Case(found, settings.model if settings.model.is_dir() else None, sample))


def examine_case(case: container.Case) -> Iterator[Finding]:
    """Run an image, look at it from start to end, then run it with less."""
    found: dict[str, Finding] = {}
    try:
        for finding in container.BEGIN.look_at(case):
            found[finding.name] = finding
            yield finding
        if found["image-serves"].outcome is Outcome.PASSED:
            yield from hosting.CHECKS.look_at(case.container.site)
        else:
            yield from hosting.CHECKS.leave("image-serves comes first")
        yield from container.END.look_at(case, found)
    finally:
        case.close()
    yield from container.CHECKS.look_at(case, found)


def _sample(settings: Settings, record: Path | None, site: Site | None) -> Sample | None:
    return read_records(record) if record else find_records(_app(settings), settings.data, settings.results, site)


def _app(settings: Settings) -> App | None:
    try:
        return load_app(settings.app)
    except ScorelineError:
        return None  # artifact.CHECKS say what is wrong with it, where it is the one to look at
