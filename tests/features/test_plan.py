"""The plan of an app: what it says of each feature, and what its digest notices."""

from __future__ import annotations

import itertools

import pytest

from scoreline import Boolean, Category, Integer, Number, Text, Time
from scoreline.app.load import load_app
from scoreline.features.plan import make_plan

APP = """\
from scoreline import App, Boolean, Category, Integer, Number, Rule, Text, Time, decision, latest, lookup

LIMIT = 100
app = App("shop")
orders = app.table(
    "orders", key="order_id", time="at",
    columns={"order_id": Text, "at": Time, "sku": Text, "zip": Text, "pieces": Integer, "kept": Boolean},
)
stock = app.table("stock", key="sku", time="at", columns={"sku": Text, "at": Time, "level": Integer, "cost": Number})
zips = app.table("zips", key="zip", columns={"zip": Text, "region": Category("NORTH", "SOUTH")})
unused = app.table("unused", key="zip", columns={"zip": Text})

def is_dear(value):
    return value > LIMIT

def value(pieces, cost):
    return pieces * cost

app.features(
    spine=orders,
    is_dear=is_dear,
    level=latest(stock.level),
    region=lookup(zips.region),
    value=value,
    cost=latest(stock.cost),
    pieces=orders.pieces,
)
app.head("action", rules=[Rule("dear", when=[("is_dear", "==", True)], then="Call"), Rule("rest", then="Ship")])
app.head("odds", target=orders.kept, inputs=["level"], estimator=print)
app.head("odds_again", target=orders.kept, inputs=["value"], estimator=print)
app.reply(order_id=orders.order_id, action=decision("action"))
"""


@pytest.fixture
def plan_of(tmp_path):
    """Give a function that writes an app file and makes its plan."""
    numbers = itertools.count()

    def make(text):
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        (folder / "app.py").write_text(text)
        return make_plan(load_app(folder))

    return make


def test_columns_are_key_time_and_features_in_declared_order(plan_of):
    assert plan_of(APP).columns == {
        "order_id": Text(),
        "at": Time(),
        "is_dear": Boolean(),
        "level": Integer(),
        "region": Category("NORTH", "SOUTH"),
        "value": Number(),
        "cost": Number(),
        "pieces": Integer(),
    }


def test_features_of_one_table_share_one_join(plan_of):
    joins = {join.table.name: join.columns for join in plan_of(APP).joins}
    assert joins == {"stock": {"level": "level", "cost": "cost"}, "zips": {"region": "region"}}


def test_only_tables_that_a_feature_needs_are_read(plan_of):
    assert [table.name for table in plan_of(APP).tables] == ["orders", "stock", "zips"]


def test_a_function_comes_after_the_functions_that_it_takes(plan_of):
    assert [feature.name for feature in plan_of(APP).functions] == ["value", "is_dear"]


def test_a_target_of_two_heads_is_kept_once(plan_of):
    assert plan_of(APP).targets == ("kept",)


def test_the_plan_says_where_each_feature_comes_from(plan_of):
    features = plan_of(APP).describe()["features"]
    assert features["level"] == {"type": "integer", "from": ["latest", "stock.level"]}
    assert features["region"] == {
        "type": "category", "values": ["NORTH", "SOUTH"], "from": ["lookup", "zips.region"],
    }  # fmt: skip
    assert features["pieces"] == {"type": "integer", "from": "orders.pieces"}
    assert features["value"]["from"]["of"] == ["pieces", "cost"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("level=latest(stock.level)", "level=latest(stock.cost)", id="a-feature-from-another-column"),
        pytest.param("    value=value,\n", "    value=value,\n    zip_code=orders.zip,\n", id="a-new-feature"),
        pytest.param("    pieces=orders.pieces,\n", "", id="a-feature-left-out"),
        pytest.param("pieces * cost", "pieces + cost", id="a-function"),
        pytest.param("LIMIT = 100", "LIMIT = 99", id="a-constant-that-a-function-reads"),
        pytest.param('"NORTH", "SOUTH"', '"SOUTH", "NORTH"', id="the-order-of-a-category"),
        pytest.param('"pieces": Integer', '"pieces": Number', id="a-type"),
        pytest.param('"pieces": Integer', '"pieces": Integer(minimum=0)', id="a-range"),
        pytest.param('"zip": Text, "region"', '"zip": Text, "since": Time, "region"', id="a-column-of-a-joined-table"),
        pytest.param("target=orders.kept, inputs=[\"level\"]", "target=orders.gone, inputs=[\"level\"]", id="a-target"),
    ],
)  # fmt: skip
def test_the_digest_changes_with_what_the_features_are_made_from(plan_of, old, new):
    text = APP.replace('"kept": Boolean}', '"kept": Boolean, "gone": Boolean}')
    assert text.count(old) == 1
    assert plan_of(text.replace(old, new)).digest != plan_of(text).digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param('then="Call"', 'then="Phone"', id="a-rule"),
        pytest.param('inputs=["level"]', 'inputs=["value"]', id="the-inputs-of-a-head"),
        pytest.param('"unused", key="zip"', '"never", key="zip"', id="a-table-that-nothing-reads"),
        pytest.param("return value > LIMIT", '"""Tell."""\n    return value > LIMIT  # euros', id="a-comment"),
        pytest.param('"zips", key', '"zips", file="areas.csv", key', id="the-name-of-a-file"),
        pytest.param('App("shop")', 'App("store")', id="the-name-of-the-app"),
    ],
)
def test_the_digest_stays_when_the_features_stay(plan_of, old, new):
    assert APP.count(old) == 1
    assert plan_of(APP.replace(old, new)).digest == plan_of(APP).digest


def test_order_triage_reads_four_tables(order_triage):
    plan = make_plan(order_triage)
    assert [table.name for table in plan.tables] == ["orders", "inventory", "payments", "zip_codes"]
    assert plan.targets == ("order_fulfilled",)
