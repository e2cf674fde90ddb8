"""What `scoreline serve` refuses to start with: exit 1, one line, and no process was started."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket

import psutil
import pytest
from cards import change, copy_cards, made_cards
from ports import free_port
from servers import copy_app, folders

from scoreline.generations.state import StateFolder
from scoreline.serving.scoreboard import SLOTS


@pytest.fixture(autouse=True)
def starts_nothing():
    """See that no process is left, beside those that other tests share."""
    before = psutil.Process().children()
    yield
    assert psutil.Process().children() == before


@pytest.fixture
def refused(cli, tmp_path):
    """Give a function that runs `serve`, sees it refuse, and returns its one line; nothing was published."""

    def serve(*arguments):
        state = tmp_path / "state"
        ran = cli("serve", *arguments, "--state", state, "--host", "127.0.0.1", "--port", free_port())
        assert not state.exists() or StateFolder(state).number == 0
        return line_of(ran)

    return serve


def line_of(ran):
    assert (ran.code, ran.out) == (1, "")
    (line,) = ran.err.splitlines()
    return line.removeprefix("scoreline: ")


def test_a_port_that_is_taken_is_named_with_its_process(cli, triage):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = line_of(cli("serve", *folders(triage), "--host", "127.0.0.1", "--port", port))
    name = psutil.Process().name()
    assert line == (f"port {port} is taken by {name} (pid {os.getpid()}). Stop it, or choose another port with --port.")


def test_a_missing_model_is_one_line(refused, triage, tmp_path):
    line = refused(*folders(triage, model_dir=tmp_path))
    assert line == f"{tmp_path}: no model artifact here. Run `scoreline train` first."


def test_missing_features_are_one_line(refused, triage, tmp_path):
    line = refused(*folders(triage, results=tmp_path))
    assert line == f"{tmp_path}: no feature table here. Run `scoreline feature` first."


def test_the_model_of_another_app_py_is_one_line(refused, triage, tmp_path):
    app = copy_app(tmp_path / "changed", ("NIGHT_ENDS = 6 ", "NIGHT_ENDS = 7 "))
    line = refused(*folders(app, model_dir=triage / "model", results=triage / "results"))
    assert "'rule night'" in line
    assert line.endswith("Run `scoreline train` again.")


def test_golden_rows_that_score_otherwise_are_one_line(refused, triage, tmp_path):
    model = shutil.copytree(triage / "model", tmp_path / "model")
    golden = json.loads((model / "golden.json").read_text())
    golden["outputs"]["fulfilment_probability"][0] += 1e-6
    (model / "golden.json").write_text(json.dumps(golden))
    manifest = json.loads((model / "manifest.json").read_text())
    manifest["files"]["golden.json"] = hashlib.sha256((model / "golden.json").read_bytes()).hexdigest()
    (model / "manifest.json").write_text(json.dumps(manifest))
    assert refused(*folders(triage, model_dir=model)).startswith("golden rows: head 'fulfilment_probability' gives ")


def test_more_workers_than_there_is_room_for_are_misuse(cli, triage):
    ran = cli("serve", *folders(triage), "--workers", SLOTS + 1)
    assert ran.code == 2
    assert f"Invalid value for '--workers': {SLOTS + 1} is not in the range 1<=x<={SLOTS}" in ran.err


def test_a_state_folder_that_cannot_be_made_is_one_line(cli, triage, tmp_path):
    (tmp_path / "file").write_text("in the way")
    where = ("--state", tmp_path / "file/state", "--host", "127.0.0.1", "--port", free_port())
    line = line_of(cli("serve", *folders(triage), *where))
    assert line.startswith(f"{tmp_path / 'file/state'}: the state folder can't be written (")


def test_a_reference_table_that_is_away_without_a_copy_is_one_line(refused, tmp_path_factory, tmp_path):
    line = refused(*folders(made_cards(tmp_path_factory)), "--data-url", tmp_path / "nowhere")
    assert f"{tmp_path / 'nowhere'}: no such folder" in line
    assert "There is no copy of 'cards' at hand" in line


def test_a_reference_table_that_is_bad_without_a_copy_is_one_line(refused, tmp_path_factory, tmp_path):
    app = copy_cards(made_cards(tmp_path_factory), tmp_path / "app")
    change(app / "data/cards.csv", lambda text: text.replace(b"620", b"6200"))
    assert refused(*folders(app)).startswith("reference table 'cards', cards.csv: 1 of 5 rows are bad")


def test_a_server_of_another_app_py_on_the_same_state_folder_is_one_line(cli, tmp_path_factory, tmp_path):
    state = StateFolder(tmp_path / "state")
    with state.serving("another app"):
        where = ("--state", state.path, "--host", "127.0.0.1", "--port", free_port())
        line = line_of(cli("serve", *folders(made_cards(tmp_path_factory)), *where))
    assert line.startswith(f"the server with pid {os.getpid()} runs app.py as it was before; ")
    assert state.number == 0
