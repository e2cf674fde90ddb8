"""What the features of a row are: the engine against hand-made values and against the plain oracle."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from oracle import oracle_rows

from scoreline import App, Boolean, Category, Integer, Number, Rule, Text, Time, decision, latest, lookup
from scoreline.app.heads import RulesHead
from scoreline.app.load import load_module
from scoreline.model.inputs import inputs_of
from scoreline.model.rules import CompiledRules

ORDER = "O1,C1,2021-07-04 12:00:00,007,2,03779"


@pytest.mark.parametrize(
    ("inventory", "expected"),
    [
        pytest.param([], None, id="none-at-all"),
        pytest.param(["007,2021-07-04 11:59:59,5"], 5, id="before"),
        pytest.param(["007,2021-07-04 12:00:00,5"], 5, id="at-the-very-moment"),
        pytest.param(["007,2021-07-04 12:00:00.000001,5"], None, id="a-microsecond-after"),
        pytest.param(["007,2021-07-04T14:00:00+02:00,5"], 5, id="at-the-moment-in-another-zone"),
        pytest.param(["007,2021-07-03,5", "007,2021-07-02,6"], 5, id="the-newest-not-the-last-in-the-file"),
        pytest.param(["007,2021-07-03,5", "007,2021-07-03,6"], 6, id="at-one-instant-the-last-in-the-file"),
        pytest.param(["007,2021-07-03,5", "007,2021-07-05,6"], 5, id="tomorrow-does-not-leak"),
        pytest.param(["007,2021-07-02,5", "007,2021-07-03,"], None, id="a-null-does-not-reach-further-back"),
        pytest.param(["007,2021-07-03,5", "007,2021-07-03,"], None, id="a-null-that-is-last-at-one-instant"),
        pytest.param(["7,2021-07-03,5", "0007,2021-07-03,6", " 007,2021-07-03,7"], None, id="look-alikes"),
    ],
)
def test_stock_is_the_newest_known_at_the_orders_own_time(features, inventory, expected):
    (row,) = features(orders=[ORDER], inventory=inventory)
    assert row["inventory"] == expected


@pytest.mark.parametrize(
    ("payments", "expected"),
    [
        pytest.param(["O1,C1,2021-07-04,CREDIT_CARD,OK"], ("OK", "CREDIT_CARD"), id="its-own"),
        pytest.param(["O1,C2,2021-07-04,CREDIT_CARD,OK"], (None, None), id="another-customers"),
        pytest.param(["O2,C1,2021-07-04,CREDIT_CARD,OK"], (None, None), id="another-orders"),
        pytest.param(["O1,C1,2021-07-04,NEW_WAY,ODD"], ("ODD", "NEW_WAY"), id="unknown-categories-are-kept"),
        pytest.param(
            ["O1,C1,2021-07-03,CREDIT_CARD,OK", "O1,C1,2021-07-04,,FAILED"],
            ("FAILED", None),
            id="both-from-the-same-row",
        ),
    ],
)
def test_a_payment_is_matched_on_order_and_customer(features, payments, expected):
    (row,) = features(orders=[ORDER], payments=payments)
    assert (row["payment_status"], row["payment_method"]) == expected


@pytest.mark.parametrize(
    ("zip_codes", "available_from", "is_available"),
    [
        pytest.param([], None, False, id="not-listed"),
        pytest.param(["03779,"], None, False, id="without-a-date"),
        pytest.param(["03779,2021-07-04 12:00:00"], datetime(2021, 7, 4, 12), True, id="from-this-very-moment"),
        pytest.param(["03779,2021-07-05"], datetime(2021, 7, 5), False, id="from-tomorrow"),
        pytest.param(["03779,2020-01-01", "03779,2031-01-01"], datetime(2020, 1, 1), True, id="first-of-two-stays"),
        pytest.param(["03779,", "03779,2020-01-01"], None, False, id="the-first-stays-though-it-is-empty"),
        pytest.param(["3779,2020-01-01"], None, False, id="look-alike"),
    ],
)
def test_a_zip_code_is_served_from_its_date_on(features, zip_codes, available_from, is_available):
    (row,) = features(orders=[ORDER], zip_codes=zip_codes)
    assert (row["available_from"], row["zip_code_available"]) == (available_from, is_available)


@pytest.mark.parametrize(
    ("written", "moment", "hour"),
    [
        ("2021-07-04T01:30:00+02:00", datetime(2021, 7, 3, 23, 30), 23),
        ("2021-07-04 01:30:00", datetime(2021, 7, 4, 1, 30), 1),
        ("2021-07-04", datetime(2021, 7, 4), 0),
        ("2021-07-04T23:59:59.999999Z", datetime(2021, 7, 4, 23, 59, 59, 999_999), 23),
        ("1969-12-31T23:30:00", datetime(1969, 12, 31, 23, 30), 23),
    ],
)
def test_the_hour_of_an_order_is_that_of_its_moment_in_utc(features, written, moment, hour):
    (row,) = features(orders=[f"O1,C1,{written},007,2,03779"])
    assert (row["timestamp"], row["order_hour_of_day"]) == (moment, hour)


def test_rows_stay_in_the_order_of_the_file_and_a_repeated_key_stays_once(features):
    orders = [
        "O3,C1,2021-07-04,a,1,z",
        "O1,C1,2021-07-06,a,2,z",
        "O3,C1,2021-07-01,a,9,z",
        "O2,C1,2021-07-05,a,3,z",
        "O3,C1,2021-07-04,b,4,z",
    ]
    rows = features(orders=orders)
    assert [(row["order_id"], row["sku_code"], row["quantity"]) for row in rows] == [
        ("O3", "a", 1),
        ("O1", "a", 2),
        ("O2", "a", 3),
        ("O3", "b", 4),
    ]


def test_orders_of_a_head_alone_give_an_empty_feature_table(features, results):
    assert features(inventory=["007,2021-07-04,5"]) == []
    assert (results / "feature.csv").read_text().count("\n") == 1
    assert pq.read_schema(results / "feature.parquet").names[:5] == [
        "order_id",
        "customer_id",
        "sku_code",
        "zip_code",
        "timestamp",
    ]


def test_what_happens_later_changes_no_row_of_the_past(features):
    orders = [f"O{n},C1,2021-07-0{n} 12:00:00,{sku},1,{n}" for n in range(1, 6) for sku in ("a", "b")]
    inventory = [f"{sku},2021-07-0{n} 0{n}:00:00,{n}" for n in range(1, 6) for sku in ("a", "b")]
    payments = [f"O{n},C1,2021-07-0{n},CREDIT_CARD,OK" for n in range(1, 6)]
    before = features(orders=orders, inventory=inventory, payments=payments)
    future = [f"{sku},2021-07-05 12:00:00.000001,99" for sku in ("a", "b")]
    after = features(
        orders=[*orders, "O9,C1,2021-08-01,a,1,1"],
        inventory=[*future, *inventory, *future],
        payments=[*payments, *(f"O{n},C1,2021-07-06,CREDIT_CARD,FAILED" for n in range(1, 6))],
    )
    assert after[: len(before)] == before
    assert after[-1]["inventory"] == 99


CODES = ["1", "01", "1 ", "A", "a", "Ä", '"x, ""y"""']
MOMENTS = [
    "2021-07-04",
    "2021-07-04 00:00:00.000001",
    "2021-07-04T02:00:00+02:00",
    "2021-07-04 05:59:59",
    "2021-07-04T06:00:00Z",
    "2021-07-05 01:30:00",
    "2021-07-06T23:59:59.999999+02:00",
]


def random_tables(seed: int) -> dict[str, list[str]]:
    """Make small tables in which keys, instants and look-alikes meet often."""
    rng = np.random.default_rng(seed)

    def pick(choices):
        return choices[rng.integers(len(choices))]

    def lines(most, make):
        return [make() for _ in range(rng.integers(0, most))]

    skus, zips = CODES[: rng.integers(1, len(CODES) + 1)], CODES[: rng.integers(1, 4)]
    orders, customers = ["7", "07", "O1", "O2", "O3"], ["C1", "C2"]
    quantities, stocks = ["1", "2", " 3", "4.0", ""], ["0", "-1", "3", "5", "", "+7"]
    statuses, methods = ["OK", "OK", "FAILED", "ODD", ""], ["CREDIT_CARD", "ODD", ""]
    return {
        "orders": lines(
            30,
            lambda: ",".join(map(pick, (orders, customers, MOMENTS, skus, quantities, zips))),
        ),
        "inventory": lines(pick([1, 10, 60]), lambda: ",".join(map(pick, (skus, MOMENTS, stocks)))),
        "payments": lines(40, lambda: ",".join(map(pick, (orders, customers, MOMENTS, methods, statuses)))),
        "zip_codes": lines(5, lambda: ",".join(map(pick, (zips, [*MOMENTS, ""])))),
    }


def decisions(app, rows):
    """Return the recommendation of each feature row, as the app's rules say."""
    inputs = inputs_of(app)
    head = app.heads["recommendation"]
    assert isinstance(head, RulesHead)
    matrix = inputs.encode([[row[name] for row in rows] for name in inputs.names])
    return [head.rules[position].then for position in CompiledRules(head, inputs).predict(matrix)]


@pytest.mark.parametrize("seed", range(32))
def test_features_and_decisions_agree_with_a_plain_loop(features, order_triage, data, seed):
    rows = features(**random_tables(seed))
    expected = oracle_rows(data)
    names = [name for name in expected[0] if name != "recommendation"] if expected else []
    assert [{name: row[name] for name in names} for row in rows] == [{n: row[n] for n in names} for row in expected]
    if rows:
        assert decisions(order_triage, rows) == [row["recommendation"] for row in expected]


def as_written(value):
    """Return a value as feature.csv should have it."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds") + "Z"
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


@pytest.mark.parametrize("seed", range(3))
def test_feature_csv_and_feature_parquet_say_the_same(features, results, seed):
    rows = features(**random_tables(seed))
    with (results / "feature.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert rows
    assert written == [{name: as_written(value) for name, value in row.items()} for row in rows]


def test_feature_csv_is_written_to_the_letter(features, results):
    features(
        orders=['"O,1",C1,2021-07-04T14:00:00.5+02:00,007,2,03779', "O2,C1,2021-07-05,x,,y"],
        inventory=["007,2021-07-04,5"],
        payments=['"O,1",C1,2021-07-04,CREDIT_CARD,OK'],
        zip_codes=["03779,2021-07-01"],
    )
    assert (results / "feature.csv").read_text() == (
        "order_id,customer_id,sku_code,zip_code,timestamp,order_hour_of_day,inventory,payment_status,"
        "zip_code_available,quantity,payment_method,available_from\n"
        '"O,1","C1","007","03779","2021-07-04T12:00:00.500000Z",12,5,"OK",true,2,"CREDIT_CARD",'
        '"2021-07-01T00:00:00.000000Z"\n'
        '"O2","C1","x","y","2021-07-05T00:00:00.000000Z",0,,,false,,,\n'
    )


def declare(spine, key, time, others, **features):
    """Make an app of one spine, whose only purpose is its features."""
    app = App("engine")
    rows = app.table(spine, key=key, time=time, columns={key: Integer if key == "id" else Text, time: Time})
    tables = {name: app.table(name, **declared) for name, declared in others.items()}
    app.features(spine=rows, **{name: make(tables) for name, make in features.items()})
    app.head("any", rules=[Rule("all", then="x")])
    app.reply(any=decision("any"))
    return app


def test_latest_takes_values_of_every_type(data, build, results):
    columns = {"id": Integer, "t": Time, "x": Number, "b": Boolean, "c": Category("A"), "s": Text, "w": Time}
    app = declare(
        "spine",
        "id",
        "t",
        {"events": {"key": "id", "time": "t", "columns": columns}},
        **{name: lambda tables, name=name: latest(tables["events"][name]) for name in ("x", "b", "c", "s", "w")},
    )
    (data / "spine.csv").write_text("id,t\n7,2021-01-02\n8,2021-01-02\n9,2021-01-02\n")
    (data / "events.csv").write_text(
        "id,t,x,b,c,s,w\n007,2021-01-01,0.1,false,B,007,1969-12-31T23:59:59.999999\n8,2021-01-01,,,,,\n"
    )
    build(app)
    values = [tuple(row.values())[2:] for row in pq.read_table(results / "feature.parquet").to_pylist()]
    assert values == [(0.1, False, "B", "007", datetime(1969, 12, 31, 23, 59, 59, 999_999)), (None,) * 5, (None,) * 5]


@pytest.mark.parametrize("word", ["t", "v", "o", "l", "s", "j0", "line", "order", "select", "Ünï x", 'a"b', "a.b"])
def test_tables_and_columns_may_be_named_by_any_word(data, build, results, word):
    others = {
        f"{word} events": {"key": word, "time": "at", "columns": {word: Text, "at": Time, "n": Integer}},
        "codes": {"key": word, "columns": {word: Text, "n": Integer}},
    }
    app = declare(
        word,
        word,
        "at",
        others,
        newest=lambda tables: latest(tables[f"{word} events"]["n"]),
        found=lambda tables: lookup(tables["codes"]["n"]),
    )
    quoted = '"' + word.replace('"', '""') + '"'
    (data / f"{word}.csv").write_text(f"{quoted},at\na,2021-01-02\na,2021-01-02\n")
    (data / f"{word} events.csv").write_text(f"{quoted},at,n\na,2021-01-01,5\na,2021-01-02,two\n")
    (data / "codes.csv").write_text(f"{quoted},n\na,9\na,8\n")
    report = build(app)
    assert pq.read_table(results / "feature.parquet").to_pylist() == [
        {word: "a", "at": datetime(2021, 1, 2), "newest": 5, "found": 9}
    ]
    assert report.reached == {f"{word} events": 1, "codes": 0}


@pytest.mark.parametrize("word", ["chunk", "wanted", "doubles", "bad_rows", "table", "z.z", "x-y"])
def test_a_table_may_have_any_name(data, build, results, word):
    others = {word: {"key": "k", "columns": {"k": Text, "n": Integer}}}
    app = declare("spine", "k", "at", others, found=lambda tables: lookup(tables[word]["n"]))
    (data / "spine.csv").write_text("k,at\na,2021-01-02\n")
    (data / f"{word}.csv").write_text("k,n\nb,two\na,9\na,8\n")
    build(app)
    assert pq.read_table(results / "feature.parquet")["found"].to_pylist() == [9]


def test_the_sample_with_its_bad_rows_agrees_with_a_plain_loop(order_triage, data, build, results):
    make_sample = load_module(Path(__file__).parents[2] / "apps/order_triage/make_sample.py")
    planted = make_sample.write_sample(data, orders=400, seed=11, bad_rows=True)
    report = build(order_triage)
    assert {load.spec.name: len(load.rejected) for load in report.loads} == planted
    expected = oracle_rows(data)
    names = [name for name in expected[0] if name != "recommendation"]
    rows = pq.read_table(results / "feature.parquet").to_pylist()
    assert len(rows) == 400
    assert [[row[name] for name in names] for row in rows] == [[row[name] for name in names] for row in expected]
    assert decisions(order_triage, rows) == [row["recommendation"] for row in expected]
    assert len({row["recommendation"] for row in expected}) == 5
