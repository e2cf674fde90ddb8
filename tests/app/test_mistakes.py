"""Mistakes in an app file: each is refused by `load_app`, with file, line, name and a way out."""

from __future__ import annotations

import pytest

from scoreline.app.load import load_app
from scoreline.errors import AppError


def mistake(name, right, wrong, at, *says):
    """Say of one mistake: what stands in its place, a piece of the line that is named, what the message says."""
    return pytest.param(right, wrong, at, says, id=name)


def a_function(body, arguments="pieces, price"):
    return f"def value({arguments}):\n    {body}\n"


VALUE = a_function("return pieces * price")

TABLES = [
    mistake(
        "a-column-that-the-table-does-not-have", "zip_code=orders.zip", "zip_code=orders.zipp", "orders.zipp",
        "table 'orders' has no column 'zipp'", "Did you mean 'zip'?",
    ),
    mistake(
        "a-type-that-is-none", '"price": Number', '"price": float', "app.table(",
        "table 'orders', column 'price'", "got <class 'float'>", "Use Text, Integer, Number, Boolean, Time",
    ),
    mistake(
        "a-category-without-its-values", 'Category("NORTH", "SOUTH")', "Category", '"zips"',
        "table 'zips', column 'region'", "Category needs its values",
    ),
    mistake(
        "a-category-value-twice", 'Category("NORTH", "SOUTH")', 'Category("NORTH", "NORTH")', '"zips"',
        "names a value twice", "NORTH",
    ),
    mistake(
        "a-key-that-is-not-declared", 'key="zip"', 'key="zipcode"', '"zips"',
        "table 'zips', key: no column 'zipcode'", "Did you mean 'zip'?", "Declared: zip, region",
    ),
    mistake(
        "a-number-as-key", '"zips", key="zip", columns={"zip": Text', '"zips", key="zip", columns={"zip": Number',
        '"zips"', "key 'zip'", "expected a Text or Integer column", "leading zeros",
    ),
    mistake(
        "a-key-that-may-be-absent", 'columns={"zip": Text', 'columns={"zip": Text(optional=True)', '"zips"',
        "key 'zip'", "always there",
    ),
    mistake("no-key-at-all", 'key="zip"', "key=[]", '"zips"', "table 'zips'", "expected key="),
    mistake(
        "a-key-column-twice", '["order_id", "sku"]', '["sku", "sku"]', "app.table(",
        "table 'orders'", "key names a column twice: sku, sku",
    ),
    mistake(
        "a-time-column-that-is-text", '"counted_at": Time', '"counted_at": Text', '"stock"',
        "table 'stock'", "time='counted_at' is declared text", "expected Time",
    ),
    mistake(
        "a-time-column-that-is-not-declared", 'time="counted_at"', 'time="counted"', '"stock"',
        "table 'stock', time: no column 'counted'", "Did you mean 'counted_at'?",
    ),
    mistake("no-columns", 'columns={"zip": Text, "region": Category("NORTH", "SOUTH")}', "columns={}", '"zips"',
            "table 'zips'", "expected columns="),
    mistake("a-table-twice", '"zips", key', '"stock", key', 'app.table("stock", key="zip"',
            "table 'stock' is declared twice"),
    mistake(
        "a-file-with-a-path", '"zips", key', '"zips", file="data/zips.csv", key', '"zips"',
        "file='data/zips.csv'", "a bare name that ends in .csv or .parquet",
    ),
    mistake("a-table-that-differs-in-case", '"zips", key', '"Stock", key', 'app.table("Stock", key="zip"',
            "'stock' and 'Stock' differ in case alone"),
    mistake(
        "columns-that-differ-in-case", '"price": Number', '"price": Number, "Price": Number', "app.table(",
        "table 'orders': columns 'price' and 'Price' differ in case alone",
    ),
    mistake(
        "a-column-of-our-own-names", '"price": Number', '"price": Number, "__line": Number', "app.table(",
        "table 'orders': '__line' can't be a name", "Scoreline's own",
    ),
    mistake("an-app-that-ends-python", 'App("shop")', "exit()", "exit()", "SystemExit"),
    mistake("an-app-without-a-name", 'App("shop")', 'App("")', "App(", "App takes a name"),
]  # fmt: skip

FEATURES = [
    mistake(
        "latest-of-a-table-without-time", "lookup(zips.region)", "latest(zips.region)", "latest(zips.region)",
        "table 'zips' has no time", "Use lookup(zips.region)",
    ),
    mistake(
        "lookup-in-a-table-with-time", "latest(stock.level)", "lookup(stock.level)", "lookup(stock.level)",
        "table 'stock' has an event time", "Use latest(stock.level)",
    ),
    mistake(
        "latest-of-something-else", "latest(stock.level)", 'latest("stock.level")', "latest(",
        "latest(...) takes a table's column", "got 'stock.level'",
    ),
    mistake(
        "a-column-of-another-table", "level=latest(stock.level)", "level=stock.level", "app.features(",
        "feature 'level'", "stock.level is not a column of the spine", "Use latest(stock.level)",
    ),
    mistake(
        "a-spine-column-as-if-it-were-joined", "zip_code=orders.zip", "zip_code=latest(orders.zip)", "app.features(",
        "feature 'zip_code'", "orders.zip is a column of the spine", "write zip_code=orders.zip",
    ),
    mistake(
        "a-join-key-that-the-spine-lacks", '"stock", key="sku", time="counted_at", columns={"sku"',
        '"stock", key="skus", time="counted_at", columns={"skus"', "app.features(",
        "feature 'level'", "table 'stock' is matched by 'skus'", "the spine 'orders' does not have",
        "Did you mean 'sku'?",
    ),
    mistake(
        "a-join-key-of-another-type", 'time="counted_at", columns={"sku": Text',
        'time="counted_at", columns={"sku": Integer', "app.features(",
        "feature 'level'", "'sku' is text in 'orders' and integer in 'stock'",
    ),
    mistake(
        "latest-without-a-time-of-the-row", 'time="placed_at",\n', "\n", "app.features(",
        "feature 'level'", "table 'orders' declares no time=",
    ),
    mistake(
        "an-argument-that-is-nothing", "def value(pieces, price)", "def value(piece, price)", "app.features(",
        "feature 'value'", "takes 'piece'", "Did you mean 'pieces'?",
    ),
    mistake(
        "star-arguments", "def value(pieces, price)", "def value(*columns)", "app.features(",
        "feature 'value'", "*columns can't be matched", "name each argument",
    ),
    mistake(
        "keyword-arguments", "def value(pieces, price)", "def value(**columns)", "app.features(",
        "feature 'value'", "*columns can't be matched",
    ),
    mistake(
        "a-function-of-nothing", "def value(pieces, price)", "def value()", "app.features(",
        "feature 'value'", "takes no columns",
    ),
    mistake(
        "functions-in-a-circle", "def value(pieces, price)", "def value(pieces, is_large)", "app.features(",
        "value", "is_large", "need each other in a circle",
    ),
    mistake("a-feature-of-the-name-of-a-key", "zip_code=orders.zip", "sku=orders.zip", "app.features(",
            "feature 'sku'", "taken by a key or time column"),
    mistake("a-feature-that-is-a-constant", "zip_code=orders.zip", "zip_code=3", "app.features(",
            "feature 'zip_code'", "or a function over columns, got 3"),
    mistake("a-feature-that-is-a-class", "zip_code=orders.zip", "zip_code=Text", "app.features(",
            "feature 'zip_code'", "expected a plain function over columns (a def)"),
    mistake("a-spine-that-is-no-table", "spine=orders", 'spine="orders"', "app.features(",
            "expected spine= a table of this app", "got 'orders'"),
    mistake("a-spine-of-another-app", "spine=orders", "spine=App('b').table('b', key='k', columns={'k': Text})",
            "app.features(", "expected spine= a table of this app"),
    mistake("features-twice", "def make_estimator", "app.features(spine=orders, a=orders.zip)\ndef make_estimator",
            "a=orders.zip", "features are declared twice"),
]  # fmt: skip

FUNCTIONS = [
    mistake(
        "a-function-that-changes-the-row-count", VALUE, a_function("return price[price > 0]"), "app.features(",
        "feature 'value'", "changes the row count", "got 3 rows",
    ),
    mistake(
        "a-function-that-gives-one-number", VALUE, a_function("return price.sum()"), "app.features(",
        "feature 'value'", "must give an array, it gave float64",
    ),
    mistake(
        "a-function-that-gives-a-list", VALUE, a_function("return list(price)"), "app.features(",
        "feature 'value'", "must give an array, it gave list",
    ),
    mistake(
        "a-function-over-all-rows", VALUE, a_function("return price - price.mean()"), "app.features(",
        "feature 'value'", "a row alone and among others", "one row at a time",
    ),
    mistake(
        "a-function-that-fails", VALUE, a_function("return pieces / price.missing"), "app.features(",
        "feature 'value'", "failed on made-up rows: AttributeError", "times as datetime64[us]",
    ),
    mistake(
        "a-function-that-can-not-take-a-null", VALUE, a_function("return price.astype(object) + None"),
        "app.features(", "feature 'value'", "failed on made-up rows: TypeError", "nulls among them",
    ),
    mistake(
        "a-function-that-gives-complex-numbers", VALUE, a_function("return price * 1j"), "app.features(",
        "feature 'value'", "gives dtype complex128", "expected bool, int, float",
    ),
    mistake(
        "a-function-that-gives-time-differences", VALUE, a_function("return placed_at - placed_at", "placed_at"),
        "app.features(", "feature 'value'", "gives dtype timedelta64[us]",
    ),
    mistake(
        "a-function-that-gives-numbers-as-objects", VALUE, a_function("return price.astype(object)"),
        "app.features(", "feature 'value'", "objects that are no text", "expected str or None",
    ),
    mistake(
        "a-function-that-writes-into-its-columns", VALUE, "def value(price):\n    price += 1\n    return price\n",
        "app.features(", "feature 'value'", "read-only", "it must not change",
    ),
]  # fmt: skip

HEADS = [
    mistake(
        "a-rule-on-an-unknown-feature", '("level", "<", 1)', '("levle", "<", 1)', "app.head(",
        "head 'action', rule 'empty'", "no feature 'levle'", "Did you mean 'level'?", "Features: level, region",
    ),
    mistake(
        "an-operator-that-is-none", '("level", "<", 1)', '("level", "=<", 1)', "app.head(",
        "rule 'empty'", "expected (feature, operator, value)", "is null, ==, !=, <, <=, >, >=", "'=<'",
    ),
    mistake(
        "a-comparison-without-a-value", '("level", "<", 1)', '("level", "<")', "app.head(",
        "rule 'empty'", "expected (feature, operator, value)", "got ('level', '<')",
    ),
    mistake(
        "is-null-with-a-value", '("level", "is null")', '("level", "is null", True)', "app.head(",
        "rule 'empty'", "(feature, 'is null')",
    ),
    mistake(
        "a-comparison-without-brackets-around", 'when=[("level", "is null"), ("level", "<", 1)]',
        'when=("level", "is null")', "app.head(", "rule 'empty'", "expected (feature, operator, value)", "got 'level'",
    ),
    mistake(
        "a-category-value-that-is-unknown", '("region", "!=", "NORTH")', '("region", "!=", "NROTH")', "app.head(",
        "rule 'large', 'region'", "'NROTH' is not one of NORTH, SOUTH", "Did you mean 'NORTH'?",
    ),
    mistake(
        "a-category-in-an-order", '("region", "!=", "NORTH")', '("region", "<", "NORTH")', "app.head(",
        "rule 'large', 'region'", "categories have no order", "use == or != instead of <",
    ),
    mistake(
        "a-boolean-against-a-number", '("is_large", "==", True)', '("is_large", "==", 1)', "app.head(",
        "rule 'large', 'is_large'", "expected == or != with True or False, got == 1",
    ),
    mistake(
        "a-boolean-in-an-order", '("is_large", "==", True)', '("is_large", "<", True)', "app.head(",
        "rule 'large', 'is_large'", "expected == or !=",
    ),
    mistake(
        "a-number-against-text", '("level", "<", 1)', '("level", "<", "1")', "app.head(",
        "rule 'empty', 'level'", "expected a number, got '1'",
    ),
    mistake(
        "a-number-against-a-boolean", '("level", "<", 1)', '("level", "==", True)', "app.head(",
        "rule 'empty', 'level'", "expected a number, got True",
    ),
    mistake(
        "a-number-against-nan", '("level", "<", 1)', '("level", "<", float("nan"))', "app.head(",
        "rule 'empty', 'level'", "expected a number, got nan",
    ),
    mistake(
        "a-rule-on-text", '("level", "<", 1)', '("zip_code", "==", "03779")', "app.head(",
        "rule 'empty'", "'zip_code' is text", "rules compare numbers, booleans and categories",
    ),
    mistake(
        "a-last-rule-with-when", 'Rule("rest", then="Ship")', 'Rule("rest", when=[("level", ">", 3)], then="Ship")',
        "app.head(", "head 'action'", "the last rule must always hold", "Rule('rest', then=...)",
    ),
    mistake(
        "a-middle-rule-without-when", 'Rule("large", when=[("is_large", "==", True), ("region", "!=", "NORTH")]',
        'Rule("large"', "app.head(", "rule 'large'", "without when= it always holds, so it must be the last",
    ),
    mistake(
        "two-rules-of-one-name", 'Rule("large"', 'Rule("empty"', "app.head(",
        "head 'action'", "two rules have one name: empty, empty, rest",
    ),
    mistake("a-rule-without-a-decision", 'Rule("rest", then="Ship")', 'Rule("rest")', "app.head(",
            "rule 'rest'", "expected then='the decision'"),
    mistake("a-rule-that-is-a-tuple", 'Rule("rest", then="Ship")', '("rest", "Ship")', "app.head(",
            "head 'action'", "expected rules=[Rule("),
    mistake("a-target-that-is-a-number", "target=orders.kept", "target=orders.price", '"odds", target',
            "head 'odds'", "target orders.price is number", "expected Boolean"),
    mistake("a-target-of-another-table", "target=orders.kept", "target=stock.level", '"odds", target',
            "head 'odds'", "a column of the spine 'orders'"),
    mistake("no-target", "target=orders.kept, ", "", 'app.head("odds"', "head 'odds'", "expected target="),
    mistake("an-input-that-is-text", '["level", "value", "region"]', '["level", "zip_code"]', '"odds", target',
            "head 'odds'", "input 'zip_code' is text", "trees take numbers, booleans and categories"),
    mistake("an-input-that-is-unknown", '["level", "value", "region"]', '["levels"]', '"odds", target',
            "head 'odds'", "no feature 'levels'", "Did you mean 'level'?"),
    mistake("no-inputs", 'inputs=["level", "value", "region"], ', "", '"odds", target',
            "head 'odds'", "expected inputs=[feature names]"),
    mistake("an-estimator-that-is-an-object", "estimator=make_estimator", 'estimator="boosting"', '"odds", target',
            "head 'odds'", "expected estimator= a function that makes the estimator, got 'boosting'"),
    mistake("rules-and-a-target", '"odds", target', '"odds", rules=[Rule("rest", then="A")], target', '"odds", rules',
            "head 'odds'", "not both"),
    mistake("two-heads-of-one-name", '"odds", target', '"action", target', '"action", target',
            "head 'action' is declared twice"),
    mistake("a-head-that-can-not-name-a-file", '"odds", target', '"v1.2", target', '"v1.2", target',
            "head 'v1.2'", "letters, digits, _ and -"),
]  # fmt: skip

REPLY = [
    mistake(
        "a-decision-of-an-unknown-head", 'decision("action")', 'decision("acton")', "app.reply(",
        "reply field 'action'", "no head 'acton'", "Did you mean 'action'?",
    ),
    mistake(
        "a-decision-of-a-learned-head", 'decision("action")', 'decision("odds")', "app.reply(",
        "reply field 'action'", "decision('odds') needs a rules head",
    ),
    mistake(
        "a-reason-of-a-learned-head", 'reason("action")', 'reason("odds")', "app.reply(",
        "reply field 'why'", "reason('odds') needs a rules head",
    ),
    mistake(
        "a-probability-of-a-rules-head", 'probability("odds")', 'probability("action")', "app.reply(",
        "reply field 'odds'", "probability('action') needs a learned head",
    ),
    mistake(
        "an-echo-of-a-column-that-is-no-key", "order_id=orders.order_id", "zip=orders.zip", "app.reply(",
        "reply field 'zip'", "orders.zip is not a key column of 'orders' (order_id, sku)",
    ),
    mistake(
        "a-field-that-is-text", "order_id=orders.order_id", 'order_id="order_id"', "app.reply(",
        "reply field 'order_id'", "expected a key column, decision(), reason(), probability(), band() or",
        "got 'order_id'",
    ),
    mistake(
        "a-reply-twice", "def is_held(", "app.reply(zip=orders.sku)\ndef is_held(", "app.reply(zip",
        "reply is declared twice",
    ),
    mistake(
        "a-summary-of-a-feature-that-no-reason-holds", "def is_held(action, level)", "def is_held(action, value)",
        "app.summary(", "takes 'value'", "nor a feature that a reason holds",
    ),
    mistake(
        "digits-that-are-text", 'probability("', 'probability(digits="4", head="', "app.reply(",
        "expected digits= a whole number from 0 to 15, got '4'",
    ),
    mistake(
        "a-summary-of-something-unknown", "def is_held(action, level)", "def is_held(acton, level)", "app.summary(",
        "summary 'held with stock'", "takes 'acton'", "Did you mean 'action'?",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "at", "says"), TABLES + FEATURES + FUNCTIONS + HEADS + REPLY)
def test_a_mistake_is_refused_with_its_file_line_and_a_way_out(refuses, right_app, right, wrong, at, says):
    refuses(right_app, right, wrong, at, says)


TABLE = """\
from scoreline import *
app = App("shop")
t = app.table("t", key="k", columns={"k": Text, "n": Number, "b": Boolean, "c": Boolean})
"""
RULES = 'app.head("h", rules=[Rule("low", when=[("n", "<", 1)], then="A"), Rule("rest", then="B")])\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param('app = App("shop"\n', "line 1: '(' was never closed", id="a-bracket-left-open"),
        pytest.param("\n\ndef f(:\n", "line 3: invalid syntax", id="no-python"),
        pytest.param("x = 1\nimport pandass\n", "line 2: ModuleNotFoundError: No module named 'pandass'", id="import"),
        pytest.param("from scoreline import Txt\n", "line 1: ImportError: cannot import name 'Txt'", id="no-such-name"),
        pytest.param("x = 1\n\ny = x / 0\n", "line 3: ZeroDivisionError: division by zero", id="an-error-of-its-own"),
        pytest.param('x = "\0"\n', "app.py: source code string cannot contain null bytes", id="a-null-byte"),
        pytest.param("x = 1\n", "expected one App at the top level, found 0. Write: app = App('name')", id="no-app"),
        pytest.param(
            "from scoreline import App\na = App('a')\nb = App('b')\n", "expected one App at the top level, found 2",
            id="two-apps",
        ),
        pytest.param("from scoreline import App\na = App('a')\n", "app 'a' declares no table", id="no-table"),
        pytest.param(TABLE, "declare features(spine=..., ...) before heads and reply", id="no-features"),
        pytest.param(TABLE + "app.features(spine=t)\n", "line 4: features: expected at least one", id="empty-features"),
        pytest.param(TABLE + "app.features(spine=t, n=t.n)\n", "declares no head", id="no-head"),
        pytest.param(TABLE + "app.features(spine=t, n=t.n)\n" + RULES, "declares no reply", id="no-reply"),
        pytest.param(
            TABLE + "app.features(spine=t, n=t.n)\n" + RULES + "app.reply()\n", "line 6: reply: expected at least one",
            id="empty-reply",
        ),
        pytest.param(TABLE + RULES, "line 4: app 'shop': declare features(spine=..., ...) before", id="rules-first"),
        pytest.param(
            TABLE + "app.head('h', target=t.b, inputs=['n'], estimator=print)\n",
            "line 4: app 'shop': declare features(spine=..., ...) before", id="a-learned-head-first",
        ),
        pytest.param(
            TABLE + "app.features(spine=t, n=t.n)\napp.head('h', rules=[Rule('all', then='A')])\napp.reply(k=t.k)\n",
            "has no head that looks at a feature", id="heads-that-look-at-nothing",
        ),
    ],
)  # fmt: skip
def test_a_file_that_is_not_a_whole_app_is_refused(app_folder, text, says):
    folder = app_folder(text)
    with pytest.raises(AppError) as caught:
        load_app(folder)
    assert str(caught.value).startswith(f"{folder}/app.py")
    assert says in str(caught.value)


TARGET_SEEN = "is made from 'b', its own target; a head can't take what it predicts"


@pytest.mark.parametrize(
    ("features", "inputs", "says"),
    [
        pytest.param("b=t.b", ["b"], f"input 'b' {TARGET_SEEN}", id="itself"),
        pytest.param("other=t.b", ["other"], f"input 'other' {TARGET_SEEN}", id="under-another-name"),
        pytest.param("n=t.n, not_b=lambda b: 1 - b", ["n", "not_b"], f"input 'not_b' {TARGET_SEEN}", id="a-function"),
        pytest.param(
            "x=lambda b, n: b * n, y=lambda x: x + 1", ["y"], f"input 'y' {TARGET_SEEN}", id="through-another-feature"
        ),
        pytest.param("n=t.n, b=t.c", ["n"], "the feature 'b' has the name of its target", id="a-feature-hides-it"),
    ],
)
def test_a_head_can_not_see_its_own_target(app_folder, features, inputs, says):
    head = f"app.head('h', target=t.b, inputs={inputs}, estimator=print)\n"
    folder = app_folder(f"{TABLE}app.features(spine=t, {features})\n{head}")
    with pytest.raises(AppError) as caught:
        load_app(folder)
    assert str(caught.value).startswith(f"{folder}/app.py, line 5: head 'h'")
    assert says in str(caught.value)


def test_a_head_may_see_other_columns_and_refine_one_under_its_own_name(app_folder):
    features = "app.features(spine=t, n=lambda n: n * 2, twice=lambda n: n * 2, b=t.b)\n"
    head = "app.head('h', target=t.b, inputs=['n', 'twice'], estimator=print)\napp.reply(k=t.k)\n"
    assert load_app(app_folder(TABLE + features + head)).targets == ("b",)
