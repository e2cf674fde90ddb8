"""A start: everything is verified, and where a source gives no good file the copy at hand will do."""

from __future__ import annotations

import shutil

import pytest
from cards import CARDS, as_csv, change, put

from scoreline.app.load import load_app
from scoreline.errors import ArtifactError, ScorelineError, SourceAwayError
from scoreline.generations.status import describe_state
from scoreline.tables.fetch import open_source


@pytest.fixture
def away(published, tmp_path):
    """Give a place whose source is gone since."""
    shutil.move(published.data, tmp_path / "elsewhere")
    return published


def edit_app(place, *changes):
    text = (place.folder / "app.py").read_text()
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    (place.folder / "app.py").write_text(text)


def test_with_the_source_away_it_goes_on_with_the_copy_and_says_so_of_each_table(away):
    before = away.seen()
    report = away.refresh("start")
    assert (report.changed, report.generation) == (False, away.current.name)
    assert len(report.notes) == 2
    for note in report.notes:
        assert note == f"{away.data}: no such folder. Make it, or name another one. Going on with the copy at hand."
    assert away.seen() == before


def test_with_the_source_away_the_age_of_the_copy_is_not_made_younger(away):
    before = away.state.source("cards")["seen_at"]
    away.refresh("start")
    assert away.state.source("cards")["seen_at"] == before
    assert "no such folder" in away.state.source("cards")["error"]


def test_a_copy_will_do_at_start_alone(away):
    for mode in ("ask", "poll"):
        with pytest.raises(SourceAwayError):
            away.refresh(mode)


def test_with_the_source_away_and_no_copy_it_is_refused_in_one_line(place, tmp_path):
    shutil.move(place.data, tmp_path / "elsewhere")
    with pytest.raises(SourceAwayError) as caught:
        place.refresh("start")
    for name in ("cards", "issuers"):
        assert f"There is no copy of '{name}' at hand" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert place.state.number == 0


def test_with_a_bad_file_at_the_source_it_goes_on_with_the_copy_and_says_why(published):
    change(published.data / "cards.csv", lambda text: text.replace(b"620", b"6200"))
    report = published.refresh("start")
    assert not report.changed
    (note,) = report.notes
    assert "cards.csv: 1 of 5 rows are bad" in note
    assert note.endswith("Going on with the copy at hand.")


def test_of_two_tables_one_may_be_new_and_one_a_copy(published):
    change(published.data / "cards.csv", lambda text: b"")
    change(published.data / "issuers.csv", lambda text: text + b"East,1\n")
    report = published.refresh("start")
    assert (report.changed, len(report.notes), published.current.why) == (True, 1, "changed: issuers")
    assert [row["card_id"] for row in published.rows("cards")] == [row[0] for row in CARDS[1:]]
    assert len(published.rows("issuers")) == 4


def test_a_bad_file_of_another_kind_does_not_stand_beside_the_copy(published):
    (published.data / "cards.csv").unlink()
    put(published.data / "cards.parquet", b"PAR1 or so")
    report = published.refresh("start")
    assert (report.changed, len(report.notes)) == (False, 1)
    assert "cards.parquet" in report.notes[0]
    assert published.rows("cards")[0]["card_id"] == "alder"


def test_a_copy_is_refreshed_once_the_source_is_back(published):
    good = change(published.data / "cards.csv", lambda text: b"")
    published.refresh("start")
    put(published.data / "cards.csv", good)
    assert published.refresh("start").notes == []
    put(published.data / "cards.csv", as_csv(CARDS[:-1]))
    assert published.refresh("poll").changed


def test_a_new_app_py_takes_the_copies_too_and_publishes_for_itself(away):
    before = away.current
    edit_app(away, ('"for_students": Boolean,', '"for_students": Boolean, "color": Text(optional=True),'))
    report = away.refresh("start")
    assert (report.changed, len(report.notes)) == (True, 2)
    after = away.current
    assert (after.number, after.why) == (2, "changed: cards")
    assert after.app != before.app
    assert (after.tables["issuers"], after.model) == (before.tables["issuers"], before.model)
    assert {row["color"] for row in away.rows("cards")} == {None}


def test_a_new_app_py_with_the_same_content_is_published_for_itself_too(place):
    edit_app(place, ('"for_students": Boolean,', '"for_students": Boolean, "stars": Integer(optional=True),'))
    place.refresh("start")
    before = place.current
    edit_app(place, ('"stars": Integer(optional=True)', '"stars": Integer(minimum=1, optional=True)'))
    assert place.refresh("start").changed
    after = place.current
    assert (after.number, after.digest, after.why) == (2, before.digest, "changed: app.py")
    assert after.app != before.app


def test_a_copy_that_does_not_fit_a_new_app_py_is_refused_with_what_it_lacks_and_why_it_was_taken(away):
    edit_app(away, ('"for_students": Boolean,', '"for_students": Boolean, "color": Text,'))
    with pytest.raises(ScorelineError) as caught:
        away.refresh("start")
    said = str(caught.value)
    assert "'color'" in said
    assert "cards" in said
    assert "no such folder" in said
    assert ".building-" not in said
    assert "\n" not in said
    assert away.state.number == 1


def test_rows_of_a_copy_that_a_new_app_py_does_not_allow_are_refused(away):
    edit_app(away, ("rows=(2, 20)", "rows=(2, 4)"))
    with pytest.raises(ScorelineError, match=r"no such folder.* has 5 rows; app\.py declares from 2 to 4"):
        away.refresh("start")
    assert away.state.number == 1


@pytest.mark.parametrize("name", ["golden.json", "heads/odds.trees"])
def test_a_damaged_model_is_refused_at_a_later_start_too(published, name):
    path = published.folder / "model" / name
    path.write_bytes(path.read_bytes()[:-1] + b"\7")
    with pytest.raises(ArtifactError, match="changed or torn"):
        published.refresh("start")


def test_what_is_published_already_is_not_published_again_by_the_next_start(published):
    before = published.seen()
    for _ in range(2):
        assert not published.refresh("start").changed
    assert published.seen() == before


# What is told of it all


def describe(place):
    return describe_state(place.state, load_app(place.folder), open_source(None, place.data))


def test_the_state_tells_what_each_generation_holds_newest_first(published):
    put(published.data / "cards.csv", as_csv(CARDS[:-1]))
    published.refresh()
    told = describe(published)
    assert (told["published"], told["pinned"], told["source"]) == (published.current.name, None, str(published.data))
    assert [one["generation"] for one in told["generations"]] == [
        generation.name for generation in reversed(published.state.generations())
    ]
    newest = told["generations"][0]
    assert (newest["why"], newest["store"], newest["model"]) == ("changed: cards", None, published.current.model[:12])
    assert newest["created_at"] == published.current.created_at
    assert {name: table["rows"] for name, table in newest["tables"].items()} == {"cards": 4, "issuers": 3}
    assert newest["tables"]["cards"]["etag"] == published.current.tables["cards"].etag
    assert newest["tables"]["cards"]["source"] == str(published.data)


def test_the_state_tells_how_old_each_table_is_and_when_that_is_too_old(published, later):
    table = describe(published)["tables"]["cards"]
    assert 0 <= table["age_s"] < 60
    assert (table["stale_after_s"], table["stale"], table["error"]) == (3600, False, None)
    later(3590)
    assert not describe(published)["tables"]["cards"]["stale"]
    later(3700)
    assert describe(published)["tables"]["cards"]["stale"]
    issuers = describe(published)["tables"]["issuers"]
    assert (issuers["stale_after_s"], issuers["stale"]) == (None, False)


def test_a_table_that_was_never_seen_is_stale_if_it_has_a_limit(place):
    told = describe(place)
    assert (told["published"], told["generations"]) == (None, [])
    assert (told["tables"]["cards"]["age_s"], told["tables"]["cards"]["stale"]) == (None, True)
    assert not told["tables"]["issuers"]["stale"]


def test_the_state_tells_what_went_wrong_last(away):
    with pytest.raises(SourceAwayError):
        away.refresh()
    assert "no such folder" in describe(away)["tables"]["cards"]["error"]
