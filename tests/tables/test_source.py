"""Which file a table is read from."""

from __future__ import annotations

import pytest

from scoreline import App, Text
from scoreline.errors import TableError
from scoreline.tables.source import find_file

ORDERS = App("x").table("orders", key="k", columns={"k": Text}, file=["orders.csv", "order.csv"]).spec


@pytest.mark.parametrize("name", ["orders.csv", "order.csv", "orders.parquet", "order.parquet"])
def test_a_table_is_found_under_any_of_its_names_and_as_parquet(tmp_path, name):
    (tmp_path / name).touch()
    (tmp_path / "other.csv").touch()
    assert find_file(ORDERS, tmp_path) == tmp_path / name


@pytest.mark.parametrize(
    ("one", "other"),
    [("orders.csv", "order.csv"), ("orders.csv", "orders.parquet"), ("order.csv", "orders.parquet")],
)
def test_two_files_of_one_table_are_refused_and_both_are_named(tmp_path, one, other):
    (tmp_path / one).touch()
    (tmp_path / other).touch()
    with pytest.raises(TableError, match=rf"table 'orders': {one} and {other} are both in .*Remove the others"):
        find_file(ORDERS, tmp_path)


def test_a_missing_file_is_named_with_all_its_possible_names(tmp_path):
    with pytest.raises(TableError) as caught:
        find_file(ORDERS, tmp_path)
    assert str(caught.value) == (
        f"table 'orders': no file in {tmp_path}; expected orders.csv or order.csv or orders.parquet or order.parquet"
    )


def test_a_missing_folder_is_named_with_the_option_that_sets_it(tmp_path):
    with pytest.raises(TableError, match=r"data folder .*/nowhere does not exist. Name it with --data DIR"):
        find_file(ORDERS, tmp_path / "nowhere")


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path):
    (tmp_path / "orders.csv").mkdir()
    with pytest.raises(TableError, match=r"orders\.csv is not a file"):
        find_file(ORDERS, tmp_path)
