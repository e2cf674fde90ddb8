"""`scoreline train`."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scoreline.cli.options import FOLDERS, options
from scoreline.errors import SettingError
from scoreline.settings import OPT_ML, Settings, is_job, variables_of

if TYPE_CHECKING:
    from scoreline.app.declaration import App
    from scoreline.model.train import TrainReport


def _reported(command: Callable[..., None]) -> Callable[..., None]:
    """Let a platform know why its training job failed, whatever it was, settings among them."""

    @functools.wraps(command)
    def train_and_report(**given: object) -> None:
        from scoreline.sagemaker.training import clear_failure, write_failure

        root = Path(os.environ.get(variables_of("ml_root")[0], "").strip() or OPT_ML)
        if not is_job(root):
            return command(**given)
        try:
            clear_failure(root)
            command(**given)
        except BaseException as error:
            write_failure(root, error)
            raise

    return train_and_report


@click.command(short_help="Features -> model artifact.")
@_reported
@options(*FOLDERS, "hyperparameters", "data_url")
def train(settings: Settings) -> None:
    """Make the model artifact from the feature table.

    Prints how good each learned head is on the latest rows, beside always saying the base rate.

    In a training job (there is /opt/ml/input) it builds the features first, from the job's channels,
    and the model folder gets the whole model package.
    """
    from scoreline.cli.job import run_job

    if is_job(settings.ml_root):
        run_job(settings)
    else:
        run_train(settings)


def run_train(settings: Settings, ends_in: Path | None = None) -> tuple[TrainReport, list[str]]:
    """Train; print the summary, and return it with what it was made from.

    Parameters
    ----------
    ends_in : folder that the artifact is put into later, to be shown; None: where it is made
    """
    from scoreline.app.load import load_app
    from scoreline.cli.report import train_lines
    from scoreline.model.train import train as train_model
    from scoreline.serving.service import predictor_class

    app = load_app(settings.app)
    tune(app, settings.hyperparameters)
    report = train_model(app, settings.results, settings.model, predictor_class(settings.app))
    lines = train_lines(report, ends_in or settings.model)
    click.echo("\n".join(lines))
    return report, lines


def tune(app: App, path: Path | None) -> None:
    """Give an app the hyperparameters of a file, if there is one; SettingError says what is wrong with it."""
    from scoreline.sagemaker.training import read_object

    if path is None:
        return
    if not path.is_file():
        raise SettingError(f"{path}: no such file; expected a JSON object of hyperparameters")
    app.declared_hyperparameters.take(read_object(path), str(path))
