"""`scoreline ingest` and `explain`: from a terminal, with and without a server."""

from __future__ import annotations

import io
import json

import pytest
from servers import copy_app, folders, keys_of, made_app, run, serving

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
