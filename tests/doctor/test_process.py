"""A server that the doctor starts itself: each way to break the contract is found by its check, and told its fix."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from scoreline.doctor import process, quota
from scoreline.doctor.findings import Outcome
from scoreline.doctor.launch import Launch
from scoreline.doctor.life import Life
from scoreline.doctor.wire import Effort

pytestmark = pytest.mark.slow
BROKEN = Path(__file__).with_name("broken.py")
LITTLE = Effort(pings=3, idle=20, uploads=4, requests=3, busy_s=0.2)

# fault of the process, the one check that it fails, what came, words of its fix
FAULTS = [
    ("own-port", "start", "no 200 on port", "SAGEMAKER_BIND_TO_PORT, and 8080 only without it"),
    ("second-port", "only-port", "also on 127.0.0.1:", "unix sockets"),
    ("slow-to-load", "ready-is-ready", "503", "503 until the model is loaded"),
    ("many-workers", "worker-plan", "40 workers, ", "MODEL_SERVER_WORKERS unset"),
    ("ignores-sigterm", "sigterm", "it still runs after", "ENTRYPOINT in exec form"),
    ("bad-exit", "sigterm", "exit code 3", "SIGTERM"),
    ("drops-in-flight", "sigterm-in-flight", "the connection ends", "graceful_timeout"),
    ("writes-to-model", "model-untouched", "changed in it: cache", "SCORELINE_STATE"),
    ("lingers", "dies-with-parts", "neither ended nor serves", "os.wait"),
    ("any-model", "bad-model", "/ping is 200 all the same", "golden rows"),
    ("any-setting", "bad-setting", "/ping is 200 all the same", "MODEL_SERVER_TIMEOUT"),
    ("unnamed-setting", "bad-setting", "not named:  expected seconds", "the variable's name"),
]

TROUBLE = {check.name for check in process.CHECKS}  # each costs starts of its own


@pytest.fixture
def launch(tmp_path, sample):
    """Give a function that returns how a server with faults is started."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.txt").write_text("good")

    def of(*faults, **environment):
        return Launch(
            (sys.executable, str(BROKEN), *faults),
            {"SCORELINE_MODEL_DIR": str(tmp_path / "model"), **environment},
            (tmp_path / "model",),
            sample,
            start_s=1.5 if "own-port" in faults else 60,  # nobody would ever come to that port
            stop_s=1.5 if {"ignores-sigterm", "lingers"} & set(faults) else 30,  # nor end
            effort=LITTLE,
        )

    return of


def look_at(launch, trouble=True):
    """Return the findings of a whole life, and of the starts in trouble if asked; answers are looked at elsewhere."""
    found = {}
    with Life(launch) as life:
        found |= {finding.name: finding for finding in process.BEGIN.look_at(life)}
        found |= {finding.name: finding for finding in process.END.look_at(life, found)}
    if not trouble:
        return found
    return found | {finding.name: finding for finding in process.CHECKS.look_at(launch, found)}


def test_a_process_that_keeps_the_contract_passes_every_check(launch):
    found = look_at(launch("has-parts"))
    assert {name: finding.came for name, finding in found.items() if finding.outcome is not Outcome.PASSED} == {}


@pytest.mark.parametrize(("fault", "check", "came", "fix"), FAULTS, ids=[fault for fault, *_ in FAULTS])
def test_a_fault_is_found_by_its_check_alone_and_told_its_fix(launch, fault, check, came, fix):
    looked = look_at(launch(fault), trouble=check in TROUBLE)
    (found,) = [finding for finding in looked.values() if finding.outcome is Outcome.FAILED]
    assert found.name == check
    assert came in found.came
    assert fix in found.fix


def test_a_process_that_does_not_come_up_says_its_last_words(launch):
    given = replace(launch(), environment={"SCORELINE_MODEL_DIR": "/no/such/folder"})
    found = look_at(given)
    assert found["start"].came == "it ended with exit code 1: the model can't be loaded"
    assert {finding.came for name, finding in found.items() if name != "start"} == {
        "start comes first",
        "sigterm comes first",
    }


def test_a_server_that_ended_before_it_was_asked_to_is_said_to_have_done_so(launch):
    with Life(launch()) as life:
        assert life.start.first.status == 200
        life.running.process.kill()
        life.running.wait(10)
        came = {finding.name: finding for finding in process.END.look_at(life)}
    assert came["sigterm"].came.startswith("it had ended before, with exit code -9")


def test_memory_is_held_against_the_limit(launch, monkeypatch):
    monkeypatch.setattr(process, "memory_limit", lambda: 8 << 20)
    with Life(launch()) as life:
        (found,) = [finding for finding in process.BEGIN.look_at(life) if finding.outcome is Outcome.FAILED]
    assert found.name == "memory"
    assert found.came.endswith("MiB of 8")
    assert "preload_app" in found.fix


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"memory.max": "1073741824\n"}, 1 << 30),
        ({"memory.max": "max\n"}, None),
        ({"memory/memory.limit_in_bytes": "536870912\n"}, 512 << 20),
        ({}, None),
    ],
)
def test_the_memory_limit_is_that_of_the_cgroup_else_the_machine(tmp_path, files, limit):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert quota.memory_limit(tmp_path) == (machine if limit is None else limit)


def test_a_quota_below_the_cores_says_how_many_workers_there_may_be(tmp_path):
    (tmp_path / "cpu.max").write_text("50000 100000")
    assert quota.cpus(tmp_path) == (1, "CPU quota of 0.5")
