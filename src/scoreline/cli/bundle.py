"""What an image carries of an app: `python -m scoreline.cli.bundle APP OUT`, run as the image is built."""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from scoreline.app.load import load_app
from scoreline.cli.feature import run_feature
from scoreline.cli.main import run_reporting
from scoreline.cli.options import say
from scoreline.cli.train import run_train
from scoreline.model.artifact import MANIFEST_FILE
from scoreline.sagemaker.package import collect_package
from scoreline.serving.nginx import check_configuration
from scoreline.serving.start import source_of
from scoreline.settings import PACKAGE_FILE, Settings, resolve_settings

MADE = ("data", "model", "results", "state")  # folders of an app that the image has anew, or not at all
_IN_THE_APP = ("app/", "data/", "results/", PACKAGE_FILE)


def bundle(folder: Path, out: Path) -> None:
    """Lay out an app as the image carries it: its files, a model, and what serving that model needs.

    The model is the app's own where it has one, else it is trained from the app's data. Of the data only
    the reference tables are taken along.

    Raises
    ------
    ScorelineError
        The data or the model will not do; the message says why.
    """
    check_configuration(folder)
    with tempfile.TemporaryDirectory() as work:
        settings = resolve_settings({"app": folder, "data": folder / "data", "results": Path(work, "results")})
        settings = _with_model(settings, folder, Path(work))
        unwanted = {str(folder): MADE}
        shutil.copytree(folder, out, ignore=lambda where, _: ("__pycache__", *unwanted.get(where, ())))
        with collect_package(folder, settings.model, settings.results, source_of(settings), Path(work)) as content:
            for name, part in content.parts.items():
                path = out / _place(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(part) if isinstance(part, bytes) else shutil.copyfile(part, path)
        for name in MADE[:3]:  # where tables, models and results are mounted, also with a read-only root
            (out / name).mkdir(exist_ok=True)


def _with_model(settings: Settings, folder: Path, work: Path) -> Settings:
    has_model = (folder / "model" / MANIFEST_FILE).is_file()
    settings = replace(settings, model=folder / "model" if has_model else work / "model")
    if not has_model or load_app(folder).declared_request is None:
        settings.results.mkdir()
        run_feature(settings)
    if not has_model:
        run_train(settings)
    else:
        say("bundle: the app's own model/ is taken")
    return settings


def _place(name: str) -> str:
    """Return where a file of a package goes in the image's app folder.

    Examples
    --------
    >>> _place("app/predictor.py"), _place("data/cards.csv"), _place("manifest.json")
    ('predictor.py', 'data/cards.csv', 'model/manifest.json')
    """
    return name.removeprefix("app/") if name.startswith(_IN_THE_APP) else f"model/{name}"


if __name__ == "__main__":
    sys.exit(run_reporting(lambda: bundle(Path(sys.argv[1]), Path(sys.argv[2]))))
