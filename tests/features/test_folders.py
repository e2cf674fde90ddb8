"""Tables of several files in a folder: rows are those of one file with all the lines, and say where they were."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scoreline.errors import TableError

ORDERS = [f"O{n},C{n % 3},2021-07-0{1 + n % 5} 10:00:00,s{n % 4},{n},0{n}" for n in range(12)]
INVENTORY = [f"s{n % 4},2021-07-0{1 + n % 3},{n}" for n in range(40)]
HEAD = "sku_code,timestamp,inventory"


def split(data, table, *parts, names=("part-1.csv", "part-2.csv", "part-3.csv")):
    """Replace a table's file by a folder with its lines in several files."""
    head = (data / f"{table}.csv").read_text().splitlines()[0]
    (data / f"{table}.csv").unlink()
    (data / table).mkdir()
    for name, lines in zip(names, parts, strict=False):
        (data / table / name).write_text("\n".join([head, *lines]) + "\n")


def rows_of(results):
    return pq.read_table(results / "feature.parquet").to_pylist()


def listed(results, name):
    return [json.loads(line) for line in (results / f"rejected/{name}.jsonl").read_text().splitlines()]


def test_features_are_those_of_one_file(order_triage, write, build, data, results):
    write(orders=ORDERS, inventory=INVENTORY)
    build(order_triage)
    as_one = rows_of(results)
    split(data, "orders", ORDERS[:5], ORDERS[5:5], ORDERS[5:])
    split(data, "inventory", INVENTORY[:17], INVENTORY[17:18], INVENTORY[18:])
    report = build(order_triage)
    assert rows_of(results) == as_one
    assert [load.rows_read for load in report.loads][:2] == [12, 40]


def test_of_two_rows_at_one_instant_the_one_of_the_later_file_counts(order_triage, write, build, data, results):
    write(orders=["O1,C1,2021-07-04,s,1,z"])
    split(data, "inventory", ["s,2021-07-03,1", "s,2021-07-03,2"], ["s,2021-07-03,3"])
    build(order_triage)
    assert rows_of(results)[0]["inventory"] == 3


def test_rows_set_aside_say_their_own_file_and_line(order_triage, write, build, data, results):
    write(orders=["O1,C1,2021-07-04,s,1,z", "O2,C1,2021-07-04,s,1,z"])
    split(data, "orders", ["O1,C1,2021-07-04,s,1,z"], ["O2,C1,2021-07-04,s,1,z", "O1,C1,2021-07-04,s,7,z"])
    split(data, "inventory", ["s,2021-07-01,1"], ["s,2021-07-01,2", "s,2021-07-01,many", 's,"2021'])
    report = build(order_triage)
    assert [(row["file"], row["line"]) for row in listed(results, "inventory")] == [
        ("part-2.csv", 3),
        ("part-2.csv", 4),
    ]
    (double,) = listed(results, "orders")
    assert (double["file"], double["line"]) == ("part-2.csv", 3)
    assert double["why"].endswith("was there before, in line 2 of part-1.csv: the first stays")
    assert report.reached["inventory"] == 2
    assert {(row["file"], row["line"]) for row in listed(results, "reached")} == {("part-2.csv", 3)}


def test_bad_rows_at_the_end_of_a_file_are_told_from_those_of_the_next(order_triage, write, build, data, results):
    write(orders=[f"O{sku},C1,2021-07-04,{sku},1,z" for sku in "abc"])
    split(data, "inventory", ["s,2021-07-01,1", "a,2021-07-01,many", "b,2021-07-01,many"], ["c,2021-07-01,many"])
    build(order_triage)
    reached = {row["reaches"]["sku_code"]: (row["file"], row["line"]) for row in listed(results, "reached")}
    assert reached == {"a": ("part-1.csv", 3), "b": ("part-1.csv", 4), "c": ("part-2.csv", 2)}


def test_too_many_bad_rows_name_the_file_of_the_first(order_triage, write, build, data):
    write()
    split(data, "inventory", ["s,2021-07-01,1"], ["s,2021-07-01,many"])
    with pytest.raises(TableError, match=r"1 of 2 rows of inventory can't be read.*The first: part-2.csv, line 2, "):
        build(order_triage, max_bad_rows=0)


def test_parquet_and_csv_may_stand_beside_one_another_and_columns_in_any_order(
    order_triage, write, build, data, results
):
    write(orders=["O1,C1,2021-07-04,s,1,z", "O2,C1,2021-07-02,s,1,z"])
    split(data, "inventory", ["s,2021-07-03,3"])
    rows = pa.table({"inventory": [7], "sku_code": ["s"], "timestamp": ["2021-07-01"]})
    pq.write_table(rows, data / "inventory/part-9.parquet")
    build(order_triage)
    assert [row["inventory"] for row in rows_of(results)] == [3, 7]


def test_files_without_a_suffix_are_told_by_their_first_bytes(order_triage, write, build, data, results):
    write(orders=["O1,C1,2021-07-04,s,1,z", "O2,C1,2021-07-02,s,1,z"])
    split(data, "inventory", ["s,2021-07-03,3"], names=("part-00000",))
    pq.write_table(
        pa.table({"inventory": [7], "sku_code": ["s"], "timestamp": ["2021-07-01"]}), data / "inventory/part-00001"
    )
    build(order_triage)
    assert [row["inventory"] for row in rows_of(results)] == [3, 7]


def test_what_engines_leave_there_and_sub_folders_are_passed_over(order_triage, write, build, data, results):
    write(orders=["O1,C1,2021-07-04,s,1,z"])
    split(data, "inventory", ["s,2021-07-03,3"])
    for name in ("_SUCCESS", ".part-1.csv.crc", "_committed_123", ".hidden.csv"):
        (data / "inventory" / name).write_text("junk")
    (data / "inventory/deeper").mkdir()
    (data / "inventory/deeper/part.csv").write_text(f"{HEAD}\ns,2021-07-03,9\n")
    build(order_triage)
    assert rows_of(results)[0]["inventory"] == 3


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], r"table 'inventory': no file in .*/inventory; expected CSV or Parquet files"),
        (["_SUCCESS"], r"table 'inventory': no file in .*/inventory; expected"),
        (["part.csv.gz"], r"part\.csv\.gz: expected a file with the suffix \.csv or \.parquet"),
        (["part.json"], r"part\.json: expected a file with the suffix"),
    ],
)
def test_a_folder_without_tables_is_refused_by_name(order_triage, write, build, data, names, says):
    write()
    split(data, "inventory", *([HEAD] for _ in names), names=names)
    with pytest.raises(TableError, match=says):
        build(order_triage)


def test_a_file_and_a_folder_of_one_table_are_refused_and_both_are_named(order_triage, write, build, data):
    write()
    (data / "inventory").mkdir()
    with pytest.raises(TableError, match=r"inventory\.csv and inventory are both in"):
        build(order_triage)


def test_a_folder_for_a_reference_table_is_refused(tmp_path):
    from scoreline import App, Text
    from scoreline.tables.source import find_file

    cards = App("x").reference_table("cards", key="k", rows=(1, 9), columns={"k": Text})
    (tmp_path / "cards").mkdir()
    with pytest.raises(TableError, match="cards is not a file"):
        find_file(cards.spec, tmp_path)
