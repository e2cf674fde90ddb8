"""What `scoreline train` does in a training job: features, model and package, from and to the platform's folders."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from scoreline.cli.feature import run_feature
from scoreline.cli.options import say
from scoreline.cli.train import run_train, tune
from scoreline.settings import Settings

if TYPE_CHECKING:
    from scoreline.app.declaration import App
    from scoreline.model.train import TrainReport
    from scoreline.sagemaker.training import Job

METRICS_FILE, REPORT_FILE = "metrics.json", "report.txt"
_WORK = ".training-"


def run_job(settings: Settings) -> None:
    """Run a training job on its first host; the others have nothing to do.

    The model folder gets the whole model package, so that the archive that a platform makes of it
    serves as it is; the results folder gets the features, the rows set aside, metrics and report.
    """
    from scoreline.app.load import load_app
    from scoreline.sagemaker.package import collect_package, put_package
    from scoreline.sagemaker.training import read_job
    from scoreline.serving.start import source_of

    job = read_job(settings.ml_root)
    if not job.is_first:
        say(f"train: {job.host} leaves the work to {job.hosts[0]}")
        return
    app = load_app(settings.app)
    tune(app, settings.hyperparameters)  # before hours of work, not after
    settings.results.mkdir(parents=True, exist_ok=True)
    with _work(settings.results) as work:
        found, lines = _find_inputs(settings, job, app, work)
        if found.results == settings.results:
            lines += run_feature(found)
        report, more = run_train(replace(found, model=work / "model"), ends_in=settings.model)
        with collect_package(found.app, work / "model", found.results, source_of(found), work) as content:
            put_package(content, settings.model)
    _write_report(settings, app, report, [*lines, *more])


@contextmanager
def _work(results: Path) -> Iterator[Path]:
    """Give a folder to work in, on the large disk; what a killed job left there goes."""
    import shutil

    for left in results.glob(f"{_WORK}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_WORK, dir=results) as folder:
        (Path(folder) / "references").mkdir()
        yield Path(folder)


def _find_inputs(settings: Settings, job: Job, app: App, work: Path) -> tuple[Settings, list[str]]:
    """Return the settings with the folders that the channels stand for; a folder that was named stays."""
    from scoreline.sagemaker.training import bring_references, find_inputs, skipped

    if settings.data != job.root / "input/data":
        return settings, []
    inputs = find_inputs(job, app)
    notes = [f"train: {line}" for line in skipped(inputs, job)]
    for note in notes:
        say(note)
    found = replace(settings, data=inputs.data or settings.data, results=inputs.features or settings.results)
    if inputs.references and settings.data_url is None:
        bring_references(inputs, app, work / "references")
        found = replace(found, data_url=str(work / "references"))
    return found, notes


def _write_report(settings: Settings, app: App, report: TrainReport, lines: list[str]) -> None:
    from scoreline.files import write_atomically

    described = {
        "job": os.environ.get("TRAINING_JOB_NAME"),
        "app": app.name,
        "rows": report.rows,
        "hyperparameters": dict(app.declared_hyperparameters),
        "metrics": {head: metrics.describe() for head, metrics in report.metrics.items()},
        "absent": report.absent,
    }
    write_atomically(settings.results / METRICS_FILE, (json.dumps(described, indent=1) + "\n").encode())
    write_atomically(settings.results / REPORT_FILE, ("\n".join(lines) + "\n").encode())
