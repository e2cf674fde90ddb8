"""Going back: earlier content under a new number, held until it is let go."""

from __future__ import annotations

import shutil

import pytest
from cards import CARDS, as_csv, put

from scoreline.errors import GenerationError, PinnedError, ScorelineError


def name_card(place, name):
    """Publish a catalogue whose first card has a name."""
    put(place.data / "cards.csv", as_csv([CARDS[0], ["alder", "North", name, *CARDS[1][3:]], *CARDS[2:]]))
    place.refresh()


def add_a_column(place):
    """Change app.py: a reference table may have another column."""
    text = (place.folder / "app.py").read_text()
    assert text.count('"for_students": Boolean,') == 1
    text = text.replace('"for_students": Boolean,', '"for_students": Boolean, "color": Text(optional=True),')
    (place.folder / "app.py").write_text(text)


def served(place):
    """Return the name of the first card, as requests are answered now."""
    return place.rows("cards")[0]["name"]


def test_it_publishes_the_content_before_as_a_new_number(published):
    first = published.current
    name_card(published, "Bad")
    again = published.builder().rollback()
    assert (again, again.number, again.digest) == (published.current, 3, first.digest)
    assert again.name == f"3-{first.digest[:6]}"
    assert again.why == f"rollback to {first.name}"
    assert again.tables == first.tables
    assert served(published) == "Alder"
    assert published.state.pinned == 3


def test_it_goes_to_the_number_that_is_named(published):
    for name in ("One", "Two", "Three"):
        name_card(published, name)
    assert (published.builder().rollback(2).number, served(published)) == (5, "One")
    assert (published.builder().rollback(4).number, served(published)) == (6, "Three")
    assert published.state.pinned == 6


def test_a_second_step_goes_further_back_and_not_to_what_was_left(published):
    for name in ("One", "Two"):
        name_card(published, name)
    builder = published.builder()
    for name in ("One", "Alder"):
        builder.rollback()
        assert served(published) == name
    with pytest.raises(GenerationError, match="no earlier content to go back to"):
        builder.rollback()
    assert (published.state.number, published.state.pinned) == (5, 5)


def test_after_unpin_a_step_goes_back_from_what_came_then(published):
    for name in ("One", "Two"):
        name_card(published, name)
    published.builder().rollback()
    published.builder().unpin()
    name_card(published, "Three")
    published.builder().rollback()
    assert served(published) == "One"


def test_content_that_came_again_is_left_as_a_whole(published):
    name_card(published, "Other")
    name_card(published, "Alder")
    published.builder().rollback()
    assert served(published) == "Other"


def test_the_generations_that_are_left_stay_as_they_are(published):
    name_card(published, "Bad")
    before = {path: path.read_bytes() for path in (published.state.path / "generations").rglob("*") if path.is_file()}
    published.builder().rollback()
    assert {path: path.read_bytes() for path in before} == before


def test_with_nothing_to_go_back_to_it_says_what_is_kept(published):
    name = published.current.name
    with pytest.raises(GenerationError) as caught:
        published.builder().rollback()
    assert str(caught.value) == (f"{published.state.path}: there is no earlier content to go back to. Kept: {name}.")
    with pytest.raises(GenerationError, match=f"there is no generation 7 to go back to. Kept: {name}."):
        published.builder().rollback(7)
    assert (published.state.number, published.state.pinned) == (1, None)


def test_before_the_first_publish_there_is_nothing_to_go_back_to(place):
    with pytest.raises(GenerationError, match=r"no earlier content to go back to\. Kept: none\."):
        place.builder().rollback()
    assert place.state.pinned is None


def test_content_for_another_app_py_cannot_be_gone_back_to(published):
    add_a_column(published)
    name_card(published, "New")
    for to in (1, None):
        with pytest.raises(GenerationError) as caught:
            published.builder().rollback(to)
        assert str(caught.value).endswith("was made for another app.py; it can't be gone back to")
        assert str(caught.value).startswith("generation 1-")
    assert (published.state.number, published.state.pinned) == (2, None)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda folder: (folder / "model/golden.json").write_text("{}"), id="model"),
        pytest.param(lambda folder: (folder / "tables/cards.msgpack").unlink(), id="table"),
        pytest.param(lambda folder: (folder / "tables/cards.msgpack").write_bytes(b"\x81\xa1a"), id="torn-table"),
        pytest.param(lambda folder: shutil.rmtree(folder / "model"), id="no-model"),
    ],
)
def test_a_generation_that_is_damaged_is_not_gone_back_to(published, damage):
    name_card(published, "New")
    damage(published.state.folder_of(1))
    with pytest.raises(ScorelineError):
        published.builder().rollback()
    assert (published.state.number, published.state.pinned, served(published)) == (2, None, "New")
    assert not list(published.state.path.glob(".building-*"))


def test_where_a_publish_is_refused_the_pin_is_as_before(published):
    name_card(published, "New")
    with published.state.serving("another app"), pytest.raises(GenerationError, match="Restart it"):
        published.builder().rollback()
    assert (published.state.number, published.state.pinned) == (2, None)
    published.builder().rollback()
    with published.state.serving("another app"), pytest.raises(GenerationError, match="Restart it"):
        published.builder().rollback(2)
    assert (published.state.number, published.state.pinned) == (3, 3)


# While it is pinned


@pytest.fixture
def pinned(published):
    """Give a place where a bad catalogue was published and rolled back; it still lies at the source."""
    name_card(published, "Bad")
    published.builder().rollback()
    return published


def test_a_refresh_is_refused_and_says_how_to_go_on(pinned):
    before = pinned.seen()
    with pytest.raises(PinnedError) as caught:
        pinned.refresh("ask")
    assert str(caught.value) == (
        "generation 3 is pinned by a rollback; nothing new is published until `scoreline rollback --unpin`"
    )
    assert pinned.seen() == before


def test_polling_does_nothing_however_often(pinned):
    before, builder = pinned.seen(), pinned.builder()
    for _ in range(5):
        report = builder.refresh("poll")
        assert (report.changed, report.generation) == (False, pinned.current.name)
    assert pinned.seen() == before
    assert served(pinned) == "Alder"


def test_a_start_goes_on_with_what_is_pinned_and_says_so(pinned):
    report = pinned.refresh("start")
    assert (report.changed, report.generation) == (False, pinned.current.name)
    (note,) = report.notes
    assert note.startswith(f"pinned at {pinned.current.name} (rollback to 1-")
    assert "scoreline rollback --unpin" in note
    assert {name: table["rows"] for name, table in report.tables.items()} == {"cards": 5, "issuers": 3}


def test_a_start_with_another_app_py_is_refused_while_it_is_pinned(pinned):
    add_a_column(pinned)
    with pytest.raises(PinnedError, match=r"was made for another app\.py. Run `scoreline rollback --unpin`\."):
        pinned.refresh("start")


@pytest.mark.parametrize("mode", ["ask", "start"])
def test_a_pinned_generation_that_is_gone_is_an_error(pinned, mode):
    shutil.rmtree(pinned.state.folder_of(3))
    with pytest.raises(PinnedError, match="generation 3 is pinned"):
        pinned.refresh(mode)


def test_a_dry_run_tells_what_lies_at_the_source(pinned):
    before = pinned.seen()
    report = pinned.refresh(dry_run=True)
    assert (report.changed, report.tables["cards"]["changed"]) == (True, True)
    assert pinned.seen() == before


@pytest.mark.parametrize("mode", ["ask", "poll", "start"])
def test_after_unpin_what_lies_at_the_source_is_published(pinned, mode):
    pinned.builder().unpin()
    assert (pinned.state.pinned, served(pinned)) == (None, "Alder")
    assert pinned.refresh(mode).changed
    assert (pinned.state.number, served(pinned)) == (4, "Bad")


def test_unpin_of_what_is_not_pinned_changes_nothing(published):
    before = published.seen()
    published.builder().unpin()
    assert published.seen() == before
