"""Parity: nothing differs where nothing was planted, and what was planted is named."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from dataclasses import replace

import pytest
from cards import copy_cards, made_cards
from servers import JSON, copy_app, folders, keys_of, open_service, run, serving, settings_for, write_sample

from scoreline.app.load import load_app
from scoreline.errors import StampError
from scoreline.inference.parity import parity_lines, run_parity
from scoreline.predictor import NewRows, StoredScorer
from scoreline.serving.answer import answer
from scoreline.store.states import Wanted

HOURS = 3_600_000_000


class Planted:
    """The store's states, changed on the way: each is given with its table and question."""

    def __init__(self, states, change, ask=lambda wanted: wanted):
        self._states, self._change, self._ask = states, change, ask
        self.tables, self.history_from_us = states.tables, states.history_from_us

    def newest(self, wanted):
        asked = [self._ask(one) for one in wanted]
        return [
            state and state._replace(values=self._change(one.table, list(state.values)))
            for one, state in zip(asked, self._states.newest(asked), strict=True)
        ]


@pytest.fixture
def replay(service, triage, order_triage, but):
    """Give a function that replays all rows over planted states; returns the report."""
    parts = service.current()

    def run_it(change=lambda table, values: values, ask=lambda wanted: wanted):
        scorer = object.__new__(StoredScorer)
        new_rows = NewRows(order_triage, Planted(parts.store, change, ask), parts.generation.columns, {})
        scorer.__dict__ = {**parts.scorer.__dict__, "new_rows": new_rows}
        of = but(scorer=scorer)

        def send(records, query):
            return json.loads(answer(of, "POST", "/invocations", JSON, json.dumps(records).encode(), query).body)

        return run_parity(order_triage, triage / "data", triage / "results", send)

    return run_it


@pytest.fixture
def but(service):
    """Give a function that returns the service with another scorer in its generation."""

    def vary(scorer):
        varied, parts = copy.copy(service), replace(service.current(), scorer=scorer)
        varied.current = lambda: parts
        return varied

    return vary


def of_table(name, change):
    """Change the values of one table alone."""
    return lambda table, values: change(values) if table == name else values


def test_every_row_gets_what_the_table_has(replay, orders_in_table):
    report = replay()
    assert (report.rows, report.differences, report.refused) == (orders_in_table, {}, 0)
    assert parity_lines(report) == [
        f"parity: {orders_in_table} rows, 7 features and every reply field compared", "  no difference",
    ]  # fmt: skip


@pytest.fixture
def orders_in_table(triage):
    return json.loads((triage / "results/feature.stamp.json").read_bytes())["rows"]


@pytest.mark.parametrize(
    ("change", "feature", "kind"),
    [
        pytest.param(
            of_table("inventory", lambda values: [None if v is None else float(v) for v in values]),
            "inventory", "another type: integer was expected, a float came", id="a-wrong-type",
        ),
        pytest.param(
            of_table("zip_codes", lambda values: [0 if v is None else v for v in values]),
            "available_from", "a null was filled", id="a-filled-null",
        ),
        pytest.param(
            of_table("payments", lambda values: values[::-1]),
            "payment_status", "swapped with payment_method", id="swapped-columns",
        ),
        pytest.param(
            of_table("payments", lambda values: ["Okay" if v == "OK" else v for v in values]),
            "payment_status", "an unseen category, 'Okay'", id="an-unseen-category",
        ),
        pytest.param(
            of_table("zip_codes", lambda values: [None if v is None else v + 2 * HOURS for v in values]),
            "available_from", "shifted, by +2 in each of them", id="a-shifted-time-zone",
        ),
        pytest.param(
            of_table("inventory", lambda values: [None for _ in values]),
            "inventory", "a value became null", id="a-value-that-is-gone",
        ),
    ],
)  # fmt: skip
def test_what_was_planted_is_named_with_its_first_example(replay, change, feature, kind):
    report = replay(change)
    assert not report.is_good
    assert report.differences[feature].kind.startswith(kind)
    [line] = [line for line in parity_lines(report) if line.startswith(f"  {feature}: ")]
    assert f"rows differ: {kind}" in line
    assert "    the first: order_id='O" in "\n".join(parity_lines(report))


def test_a_stale_state_is_named(replay):
    def yesterday(wanted):
        return Wanted(*wanted[:2], wanted.as_of_us - 48 * HOURS) if wanted.table == "inventory" else wanted

    report = replay(ask=yesterday)
    found = report.differences["inventory"]
    assert (found.kind, set(report.differences) & {"payment_status", "quantity"}) == (
        "another value: a stale row, or one that came too late or since `feature`", set(),
    )  # fmt: skip
    assert "reply field recommendation" in report.differences


def test_a_few_stale_rows_are_no_shift_though_they_are_off_by_the_same(replay):
    seldom = of_table("inventory", lambda values: [v if v is None or v % 10 else v - 86 for v in values])
    report = replay(seldom)
    found = report.differences["inventory"]
    assert 3 <= found.rows < report.rows // 4
    assert found.kind.startswith("another value")


def test_a_shifted_clock_of_the_app_shows_in_its_hours(triage, service, order_triage, but):
    def send(records, query):
        shifted = [
            {**record, "timestamp": record["timestamp"].replace("Z", "+02:00")} if "timestamp" in record else record
            for record in records
        ]
        return json.loads(answer(service, "POST", "/invocations", JSON, json.dumps(shifted).encode(), query).body)

    report = run_parity(order_triage, triage / "data", triage / "results", send)
    assert report.differences["order_hour_of_day"].off_by.keys() == {-2.0, 22.0}


def test_so_many_rows_as_asked_for_spread_over_the_table(triage, service, order_triage):
    asked = []

    def send(records, query):
        asked.extend(records)
        return json.loads(answer(service, "POST", "/invocations", JSON, json.dumps(records).encode(), query).body)

    assert run_parity(order_triage, triage / "data", triage / "results", send, rows=10).rows == 10
    in_file = [row["order_id"] for row in keys_of(triage)]
    assert [in_file.index(record["order_id"]) for record in asked[:10]] == list(range(29, 300, 30))


def test_rows_that_are_refused_are_counted_with_the_first_reason(triage, order_triage):
    report = run_parity(
        order_triage, triage / "data", triage / "results", lambda records, _: [{"detail": "no"}] * len(records), rows=3
    )
    assert (report.refused, report.is_good) == (3, False)
    assert parity_lines(report)[1].endswith(": no")


@pytest.mark.slow
def test_over_http_on_20_000_orders_with_ties_late_events_nulls_and_duplicates(tmp_path, capsys):
    app = copy_app(tmp_path / "app")
    write_sample(app / "data", orders=20_000, bad_rows=True)
    assert run(["feature", *folders(app)]) == 0
    assert run(["train", *folders(app)]) == 0
    capsys.readouterr()
    with serving(app, app, tmp_path / "server", "--workers", "2") as server:
        code = run(["parity", *folders(app), "--port", str(server.port)])
        said = capsys.readouterr()
        assert (code, said.out.splitlines()[-1]) == (0, "  no difference"), said.out
        assert said.out.startswith("parity: 20,000 rows, 7 features and every reply field compared")
    assert run(["parity", *folders(app), "--port", str(server.port)]) == 1


@pytest.fixture
def cards(tmp_path_factory, tmp_path):
    """Give the small app of cards with its server, a copy of its own."""
    folder = copy_cards(made_cards(tmp_path_factory), tmp_path / "cards")
    with contextlib.redirect_stdout(io.StringIO()):
        service = open_service(settings_for(folder, tmp_path / "state"))

    def send(records, query):
        return json.loads(answer(service, "POST", "/invocations", JSON, json.dumps(records).encode(), query).body)

    return folder, send


def test_requests_that_bring_their_fields_get_what_the_table_has(cards):
    folder, send = cards
    report = run_parity(load_app(folder), folder / "data", folder / "results", send)
    assert (report.rows, report.features, report.differences, report.refused) == (400, 11, {}, 0)


def test_a_reference_table_that_is_not_the_tables_own_is_named(cards):
    folder, send = cards

    def stale(records, query):
        return [
            {**reply, "explanation": {"rows": [_plus_fee(row) for row in reply["explanation"]["rows"]]}}
            if "explanation" in reply else {**reply, "odds": 0.123}
            for reply in send(records, query)
        ]  # fmt: skip

    report = run_parity(load_app(folder), folder / "data", folder / "results", stale)
    assert set(report.differences) == {"fee", "reply field odds"}
    assert report.differences["fee"].first[1:] in [(0, 5), (95, 100), (25.5, 30.5), (450, 455)]


def _plus_fee(row):
    fee = row["features"]["fee"]
    return {**row, "features": {**row["features"], "fee": None if fee is None else fee + 5}}


def test_rows_that_no_client_could_send_are_counted_apart(cards):
    folder, send = cards
    history = folder / "data/history.csv"
    history.write_text(history.read_text().replace(",own,", ",boat,", 1))
    with contextlib.redirect_stdout(io.StringIO()):
        assert run(["feature", *folders(folder)]) == 0
    report = run_parity(load_app(folder), folder / "data", folder / "results", send)
    assert (report.rows, report.beyond, report.is_good) == (399, 1, True)
    assert "1 rows passed over, which no client can ask as new; the first: person_id='H" in "\n".join(
        parity_lines(report)
    )


def test_without_a_feature_table_nothing_is_compared(tmp_path, order_triage):
    with pytest.raises(StampError, match="no feature table here"):
        run_parity(order_triage, tmp_path, tmp_path, lambda *_: [])
