"""Reference tables: read whole, and refused whole with where and why."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scoreline import App, Integer, Number, Text, Time
from scoreline.errors import SourceContentError, TableError
from scoreline.tables.fetch import FolderSource
from scoreline.tables.reference import fetch_references, most_bytes, read_reference

CARDS = {"card": Text, "fee": Number(minimum=0), "since": Time}
HEAD = b"card,fee,since\n"
GOOD = HEAD + b"b,12.5,2021-07-04\na,,\n"


def spec_of(key="card", rows=(1, 3), columns=CARDS):
    return App("x").reference_table("cards", key=key, rows=rows, columns=columns).spec


@pytest.fixture
def read(tmp_path):
    """Give a function that reads `cards.csv` (bytes) or `cards.parquet` (Arrow table)."""

    def read_it(content, **declared):
        if isinstance(content, pa.Table):
            pq.write_table(content, tmp_path / "cards.parquet")
        else:
            (tmp_path / "cards.csv").write_bytes(content)
        return read_reference(spec_of(**declared), tmp_path)

    return read_it


@pytest.mark.parametrize("content", [GOOD, b"\xef\xbb\xbf" + GOOD, GOOD.replace(b"\n", b"\r\n")])
def test_a_good_file_is_read_in_declared_order_with_its_types(read, content):
    rows = read(content)
    assert rows.column_names == ["card", "fee", "since"]
    assert rows.to_pylist() == [
        {"card": "b", "fee": 12.5, "since": datetime(2021, 7, 4)},
        {"card": "a", "fee": None, "since": None},
    ]


def test_a_parquet_file_is_read_alike(read):
    rows = read(pa.table({"since": [datetime(2021, 7, 4), None], "card": ["b", "a"], "fee": [12.5, None]}))
    assert rows.to_pydict() == {"card": ["b", "a"], "fee": [12.5, None], "since": [datetime(2021, 7, 4), None]}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(HEAD + b"a,much,\n", "1 of 1 rows are bad, no bad row is tolerated: line 2, column 'fee': "
                     "expected a number of at least 0, got 'much'", id="a-bad-number"),
        pytest.param(HEAD + b"a,-1,\n", "line 2, column 'fee': expected a number of at least 0, got '-1'",
                     id="a-number-out-of-range"),
        pytest.param(HEAD + b"a,1,soon\n", "line 2, column 'since': expected a time", id="a-bad-time"),
        pytest.param(HEAD + b",1,\n", "line 2, column 'card': expected text, got nothing: a key column can't be empty",
                     id="no-key"),
        pytest.param(HEAD + b'a,1,\n"b,2,\n', "1 of 2 rows are bad, .*: line 3: torn quoting", id="torn-quoting"),
        pytest.param(HEAD + b"a,1,\nb,2\n", "line 3: expected 3 fields, got 2", id="a-field-too-few"),
        pytest.param(HEAD + b"a,1,\nb\xe9,2,\n", "line 3: the line is not UTF-8", id="latin-1"),
        pytest.param(HEAD + b"a,1,\nb\0,2,\n", "line 3: the line holds a NUL byte", id="a-nul-byte"),
        pytest.param(HEAD + b"a,1,\nb,2,\na,3,\n", r"line 4, column 'card': the key \(card\) was there before, in "
                     "line 2", id="a-key-twice"),
        pytest.param(HEAD, "has 0 rows; app.py declares from 1 to 3", id="no-row"),
        pytest.param(HEAD.rstrip(), "has 0 rows; app.py declares from 1 to 3", id="a-head-without-its-line-end"),
        pytest.param(HEAD + b"a,,\nb,,\nc,,\nd,,\n", "has 4 rows; app.py declares from 1 to 3", id="too-many-rows"),
        pytest.param(GOOD.rstrip(), "its last line has no line end, so the file may have been cut off", id="cut-off"),
        pytest.param(HEAD + b"a,12.5", "line 2: expected 3 fields, got 2", id="cut-off-within-a-line"),
    ],
)  # fmt: skip
def test_a_file_with_anything_wrong_is_refused_with_where_and_why(read, content, says):
    with pytest.raises(TableError, match=rf"^reference table 'cards', cards\.csv: .*{says}"):
        read(content)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(b"", r"cards\.csv: is empty", id="an-empty-file"),
        pytest.param(b"\n", r"cards\.csv: is empty", id="an-empty-line"),
        pytest.param(GOOD.decode().encode("utf-16"), r"cards\.csv: is UTF-16; expected UTF-8", id="utf-16"),
        pytest.param(GOOD.decode().encode("utf-16-le"), r"cards\.csv: has no column 'card'", id="utf-16-unmarked"),
        pytest.param(b"card,f\xe9e,since\na,1,\n", r"cards\.csv, line 1: the header is not UTF-8", id="a-latin-1-head"),
        pytest.param(b"card,fees,since\na,1,\n", "has no column 'fee'. Did you mean 'fees'", id="a-column-renamed"),
        pytest.param(b"card;fee;since\na;1;\n", "seem to be separated by semicolons", id="another-separator"),
        pytest.param(b"<html>away</html>\n", "has no column 'card'", id="a-page-instead"),
    ],
)  # fmt: skip
def test_a_file_of_another_shape_is_refused(read, content, says):
    with pytest.raises(TableError, match=says):
        read(content)


def test_only_the_first_bad_rows_are_named_and_the_others_counted(read):
    with pytest.raises(TableError) as caught:
        read(HEAD + b"".join(b"%d,x,\n" % row for row in range(2_000)), rows=(1, 5_000))
    message = str(caught.value)
    assert message.startswith(
        "reference table 'cards', cards.csv: 2,000 of 2,000 rows are bad, no bad row is tolerated"
    )
    assert [f"line {line}, column" in message for line in (2, 3, 4, 5)] == [True, True, True, False]
    assert message.endswith("; and 1,997 more")


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_the_fewest_and_the_most_rows_are_good(read, rows):
    assert read(HEAD + b"".join(b"%d,,\n" % row for row in range(rows))).num_rows == rows


def test_a_key_of_two_columns_may_repeat_either_of_them(read):
    content = b"card,state,fee\na,NY,1\na,TX,2\nb,NY,3\n"
    columns = {"card": Text, "state": Text, "fee": Number}
    assert read(content, key=["card", "state"], columns=columns).num_rows == 3
    with pytest.raises(TableError, match=r"line 5, column 'card': the key \(card, state\) was there before, in line 3"):
        read(content + b"a,TX,9\n", key=["card", "state"], columns=columns, rows=(1, 9))


def test_whole_numbers_are_one_key_however_they_are_written(read):
    with pytest.raises(TableError, match=r"line 3, column 'card': the key \(card\) was there before, in line 2"):
        read(b"card\n7\n007\n", columns={"card": Integer})


def test_a_parquet_file_has_no_last_line_but_must_be_whole(read, tmp_path):
    table = pa.table({"card": ["a"], "fee": [1.0], "since": pa.nulls(1)})
    assert read(table).num_rows == 1
    path = tmp_path / "cards.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TableError, match=r"cards\.parquet: is not a readable Parquet file"):
        read_reference(spec_of(), tmp_path)


def test_a_file_may_be_some_kilobytes_for_each_row_that_it_may_have():
    assert most_bytes(spec_of(rows=(1, 10))) == 1 << 20
    assert most_bytes(spec_of(rows=(1, 10_000))) == 10_000 * 4096


def test_a_file_that_is_larger_is_not_fetched(tmp_path):
    source, into = tmp_path / "source", tmp_path / "into"
    source.mkdir()
    into.mkdir()
    (source / "cards.csv").write_bytes(GOOD + b"x" * (1 << 20))
    with pytest.raises(SourceContentError, match=r"cards\.csv: is 1,048,\d+ bytes, expected at most 1,048,576 bytes"):
        fetch_references(FolderSource(source), [spec_of()], into)
    assert list(into.iterdir()) == []


def test_files_are_fetched_by_the_names_that_they_may_have(tmp_path):
    source, into = tmp_path / "source", tmp_path / "into"
    source.mkdir()
    into.mkdir()
    (source / "cards.csv").write_bytes(GOOD)
    (source / "names.parquet").write_bytes(b"of whatever content")
    app = App("x")
    cards = app.reference_table("cards", key="card", rows=(1, 3), columns=CARDS)
    names = app.reference_table("names", key="card", rows=(1, 3), columns={"card": Text}, file="names.parquet")
    fetch_references(FolderSource(source), [cards.spec, names.spec], into)
    assert sorted(path.name for path in into.iterdir()) == ["cards.csv", "names.parquet"]
    assert (into / "cards.csv").read_bytes() == GOOD
