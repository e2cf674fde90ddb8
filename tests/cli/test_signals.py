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


@pytest.mark.parametrize(("name", "code", "word"), [("SIGTERM", 143, "terminated"), ("SIGINT", 130, "interrupted")])
def test_a_signal_ends_a_command_also_where_python_drops_what_a_handler_raises(tmp_path, name, code, word):
    (tmp_path / "app.py").write_text(IN_A_FINALIZER.format(name=name))
    command = Command([sys.executable, "-m", "scoreline", "check", "--app", str(tmp_path)], tmp_path)
    try:
        assert command.wait(20) == code
    finally:
        command.stop()
    assert command.err.read_text().splitlines()[-1] == f"scoreline: {word}; what was unfinished is dropped"
