"""Replies as rows: which columns they have, and whether numbers alone can hold them."""

from __future__ import annotations

import pytest
from flowers import APP as FLOWERS
from lines import make_app as make_lines

from scoreline import App, Boolean, Category, Integer, Number, Time, decision, probabilities, probability, reason
from scoreline.app.load import load_app
from scoreline.serving.codecs.replies import ReplyTable, reply_tables

ORDER_TRIAGE_COLUMNS = ["order_id", "recommendation", "reason", "fulfilment_probability", "features_from"]


def make_parcels(**reply):
    """Declare an app with a head of three sizes."""
    app = App("parcels")
    columns = {"parcel_id": Integer, "at": Time, "length": Number, "size": Category("S", "M", "L"), "late": Boolean}
    parcels = app.table("parcels", key="parcel_id", time="at", columns=columns)
    app.features(spine=parcels, length=parcels.length)
    app.head("size", target=parcels.size, estimator=print, inputs=["length"])
    app.head("late", target=parcels.late, estimator=print, inputs=["length"])
    app.reply(parcel_id=parcels.parcel_id, **reply)
    return app


def test_without_a_declared_csv_reply_all_fields_are_columns(order_triage):
    tables = reply_tables(order_triage)
    assert list(tables.request.columns) == ORDER_TRIAGE_COLUMNS
    assert list(tables.inputs.columns) == ORDER_TRIAGE_COLUMNS[1:-1]
    assert (tables.request.is_numeric, tables.inputs.is_numeric) == (False, False)


def test_a_declared_csv_reply_says_the_columns_of_inputs_too():
    app = make_lines()
    app.csv_reply(no="line", what="action", chance="odds")
    tables = reply_tables(app)
    assert tables.request.columns == {"no": ("line",), "what": ("action",), "chance": ("odds",)}
    assert tables.inputs.columns == {"what": ("action",), "chance": ("odds",)}


def test_where_a_declared_csv_reply_has_nothing_of_the_heads_inputs_get_it_all():
    app = make_lines()
    app.csv_reply(no="line")
    assert list(reply_tables(app).inputs.columns) == ["action", "why", "odds"]


def test_columns_of_the_first_entry_are_columns_of_inputs(tmp_path):
    from cards import write_cards_app

    tables = reply_tables(load_app(write_cards_app(tmp_path)))
    assert tables.request.columns["best"] == ("cards", "card_id")
    assert (tables.inputs.columns, tables.inputs.is_numeric) == ({"odds": ("odds",)}, True)


def test_probabilities_of_classes_are_a_column_each():
    tables = reply_tables(make_parcels(chances=probabilities("size"), small=probability("size", of="S")))
    assert list(tables.request.columns) == ["parcel_id", "chances.S", "chances.M", "chances.L", "small"]
    assert (tables.request.is_numeric, tables.inputs.is_numeric) == (True, True)
    reply = {"chances": {"S": 0.5, "M": 0.25, "L": 0.25}, "small": 0.5}
    assert tables.inputs.row(reply) == [0.5, 0.25, 0.25, 0.5]
    assert tables.inputs.row({"chances": None, "small": None}) == [None] * 4


@pytest.mark.parametrize(
    ("fields", "is_numeric"),
    [
        ({"line": "line", "odds": probability("odds")}, True),
        ({"order": "order_id", "odds": probability("odds")}, False),
        ({"line": "line", "action": decision("action")}, False),
        ({"line": "line", "why": reason("action")}, False),
    ],
)
def test_numbers_alone_hold_keys_that_are_numbers_and_probabilities(fields, is_numeric):
    assert reply_tables(make_lines(**fields)).request.is_numeric == is_numeric


def test_the_app_of_flowers_is_numbers_alone(tmp_path):
    (tmp_path / "app.py").write_text(FLOWERS)
    tables = reply_tables(load_app(tmp_path))
    assert (tables.request.is_numeric, tables.inputs.is_numeric) == (True, True)


def test_a_reason_that_is_null_is_an_empty_cell():
    table = ReplyTable({"why": ("why",)}, is_numeric=False)
    assert [table.row({"why": why}) for why in (None, {"rule": "clear", "stock": 1})] == [[None], ["clear"]]
