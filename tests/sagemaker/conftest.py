"""What tests of packages and training share: apps with features and model, and unpacked packages."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from cards import made_cards
from servers import folders, made_app

from scoreline.cli.main import run
from scoreline.settings import resolve_settings


@pytest.fixture(scope="session")
def triage(tmp_path_factory):
    """Give the folder of order triage with 300 orders, features and model; read only."""
    return made_app(tmp_path_factory)


@pytest.fixture(scope="session")
def cards(tmp_path_factory):
    """Give the folder of the app of cards, which has reference tables; read only."""
    return made_cards(tmp_path_factory)


@pytest.fixture
def pack(tmp_path, capsys):
    """Give a function that packs an app and unpacks that as a platform does; it gives what stands for /opt/ml."""

    def pack_it(app: Path, *options: str, name: str = "ml", **others: Path) -> Path:
        out = tmp_path / f"{name}.tar.gz"
        assert run(["package", *folders(app, **others), "--out", str(out), *options]) == 0, capsys.readouterr().err
        with tarfile.open(out) as archive:
            archive.extractall(tmp_path / name / "model", filter="data")
        return tmp_path / name

    return pack_it


@pytest.fixture
def hosted(tmp_path, monkeypatch):
    """Give a function from an unpacked package to the settings that `serve` finds, in a folder without any app."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    def settings(root: Path, **variables: str):
        variables = {"SCORELINE_ML_ROOT": str(root), "SCORELINE_STATE": str(tmp_path / "state"), **variables}
        return resolve_settings({}, variables)

    return settings
