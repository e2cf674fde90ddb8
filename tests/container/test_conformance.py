"""The black-box checks of SageMaker's container contract, whole and strict, against the images of both applications."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tarfile

import pytest
from images import ROOT
from servers import folders, plain_environment

pytestmark = [pytest.mark.slow, pytest.mark.needs("docker"), pytest.mark.needs("conformance")]
CHECKS = ROOT.parent / "shared/conformance"
REQUEST = "order_triage"  # whose records are keys; approval odds' are sent as the inputs of its heads


@pytest.fixture(params=["order_triage", "approval_odds"])
def app(request):
    """Give the name of an application."""
    return request.param


@pytest.fixture
def image(app, request):
    """Give the application's image."""
    return request.getfixturevalue("triage_image" if app == "order_triage" else "odds_image")


@pytest.fixture
def model(app, tmp_path):
    """Give a model package of the application's sample, unpacked as the platform does."""
    work = tmp_path / "app"
    shutil.copytree(ROOT / "apps" / app, work, ignore=shutil.ignore_patterns("results", "model", "state", "s3"))
    for verb in ("feature", "train", "package"):
        command = [sys.executable, "-m", "scoreline", verb, *folders(work)]
        subprocess.run(command, check=True, capture_output=True, env=plain_environment())
    with tarfile.open(work / "model.tar.gz") as archive:
        archive.extractall(tmp_path / "model", filter="data")
    return tmp_path / "model"


@pytest.fixture
def channel(app, tmp_path):
    """Give a folder with one channel, the application's tables."""
    shutil.copytree(ROOT / "apps" / app / "data", tmp_path / "channels/training")
    return tmp_path / "channels"


def record_of(app, model, work):
    """Return a valid line of CSV, and the positions of its columns that are no numbers."""
    manifest = json.loads((model / "manifest.json").read_text())
    schema = manifest["schemas"]["request" if app == REQUEST else "inputs"]
    with (work / "results/feature.csv").open() as file:
        row = next(line for line in csv.DictReader(file) if "," not in "".join(line[name] for name in schema))
    text = [str(place) for place, name in enumerate(schema) if schema[name]["type"] in ("text", "category")]
    return ",".join(row[name] for name in schema), ",".join(text)


def test_the_image_keeps_the_contract(app, image, model, channel, tmp_path):
    row, text = record_of(app, model, tmp_path / "app")
    given = {
        "IMAGE": image,
        "MODEL": str(model),
        "TRAIN": str(channel),
        "ROW": row,
        "TEXT_COLUMNS": text,
        "STRICT": "1",
    }
    variables = plain_environment() | {f"CONFORMANCE_{name}": value for name, value in given.items()}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-x", "test_image.py"]
    done = subprocess.run(command, cwd=CHECKS, env=os.environ | variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
    assert " skipped" not in done.stdout.splitlines()[-1]
