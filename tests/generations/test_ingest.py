"""Ingest: CSV and JSON Lines into the event log, seen by the live road, folded in by the next `feature`."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest
from servers import JSON, copy_app, folders, keys_of, open_service, run, settings_for, write_sample

from scoreline.app.load import load_app
from scoreline.app.moments import now_us
from scoreline.cli.report import status_lines
from scoreline.errors import StoreError, TableError
from scoreline.generations.ingest import Ingest, kind_of_text
from scoreline.generations.state import KEPT, StateFolder
from scoreline.generations.status import describe_state
from scoreline.serving.answer import answer
from scoreline.serving.start import make_builder, source_of
from scoreline.settings import resolve_settings
from scoreline.store.events import event_log

CSV = b"sku_code,timestamp,inventory\nS,2030-01-01,5\nS,2030-01-02T00:00:00+01:00,\nS,never,3\n,2030-01-01,3\n"
LINES = b"""{"sku_code": "S", "timestamp": "2030-01-01", "inventory": 5}

{"timestamp": "2030-01-01T23:00:00Z", "inventory": null, "sku_code": "S", "more": 1}
{"sku_code": "S", "timestamp": "never", "inventory": 3}
{"sku_code": "", "timestamp": "2030-01-01", "inventory": 3}
"""
DAY = 86_400_000_000
NEW_YEAR = 1_893_456_000_000_000  # 2030


@pytest.fixture
def ingest(order_triage, tmp_path):
    """Give an ingest into an empty folder."""
    yield Ingest(order_triage, tmp_path)
    event_log(tmp_path).close()


def rows_in(ingest, table="inventory"):
    """Return the rows of a table in the log."""
    log = event_log(ingest._state)
    return [values for _, values in log.rows_of(table, log.last)]


@pytest.mark.parametrize(("body", "kind", "lines"), [(CSV, "csv", [4, 5]), (LINES, "json-lines", [4, 5])])
def test_good_rows_are_kept_typed_and_bad_ones_are_listed(ingest, body, kind, lines):
    report = ingest.append_body("inventory", body, kind)
    assert rows_in(ingest) == [
        {"sku_code": "S", "timestamp": NEW_YEAR, "inventory": 5},
        {"sku_code": "S", "timestamp": NEW_YEAR + DAY * 23 // 24, "inventory": None},
    ]
    told = report.describe()
    assert (told["rows"], told["known"], told["set_aside"]) == (2, 0, 2)
    assert [(row["line"], row["column"]) for row in told["rejected"]] == [
        (lines[0], "timestamp"), (lines[1], "sku_code"),
    ]  # fmt: skip
    assert told["rejected"][0]["why"].startswith("expected a time")


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ('{"sku_code": 7, "timestamp": "2030-01-01", "inventory": 1}', "sku_code"),
        ('{"sku_code": "7", "timestamp": 1893456000, "inventory": 1}', "timestamp"),
        ('{"sku_code": "7", "timestamp": "2030-01-01", "inventory": "1"}', "inventory"),
        ('{"sku_code": "7", "timestamp": "2030-01-01", "inventory": 1.5}', "inventory"),
        ('{"sku_code": "7", "timestamp": "2030-01-01", "inventory": true}', "inventory"),
        ('{"sku_code": "7", "timestamp": "2030-01-01", "inventory": 1e300}', "inventory"),
        ('{"sku_code": "7", "timestamp": "2030-01-01"}', "inventory"),
        ('{"sku_code": "7", "inventory": 1}', "timestamp"),
        ('["7", "2030-01-01", 1]', None),
        ('{"sku_code": "7", "timestamp": "2030-01-01", "inventory": 1', None),
        ("[" * 5000, None),
        ("caf\u00e9", None),
    ],
)
def test_a_json_row_that_does_not_fit_is_set_aside_alone(ingest, line, column):
    good = '{"sku_code": "7", "timestamp": "2030-01-01", "inventory": 1.0}'
    report = ingest.append_body("inventory", f"{good}\n{line}\n{good}\n".encode(), "json-lines")
    assert ([(row.line, row.column) for row in report.rejected], report.rows) == ([(2, column)], 2)
    assert [row["inventory"] for row in rows_in(ingest)] == [1, 1]


def test_a_batch_is_known_by_its_name_else_by_its_content(ingest):
    assert ingest.append_body("inventory", CSV, "csv").known == 0
    assert ingest.append_body("inventory", CSV, "csv").known == 2
    assert ingest.append_body("inventory", CSV, "csv", "mine").known == 0
    assert ingest.append_body("inventory", LINES, "json-lines", "mine").known == 2  # the same rows
    with pytest.raises(StoreError, match="batch 'mine' of table 'inventory' is known with other rows"):
        ingest.append_body("inventory", CSV.replace(b",5", b",6"), "csv", "mine")
    assert len(rows_in(ingest)) == 4
    for bad in ("", "a b", "\u00fc", "x" * 129):
        with pytest.raises(TableError, match="batch: expected a name of 1 to 128 printable characters"):
            ingest.append_body("inventory", CSV, "csv", bad)


def test_a_long_file_goes_in_piece_by_piece_and_goes_on_where_it_ended(ingest, tmp_path, monkeypatch):
    monkeypatch.setattr("scoreline.tables.incoming.ROWS_AT_ONCE", 10)
    lines = [json.dumps({"sku_code": "S", "timestamp": "2030-01-01", "inventory": n}) for n in range(35)]
    (tmp_path / "some.jsonl").write_text("\n".join(lines[:20]) + "\n")
    assert ingest.append_file("inventory", tmp_path / "some.jsonl", "b").rows == 20
    (tmp_path / "some.jsonl").write_text("\n".join(lines) + "\n")
    report = ingest.append_file("inventory", tmp_path / "some.jsonl", "b")
    assert (report.rows, report.known) == (35, 20)
    assert [row["inventory"] for row in rows_in(ingest)] == list(range(35))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("orders", "table 'orders' is the spine: its rows go to /invocations"),
        ("stock", "no table 'stock' is joined to the spine. Rows can be ingested for inventory, payments, zip_codes"),
    ],
)
def test_a_table_that_takes_no_rows_is_refused_with_those_that_do(ingest, table, message):
    with pytest.raises(TableError, match=message):
        ingest.append_body(table, CSV, "csv")


def test_a_body_without_the_columns_is_refused_as_a_whole(ingest):
    with pytest.raises(TableError, match="table 'inventory', the body: has no column 'inventory'"):
        ingest.append_body("inventory", b"sku_code,timestamp\nS,2030-01-01\n", "csv")


@pytest.mark.parametrize(
    ("text", "kind"), [(b' {"a"', "json-lines"), (b"\xef\xbb\xbf{", "json-lines"), (b"a,b", "csv")]
)
def test_what_comes_without_a_name_is_known_by_its_beginning(text, kind):
    assert kind_of_text(text) == kind


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Give an app folder of 300 orders with features and model, of this module's own."""
    app = copy_app(tmp_path_factory.mktemp("own"))
    write_sample(app / "data")
    assert run(["feature", *folders(app), "--state", str(app / "state")]) == 0
    assert run(["train", *folders(app)]) == 0
    return app


def test_a_live_order_uses_what_came_and_after_the_next_feature_the_table_says_the_same(made, tmp_path, capsys):
    state = tmp_path / "state"
    service = open_service(settings_for(made, state))
    triage = load_app(made)
    key = keys_of(made)[0]
    new = {**key, "order_id": "NEW", "timestamp": "2030-01-05", "quantity": 1, "payment_status": "OK"}

    def inventory(at):
        body = json.dumps({**new, "timestamp": at}).encode()
        reply = json.loads(answer(service, "POST", "/invocations", JSON, body, "explain=true").body)
        feature = reply["explanation"]["features"]["inventory"]
        return feature["value"], feature["row"]

    first = inventory("2030-01-05")
    assert "file" in first[1]
    into = Ingest(triage, state)
    sku = key["sku_code"]
    rows = [("2030-01-03", 11), ("2030-01-01", 12), ("2030-01-03", 13)]  # late, and two at one instant
    lines = "\n".join(json.dumps({"sku_code": sku, "timestamp": at, "inventory": n}) for at, n in rows)
    into.append_body("inventory", lines.encode(), "json-lines", "b1")
    assert inventory("2030-01-05") == (13, {"batch": "b1", "row": 3, "time": "2030-01-03T00:00:00.000000Z"})
    assert inventory("2030-01-02") == (12, {"batch": "b1", "row": 2, "time": "2030-01-01T00:00:00.000000Z"})
    assert inventory("2029-12-31T23:59:59.999999Z") == first
    into.append_body("zip_codes", f"zip_code,available_from\n{key['zip_code']},2031-01-01\n".encode(), "csv")
    reply = json.loads(answer(service, "POST", "/invocations", JSON, json.dumps(new).encode()).body)
    assert reply["reason"]["rule"] == "zip_not_served"

    orders = made / "data/orders.csv"
    head, *lines = orders.read_text().splitlines()
    placed = ",".join({**new, "order_fulfilled": ""}[name] if name != "quantity" else "1" for name in head.split(","))
    data = tmp_path / "data"
    data.mkdir()
    for path in (made / "data").glob("*.csv"):
        (data / path.name).write_text(path.read_text())
    (data / "orders.csv").write_text("\n".join([head, *lines, placed]) + "\n")
    results = tmp_path / "results"
    capsys.readouterr()
    assert run(["feature", *folders(made, data=data, results=results), "--state", str(state)]) == 0
    assert "           3 rows ingested since, folded in" in capsys.readouterr().out

    built = pq.read_table(results / "feature.parquet").to_pylist()[-1]
    assert (built["order_id"], built["inventory"], built["zip_code_available"]) == ("NEW", 13, False)
    event_log(state).close()


@pytest.fixture
def stocked(made, tmp_path):
    """Give a function that makes settings of the app, its inventory stale after an hour, with more of them."""
    app = copy_app(
        tmp_path / "app",
        ('    key="sku_code",\n', '    key="sku_code",\n    stale_after_s=3600,\n'),
    )
    of_made = {name: made / name for name in ("data", "model")}
    made_here = {"app": app, **of_made, "results": tmp_path / "results", "state": tmp_path / "state"}
    yield lambda **more: resolve_settings({**made_here, **more}, {})
    event_log(tmp_path / "state").close()


def build(settings):
    names = {"app": settings.app, "data": settings.data, "model_dir": settings.model, "results": settings.results}
    arguments = [part for name, path in names.items() for part in (f"--{name.replace('_', '-')}", str(path))]
    assert run(["feature", *arguments, "--state", str(settings.state)]) == 0


def test_replies_name_a_table_whose_newest_row_is_older_than_declared_until_one_comes(stocked, capsys):
    settings = stocked()
    build(settings)
    service = open_service(settings)
    key = json.dumps(keys_of(settings.data.parent)[0]).encode()

    def asked():
        service._stale = (float("-inf"), [])  # what is known of ages is used again for a second
        given = answer(service, "POST", "/invocations", JSON, key)
        return json.loads(given.body).get("stale"), given.headers.get("X-Scoreline-Stale")

    assert asked() == (["inventory"], "inventory")
    told = describe_state(StateFolder(settings.state), service.app, source_of(settings))["events"]
    assert told["tables"]["inventory"]["stale"] is True
    assert told["tables"]["payments"]["stale_after_s"] is None
    assert any("s old, older than the 3,600 s declared" in line for line in status_of(settings, service.app))
    now = datetime.now(UTC).isoformat()
    row = json.dumps({"sku_code": "S", "timestamp": now, "inventory": 5})
    Ingest(service.app, settings.state).append_body("inventory", row.encode(), "json-lines")
    assert asked() == (None, None)
    folded = "  1 rows ingested since; the next `scoreline feature` folds them in"
    assert folded in status_of(settings, service.app)


def status_of(settings, app):
    """Return what `scoreline status` prints."""
    described = describe_state(StateFolder(settings.state), app, source_of(settings))
    return status_lines({**described, "servers": []})


def test_rows_that_were_folded_in_are_dropped_after_the_days_that_were_set_and_never_before(stocked, monkeypatch):
    settings = stocked(events_days=30)
    build(settings)
    app = load_app(settings.app)
    log, into = event_log(settings.state), Ingest(app, settings.state)
    refresh = make_builder(settings, app, StateFolder(settings.state)).refresh
    refresh("start")
    for number, days_ago in enumerate((60, 60, 1)):
        monkeypatch.setattr("scoreline.generations.ingest.now_us", lambda ago=days_ago: now_us() - ago * DAY)
        row = {"sku_code": "S", "timestamp": f"2030-01-0{number + 1}", "inventory": number}
        into.append_body("inventory", json.dumps(row).encode(), "json-lines")
    refresh("ask")
    assert len(rows_in(into)) == 3  # no generation has them
    build(settings)
    for _ in range(KEPT):
        assert len(rows_in(into)) == 3  # nor have all that can be gone back to
        change_zip(settings.data / "zip_codes.csv", settings)
        refresh("ask")
    change_zip(settings.data / "zip_codes.csv", settings)
    refresh("ask")
    assert [row["inventory"] for row in rows_in(into)] == [2]
    assert log.last == 3 + KEPT + 1  # numbers are never given twice


def change_zip(path, settings):
    """Change what the feature table is made from, so that the next refresh publishes."""
    with (copied := settings.state / "zips.csv").open("a") as file:
        file.write("x")
    Ingest(load_app(settings.app), settings.state).append_body(
        "zip_codes", f"zip_code,available_from\nz{copied.stat().st_size},2031-01-01\n".encode(), "csv"
    )
    build(settings)
