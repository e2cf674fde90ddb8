"""What tests of batch scoring share: made apps, and the command in this process or in one of its own."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from servers import Command, folders, made_app

from scoreline.cli.main import run


@pytest.fixture(scope="session")
def triage(tmp_path_factory):
    """Give a folder of order triage with 300 orders, features and model; read only.

    Not that which others have: their services have its store open in this process, and LMDB opens a file once.
    """
    folder = tmp_path_factory.mktemp("scored") / "triage"
    return Path(shutil.copytree(made_app(tmp_path_factory), folder, ignore=shutil.ignore_patterns("state")))


@pytest.fixture
def own_triage(triage, tmp_path):
    """Give a copy of it that a test may change."""
    return Path(shutil.copytree(triage, tmp_path / "own", ignore=shutil.ignore_patterns("state", "__pycache__")))


@pytest.fixture
def score(capsys):
    """Give a function that runs `scoreline score` in this process: code, out, err."""

    def run_it(app, input, output, *options, **others):
        arguments = [*folders(app, **others), "--input", str(input), "--output", str(output), *map(str, options)]
        code = run(["score", *arguments])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    return run_it


@pytest.fixture
def start_score(tmp_path):
    """Give a function that starts `scoreline score` in a process of its own; all are stopped at the end."""
    started = []

    def start(app, input, output, *options):
        folder = tmp_path / f"command-{len(started)}"
        folder.mkdir()
        arguments = [*folders(app), "--input", str(input), "--output", str(output), *map(str, options)]
        started.append(Command([sys.executable, "-m", "scoreline", "score", *arguments], folder))
        return started[-1]

    yield start
    for command in started:
        command.stop()
