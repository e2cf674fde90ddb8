"""What a refresh refuses although every file is good, and what it remarks on although it publishes."""

from __future__ import annotations

import pytest
from cards import CARDS, ISSUERS, as_csv, copy_cards, put

from scoreline.app.load import load_app
from scoreline.errors import GenerationError
from scoreline.generations.manifest import app_digest


def edit_app(place, old, new):
    text = (place.folder / "app.py").read_text()
    assert text.count(old) == 1
    (place.folder / "app.py").write_text(text.replace(old, new))


@pytest.mark.parametrize("mode", ["ask", "poll", "start"])
def test_a_state_folder_holds_the_generations_of_one_app(published, mode):
    edit_app(published, 'App("cards"', 'App("loans"')
    with pytest.raises(GenerationError) as caught:
        published.refresh(mode)
    assert str(caught.value) == (
        f"{published.state.path}: holds the generations of the app 'cards', this one is 'loans'. "
        "Name another folder with --state or SCORELINE_STATE."
    )
    assert published.state.number == 1


@pytest.fixture
def elsewhere(made, tmp_path):
    """Give a folder with the same tables in another place."""
    return copy_cards(made, tmp_path / "elsewhere") / "data"


@pytest.mark.parametrize("mode", ["ask", "poll", "start"])
def test_while_a_server_takes_its_tables_from_elsewhere_nothing_is_refreshed(published, elsewhere, mode):
    """Its next poll would bring its own tables back."""
    before = published.seen()
    app = app_digest(load_app(published.folder))
    with published.state.serving(app, str(elsewhere)):
        with pytest.raises(GenerationError) as caught:
            published.refresh(mode)
        assert f"takes reference tables from {elsewhere}, this command from {published.data}." in str(caught.value)
        assert "Set SCORELINE_DATA_URL, or --data, as the server has it." in str(caught.value)
        assert not published.refresh(mode, data_url=str(elsewhere)).changed
    assert published.seen() == before
    assert not published.refresh(mode).changed


def test_one_folder_by_two_paths_is_one_source(published, tmp_path):
    (tmp_path / "link").symlink_to(published.data)
    with published.state.serving(app_digest(load_app(published.folder)), str(published.data)):
        assert not published.refresh(data_url=str(tmp_path / "link")).changed
        assert not published.refresh(data_url=f"{published.data}/../data").changed


# Remarks: the files are good, but nothing else knows what they name


def test_rows_that_look_up_what_is_not_there_are_remarked_on_and_published(published):
    put(published.data / "issuers.csv", as_csv([row for row in ISSUERS if row[0] != "North"]))
    report = published.refresh()
    assert report.changed
    (note,) = report.notes
    assert note.startswith("cards: 2 rows have a")
    assert "issuer that issuers lacks: 'North' (2)" in note
    assert report.describe()["notes"] == [note]


def test_categories_outside_their_list_are_remarked_on_and_published(place):
    edit_app(place, '"for_students": Boolean,', '"for_students": Boolean, "kind": Category("gold", optional=True),')
    rows = [[*row, kind] for row, kind in zip(CARDS, ["kind", "gold", "tin", "", "tin", "gold"], strict=True)]
    put(place.data / "cards.csv", as_csv(rows))
    report = place.refresh()
    assert (report.changed, report.notes) == (True, ["cards: kind outside its list, kept: 'tin' (2)"])


def test_good_tables_leave_nothing_to_remark_on(place):
    report = place.refresh()
    assert report.notes == []
    assert "notes" not in report.describe()


def test_a_dry_run_remarks_too_and_names_the_pin_that_would_hold_it_back(published):
    put(published.data / "cards.csv", as_csv(CARDS[:-1]))
    published.refresh()
    published.builder().rollback()
    put(published.data / "issuers.csv", as_csv(ISSUERS[:-1]))
    report = published.refresh(dry_run=True)
    assert (report.pinned, report.describe()["pinned"]) == (3, 3)
    assert (len(report.notes), report.changed) == (0, True)
    assert published.refresh("poll").changed is False
