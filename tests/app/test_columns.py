"""Column types, and tables as they are declared."""

from __future__ import annotations

import copy

import pytest

from scoreline import App, Boolean, Category, Integer, Number, Text, Time
from scoreline.app.columns import as_column_type
from scoreline.app.table import declare_table
from scoreline.errors import AppError


def test_a_category_keeps_its_values_in_order():
    assert Category("B", "A").values == ("B", "A")
    assert Category("B", "A") != Category("A", "B")
    assert Category("A") == Category("A")
    assert Category("A") != Category("A", optional=True)


@pytest.mark.parametrize("values", [(), (1, 2), ("A", None), (["A", "B"],)])
def test_a_category_takes_its_values_as_text(values):
    with pytest.raises(AppError, match=r"Category takes its known values as text, for example Category\('OK'"):
        Category(*values)


def test_a_category_names_no_value_twice():
    with pytest.raises(AppError, match=r"Category names a value twice: A, B, A"):
        Category("A", "B", "A")


@pytest.mark.parametrize("kind", [Text, Integer, Number, Boolean, Time])
def test_a_type_stands_for_itself_without_options(kind):
    assert as_column_type(kind, "here") == kind() == kind(optional=False)
    assert as_column_type(kind(optional=True), "here").optional
    assert kind().describe() == {"type": kind.name}


def test_a_category_describes_its_values():
    assert Category("A", "B").describe() == {"type": "category", "values": ["A", "B"]}


@pytest.mark.parametrize(
    ("kind", "expects"),
    [
        (Integer(), "a whole number, for example 3"),
        (Integer(minimum=300, maximum=850), "a whole number from 300 to 850"),
        (Integer(minimum=0), "a whole number of at least 0"),
        (Integer(maximum=-1), "a whole number of at most -1"),
        (Number(minimum=0, maximum=0), "a number from 0 to 0"),
        (Number(minimum=0.5), "a number of at least 0.5"),
    ],
)
def test_a_number_says_what_it_expects(kind, expects):
    assert kind.expects == expects


def test_a_range_includes_both_its_ends():
    assert [Integer(minimum=2, maximum=4).fits(value) for value in (1, 2, 3, 4, 5)] == [False, True, True, True, False]
    assert [Number(minimum=0.5).fits(value) for value in (0.49, 0.5, 1e308)] == [False, True, True]
    assert [Number(maximum=0).fits(value) for value in (-1e308, 0, 5e-324)] == [True, True, False]


def test_a_range_is_part_of_the_type_and_of_how_it_is_described():
    assert Number(minimum=0).describe() == {"type": "number", "minimum": 0}
    assert Integer(minimum=0, maximum=9).describe() == {"type": "integer", "minimum": 0, "maximum": 9}
    assert Integer(minimum=0) != Integer(minimum=1) != Integer()
    assert as_column_type(Integer(minimum=0, optional=True), "here").optional


@pytest.mark.parametrize(
    ("kind", "given", "says"),
    [
        pytest.param(Integer, {"minimum": 9, "maximum": 8}, "Integer: minimum=9 is above maximum=8", id="backwards"),
        pytest.param(Number, {"minimum": 1.5, "maximum": 1}, "Number: minimum=1.5 is above maximum=1", id="fractions"),
        pytest.param(Number, {"minimum": "0"}, "Number: expected a finite number as .*got '0'", id="text"),
        pytest.param(Number, {"maximum": True}, "Number: expected a finite number as .*got True", id="a-boolean"),
        pytest.param(Number, {"maximum": float("nan")}, "Number: expected a finite number as .*got nan", id="nan"),
        pytest.param(Number, {"maximum": float("inf")}, "Number: expected a finite number as .*got inf", id="infinite"),
        pytest.param(Integer, {"minimum": 0.5}, "Integer: expected a whole number of .*got 0.5", id="half-of-a-number"),
        pytest.param(Integer, {"maximum": 10**18}, "a whole number of at most 18 digits as .*got 1000", id="too-long"),
    ],
)
def test_a_range_that_is_none_is_refused(kind, given, says):
    with pytest.raises(AppError, match=says):
        kind(**given)


@pytest.mark.parametrize("declared", [str, "text", None, Category, 3])
def test_what_is_no_column_type_is_refused_with_the_place(declared):
    with pytest.raises(AppError, match=r"^table 't', column 'a': expected a column type, got "):
        as_column_type(declared, "table 't', column 'a'")


def make_table(**given):
    defaults = {"key": "k", "columns": {"k": Text, "class": Number}, "time": None, "file": None}
    return declare_table("t", **{**defaults, **given})


def test_a_column_is_an_attribute_or_an_item_of_its_table():
    table = make_table()
    assert table.k == table["k"]
    assert str(table["class"]) == "t.class"
    assert table["class"].type == Number()
    assert repr(table) == "Table('t')"


def test_a_table_is_gone_through_by_the_names_of_its_columns_in_declared_order():
    assert list(make_table()) == ["k", "class"]
    assert "class" in make_table()


def test_a_column_that_is_not_there_is_refused_with_what_is():
    with pytest.raises(AppError, match=r"table 't' has no column 'klass'. Did you mean 'class'\? It has: k, class."):
        make_table()["klass"]


def test_python_may_ask_a_table_for_its_own_attributes():
    assert not hasattr(make_table(), "__wrapped__")
    assert copy.copy(make_table()).spec.name == "t"


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        pytest.param(None, ("t.csv",), id="named-after-the-table"),
        pytest.param("other.parquet", ("other.parquet",), id="one-name"),
        pytest.param(["a.csv", "b.csv"], ("a.csv", "b.csv"), id="two-names"),
    ],
)
def test_a_table_knows_the_names_that_its_file_may_have(file, expected):
    assert make_table(file=file).spec.files == expected


@pytest.mark.parametrize("file", ["data/t.csv", "t.txt", "t"])
def test_a_file_that_is_no_bare_csv_or_parquet_name_is_refused(file):
    with pytest.raises(AppError, match=r"expected a bare name that ends in .csv or .parquet"):
        make_table(file=file)


def test_key_and_time_are_what_a_good_row_can_not_leave_empty():
    columns = {"k": Text, "j": Integer, "at": Time, "n": Number}
    assert make_table(columns=columns, key=["j", "k"], time="at").spec.required == ("j", "k", "at")
    assert make_table().spec.required == ("k",)


def test_two_apps_in_one_process_keep_their_tables_apart():
    first, second = App("a"), App("b")
    first.table("t", key="k", columns={"k": Text})
    assert list(second.tables) == []
