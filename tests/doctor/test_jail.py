"""On a strict platform: what a server needs that it will not have there is found, and told its fix."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path

import pytest

from scoreline.doctor import jail
from scoreline.doctor.findings import NotChecked, Outcome
from scoreline.doctor.launch import Launch

pytestmark = [pytest.mark.slow, pytest.mark.needs("namespaces")]

# fault of the process, the one check that it fails, what came, words of its fix
FAULTS = [
    ("needs-network", "no-network", "ConnectionRefusedError", "Fetch nothing at start"),
    ("loopback", "all-addresses", "on 127.0.0.1:", "Listen on 0.0.0.0 inside a container"),
    ("writes-to-app", "read-only-disk", "Read-only file system", "Write to /tmp alone"),
    ("large-tmp", "small-tmp", "No space left on device", "unpack nothing into /tmp"),
]


@pytest.fixture
def launch(tmp_path, sample):
    """Give a function that returns how a server with faults is started, from a folder of its own."""
    program = shutil.copy(Path(__file__).with_name("broken.py"), tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.txt").write_text("good")

    def of(*faults, **environment):
        given = {"SCORELINE_MODEL_DIR": str(tmp_path / "model"), **environment}
        return Launch((sys.executable, program, *faults), given, (tmp_path / "model", tmp_path), sample)

    return of


def look_at(launch):
    return {finding.name: finding for finding in jail.CHECKS.look_at(launch) if finding.name != "non-root"}


def test_a_process_that_needs_nothing_of_it_passes(launch):
    found = look_at(launch())
    assert {name: finding.came for name, finding in found.items() if finding.outcome is not Outcome.PASSED} == {}


@pytest.mark.parametrize(("fault", "check", "came", "fix"), FAULTS, ids=[fault for fault, *_ in FAULTS])
def test_a_fault_is_found_by_its_check_alone_and_told_its_fix(launch, fault, check, came, fix):
    with socket.create_server(("127.0.0.1", 0)) as needed:
        looked = look_at(launch(fault, NEEDED_PORT=str(needed.getsockname()[1])))
    (found,) = [finding for finding in looked.values() if finding.outcome is Outcome.FAILED]
    assert found.name == check
    assert came in found.came
    assert fix in found.fix


@pytest.mark.needs("another user")
@pytest.mark.parametrize(("faults", "outcome"), [((), Outcome.PASSED), (("needs-root",), Outcome.FAILED)])
def test_a_server_that_needs_root_is_found(sample, faults, outcome):
    with tempfile.TemporaryDirectory(prefix="scoreline-test-", dir="/tmp") as name:
        folder = Path(name)  # which anybody may read, unlike tmp_path
        folder.chmod(0o755)
        shutil.copy(Path(__file__).with_name("broken.py"), folder)
        (folder / "model.txt").write_text("good")
        python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
        given = Launch((python, str(folder / "broken.py"), *faults), {"SCORELINE_MODEL_DIR": name}, (folder,), sample)
        (found,) = [finding for finding in jail.CHECKS.look_at(given) if finding.name == "non-root"]
    assert found.outcome is outcome, found.came
    if faults:
        assert "PermissionError: only root" in found.came
        assert "a port above 1023" in found.fix


@pytest.mark.needs("another user")
def test_what_another_user_cannot_read_is_not_held_against_the_server(launch, tmp_path):
    tmp_path.chmod(0o700)
    (found,) = [finding for finding in jail.CHECKS.look_at(launch()) if finding.name == "non-root"]
    assert (found.outcome, found.came.split(" ", 1)[1][:10]) == (Outcome.NOT_CHECKED, "can't read")


def test_without_unshare_it_is_not_checked_and_says_why(launch, monkeypatch):
    monkeypatch.setattr(jail.shutil, "which", lambda _: None)
    found = look_at(launch())
    assert {finding.outcome for finding in found.values()} == {Outcome.NOT_CHECKED}
    assert found["no-network"].came == "there is no unshare here (util-linux)"


def test_who_is_not_root_may_not_mount(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NotChecked, match="only root may mount"):
        jail._unshare("--mount")
