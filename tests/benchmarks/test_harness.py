"""The pure parts of `make bench`: what wrk printed, whether replies are right, ratios, tables, the README's block."""

from __future__ import annotations

import dataclasses
import doctest
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import run as bench
from harness import answers, plot, report
from harness.load import LoadError, find_wrk, read_load
from harness.prepare import triage_answer
from harness.processes import Command, Processes
from harness.sides import SIDES, Place, read_csv, read_labelled, read_matrix, read_scoreline, read_v2
from plain.plain_model import LABELS
from plain.train import as_record, as_values
from ports import free_port
from servers import ask, is_listened_on, wait_until

COUNTS = {
    "requests": 300, "duration_us": 2_000_000, "p50_us": 1_500, "p99_us": 4_250, "max_us": 9_000, "bad_status": 0,
    "bad_length": 0, "answered": 300, "position": 4_711, "connect": 0, "read": 0, "write": 0, "timeout": 0,
}  # fmt: skip


def printed(**changes):
    return f"Running 2s test\n  1 threads\n\nRESULT {json.dumps(COUNTS | changes)}\n"


def one_round(rate, p99=5.0, *, listed=None, labels=0):
    """Return a round of a side that answered so many requests a second."""
    load = {"requests": rate, "seconds": 1.0, "p50_ms": 1.0, "p99_ms": p99, "max_ms": 9.0, "wrong": 0, "position": 0}
    checked = {"records": 200, "labels": labels, "probabilities": 0, "largest": 0.0, "lengths": [2, 2]}
    return {
        "start_s": 0.5, "before": checked, "after": checked, "one": load, "many": load, "cpu_us": 100.0,
        "memory": {"worker": 6.0, "whole": 50.0, "workers": 2}, "list_cpu_us": 10.0 if listed else None,
        "lists": {**load, "requests": listed} if listed else None,
    }  # fmt: skip


def results_of(**rounds):
    """Return results with these rounds of each side; a text instead is why it was not run."""
    kinds = {"empty_flask": "floor", "empty_asgi": "floor", "onnx": "tuned"}
    kinds |= dict.fromkeys(("triage", "triage_gtil", "plain", "plain_gtil"), "ours")
    sides = {
        name.replace("_", "-"): {
            "title": name.replace("_", " ").title(),
            "kind": kinds.get(name, "peer"),
            "why": given if isinstance(given, str) else "",
            "versions": {"wheel": "1.0"},
            "rounds": [] if isinstance(given, str) else given,
        }
        for name, given in rounds.items()
    }
    machine = {"cpu": "a CPU", "cores": 2, "memory_gb": 25, "system": "Linux 6", "python": "3.11.7"}
    settings = {"seconds": 1, "rounds": 1, "workers": 2, "orders": 1_000_000}
    return {
        "when": "2026-11-22 08:00 UTC", "commit": "abc1234", "machine": machine, "settings": settings,
        "versions": {"wrk": "4.1.0"}, "sides": sides,
    }  # fmt: skip


def test_a_load_is_read_from_the_line_that_the_script_writes():
    load = read_load(printed())
    assert (load.requests, load.seconds, load.position) == (300, 2.0, 4_711)
    assert (load.p50_ms, load.p99_ms, load.max_ms) == (1.5, 4.25, 9.0)
    assert load.per_second == 150


@pytest.mark.parametrize("kind", ["bad_status", "bad_length", "connect", "read", "write", "timeout"])
def test_what_is_wrong_is_no_throughput(kind):
    load = read_load(printed(**{kind: 100}))
    assert load.wrong == 100
    assert load.per_second == 100


def test_without_that_line_the_load_failed_with_what_wrk_said():
    with pytest.raises(LoadError, match="unable to connect"):
        read_load("Running 2s test\n", "unable to connect to 127.0.0.1:1 Connection refused\n")


def test_a_missing_wrk_is_told_with_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LoadError, match="install the package `wrk`"):
        find_wrk()


@pytest.mark.parametrize(
    ("read", "body"),
    [
        pytest.param(read_matrix(), [[0.1, 0.6, 0.1, 0.1, 0.1]], id="matrix"),
        pytest.param(read_matrix("predictions"), {"predictions": [[0.1, 0.6, 0.1, 0.1, 0.1]]}, id="below-a-name"),
        pytest.param(read_v2, {"outputs": [{"data": [0.1, 0.6, 0.1, 0.1, 0.1]}]}, id="flat-tensor"),
        pytest.param(read_labelled, {"label": 1, "probabilities": [0.1, 0.6, 0.1, 0.1, 0.1]}, id="labelled"),
        pytest.param(
            read_scoreline, {"recommendation": "Deliver", "probabilities": [0.1, 0.6, 0.1, 0.1, 0.1]}, id="scoreline"
        ),
        pytest.param(
            read_scoreline,
            {
                "recommendation": "Deliver",
                "probabilities": {name: 0.6 if name == "Deliver" else 0.1 for name in LABELS},
            },
            id="scoreline-by-name",
        ),
    ],
)
def test_every_peers_reply_is_read_as_label_and_probabilities(read, body):
    (reply,) = read(json.dumps(body).encode())
    assert (reply.label, reply.probabilities) == ("Deliver", (0.1, 0.6, 0.1, 0.1, 0.1))


def test_a_csv_reply_has_a_line_a_record():
    replies = read_csv(b"Deliver,0.25,0.75\nDecline,1,0\n")
    assert [(reply.label, reply.probabilities) for reply in replies] == [("Deliver", (0.25, 0.75)), ("Decline", (1, 0))]


def test_rounding_to_four_places_is_no_difference_and_a_float32_step_is_one():
    right = {"label": "Deliver", "probabilities": [0.12345, 0.87655]}
    rounded = answers.Reply("Deliver", (0.1235, 0.8766))
    off = answers.Reply("Deliver", (0.1236, 0.8764))
    assert answers.compare([rounded], [right])[:2] == (0, 0)
    assert answers.compare([off], [right])[:2] == (0, 1)


def test_a_nan_counts_as_a_difference():
    right = {"label": "Deliver", "probabilities": [0.5, 0.5]}
    assert answers.compare([answers.Reply("Deliver", (float("nan"), 0.5))], [right])[1] == 1


def test_a_reply_too_few_is_an_error():
    with pytest.raises(answers.AnswerError, match="expected 1 replies, got 0"):
        answers.compare([], [{"label": "Deliver", "probabilities": [1.0]}])


def test_ratios_are_taken_within_a_round():
    slow_then_fast = results_of(plain=[one_round(100), one_round(1_000), one_round(400)],
                                mlflow=[one_round(10), one_round(100), one_round(20)])  # fmt: skip
    assert report.ratio(slow_then_fast, "plain", "mlflow", "many") == 10  # 10, 10 and 20
    assert report.median(slow_then_fast, "plain", "many") == 400


def test_bars_tell_met_not_met_and_not_run():
    results = results_of(
        empty_flask=[one_round(1_000)], empty_asgi=[one_round(4_000, p99=4.0)],
        triage=[one_round(2_500, p99=9.0)], plain="no such name", mlflow=[one_round(50)],
    )  # fmt: skip
    verdicts = {bar.what: bar.is_met for bar in report.bars(results)}
    assert verdicts["triage / empty-flask, requests/s"] is True
    assert verdicts["triage / empty-asgi, p99"] is False
    assert verdicts["plain / mlflow, requests/s"] is None


def test_the_best_peer_is_one_in_its_documented_setup():
    results = results_of(plain=[one_round(10_000)], mlflow=[one_round(50)], bentoml=[one_round(500)],
                         onnx=[one_round(7_000)])  # fmt: skip
    (best,) = [bar for bar in report.bars(results) if "best peer" in bar.what]
    assert (best.what, best.got) == ("plain / best peer (bentoml), requests/s", 20)


def test_one_changed_label_misses_the_bar():
    results = results_of(plain=[one_round(100), one_round(100, labels=1)])
    (bar,) = [bar for bar in report.bars(results) if "differ" in bar.what]
    assert (bar.got, bar.is_met) == (1, False)


def test_the_figures_of_gtil_stand_beside_each_bar_and_are_held_against_none():
    results = results_of(
        empty_asgi=[one_round(4_000)], triage=[one_round(2_800)], triage_gtil=[one_round(400)],
        plain=[one_round(100)], plain_gtil=[one_round(10, labels=3)],
    )  # fmt: skip
    rows = {row[0]: row[2:] for row in report.tables(results)["bars"]}
    assert rows["bar"] == ["got", "", "with GTIL"]
    assert rows["triage / empty-asgi, requests/s"] == ["0.7", "met", "0.1"]
    assert rows["plain, answers that differ"] == ["0", "met", "3"]
    assert rows["plain, records/s a core in lists"] == ["", "not run", ""]


@pytest.mark.parametrize(
    ("name", "runtime"),
    [("triage", "kernel"), ("triage-flask", "kernel"), ("plain", "kernel"),
     ("triage-gtil", "gtil"), ("plain-gtil", "gtil")],
)  # fmt: skip
def test_a_side_of_ours_is_scored_by_the_runtime_that_it_is_shown_for(name, runtime, tmp_path):
    (side,) = [side for side in SIDES if side.name == name]
    (command,) = side.start(Place(1, 2, tmp_path, tmp_path, tmp_path))
    assert command.environment["SCORELINE_RUNTIME"] == runtime


def test_tables_show_ratios_and_what_was_not_run():
    results = results_of(empty_flask=[one_round(1_000)], plain=[one_round(8_000, listed=60)], mlflow="not installed: x")
    rows = report.tables(results)["single"]
    assert all(len(row) == len(rows[0]) for row in rows)
    plain = dict(zip(rows[0], rows[2], strict=True))
    assert (plain["requests/s, 16"], plain["/ empty-flask"], plain["/ empty-asgi"]) == ("8,000", "8.00", "")
    assert rows[3][:2] == ["Mlflow", "not run"]
    assert report.not_run(results) == {"mlflow": "not installed: x"}
    assert report.tables(results)["lists"][1:] == [["Plain", "60,000", "100,000", "1.00", "1.00"]]


def test_tables_are_aligned_for_a_terminal_and_ruled_for_markdown():
    rows = [["side", "requests/s"], ["plain", "8,000"]]
    assert report.as_text(rows).splitlines() == ["side   requests/s", "plain       8,000"]
    assert report.as_markdown(rows).splitlines() == ["| side | requests/s |", "| --- | ---: |", "| plain | 8,000 |"]


def test_the_page_names_machine_date_versions_and_what_was_not_run():
    page = report.as_page(results_of(plain=[one_round(8_000)], mlflow="not installed: x"))
    for part in ("2026-11-22", "abc1234", "2 cores (a CPU)", "wrk 4.1.0", "wheel 1.0", "mlflow: not installed: x"):
        assert part in page


def test_the_readme_block_is_replaced_and_all_else_kept():
    text = f"# Head\n{report.BEGIN}\nold\n{report.END}\ntail\n"
    once = report.rewrite_block(text, "new")
    assert once == f"# Head\n{report.BEGIN}\n\nnew\n\n{report.END}\ntail\n"
    assert report.rewrite_block(once, "new") == once


@pytest.mark.parametrize("text", ["", report.BEGIN, f"{report.END} {report.BEGIN}", f"{report.BEGIN} {report.END}" * 2])
def test_a_readme_without_its_markers_is_refused(text):
    with pytest.raises(ValueError, match="once each"):
        report.rewrite_block(text, "new")


def test_the_readme_has_its_markers_and_every_side():
    text = bench.README.read_text()
    assert report.rewrite_block(text, "x")
    assert [side.name for side in SIDES if f"\n| `{side.name}` |" not in text] == []


def test_the_plot_has_a_bar_for_each_side_that_ran():
    drawn = plot.draw(results_of(plain=[one_round(8_000)], mlflow=[one_round(50)], onnx="not installed"))
    assert drawn.count("p99 5.0 ms") == 2
    assert "8,000" in drawn


def test_names_choose_sides_in_their_usual_order():
    assert [side.name for side in bench.choose("plain, empty-flask")] == ["empty-flask", "plain"]
    assert bench.choose(None) == list(SIDES)
    with pytest.raises(ValueError, match="plian: no such side"):
        bench.choose("plain,plian")
    with pytest.raises(ValueError, match="expected names"):
        bench.choose("")


def test_the_names_of_sides_are_distinct_and_every_peer_has_requirements():
    names = [side.name for side in SIDES]
    assert len(set(names)) == len(names)
    for side in SIDES:
        if side.peer is not None:
            assert (bench.HERE / "peers" / side.peer / "requirements.txt").is_file()


def test_a_record_on_the_wire_has_null_for_missing_and_whole_numbers_bare():
    record = as_record([7.0, 12.5, float("nan"), 1.0])
    assert json.dumps(record) == (
        '{"order_hour_of_day": 7, "inventory": 12.5, "payment_status": null, "zip_code_available": true}'
    )
    assert as_values(record) == "7,12.5,null,1"


@pytest.mark.parametrize(
    ("changes", "rule", "looked_at"),
    [
        pytest.param({"inventory": None}, "no_stock", {"inventory": None}, id="unknown-stock"),
        pytest.param({"payment_status": None}, "payment_not_ok", {"payment_status": None}, id="no-payment"),
        pytest.param({"order_hour_of_day": 5}, "night", {"order_hour_of_day": 5}, id="night"),
        pytest.param(
            {}, "all_clear",
            {"inventory": 3, "zip_code_available": True, "payment_status": "OK", "order_hour_of_day": 6},
            id="nothing-in-the-way",
        ),
    ],
)  # fmt: skip
def test_the_corpus_of_order_triage_has_the_rules_by_hand(changes, rule, looked_at):
    row = {"order_id": "O1", "inventory": 3, "zip_code_available": True, "payment_status": "OK", "order_hour_of_day": 6}
    assert triage_answer(row | changes, 0.5)["reason"] == {"rule": rule, **looked_at}


def test_whatever_a_command_started_is_ended_with_it(tmp_path):
    script = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)\n"
        "print('started', flush=True)\n"
        "time.sleep(60)\n"
    )
    command = Command([sys.executable, "-c", script], {"PATH": "/usr/bin"}, tmp_path)
    with Processes([command], tmp_path) as processes:
        processes.wait_for("started", 20)
        seen = processes.look()
        assert len(seen) == 2
        assert processes.ended() is None
    assert not any(process.is_running() and process.status() != "zombie" for process in seen)


def test_a_command_that_ends_is_told_with_its_last_line(tmp_path):
    command = Command([sys.executable, "-c", "print('port taken'); raise SystemExit(3)"], {}, tmp_path)
    with Processes([command], tmp_path) as processes, pytest.raises(ChildProcessError, match="3: port taken"):
        processes.wait_for("ready", 20)


def test_a_measured_round_is_json(tmp_path):
    load = read_load(printed())
    assert json.loads(json.dumps(dataclasses.asdict(load)))["requests"] == 300


@pytest.mark.parametrize("module", [answers, report])
def test_examples_hold(module):
    assert doctest.testmod(module).failed == 0


def test_an_unknown_side_ends_the_run_before_anything_is_made(tmp_path):
    command = [sys.executable, str(bench.HERE / "run.py"), "--only", "nobody", "--cache", str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["empty-flask", "empty-asgi"])
def test_an_empty_handler_answers_behind_the_nginx_that_serve_uses(name):
    (side,) = [side for side in SIDES if side.name == name]
    with tempfile.TemporaryDirectory(prefix="scoreline-", dir="/tmp") as folder:
        run = Path(folder)
        run.chmod(0o711)  # nginx's workers, another user when we are root, must reach the sockets
        place = Place(free_port(), 2, run, run, run)
        with Processes(side.start(place), run) as processes:
            wait_until(lambda: is_listened_on(place.port))
            wait_until(lambda: ask(place.port, "POST", "/invocations", {}).status == 200)
            assert processes.ended() is None
