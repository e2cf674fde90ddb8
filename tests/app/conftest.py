"""What tests of app files share: a whole app that is right, and a clean list of modules after each."""

from __future__ import annotations

import sys

import pytest

from scoreline.app.load import load_app
from scoreline.errors import AppError

RIGHT_APP = """\
from scoreline import App, Boolean, Category, Integer, Number, Rule, Text, Time
from scoreline import decision, latest, lookup, probability, reason

app = App("shop")

orders = app.table(
    "orders",
    key=["order_id", "sku"],
    time="placed_at",
    columns={
        "order_id": Text,
        "sku": Text,
        "zip": Text,
        "placed_at": Time,
        "pieces": Integer,
        "price": Number,
        "kept": Boolean(optional=True),
    },
)
stock = app.table("stock", key="sku", time="counted_at", columns={"sku": Text, "counted_at": Time, "level": Integer})
zips = app.table("zips", key="zip", columns={"zip": Text, "region": Category("NORTH", "SOUTH")})


def value(pieces, price):
    return pieces * price


def is_large(value):
    return value > 100


app.features(
    spine=orders,
    level=latest(stock.level),
    region=lookup(zips.region),
    value=value,
    is_large=is_large,
    zip_code=orders.zip,
)
app.head(
    "action",
    rules=[
        Rule("empty", when=[("level", "is null"), ("level", "<", 1)], then="Hold"),
        Rule("large", when=[("is_large", "==", True), ("region", "!=", "NORTH")], then="Call"),
        Rule("rest", then="Ship"),
    ],
)


def make_estimator():
    raise AssertionError("only train may call it")


app.head("odds", target=orders.kept, inputs=["level", "value", "region"], estimator=make_estimator)
app.reply(order_id=orders.order_id, action=decision("action"), why=reason("action"), odds=probability("odds"))


def is_held(action, level):
    return (action == "Hold") & (level > 0)


app.summary("held with stock", is_held)
"""


@pytest.fixture
def right_app():
    """Give the text of an app file without a mistake; a test makes one in it."""
    return RIGHT_APP


@pytest.fixture
def app_folder(tmp_path):
    """Give a function that writes an app file into a folder of its own and returns the folder."""

    def write(text, folder="shop"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "app.py").write_text(text)
        return tmp_path / folder

    return write


@pytest.fixture
def refuses(app_folder):
    """Give a function that checks that a mistake in an app file is refused, with its file, its line and what it says.

    `right` stands once in the text and becomes `wrong`; the line named is the one where `at` begins then.
    """

    def check(text, right, wrong, at, says):
        assert text.count(right) == 1
        text = text.replace(right, wrong)
        folder = app_folder(text)
        with pytest.raises(AppError) as caught:
            load_app(folder)
        message = str(caught.value)
        line = text[: text.index(at, text.index("app = "))].count("\n") + 1
        assert message.startswith(f"{folder}/app.py, line {line}: ")
        assert [piece for piece in says if piece not in message] == []

    return check


@pytest.fixture(autouse=True)
def clean_modules(monkeypatch):
    """Forget the modules of the app files that a test loads, and the folders that it adds to the path."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("scoreline_app_") or name in ("helper", "shop_tables"):
            del sys.modules[name]
