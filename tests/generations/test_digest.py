"""The digest of a generation is of its content: equal on two hosts with equal content, from whatever file."""

from __future__ import annotations

import io
from dataclasses import replace

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from cards import CARDS, ISSUERS, as_csv, change, put

from scoreline.app.load import load_app
from scoreline.generations.manifest import app_digest, content_digest, read_manifest
from scoreline.generations.state import StateFolder


def as_parquet(rows):
    table = pa.csv.read_csv(
        io.BytesIO(as_csv(rows)),
        convert_options=pa.csv.ConvertOptions(
            column_types={"fee": pa.float64(), "min_score": pa.int32(), "for_students": pa.bool_()}
        ),
    )
    out = io.BytesIO()
    pa.parquet.write_table(table, out)
    return out.getvalue()


def reordered(rows):
    order = [3, 0, 5, 1, 4, 2]
    return [[row[place] for place in order] for row in rows]


def digest_of(place):
    place.refresh("start")
    return place.current.digest


@pytest.fixture
def another(place, made, tmp_path):
    """Give a function that publishes in a second state folder, after a change of the tables."""
    first = digest_of(place)

    def publish(edit=lambda data: None):
        edit(place.data)
        place.state = StateFolder(tmp_path / "state-of-another-host")
        return first, digest_of(place)

    return publish


def replace_by(name, content):
    def edit(data):
        (data / "cards.csv").unlink()
        put(data / name, content)

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda data: None, id="nothing"),
        pytest.param(lambda data: put(data / "cards.csv", as_csv([CARDS[0], *CARDS[:0:-1]])), id="order-of-rows"),
        pytest.param(lambda data: put(data / "cards.csv", as_csv(reordered(CARDS))), id="order-of-columns"),
        pytest.param(
            lambda data: put(data / "cards.csv", as_csv([[*row, "more"] for row in CARDS])), id="another-column"
        ),
        pytest.param(
            lambda data: change(data / "cards.csv", lambda text: b"\xef\xbb\xbf" + text), id="byte-order-mark"
        ),
        pytest.param(
            lambda data: change(data / "cards.csv", lambda text: text.replace(b"\n", b"\r\n")), id="line-ends"
        ),
        pytest.param(
            lambda data: change(data / "cards.csv", lambda text: text.replace(b",95,", b",95.00,")), id="other-spelling"
        ),
        pytest.param(replace_by("cards.parquet", as_parquet(CARDS)), id="parquet"),
        pytest.param(replace_by("cards.parquet", as_parquet([CARDS[0], *CARDS[:0:-1]])), id="parquet-in-other-order"),
    ],
)
def test_equal_content_has_an_equal_digest_on_another_host(another, edit):
    first, second = another(edit)
    assert first == second


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda data: change(data / "cards.csv", lambda t: t.replace(b"Alder", b"Alder+")), id="a-name"),
        pytest.param(lambda data: change(data / "cards.csv", lambda t: t.replace(b"25.5", b"25.6")), id="a-number"),
        pytest.param(lambda data: change(data / "cards.csv", lambda t: t.replace(b",95,", b",,")), id="a-null"),
        pytest.param(lambda data: put(data / "cards.csv", as_csv(CARDS[:-1])), id="a-row-less"),
        pytest.param(lambda data: put(data / "issuers.csv", as_csv(ISSUERS[:-1])), id="the-other-table"),
    ],
)
def test_other_content_has_another_digest(another, edit):
    first, second = another(edit)
    assert first != second


def test_two_tables_do_not_stand_for_one_another(place, another):
    """The name of a table is part of the content: two tables whose rows change places are other content."""
    place.refresh("start")
    tables = place.current.tables
    cards, issuers = tables["cards"], tables["issuers"]
    swapped = {"cards": replace(cards, digest=issuers.digest), "issuers": replace(issuers, digest=cards.digest)}
    assert content_digest("m", None, tables) == content_digest("m", None, dict(reversed(tables.items())))
    assert content_digest("m", None, tables) != content_digest("m", None, swapped)
    assert content_digest("m", None, {"cards": cards}) != content_digest("m", None, {"issuers": cards})
    assert content_digest("m", None, tables) != content_digest("n", None, tables)
    assert content_digest("m", None, tables) != content_digest("m", "s", tables)


def test_the_name_shows_the_number_and_the_start_of_the_digest(published):
    current = published.current
    assert current.name == f"1-{current.digest[:6]}"
    assert published.state.folder_of(1).name == current.name


def test_the_manifest_says_what_the_generation_holds_and_where_it_came_from(published):
    current = read_manifest(published.state.folder_of(1))
    assert current == published.current
    assert (current.number, current.why, current.store, current.columns) == (1, "the first", None, ())
    assert {name: (table.file, table.rows, table.source) for name, table in current.tables.items()} == {
        "cards": ("cards.csv", 5, str(published.data)),
        "issuers": ("issuers.csv", 3, str(published.data)),
    }


def test_a_range_of_a_reference_table_makes_another_app(place):
    before = app_digest(load_app(place.folder))
    assert app_digest(load_app(place.folder)) == before
    text = (place.folder / "app.py").read_text()
    (place.folder / "app.py").write_text(text.replace('"fee": Number(minimum=0)', '"fee": Number(minimum=1)'))
    assert app_digest(load_app(place.folder)) != before
