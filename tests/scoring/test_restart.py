"""A run that ended in the middle goes on; one that would mix two models does not."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
from scored import lines_of
from servers import own_predictor

pytestmark = pytest.mark.slow
PARTS = ("--format", "jsonl", "--part-records", 50)


def stamps(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*")}


def test_a_folder_gets_a_part_for_each_partition_in_the_order_of_the_file(triage, score, tmp_path):
    assert score(triage, triage / "data/orders.csv", tmp_path / "out", *PARTS).code == 0
    parts = sorted((tmp_path / "out").glob("part-*"))
    assert [len(lines_of(part)) for part in parts] == [50] * 6
    score(triage, triage / "data/orders.csv", tmp_path / "whole.jsonl")
    assert b"".join(part.read_bytes() for part in parts) == (tmp_path / "whole.jsonl").read_bytes()
    assert (tmp_path / "out/_SUCCESS").is_file()


def test_a_second_run_scores_what_is_missing_alone(triage, score, tmp_path):
    score(triage, triage / "data/orders.csv", tmp_path / "out", *PARTS)
    before = stamps(tmp_path / "out")
    whole = (tmp_path / "out/part-00003.jsonl").read_bytes()
    (tmp_path / "out/part-00003.jsonl").unlink()
    ran = score(triage, triage / "data/orders.csv", tmp_path / "out", *PARTS)
    after = stamps(tmp_path / "out")
    assert "300 records scored, 0 errors" in ran.out
    assert "5 of 6 parts were done before" in ran.out
    assert [name for name in after if after[name] != before[name]] == ["part-00003.jsonl"]
    assert (tmp_path / "out/part-00003.jsonl").read_bytes() == whole


def test_a_run_that_is_whole_scores_nothing_again(triage, score, tmp_path):
    score(triage, triage / "data/orders.csv", tmp_path / "out.parquet")
    before = (tmp_path / "out.parquet").stat().st_mtime_ns
    ran = score(triage, triage / "data/orders.csv", tmp_path / "out.parquet")
    assert (ran.code, (tmp_path / "out.parquet").stat().st_mtime_ns) == (0, before)
    assert "300 records scored, 0 errors\n  1 of 1 parts were done before" in ran.out
    (tmp_path / "out.parquet").unlink()
    assert score(triage, triage / "data/orders.csv", tmp_path / "out.parquet").code == 0
    assert (tmp_path / "out.parquet").is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_parts_that_were_done_outlive_the_end_of_a_run(triage, own_triage, start_score, score, tmp_path, number):
    own_predictor(own_triage, "if len(matrix) == 50 and (matrix[:, 0] >= 0).any(): time.sleep(0.4)")
    out = tmp_path / "out"
    command = start_score(own_triage, own_triage / "data/orders.csv", out, *PARTS, "--workers", 2)
    command.wait_until(lambda: len(list(out.glob("part-*"))) >= 2)
    os.kill(command.process.pid, number)
    assert command.wait() == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    assert command.nothing_is_left()
    done = stamps(out)
    assert 2 <= len(done) < 6
    assert not (out / "_SUCCESS").exists()
    again = score(own_triage, own_triage / "data/orders.csv", out, *PARTS)
    assert f"{len(done)} of 6 parts were done before" in again.out
    assert {name: stamp for name, stamp in stamps(out).items() if name in done} == done
    assert not list(out.glob(".work-*"))
    score(triage, triage / "data/orders.csv", tmp_path / "whole.jsonl")
    whole = (tmp_path / "whole.jsonl").read_bytes()
    assert b"".join(part.read_bytes() for part in sorted(out.glob("part-*"))) == whole


def touch_model(app):
    """Train another model."""
    from scoreline.cli.main import run

    assert run(["train", "--app", str(app), "--hyperparameters", str(write(app / "h.json", '{"max_iter": 7}'))]) == 0


def touch_features(app):
    from scoreline.cli.main import run

    with (app / "data/inventory.csv").open("a") as file:
        file.write("004205,2021-01-01 00:00:00,7\n")
    assert run(["feature", "--app", str(app)]) == 0


def write(path, text):
    path.write_text(text)
    return path


CHANGES = {
    "the model": touch_model,
    "the features": touch_features,
    "predictor.py": lambda app: own_predictor(app, "pass"),
    "input orders.csv": lambda app: write(app / "data/orders.csv", (app / "data/orders.csv").read_text() + "O1,C1\n"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_parts_of_something_else_are_refused_by_name_and_dropped_where_asked(own_triage, score, tmp_path, what):
    records = own_triage / "data/orders.csv"
    assert score(own_triage, records, tmp_path / "out", *PARTS).code == 0
    (tmp_path / "out/part-00001.jsonl").unlink()
    before = stamps(tmp_path / "out")
    CHANGES[what](own_triage)
    ran = score(own_triage, records, tmp_path / "out", *PARTS)
    assert ran.code == 1
    assert f"changed since: {what}. --anew drops them" in ran.err
    assert stamps(tmp_path / "out") == before
    again = score(own_triage, records, tmp_path / "out", *PARTS, "--anew")
    assert "were done before" not in again.out
    assert all(stamp != before.get(name) for name, stamp in stamps(tmp_path / "out").items())


def test_other_options_are_a_change_too(triage, score, tmp_path):
    score(triage, triage / "data/orders.csv", tmp_path / "out", *PARTS)
    ran = score(triage, triage / "data/orders.csv", tmp_path / "out", "--format", "csv", "--part-records", 60)
    assert (ran.code, "changed since: --format, --part-records." in ran.err) == (1, True)


def test_a_folder_with_files_of_somebody_else_is_left_alone(triage, score, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/photo.jpg").write_text("x")
    for options in ([], ["--anew"]):
        ran = score(triage, triage / "data/orders.csv", tmp_path / "out", *options)
        assert (ran.code, "holds other files (photo.jpg)" in ran.err) == (1, True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["photo.jpg"]


@pytest.mark.parametrize("name", ["out", "out.csv"])
def test_a_run_that_could_not_begin_leaves_nothing(own_triage, score, tmp_path, name):
    shutil.rmtree(own_triage / "results")
    (tmp_path / "there").mkdir()
    ran = score(own_triage, own_triage / "data/orders.csv", tmp_path / "there" / name)
    assert (ran.code, "Run `scoreline feature` first." in ran.err) == (1, True)
    assert list((tmp_path / "there").iterdir()) == []


def test_nothing_is_published_to_a_server_of_the_app(own_triage, score, tmp_path):
    assert score(own_triage, own_triage / "data/orders.csv", tmp_path / "out.csv").code == 0
    assert not (own_triage / "state").exists()


def test_a_worker_that_is_killed_is_told_and_its_part_is_scored_by_the_next_run(own_triage, start_score, tmp_path):
    own_predictor(own_triage, "if len(matrix) == 50 and (matrix[:, 0] >= 0).any(): time.sleep(0.4)")
    out = tmp_path / "out"
    command = start_score(own_triage, own_triage / "data/orders.csv", out, *PARTS, "--workers", 1)
    command.wait_until(lambda: len(list(out.glob("part-*"))) >= 1)
    (worker,) = [process for process in command.look() if "scoreline.scoring.worker" in " ".join(process.cmdline())]
    worker.kill()
    assert command.wait() == 1
    assert "a worker process was ended by signal 9" in command.printed
    shutil.rmtree(out)
