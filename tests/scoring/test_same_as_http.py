"""Replies of `scoreline score` are those of `scoreline inference` over HTTP, value by value, for both applications."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from scored import lines_of, rows_of, without_nulls
from servers import ask, folders, serving

from scoreline.app.load import load_app
from scoreline.cli.main import run
from scoreline.tables.read import LINE, read_file

pytestmark = pytest.mark.slow
ODDS = Path(__file__).parents[2] / "apps/approval_odds"


@pytest.fixture(scope="module")
def odds(tmp_path_factory):
    """Give a copy of approval odds with its model trained."""
    folder = tmp_path_factory.mktemp("odds")
    shutil.copy(ODDS / "app.py", folder)
    shutil.copytree(ODDS / "data", folder / "data")
    for command in ("feature", "train"):
        assert run([command, *folders(folder)]) == 0
    return folder


@pytest.fixture(scope="module", params=["triage", "odds"])
def served(request, tmp_path_factory):
    """Give the app's folder, its server, its file of records, and what `inference` wrote."""
    app = request.getfixturevalue(request.param)
    results = tmp_path_factory.mktemp(f"{request.param}-results")
    with serving(app, app, tmp_path_factory.mktemp(f"{request.param}-server"), "--workers", "2") as server:
        assert run(["inference", *folders(app, results=results), "--url", server.url]) == 0
        file = "orders.csv" if request.param == "triage" else "applicants.csv"
        yield app, server, app / "data" / file, results / "results.json"


def test_json_lines_are_the_same_bytes(served, score, tmp_path):
    app, _, records, answered = served
    assert score(app, records, tmp_path / "out.jsonl", "--part-records", 37, "--workers", 2).code == 0
    assert (tmp_path / "out.jsonl").read_bytes() == answered.read_bytes()


def test_parquet_has_the_same_values_and_none_besides(served, score, tmp_path):
    app, _, records, answered = served
    assert score(app, records, tmp_path / "out.parquet", "--part-records", 37).code == 0
    assert rows_of(tmp_path / "out.parquet") == [without_nulls(line) for line in lines_of(answered)]
    names = [*lines_of(answered)[0], "error"]
    assert [name for name in pq.read_schema(tmp_path / "out.parquet").names if name != "stale"] == names


def test_csv_has_the_cells_of_a_csv_reply(served, score, tmp_path):
    app, server, records, _ = served
    assert score(app, records, tmp_path / "out.csv").code == 0
    types = {"Content-Type": "text/csv; header=present", "Accept": "text/csv"}
    reply = ask(server.port, "POST", "/invocations", records.read_bytes(), types)
    header, *lines = (tmp_path / "out.csv").read_text().splitlines()
    assert header.split(",")[-1] == "error"
    assert [line.removesuffix(",") for line in lines] == reply.body.decode().splitlines()


@pytest.mark.parametrize("form", ["parquet", "jsonl", "folder of two", "key last"])
def test_records_of_another_form_get_the_same_replies(served, score, tmp_path, form):
    app, _, records, answered = served
    score(app, as_form(records, form, tmp_path / "in"), tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == answered.read_bytes()


def as_form(records, form, folder):
    """Write records in another form; return where."""
    folder.mkdir()
    head, *lines = records.read_text().splitlines(keepends=True)
    if form == "folder of two":
        (folder / "a.csv").write_text(head + "".join(lines[:20]))
        (folder / "b.csv").write_text(head + "".join(lines[20:]))
        return folder
    app = load_app(ODDS if records.name == "applicants.csv" else Path(__file__).parents[2] / "apps/order_triage")
    spec = (app.spine if app.declared_request is None else app.declared_request.table).spec
    (chunk,) = read_file(spec, records)
    table = chunk.rows.drop_columns([LINE])
    if form == "key last":
        pyarrow.csv.write_csv(table.select(list(reversed(table.column_names))), folder / "in.csv")
        return folder / "in.csv"
    if form == "parquet":
        pq.write_table(table, folder / "in.parquet", row_group_size=23)
        return folder / "in.parquet"
    names = [*spec.key, *(name for name in table.column_names if name not in spec.key)]
    kept = names if app.declared_request else list(spec.key)
    rows = [{name: row[name] for name in kept} for row in table.to_pylist()]
    (folder / "in.jsonl").write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    return folder / "in.jsonl"


def test_inputs_of_the_heads_get_the_replies_of_inputs(odds, score, tmp_path, triage):
    app = load_app(triage)
    inputs = {"order_hour_of_day": 5, "inventory": 3, "payment_status": "OK", "zip_code_available": True,
              "quantity": 2, "payment_method": "CREDIT_CARD"}  # fmt: skip
    (tmp_path / "in.jsonl").write_text(json.dumps(inputs) + "\n" + json.dumps(inputs | {"inventory": None}) + "\n")
    score(triage, tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert set(inputs) == {name for head in app.heads.values() for name in head.inputs}
    assert [line["recommendation"] for line in lines_of(tmp_path / "out.jsonl")] == ["Decline", "HoldCheckAvailability"]


def test_a_feature_table_of_ones_own_is_for_spark(triage, score, tmp_path):
    ran = score(triage, triage / "data/orders.csv", tmp_path / "out", "--features", "/no/such")
    assert (ran.code, "--features: is for --engine spark; on one machine" in ran.err) == (2, True)
    assert not (tmp_path / "out").exists()
