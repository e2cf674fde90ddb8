"""The `feature` verb as a whole: rows set aside, limits, what is reported, what is left where."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from scoreline.errors import FeatureError, ScorelineError, TableError
from scoreline.features.engines.embedded import EmbeddedEngine
from scoreline.features.stamp import read_stamp
from scoreline.files import staged
from scoreline.store.embedded import EmbeddedStore
from scoreline.store.writer import StoreWriter

ORDERS = [f"O{n},C1,2021-07-04 12:00:00,007,2,z" for n in range(100)]


def contents(folder):
    """Return every file of a folder with its bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read_jsonl(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_set_aside_are_listed_with_file_line_column_and_why(order_triage, write, build, results):
    write(
        orders=["O1,C1,2021-07-04,007,two,z", 'O2,C1,2021-07-04,"007,2,z', "O3,C1,2021-07-04,007,2,z"],
        inventory=["007,2021-07-04,5", "007,2021-13-04,5"],
        zip_codes=["z,2020-01-01", "z,2021-01-01"],
    )
    report = build(order_triage)
    assert report.rows == 1
    assert read_jsonl(results / "rejected/orders.jsonl") == [
        {
            "file": "orders.csv",
            "line": 2,
            "column": "quantity",
            "why": "expected a whole number, for example 3, got 'two'",
        },
        {
            "file": "orders.csv",
            "line": 3,
            "column": None,
            "why": "torn quoting: a quote is not closed on its line, or text stands beside a quoted field",
        },
    ]
    (bad_stock,) = read_jsonl(results / "rejected/inventory.jsonl")
    assert (bad_stock["line"], bad_stock["column"]) == (3, "timestamp")
    assert read_jsonl(results / "rejected/zip_codes.jsonl") == [
        {
            "file": "zip_codes.csv",
            "line": 3,
            "column": "zip_code",
            "why": "the key (zip_code) was there before, in line 2: the first stays",
        }
    ]
    assert not (results / "rejected/payments.jsonl").exists()
    assert {load.spec.name: (load.rows_read, len(load.rejected)) for load in report.loads} == {
        "orders": (3, 2),
        "inventory": (2, 1),
        "payments": (0, 0),
        "zip_codes": (2, 1),
    }


def test_rejected_files_go_away_once_the_tables_are_mended(order_triage, write, build, results):
    write(orders=ORDERS, inventory=["007,2021-07-03,5", "007,2021-07-04,n/a"])
    build(order_triage)
    assert {path.name for path in (results / "rejected").iterdir()} == {"inventory.jsonl", "reached.jsonl"}
    write(inventory=["007,2021-07-03,5", "007,2021-07-04,4"])
    build(order_triage)
    assert list((results / "rejected").iterdir()) == []


def test_twenty_bad_rows_of_a_hundred_are_allowed(order_triage, write, build):
    write(orders=[*ORDERS[:80], *["bad"] * 20])
    assert build(order_triage).rows == 80


def test_with_one_bad_row_too_many_nothing_is_replaced_and_the_bad_rows_are_listed(order_triage, write, build, results):
    write(orders=ORDERS, inventory=["007,2021-07-03,5"])
    build(order_triage)
    before = contents(results)
    write(orders=[*ORDERS[:79], *["bad"] * 21])
    with pytest.raises(TableError) as caught:
        build(order_triage)
    assert str(caught.value) == (
        "table 'orders': 21 of 100 rows of orders.csv can't be read, more than the 20 allowed. The first: line 81: "
        f"expected 6 fields, got 1. All are listed in {results}/rejected/orders.jsonl. Mend the file, or raise "
        "SCORELINE_MAX_BAD_PERCENT or SCORELINE_MAX_BAD_ROWS; the last good results are untouched."
    )
    after = contents(results)
    assert len(after.pop("rejected/orders.jsonl").splitlines()) == 21
    assert after == before


def test_every_table_with_too_many_bad_rows_is_named_at_once(order_triage, write, build):
    write(orders=["bad"], payments=["bad"], inventory=["007,2021-07-03,5"])
    with pytest.raises(TableError) as caught:
        build(order_triage, max_bad_rows=0)
    assert [line[:18] for line in str(caught.value).splitlines()] == ["table 'orders': 1 ", "table 'payments': "]


def test_one_percent_counts_where_it_is_more_than_the_number(order_triage, write, build):
    write(orders=[*ORDERS[:99], "bad"])
    assert build(order_triage, max_bad_rows=0).rows == 99
    write(orders=[*ORDERS[:98], "bad", "bad"])
    with pytest.raises(TableError, match=r"2 of 100 rows of orders\.csv can't be read, more than the 1 allowed"):
        build(order_triage, max_bad_rows=0)


def test_duplicates_are_set_aside_but_are_not_unreadable(order_triage, write, build, results):
    write(orders=[*ORDERS[:10], *ORDERS[:10] * 9], zip_codes=["z,2020-01-01"] * 50)
    assert build(order_triage, max_bad_percent=0.0, max_bad_rows=0).rows == 10
    assert len(read_jsonl(results / "rejected/orders.jsonl")) == 90
    assert len(read_jsonl(results / "rejected/zip_codes.jsonl")) == 49


def test_an_unreadable_row_does_not_count_as_the_first_of_its_key(order_triage, write, build, results):
    write(orders=["O1,C1,2021-07-04,007,two,z", "O1,C1,2021-07-04,007,2,z"], zip_codes=["z,soon", "z,2020-01-01"])
    build(order_triage)
    (row,) = pq.read_table(results / "feature.parquet").to_pylist()
    assert (row["quantity"], row["zip_code_available"]) == (2, True)


def test_unknown_categories_are_kept_and_counted(order_triage, write, build, results):
    write(
        orders=ORDERS[:3],
        payments=[
            "O0,C1,2021-07-04,CREDIT_CARD,PENDING",
            "O1,C1,2021-07-04,CASH,OK",
            "O2,C1,2021-07-04,CASH,PENDING",
            "O9,C1,2021-07-04,,",
        ],
    )
    report = build(order_triage)
    (payments,) = (load for load in report.loads if load.spec.name == "payments")
    assert payments.unknown == {"payment_method": {"CASH": 2}, "payment_status": {"PENDING": 2}}
    assert payments.rejected == []
    assert pq.read_table(results / "feature.parquet")["payment_status"].to_pylist() == ["PENDING", "OK", "PENDING"]


def test_the_orders_that_bad_event_rows_would_have_reached_are_listed(order_triage, write, build, results):
    write(
        orders=[
            "O1,C1,2021-07-01,a,1,z",  # before the bad row of a
            "O2,C1,2021-07-03,a,1,z",  # reached: a's newest would be the bad row
            "O3,C1,2021-07-05,a,1,z",  # a good row of a came in between
            "O4,C1,2021-07-02,a,1,z",  # reached, at the very moment
            "O5,C1,2021-07-02,b,1,z",  # reached: nobody knows when b's bad row was
            "O6,C1,2021-07-02,c,1,z",  # at one instant a good row comes after the bad one
            "O7,C1,2021-07-02,d,1,z",  # reached: at one instant the bad row is the last
        ],
        inventory=[
            "a,2021-06-01,5",
            "a,2021-07-04,6",
            "a,2021-07-02,n/a",  # line 4
            "b,2021-07-32,5",  # line 5
            "c,2021-07-02,n/a",  # line 6
            "c,2021-07-02,7",
            "d,2021-07-02,8",
            "d,2021-07-02,n/a",  # line 9
            ",2021-07-02,5",  # line 10: nobody can tell whose
            '"a,2021-07-02,5',  # line 11: neither
        ],
    )
    report = build(order_triage)
    assert report.reached == {"inventory": 4, "payments": 0, "zip_codes": 0}
    assert report.unplaced == {"inventory": 2, "payments": 0, "zip_codes": 0}
    listed = read_jsonl(results / "rejected/reached.jsonl")
    assert [(row["table"], row["file"], row["line"], row["reaches"]["order_id"]) for row in listed] == [
        ("inventory", "inventory.csv", 4, "O2"),
        ("inventory", "inventory.csv", 4, "O4"),
        ("inventory", "inventory.csv", 5, "O5"),
        ("inventory", "inventory.csv", 9, "O7"),
    ]
    assert listed[0].keys() == {"table", "file", "line", "reaches"}
    assert listed[0]["reaches"].keys() == {"order_id", "customer_id", "sku_code", "zip_code"}


def test_bad_rows_of_a_table_without_time_reach_every_order_of_their_key(order_triage, write, build, results):
    write(
        orders=["O1,C1,2021-07-01,a,1,z", "O2,C1,2021-07-01,a,1,y", "O3,C1,2021-07-01,a,1,z"],
        zip_codes=["z,soon", "x,soon", "y,2020-01-01"],
    )
    assert build(order_triage).reached == {"inventory": 0, "payments": 0, "zip_codes": 2}
    listed = read_jsonl(results / "rejected/reached.jsonl")
    assert [(row["table"], row["line"], row["reaches"]["order_id"]) for row in listed] == [
        ("zip_codes", 2, "O1"),
        ("zip_codes", 2, "O3"),
    ]


def test_an_order_reached_by_two_bad_rows_is_counted_once(order_triage, write, build):
    write(orders=ORDERS[:1], inventory=["007,2021-99-01,1", "007,2021-98-01,1"])
    assert build(order_triage).reached["inventory"] == 1


def test_targets_are_kept_beside_the_features_and_never_in_them(order_triage, data, write, build, results):
    write()
    head = "order_id,customer_id,timestamp,sku_code,quantity,zip_code,order_fulfilled\n"
    (data / "orders.csv").write_text(head + "O2,C1,2021-07-04,a,1,z,True\nO1,C1,2021-07-04,a,1,z,\n")
    build(order_triage)
    assert pq.read_table(results / "targets.parquet").to_pydict() == {"order_fulfilled": [True, None]}
    assert "order_fulfilled" not in pq.read_schema(results / "feature.parquet").names


def test_the_online_store_holds_every_row_under_its_key(order_triage, write, build, results):
    write(orders=ORDERS, inventory=["007,2021-07-03,5"])
    build(order_triage)
    store = EmbeddedStore(results / read_stamp(results).store)
    for row in pq.read_table(results / "feature.parquet").to_pylist():
        kept = store.get((row["order_id"], row["customer_id"], row["sku_code"], row["zip_code"]))
        assert kept[:4] == [row["order_id"], row["customer_id"], row["sku_code"], row["zip_code"]]
        assert kept[4] == 1_625_400_000_000_000  # 2021-07-04 12:00, in microseconds
        assert kept[5:] == list(row.values())[5:]
    assert store.get(("O0", "C1", "7", "z")) is None
    store.close()


def test_the_columns_of_the_stamp_are_those_of_the_table(order_triage, write, build, results):
    write(orders=ORDERS, inventory=["007,2021-07-03,5", "007,2021-08-01,n/a"])
    report = build(order_triage)
    stamp = read_stamp(results)
    assert (stamp.digest, stamp.rows, report.checked) == (report.digest, 100, 100)
    assert list(stamp.columns) == pq.read_schema(results / "feature.parquet").names
    assert stamp.tables["inventory"] == {
        "file": "inventory.csv",
        "rows_read": 2,
        "set_aside": 1,
        "newest_us": 1_625_270_400_000_000,
    }
    assert stamp.tables["zip_codes"]["newest_us"] is None


def test_the_self_check_catches_a_wrong_value_and_keeps_the_old_results(
    order_triage, write, build, results, monkeypatch
):
    write(orders=ORDERS, inventory=["007,2021-07-03,5"])
    build(order_triage)
    before = contents(results)
    real = EmbeddedEngine.joined

    def one_wrong(engine, plan):
        for batch in real(engine, plan):
            wrong = pc.if_else(pc.equal(batch["order_id"], "O42"), 6, batch["inventory"])
            yield batch.set_column(batch.schema.get_field_index("inventory"), "inventory", wrong)

    monkeypatch.setattr(EmbeddedEngine, "joined", one_wrong)
    write(orders=[*ORDERS, "O100,C1,2021-07-04,007,1,z"])
    with pytest.raises(FeatureError, match="nothing was replaced: line 44, 'inventory' is 6, a plain loop gives 5"):
        build(order_triage)
    assert contents(results) == before


def test_the_self_check_catches_a_row_that_the_store_holds_otherwise(order_triage, write, build, monkeypatch):
    write(orders=ORDERS)
    monkeypatch.setattr(StoreWriter, "add_batch", lambda store, batch: None)
    with pytest.raises(FeatureError, match="line 2 is not in the online store as in the table"):
        build(order_triage)


def test_the_self_check_catches_a_lost_row(order_triage, write, build, monkeypatch):
    real = EmbeddedEngine.joined
    monkeypatch.setattr(EmbeddedEngine, "joined", lambda engine, plan: (b.slice(1) for b in real(engine, plan)))
    write(orders=ORDERS)
    with pytest.raises(FeatureError, match="it has 99 rows, expected 100"):
        build(order_triage)


def test_a_second_build_at_the_same_time_is_refused(order_triage, write, build, results):
    write(orders=ORDERS)
    with staged(results), pytest.raises(ScorelineError, match="another scoreline command is building here"):
        build(order_triage)
    build(order_triage)


def test_only_the_two_newest_stores_are_kept(order_triage, write, build, results):
    stores = []
    for stock in (1, 2, 3, 4):
        write(orders=ORDERS[:1], inventory=[f"007,2021-07-03,{stock}"])
        build(order_triage)
        stores.append(read_stamp(results).store)
    assert len(set(stores)) == 4
    assert {f"store/{path.name}" for path in (results / "store").iterdir()} == set(stores[-2:])


def test_going_back_to_former_data_keeps_its_store_as_the_newest(order_triage, write, build, results):
    for stock in (1, 2, 1, 3):
        write(orders=ORDERS[:1], inventory=[f"007,2021-07-03,{stock}"])
        build(order_triage)
        assert (results / read_stamp(results).store).is_file()
    assert len(list((results / "store").iterdir())) == 2


def test_results_can_be_read_by_others(order_triage, write, build, results):
    write(orders=ORDERS)
    build(order_triage)
    files = [path for path in results.rglob("*") if path.is_file() and path.name != ".lock"]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o644}
    assert {path.stat().st_mode & 0o777 for path in results.rglob("*") if path.is_dir()} == {0o755}


def test_a_missing_column_is_found_before_any_row_is_read(order_triage, data, write, build, results):
    write(orders=["bad"] * 100)
    (data / "zip_codes.csv").write_text("zip_code,available_form\n")
    with pytest.raises(TableError, match=r"has no column 'available_from'\. Did you mean 'available_form'"):
        build(order_triage)
    assert not results.exists()


def test_parquet_tables_give_the_same_digest_as_their_csv_twins(order_triage, data, write, build):
    write(orders=ORDERS[:5], inventory=["007,2021-07-03 01:02:03.5,5", "007,2021-07-03,"], zip_codes=["z,2021-01-01"])
    digest = build(order_triage).digest
    stock = {"sku_code": ["007", "007"], "timestamp": ["2021-07-03 01:02:03.5", "2021-07-03"], "inventory": [5, None]}
    (data / "inventory.csv").unlink()
    pq.write_table(pa.table(stock), data / "inventory.parquet")
    assert build(order_triage).digest == digest
