"""`scoreline ingest` and `explain`: from a terminal, with and without a server."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from servers import copy_app, folders, keys_of, made_app, run, serving

from scoreline.errors import GenerationError
from scoreline.generations.state import StateFolder, refuse_passed_over
from scoreline.settings import TEMPORARY_STATE, resolve_settings
from scoreline.store.events import event_log

CSV = "sku_code,timestamp,inventory\nS,2030-01-01,5\nS,never,3\n"


@pytest.fixture
def ingest(tmp_path, capsys):
    """Give a function that ingests into an app's state folder; returns code, stdout and stderr."""
    app = copy_app(tmp_path / "app")

    def run_it(*arguments):
        code = run(["ingest", "--app", str(app), *arguments])
        return code, *capsys.readouterr()

    yield run_it
    event_log(app / "state").close()


def test_a_file_goes_in_once_and_rows_set_aside_are_told(ingest, tmp_path):
    (tmp_path / "stock.csv").write_text(CSV)
    code, out, _ = ingest("inventory", str(tmp_path / "stock.csv"))
    assert (code, out.splitlines()[0].partition(" in batch ")[0]) == (0, "ingest: 1 rows of inventory")
    assert out.splitlines()[0].endswith(", 1 set aside")
    assert out.splitlines()[1].startswith("  line 3, column 'timestamp': expected a time")
    assert ", 1 of them there before" in ingest("inventory", str(tmp_path / "stock.csv"))[1]


def test_rows_come_from_stdin_too_in_either_form(ingest, monkeypatch, tmp_path):
    line = json.dumps({"sku_code": "S", "timestamp": "2030-01-01", "inventory": 5})
    for text in (CSV, line):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        code, out, _ = ingest("inventory", "-", "--batch-id", f"b{len(text)}")
        assert (code, "ingest: 1 rows of inventory in batch b" in out) == (0, True)
    assert [path.name for path in (tmp_path / "app/state").glob(".stream-*")] == []


@pytest.mark.parametrize(
    ("table", "text", "says"),
    [
        ("orders", CSV, "table 'orders' is the spine"),
        ("inventory", CSV.replace("S,2030-01-01,5\n", ""), "none of its 1 rows can be read"),
        ("inventory", "sku_code\nS\n", "has no column 'timestamp'"),
        ("inventory", None, "stock.csv: can't be read (No such file or directory)"),
    ],
)
def test_what_can_not_be_taken_is_a_failure_that_says_why(ingest, tmp_path, table, text, says):
    if text is not None:
        (tmp_path / "stock.csv").write_text(text)
    code, _, err = ingest(table, str(tmp_path / "stock.csv"))
    assert (code, says in err) == (1, True), err


@pytest.mark.slow
def test_an_order_is_explained_by_its_id_and_a_new_one_by_its_record(tmp_path_factory, tmp_path, capsys):
    triage = made_app(tmp_path_factory)
    key = keys_of(triage)[0]
    (tmp_path / "new.json").write_text(json.dumps({**key, "order_id": "NEW", "quantity": 2}))
    with serving(triage, triage, tmp_path / "server", "--workers", "1") as server:
        explain = ["explain", *folders(triage), "--port", str(server.port)]
        assert run([*explain, key["order_id"]]) == 0
        out = capsys.readouterr().out
        assert f"order_id='{key['order_id']}'" in out
        assert "features_from='table'" in out
        assert "  recommendation: " in out
        assert run([*explain, "--record", str(tmp_path / "new.json")]) == 0
        assert "features_from='live'" in capsys.readouterr().out
        assert run([*explain, key["order_id"], "--json"]) == 0
        assert set(json.loads(capsys.readouterr().out)["explanation"]) == {"as_of", "features", "decided"}
        assert run([*explain, "O-none"]) == 1
        assert "no row in the feature table for order_id='O-none'" in capsys.readouterr().err
    assert run(explain) == 2


def test_every_row_set_aside_is_listed_up_to_a_hundred(ingest, tmp_path):
    (tmp_path / "stock.csv").write_text(CSV + "S,never,3\n" * 149)
    _, out, _ = ingest("inventory", str(tmp_path / "stock.csv"))
    assert (out.count("\n  line "), "\n  and 50 more\n" in out) == (100, True)


def test_what_no_server_sees_yet_is_said(ingest, tmp_path):
    (tmp_path / "stock.csv").write_text(CSV)
    assert f"  in {tmp_path / 'app/state'}, from which nothing is served yet" in ingest(
        "inventory", str(tmp_path / "stock.csv")
    )[1]  # fmt: skip


def test_stdin_is_called_so_in_errors(ingest, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    code, _, err = ingest("inventory", "-")
    assert (code, err) == (1, "scoreline: <stdin>: is empty; expected a line with column names first\n")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"sku_code": 7, "timestamp": "2030-01-01", "inventory": 1}', "expected text, got 7"),
        ('{"sku_code": "S", "timestamp": "2030-01-01", "inventory": 99999999999999999999}', "got 99999999999999999999"),
        ('{"sku_code": "S", "timestamp": "2030-01-01", "inventory": "x"}', "got text that is none"),
        ('{"sku_code": "S", "timestamp": ["2030"], "inventory": 1}', "got a list"),
    ],
)
def test_what_came_instead_is_told_in_plain_words(ingest, tmp_path, line, says):
    (tmp_path / "stock.jsonl").write_text(line)
    assert says in ingest("inventory", str(tmp_path / "stock.jsonl"))[1]


@pytest.fixture
def sealed(tmp_path, monkeypatch):
    """Give the settings of an app with a state folder that can't be written."""
    app = copy_app(tmp_path / "app")
    StateFolder(app / "state")
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != app / "state")
    return resolve_settings({"app": app, "state": TEMPORARY_STATE}, {})


def test_a_state_folder_that_can_not_be_written_is_not_passed_over_in_silence(sealed):
    with pytest.raises(GenerationError, match=r"app/state: this app's state folder can't be written.*--state"):
        refuse_passed_over(sealed)
