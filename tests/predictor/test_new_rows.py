"""New rows: their features are those that the feature table would have."""

from __future__ import annotations

import numpy as np
import pytest

from scoreline import App, Boolean, Category, Integer, Number, Rule, Text, Time, decision, features_from, latest, lookup
from scoreline.errors import AppError, FeatureError
from scoreline.predictor import NewRow, NewRows, ReferenceData
from scoreline.store.states import State, StateTable

DAY = 86_400_000_000


def fee(price, rate, region_rate):
    return price * rate + np.where(np.isnan(region_rate), 0, region_rate)


def is_late(at, due):
    return at > due


def words(note):
    return np.array([None if text is None else len(text.split()) for text in note], dtype=float)


def make_app(**functions):
    """Declare an app with every kind of feature."""
    app = App("orders")
    orders = app.table(
        "orders", key=["order_id", "line"], time="at",
        columns={"order_id": Text, "line": Integer, "at": Time, "sku": Text, "region": Text, "price": Number,
                 "note": Text(optional=True)},
    )  # fmt: skip
    stock = app.table("stock", key="sku", time="at", columns={
        "sku": Text, "at": Time, "pieces": Integer, "state": Category("NEW", "OLD"), "rate": Number})  # fmt: skip
    paid = app.table("paid", key=["order_id", "line"], time="at", in_request=True, columns={
        "order_id": Text, "line": Integer, "at": Time, "status": Text, "ok": Boolean})  # fmt: skip
    dates = app.table("dates", key="sku", columns={"sku": Text, "due": Time})
    regions = app.reference_table("regions", key="region", rows=(1, 9), columns={"region": Text, "rate": Number})
    app.features(
        spine=orders, pieces=latest(stock.pieces), state=latest(stock.state), rate=latest(stock.rate),
        status=latest(paid.status), ok=latest(paid.ok), due=lookup(dates.due), region_rate=lookup(regions.rate),
        price=orders.price, **{"fee": fee, "is_late": is_late, "words": words, **functions},
    )  # fmt: skip
    app.head("action", rules=[Rule("none", when=[("pieces", "is null")], then="Hold"), Rule("else", then="Ship")])
    app.reply(order_id=orders.order_id, action=decision("action"), origin=features_from())
    return app


class Kept:
    """States that stand in a test: table -> key -> (time, order, values), found with a plain loop."""

    tables = {
        "stock": StateTable(0, ("pieces", "state", "rate"), 1, True, {}),
        "paid": StateTable(1, ("status", "ok"), 2, True, {}),
        "dates": StateTable(2, ("due",), 1, False, {}),
    }
    history_from_us = None

    def __init__(self, **rows):
        self.rows = rows

    def newest(self, wanted):
        found = []
        for name, key, as_of in wanted:
            rows = [row for row in self.rows.get(name, {}).get(key, []) if row[0] <= as_of]
            found.append(State(*max(rows, key=lambda row: row[:2])) if rows else None)
        return found


STATES = Kept(
    stock={("S",): [(DAY, 2, [5, "NEW", 0.5]), (2 * DAY, 3, [2**60 + 1, "BROKEN", None])]},
    paid={("O", 1): [(DAY, 2, ["OK", True])]},
    dates={("S",): [(0, 2, [3 * DAY])]},
)


@pytest.fixture
def make():
    """Give a function that makes feature rows, each a dict."""

    def of(*rows, app=None, states=STATES):
        app = app or make_app()
        columns = ["order_id", "line", "at", *app.feature_types]
        regions = ReferenceData(app.tables["regions"].spec, {"region": ["N"], "rate": [0.25]})
        made = NewRows(app, states, columns, {"regions": regions}).make(rows)
        return [dict(zip(columns, row, strict=True)) for row in made]

    return of


def row(at=DAY, brought=None, **others):
    """Return a new row with a value in every column."""
    columns = {"order_id": "O", "line": 1, "at": at, "sku": "S", "region": "N", "price": 10.0, "note": "a b"}
    return NewRow({**columns, **others}, brought or {})


def test_every_feature_is_made_as_of_the_rows_own_time(make):
    [made] = make(row())
    assert made == {
        "order_id": "O", "line": 1, "at": DAY, "pieces": 5, "state": "NEW", "rate": 0.5, "status": "OK", "ok": True,
        "due": 3 * DAY, "region_rate": 0.25, "price": 10.0, "fee": 5.25, "is_late": False, "words": 2.0,
    }  # fmt: skip
    assert type(made["pieces"]) is int
    assert type(made["is_late"]) is bool


def test_before_any_row_of_another_table_there_are_nulls_and_a_table_without_time_has_its_row(make):
    [made] = make(row(at=DAY - 1))
    assert [made[name] for name in ("pieces", "state", "rate", "status", "ok", "fee")] == [None] * 6
    assert made["due"] == 3 * DAY


def test_values_come_as_they_were_kept_whole_numbers_and_unknown_categories_too(make):
    [made] = make(row(at=4 * DAY))
    assert (made["pieces"], made["state"], made["rate"], made["is_late"]) == (2**60 + 1, "BROKEN", None, True)


def test_rows_together_are_made_as_each_alone(make):
    rows = [row(), row(at=0), row(sku="T"), row(at=5 * DAY, line=2), row(region="X", price=None, note=None)]
    assert make(*rows) == [make(one)[0] for one in rows]


def test_functions_of_functions_are_made_alone_as_together(make):
    app = make_app(late_fee=late_fee, shouted=shouted, month=month)
    rows = [row(), row(at=0), row(at=5 * DAY), row(price=None)]
    assert make(*rows, app=app) == [make(one, app=app)[0] for one in rows]
    [made] = make(row(at=5 * DAY), app=app)
    assert (made["shouted"], made["late_fee"], made["month"]) == ("BROKEN!", None, 0)


def late_fee(fee, is_late):
    return np.where(is_late, fee, 0.0)


def shouted(state):
    return np.array([None if text is None else f"{text}!" for text in state], dtype=object)


def month(at):
    return at.astype("datetime64[M]").astype("datetime64[us]")


@pytest.mark.parametrize("rows", [1, 2])
def test_a_function_that_writes_into_its_arguments_fails(make, rows):
    with pytest.raises(FeatureError, match="feature 'doubled': its function failed: ValueError"):
        make(*[row()] * rows, app=make_app(doubled=doubled))


def doubled(price):
    """Write into what it was given, on rows that are not made up."""
    if (price == 10.0).all():
        price *= 2
    return price * 1.0


@pytest.mark.parametrize("rows", [1, 2])
def test_nor_may_it_write_into_what_another_function_gave(make, rows):
    with pytest.raises(FeatureError, match="feature 'raised': its function failed: ValueError"):
        make(*[row()] * rows, app=make_app(raised=raised))


def raised(fee):
    """Write into another feature, on rows that are not made up."""
    if (fee == 5.25).all():
        fee += 1
    return fee * 1.0


def test_a_null_in_a_key_matches_nothing(make):
    [made] = make(row(sku=None, region=None))
    assert (made["pieces"], made["due"], made["region_rate"], made["status"]) == (None, None, None, "OK")


def test_a_row_that_the_client_brought_stands_for_the_tables_own(make):
    [made, other] = make(row(brought={"paid": {"status": "NEW"}}), row())
    assert (made["status"], made["ok"], other["status"], other["ok"]) == ("NEW", None, "OK", True)


def test_a_fraction_where_a_function_gives_whole_numbers_fails_as_in_the_table(make):
    with pytest.raises(FeatureError, match="feature 'odd': its function gave a fraction that is no integer"):
        make(row(price=10.0), app=make_app(odd=odd))


def odd(at, price):
    """Whole numbers on made-up rows, and a fraction for a price of 10."""
    return np.where(price == 10.0, 0.5, 1.0) if (price == 10.0).any() else np.ones(len(price), dtype=np.int64)


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        pytest.param(
            {"spine": {"in_request": True}}, "table 'a': in_request= is for joined tables", id="the-spine"
        ),
        pytest.param({"name": "note"}, "feature 'note': the spine 'a' has a column of that name", id="a-spine-column"),
    ],
)  # fmt: skip
def test_what_a_client_brings_must_be_told_from_the_spine(declare, message):
    app = App("x")
    a = app.table("a", key="k", time="t", columns={"k": Text, "t": Time, "note": Text}, **declare.get("spine", {}))
    b = app.table("b", key="k", time="t", columns={"k": Text, "t": Time, "v": Text}, in_request=True)
    with pytest.raises(AppError, match=message):
        app.features(spine=a, **{declare.get("name", "v"): latest(b.v)})
