"""`scoreline inference` with a real server: every good order, in the order of its file."""

from __future__ import annotations

import json
import shutil
import stat
from collections import Counter

import pytest
from oracle import oracle_rows
from servers import JSON, folders, keys_of, write_sample

from scoreline.cli.main import run
from scoreline.features.stamp import STAMP_FILE
from scoreline.serving.answer import answer

pytestmark = pytest.mark.slow
NEW_ORDER = "O9999999,C0000001,2021-07-01 10:00:00,004205,2,00003,True"


def test_there_is_one_line_for_each_order_in_the_order_of_the_file(server, triage, service, infer, tmp_path):
    code, lines, _, _ = infer(triage, server.url)
    asked = [answer(service, "POST", "/invocations", JSON, json.dumps(key).encode()).body for key in keys_of(triage)]
    assert code == 0
    assert (tmp_path / "results/results.json").read_bytes() == b"".join(body + b"\n" for body in asked)
    assert len(lines) == 300


def test_the_decisions_are_what_the_rules_say_and_are_counted(server, triage, infer):
    rows = oracle_rows(triage / "data")
    expected = Counter(row["recommendation"] for row in rows)
    above_stock = sum(row["recommendation"] == "Deliver" and row["quantity"] > row["inventory"] for row in rows)
    _, lines, out, _ = infer(triage, server.url)
    assert [line["recommendation"] for line in lines] == [row["recommendation"] for row in rows]
    printed = [line.split() for line in out.splitlines()]
    assert "  300 records scored, 0 errors" in out
    for decision, count in expected.items():
        assert [decision, str(count), f"{count / 300:.1%}"] in printed
    assert f"  Deliver with quantity above stock: {above_stock}\n" in out


def test_deliver_above_stock_is_counted_order_by_order(server, infer, triage, changed_data):
    """More pieces than the stock of the order's time: those orders, with a Deliver, and no others."""
    rows = [row for row in oracle_rows(triage / "data") if row["recommendation"] == "Deliver"]
    data = changed_data()
    text = (data / "orders.csv").read_text()
    for row in rows[:7]:
        (line,) = [line for line in text.splitlines() if line.startswith(row["order_id"] + ",")]
        fields = line.split(",")
        fields[4] = str(row["inventory"] + 1)
        text = text.replace(line, ",".join(fields))
    (data / "orders.csv").write_text(text)
    above_stock = 7 + sum(row["quantity"] > row["inventory"] for row in rows[7:])
    _, _, out, _ = infer(triage, server.url, data)
    assert f"  Deliver with quantity above stock: {above_stock}\n" in out


def test_bad_rows_of_the_file_are_set_aside_and_counted(server, triage, infer, tmp_path):
    planted = write_sample(tmp_path / "bad", bad_rows=True)
    code, lines, out, _ = infer(triage, server.url, tmp_path / "bad")
    assert code == 0
    assert planted["orders"] > 0
    assert f"300 records scored, 0 errors; {planted['orders']} rows of the file set aside" in out
    assert [line["order_id"] for line in lines] == [key["order_id"] for key in keys_of(triage)]


def test_an_order_that_the_server_does_not_know_is_a_line_with_an_error(server, triage, infer, changed_data, tmp_path):
    code, lines, out, err = infer(triage, server.url, changed_data(NEW_ORDER))
    assert code == 1
    assert len(lines) == 301
    assert not any("error" in line for line in lines[:300])
    error = lines[300].pop("error")
    assert lines[300] == {
        "order_id": "O9999999",
        "customer_id": "C0000001",
        "sku_code": "004205",
        "zip_code": "00003",
    }
    assert (error["status"], error["type"]) == (404, "urn:scoreline:problem:key-not-found")
    assert "300 records scored, 1 errors" in out
    assert f"the first error: {error['detail']}" in out
    assert err.splitlines()[-1] == (
        f"scoreline: 1 of 301 records could not be scored; see {tmp_path / 'results/results.json'}"
    )


@pytest.mark.parametrize("shape", ["127.0.0.1:{}", "http://127.0.0.1:{}/", "http://127.0.0.1:{}/invocations"])
def test_the_url_may_be_written_in_several_ways(server, triage, infer, shape):
    code, lines, _, _ = infer(triage, shape.format(server.port))
    assert (code, len(lines)) == (0, 300)


def test_without_a_url_it_asks_the_port_on_this_machine(server, triage, tmp_path, capsys):
    chosen = folders(triage, results=tmp_path / "results")
    assert run(["inference", *chosen, "--port", str(server.port)]) == 0
    assert "300 records scored, 0 errors" in capsys.readouterr().out


def test_one_request_at_a_time_gives_the_same_file(server, triage, infer, tmp_path, monkeypatch):
    infer(triage, server.url)
    many = (tmp_path / "results/results.json").read_bytes()
    monkeypatch.setenv("SCORELINE_CONCURRENCY", "1")
    infer(triage, server.url)
    assert (tmp_path / "results/results.json").read_bytes() == many


def test_the_result_replaces_the_former_one_and_others_may_read_it(server, triage, infer, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results/results.json").write_text("{}\n")
    infer(triage, server.url)
    (path,) = (tmp_path / "results").iterdir()
    assert len(path.read_text().splitlines()) == 300
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_server_with_other_features_than_those_at_hand_is_told(server, triage, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("scoreline.inference.run._TAKEN_ON_WITHIN_S", 0.2)
    results = tmp_path / "results"
    shutil.copytree(triage / "results", results)
    asked = ["inference", *folders(triage, results=results), "--url", server.url]
    assert run(asked) == 0
    assert "another feature table" not in capsys.readouterr().err
    stamp = json.loads((results / STAMP_FILE).read_text())
    (results / STAMP_FILE).write_text(json.dumps(stamp | {"digest": "0" * 64}))
    assert run(asked) == 0
    assert f"{server.url} answers from another feature table than {results} holds" in capsys.readouterr().err
