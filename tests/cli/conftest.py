"""What tests of the command line share: running it in this process, and copies of order triage."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest
from servers import copy_app, made_app, write_sample

from scoreline.cli.main import run


@dataclass(frozen=True)
class Ran:
    """A command that ran: its exit code, and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def triage(tmp_path_factory):
    """Give the folder of order triage with 300 orders, features and model; read only."""
    return made_app(tmp_path_factory)


@pytest.fixture
def cli(capsys):
    """Give a function that runs a command line in this process."""

    def run_it(*arguments):
        code = run([str(argument) for argument in arguments])
        return Ran(code, *capsys.readouterr())

    return run_it


@pytest.fixture
def app(tmp_path):
    """Give an app folder of its own with the raw tables of 60 orders."""
    folder = copy_app(tmp_path / "app")
    write_sample(folder / "data", orders=60)
    return folder


@pytest.fixture
def here(monkeypatch):
    """Give a function that goes into a folder, as a person does who leaves out `--app`."""
    return lambda folder: monkeypatch.chdir(os.fspath(folder))
