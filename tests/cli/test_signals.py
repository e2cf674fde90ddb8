"""Ctrl-C and SIGTERM end a command wherever in Python they land."""

from __future__ import annotations

import sys

import pytest
from servers import Command

IN_A_FINALIZER = """
import signal, time
class Dropped:
    def __del__(self):
        signal.raise_signal(signal.{name})
Dropped()
time.sleep(60)
"""


SWALLOWED = """
import signal, time
try:
    signal.raise_signal(signal.SIGTERM)
except BaseException:
    pass
time.sleep(60)  # longer than the test waits: only the signal ends it
"""
LONG_TO_CLEAN = """
import signal, time
from pathlib import Path
try:
    signal.raise_signal(signal.SIGTERM)
finally:
    try:
        int("x")
    except ValueError:
        pass
    time.sleep(2.5)  # until the signal has come again twice
    Path(__file__).with_name("cleaned").touch()
"""


@pytest.mark.parametrize(("name", "code", "word"), [("SIGTERM", 143, "terminated"), ("SIGINT", 130, "interrupted")])
def test_a_signal_ends_a_command_also_where_python_drops_what_a_handler_raises(tmp_path, name, code, word):
    (tmp_path / "app.py").write_text(IN_A_FINALIZER.format(name=name))
    command = Command([sys.executable, "-m", "scoreline", "check", "--app", str(tmp_path)], tmp_path)
    try:
        assert command.wait(20) == code
    finally:
        command.stop()
    assert command.err.read_text().splitlines()[-1] == f"scoreline: {word}; what was unfinished is dropped"


@pytest.mark.parametrize("source", [SWALLOWED, LONG_TO_CLEAN], ids=["swallowed", "long-to-clean"])
def test_sigterm_ends_a_command_whatever_swallows_it_and_never_cuts_short_what_cleans_up(tmp_path, source):
    (tmp_path / "app.py").write_text(source)
    command = Command([sys.executable, "-m", "scoreline", "check", "--app", str(tmp_path)], tmp_path)
    try:
        assert command.wait(20) == 143
    finally:
        command.stop()
    assert command.err.read_text() == "scoreline: terminated; what was unfinished is dropped\n"
    assert (tmp_path / "cleaned").exists() is (source is LONG_TO_CLEAN)
