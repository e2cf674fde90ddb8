"""`make bench`: every benchmark is in its list, each has an end, and a failing one does not keep the others back."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import everything
import pytest
import run as bench
from everything import PARTS, Part

PRESENT = [part for part in PARTS if (bench.HERE / part.script).is_file()]


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """Give a function that makes these scripts the whole list; wrk is there."""
    monkeypatch.setattr(everything, "HERE", tmp_path)
    monkeypatch.setattr(everything, "install_wrk", lambda: None)
    monkeypatch.setattr(everything, "end_in_order", lambda: None)
    monkeypatch.setattr(sys, "argv", ["everything.py"])

    def make(*texts):
        for number, text in enumerate(texts):
            (tmp_path / f"part{number}.py").write_text(text)
        names = [*range(len(texts)), "absent"]
        monkeypatch.setattr(everything, "PARTS", [Part(f"part{name}.py", ("--few",), 60) for name in names])

    return make


def on_path(folder, monkeypatch, **programs):
    """Make a folder with these shell scripts all that is on PATH."""
    for name, text in programs.items():
        (folder / name.replace("_", "-")).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name.replace("_", "-")).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_every_benchmark_is_in_the_list():
    there = {path.name for path in bench.HERE.glob("*.py")} - {"everything.py"}
    assert there == {part.script for part in PRESENT}


@pytest.mark.parametrize("part", PRESENT, ids=lambda part: part.name)
def test_a_part_takes_the_options_that_it_is_given(part):
    command = [sys.executable, str(bench.HERE / part.script), "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    given = [*part.small, *(("--out", "--update-readme") if part.has_page else ())]
    assert [option for option in given if option.startswith("--") and f"  {option}" not in said] == []


def test_one_part_after_the_other_also_when_one_fails(scripts, tmp_path, capsys):
    note = f"import sys; open({str(tmp_path / 'notes')!r}, 'a').write(f'{{sys.argv[1:]}}')\n"
    scripts(note, f"{note}raise SystemExit(3)", note)
    assert everything.main() == 1
    assert (tmp_path / "notes").read_text() == "['--update-readme']" * 3
    lines = [line.rpartition(",")[0] for line in capsys.readouterr().err.splitlines()[-3:]]
    assert lines == ["bench: part0: done", "bench: part1: ended with exit code 3", "bench: part2: done"]


def test_a_small_run_keeps_nothing(scripts, tmp_path, monkeypatch):
    scripts("import sys; few, out, path = sys.argv[1:]; assert (few, out) == ('--few', '--out'); open(path, 'w')")
    monkeypatch.setattr(sys, "argv", ["everything.py", "--small"])
    assert everything.main() == 0
    assert [path.name for path in tmp_path.iterdir()] == ["part0.py"]


def test_some_parts_can_be_chosen_and_others_are_refused(scripts, tmp_path, monkeypatch, capsys):
    scripts("raise SystemExit(1)", "")
    monkeypatch.setattr(sys, "argv", ["everything.py", "--only", "part1, partabsent"])
    assert everything.main() == 0
    monkeypatch.setattr(sys, "argv", ["everything.py", "--only", "part7"])
    with pytest.raises(SystemExit):
        everything.main()
    assert "expected names of part0, part1, partabsent, got 'part7'" in capsys.readouterr().err


def test_a_part_that_takes_too_long_is_ended_and_may_clean_up(tmp_path):
    cleaned = tmp_path / "cleaned"
    trap = (
        "import pathlib, signal, sys, time\n"
        f"clean_up = lambda *_: (pathlib.Path({str(cleaned)!r}).touch(), sys.exit(0))\n"
        "signal.signal(signal.SIGTERM, clean_up)\n"
        "time.sleep(60)\n"
    )
    begin = time.monotonic()
    assert everything.wait_for([sys.executable, "-c", trap], most_s=1) == "ended by force after 1 s"
    assert cleaned.exists()
    assert time.monotonic() - begin < 30


def test_wrk_is_installed_where_it_is_missing(tmp_path, monkeypatch, capfd):
    on_path(
        tmp_path,
        monkeypatch,
        apt_get=f'echo "$@" >> {tmp_path}/asked; echo talk; : > {tmp_path}/wrk; /bin/chmod +x {tmp_path}/wrk',
    )
    everything.install_wrk()
    everything.install_wrk()  # it is there now
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == ["update", "install -y --no-install-recommends wrk"]
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("programs", [{}, {"apt_get": "exit 100"}], ids=["no-apt", "refused"])
def test_where_wrk_can_not_be_installed_that_is_said_and_the_others_run(tmp_path, monkeypatch, capsys, programs):
    on_path(tmp_path, monkeypatch, **programs)
    everything.install_wrk()
    assert "install the package `wrk`" in capsys.readouterr().err


def test_make_bench_runs_the_list():
    makefile = (bench.HERE.parent / "Makefile").read_text()
    (recipe,) = [part for part in makefile.split("\n\n") if part.startswith("bench:")]
    assert recipe.splitlines()[1:] == ["\t@$(BIN)/python benchmarks/everything.py"]
