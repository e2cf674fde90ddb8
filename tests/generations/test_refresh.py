"""A refresh: what changed at the sources is published as one generation, or nothing is."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from cards import CARDS, ISSUERS, as_csv, change, copy_cards, put
from servers import folders, made_app, own_predictor, plain_environment, settings_for

from scoreline.app.load import load_app
from scoreline.cli.main import run
from scoreline.errors import ArtifactError, GenerationError, ScorelineError, SourceAwayError, StampError
from scoreline.features.stamp import read_stamp
from scoreline.generations.builder import Builder
from scoreline.generations.state import StateFolder
from scoreline.serving.service import make_predictor
from scoreline.serving.start import make_builder
from scoreline.store.embedded import EmbeddedStore
from scoreline.tables.fetch import FolderSource


def command(name, *arguments):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert run([name, *arguments]) == 0


def train_anew(place):
    """Change the data that the model learns from, and train."""
    change(place.data / "history.csv", lambda text: text.replace(b",true\n", b",false\n", 25))
    command("feature", *folders(place.folder))
    command("train", *folders(place.folder))


# What changed, and what did not


def test_the_first_refresh_publishes_everything(place):
    report = place.refresh()
    assert (report.changed, report.generation, report.notes) == (True, "1-" + place.current.digest[:6], [])
    assert {name: (table["rows"], table["changed"]) for name, table in report.tables.items()} == {
        "cards": (5, True),
        "issuers": (3, True),
    }
    assert report.model
    assert not report.store
    assert [row["card_id"] for row in place.rows("cards")] == ["alder", "birch", "cedar", "dogwood", "elm"]


def test_when_nothing_changed_nothing_is_published(published):
    before = published.seen()
    for builder in (published.builder(), published.builder()):
        for _ in range(2):
            report = builder.refresh()
            assert (report.generation, report.changed) == (published.current.name, False)
            assert {table["changed"] for table in report.tables.values()} == {False}
            assert (report.model, report.store) == (False, False)
    assert published.seen() == before


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda data: put(data / "cards.csv", (data / "cards.csv").read_bytes()), id="touched"),
        pytest.param(lambda data: put(data / "cards.csv", as_csv([CARDS[0], *CARDS[:0:-1]])), id="other-order"),
    ],
)
def test_a_file_that_says_the_same_changes_nothing(published, edit):
    edit(published.data)
    assert not published.refresh().changed
    assert published.state.number == 1


def test_a_changed_table_is_published_and_named(published):
    put(published.data / "cards.csv", as_csv([*CARDS, ["fir", "North", "Fir", "10", "300", "false"]]))
    before = published.current
    report = published.refresh()
    assert (report.changed, report.generation, report.model) == (True, published.current.name, False)
    assert {name: (table["rows"], table["changed"]) for name, table in report.tables.items()} == {
        "cards": (6, True),
        "issuers": (3, False),
    }
    after = published.current
    assert (after.number, after.why) == (2, "changed: cards")
    assert after.tables["issuers"] == before.tables["issuers"]
    assert published.rows("cards")[-1]["name"] == "Fir"
    assert published.state.folder_of(1).is_dir()


def test_a_changed_model_is_published_and_named(published):
    train_anew(published)
    report = published.refresh()
    assert (report.changed, report.model) == (True, True)
    assert {table["changed"] for table in report.tables.values()} == {False}
    assert (published.current.number, published.current.why) == (2, "changed: model")
    assert published.current.model != published.state.generations()[0].model


def test_all_that_changed_is_one_generation(published):
    train_anew(published)
    put(published.data / "cards.csv", as_csv(CARDS[:-1]))
    put(published.data / "issuers.csv", as_csv([*ISSUERS, ["East", "5"]]))
    published.refresh()
    assert (published.current.number, published.current.why) == (2, "changed: model, cards, issuers")


def test_what_was_there_before_can_come_back(published):
    first = published.current
    before = change(published.data / "cards.csv", lambda text: text.replace(b"Elm", b"Oak"))
    published.refresh()
    put(published.data / "cards.csv", before)
    published.refresh()
    assert (published.current.number, published.current.digest) == (3, first.digest)


def test_a_generation_is_never_changed_by_later_ones(published):
    folder = published.state.folder_of(1)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    change(published.data / "cards.csv", lambda text: text.replace(b"Elm", b"Oak"))
    published.refresh()
    train_anew(published)
    published.refresh()
    published.builder().rollback(1)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


# Order triage: feature table and store


@pytest.fixture
def triage(tmp_path, tmp_path_factory):
    """Give a copy of order triage, its settings and its state folder, with a first generation."""
    made = made_app(tmp_path_factory)
    folder = shutil.copytree(made, tmp_path / "triage", ignore=shutil.ignore_patterns("state"))
    settings = settings_for(folder, tmp_path / "state")
    make_builder(settings, load_app(folder), StateFolder(settings.state)).refresh("start")
    return settings


def refresh_of(settings, mode="ask"):
    return make_builder(settings, load_app(settings.app), StateFolder(settings.state)).refresh(mode)


def order_more(settings):
    """Add an order to the raw tables, and build the features."""
    orders = settings.data / "orders.csv"
    header, first, *_ = orders.read_text().splitlines()
    row = dict(zip(header.split(","), first.split(","), strict=True)) | {"order_id": "O7777777"}
    with orders.open("a") as file:
        file.write(",".join(row.values()) + "\n")
    command("feature", *folders(settings.app))
    return tuple(row[name] for name in ("order_id", "customer_id", "sku_code", "zip_code"))


def test_a_new_feature_table_is_published_with_its_store(triage):
    state = StateFolder(triage.state)
    key = order_more(triage)
    report = refresh_of(triage)
    assert (report.changed, report.store, report.model, report.tables) == (True, True, False, {})
    assert (state.number, state.current().why) == (2, "changed: store")
    for number, found in ((1, False), (2, True)):
        store = EmbeddedStore(state.folder_of(number) / "store.lmdb")
        assert (store.get(key) is not None) is found
        store.close()


def test_without_a_new_feature_table_there_is_nothing_to_publish(triage):
    command("feature", *folders(triage.app))
    assert not refresh_of(triage).changed
    assert StateFolder(triage.state).number == 1


def test_a_new_feature_table_and_a_new_model_are_one_generation(triage):
    order_more(triage)
    command("train", *folders(triage.app))
    report = refresh_of(triage)
    assert (report.store, report.model) == (True, True)
    assert StateFolder(triage.state).current().why == "changed: model, store"


@pytest.mark.parametrize("name", ["store", "feature.parquet"])
def test_a_new_feature_table_that_is_torn_is_refused(triage, name):
    order_more(triage)
    path = triage.results / (read_stamp(triage.results).store if name == "store" else name)
    path.write_bytes(path.read_bytes()[:-1] + b"\7")
    with pytest.raises(StampError, match="was changed or torn") as caught:
        refresh_of(triage)
    assert str(caught.value).startswith(f"{path}: ")
    assert StateFolder(triage.state).number == 1


def test_a_store_that_is_torn_is_not_published_with_a_new_model_either(triage):
    store = triage.results / read_stamp(triage.results).store
    torn = store.read_bytes()[:-1] + b"\7"
    store.unlink()
    store.write_bytes(torn)
    manifest = triage.model / "manifest.json"
    manifest.write_text(manifest.read_text() + "\n")  # the same model, by another manifest
    with pytest.raises(StampError, match="was changed or torn"):
        refresh_of(triage)
    assert StateFolder(triage.state).number == 1


# What is not good


def cut(text):
    return text[: text.rindex(b",450")]


BAD_CARDS = [
    pytest.param(cut, ["line 6", "expected 6 fields, got 3"], id="truncated-in-a-line"),
    pytest.param(lambda text: text[: text.index(b"silver")], ["line 3", "quot"], id="truncated-in-a-quoted-field"),
    pytest.param(lambda text: text.rstrip(b"\n"), ["its last line has no line end"], id="truncated-before-a-line-end"),
    pytest.param(lambda text: text[: text.rindex(b",")], ["line 6", "expected 6 fields, got 5"], id="without-a-field"),
    pytest.param(lambda text: text.replace(b"fee", b"cost", 1), ["has no column 'fee'"], id="column-renamed"),
    pytest.param(
        lambda text: as_csv([row[:3] + row[4:] for row in CARDS]), ["has no column 'fee'"], id="column-missing"
    ),
    pytest.param(lambda text: text + b"alder,West,Alder again,0,300,false\n", ["line 7", "line 2"], id="duplicate-key"),
    pytest.param(lambda text: b"", ["empty"], id="empty"),
    pytest.param(lambda text: text[: text.index(b"\n") + 1], ["has 0 rows", "from 2 to 20"], id="header-alone"),
    pytest.param(lambda text: as_csv(CARDS[:2]), ["has 1 rows", "from 2 to 20"], id="too-few-rows"),
    pytest.param(
        lambda text: as_csv([*CARDS, *([f"c{n}", "North", "x", "1", "300", "false"] for n in range(195))]),
        ["has 200 rows", "from 2 to 20"],
        id="ten-times-more-rows",
    ),
    pytest.param(
        lambda text: text.replace(b"Alder", b"A" * (1 << 20)), ["expected at most 1,048,576 bytes"], id="too-many-bytes"
    ),
    pytest.param(lambda text: text.replace(b"Elm", b"\xc9lm"), ["line 6", "UTF-8"], id="latin-1"),
    pytest.param(lambda text: text.decode().encode("utf-16"), ["cards.csv"], id="utf-16"),
    pytest.param(lambda text: text.replace(b"Elm", b"E\0m"), ["line 6"], id="zero-byte"),
    pytest.param(lambda text: text.replace(b"620", b"900"), ["line 4", "'min_score'", "'900'"], id="out-of-range"),
    pytest.param(lambda text: text.replace(b"25.5", b"-1"), ["line 4", "'fee'", "at least 0"], id="below-range"),
    pytest.param(lambda text: text.replace(b"25.5", b"free"), ["line 4", "'fee'", "'free'"], id="no-number"),
    pytest.param(lambda text: text.replace(b"450", b"inf"), ["line 6", "'fee'"], id="infinite"),
    pytest.param(lambda text: text.replace(b"elm", b""), ["line 6", "'card_id'"], id="empty-key"),
    pytest.param(lambda text: b"PK\3\4" + bytes(range(256)) * 9, ["cards.csv"], id="no-text"),
    pytest.param(lambda text: b"<html>Access denied</html>\n", ["has no column"], id="html"),
]


@pytest.mark.parametrize(("spoil", "says"), BAD_CARDS)
def test_a_bad_file_is_refused_by_name_and_the_old_one_goes_on(published, spoil, says):
    before = published.seen()
    good = change(published.data / "cards.csv", spoil)
    put(published.data / "issuers.csv", as_csv([*ISSUERS, ["East", "5"]]))
    with pytest.raises(ScorelineError) as caught:
        published.refresh()
    assert "cards" in str(caught.value)
    for part in says:
        assert part in str(caught.value)
    assert len(str(caught.value)) < 700
    assert published.seen() == before
    put(published.data / "cards.csv", good)
    assert published.refresh().changed
    assert published.current.why == "changed: issuers"


def test_a_bad_file_is_refused_at_the_first_publish_too(place):
    change(place.data / "cards.csv", cut)
    for mode in ("start", "ask", "poll"):
        with pytest.raises(ScorelineError, match="line 6"):
            place.refresh(mode)
    assert place.state.number == 0


def test_every_bad_file_is_named(published):
    before = published.seen()
    change(published.data / "cards.csv", cut)
    change(published.data / "issuers.csv", lambda text: text.replace(b"20000", b"-5"))
    with pytest.raises(GenerationError) as caught:
        published.refresh()
    assert "reference table 'cards', cards.csv" in str(caught.value)
    assert "reference table 'issuers', issuers.csv" in str(caught.value)
    assert published.seen() == before


def test_a_bad_table_and_one_that_is_gone_are_both_named(published):
    change(published.data / "cards.csv", cut)
    (published.data / "issuers.csv").unlink()
    with pytest.raises(ScorelineError) as caught:
        published.refresh()
    assert "cards.csv: 1 of 5 rows are bad" in str(caught.value)
    assert "no such file; expected issuers.csv or issuers.parquet" in str(caught.value)


def test_a_source_that_is_away_is_told_from_a_bad_file(published, tmp_path):
    with pytest.raises(SourceAwayError, match="no such folder"):
        published.refresh(data_url=str(tmp_path / "nowhere"))
    assert published.state.number == 1


@pytest.mark.parametrize("name", ["golden.json", "heads/odds.trees", "manifest.json"])
def test_a_model_that_is_torn_is_refused(published, name):
    train_anew(published)
    path = published.folder / "model" / name
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(ArtifactError) as caught:
        published.refresh()
    assert str(path) in str(caught.value)
    assert published.state.number == 1


def test_the_model_of_another_app_py_is_refused(published):
    text = (published.folder / "app.py").read_text()
    (published.folder / "app.py").write_text(text.replace("digits=4", "digits=2"))
    with pytest.raises(ArtifactError, match="Run `scoreline train` again"):
        published.refresh()
    assert published.state.number == 1


def test_what_went_wrong_with_a_table_is_kept_until_it_is_right_again(published):
    good = change(published.data / "cards.csv", cut)
    for _ in range(2):
        with pytest.raises(ScorelineError, match="line 6"):
            published.refresh()
    assert "line 6" in published.state.source("cards")["error"]
    assert published.state.source("issuers")["error"] is None
    put(published.data / "cards.csv", good)
    published.refresh()
    assert published.state.source("cards")["error"] is None


# Golden requests


CARD_THAT = b"fir,North,Fir,777,300,false\n"
NO_SUCH_FEE = "if (matrix[:, self.inputs.position('fee')] == 777).any(): raise ValueError('no such fee')"


@pytest.mark.parametrize(
    ("does", "says"),
    [
        pytest.param("outputs['odds'][bad] = float('nan')", "got None", id="nan"),
        pytest.param("outputs['odds'][bad] = 1.5", "got 1.5", id="above-1"),
        pytest.param("outputs['odds'][bad] = -0.5", "got -0.5", id="below-0"),
        pytest.param("outputs['odds'][bad] = float('inf')", "got inf", id="infinite"),
        pytest.param("if bad.any(): raise ValueError('no such fee')", "no such fee", id="raises"),
    ],
)
def test_a_table_that_makes_the_model_absurd_is_refused(place, does, says):
    (place.folder / "predictor.py").write_text(
        "from scoreline.predictor import Predictor as Base\n"
        "class Predictor(Base):\n"
        "    def predict(self, matrix):\n"
        "        outputs = super().predict(matrix)\n"
        "        bad = matrix[:, self.inputs.position('fee')] == 777\n"
        f"        {does}\n"
        "        return outputs\n"
    )
    place.refresh("start")
    before = place.seen()
    change(place.data / "cards.csv", lambda text: text + CARD_THAT)
    with pytest.raises(GenerationError) as caught:
        place.refresh()
    assert "golden request" in str(caught.value)
    assert says in str(caught.value)
    assert place.seen() == before


def test_a_card_that_no_golden_request_is_offered_is_scored_before_it_is_published_too(place):
    """Golden requests know no state but the first, the last and one between; a card may be for another."""
    text = (place.folder / "app.py").read_text().replace("(student == 1) | (for_students != 1)", "score == 301")
    (place.folder / "app.py").write_text(text.replace("def is_open(student, for_students)", "def is_open(score)"))
    own_predictor(place.folder, NO_SUCH_FEE)
    command("feature", *folders(place.folder))
    command("train", *folders(place.folder))
    place.refresh("start")
    change(place.data / "cards.csv", lambda text: text + CARD_THAT)
    with pytest.raises(GenerationError, match="no such fee"):
        place.refresh()


# Trying without publishing


def test_a_dry_run_says_what_would_be_published_and_leaves_nothing_behind(published):
    before = published.seen()
    put(published.data / "cards.csv", as_csv(CARDS[:-1]))
    report = published.refresh(dry_run=True)
    assert (report.generation, report.changed, report.dry_run) == (published.current.name, True, True)
    assert {name: (table["rows"], table["changed"]) for name, table in report.tables.items()} == {
        "cards": (4, True),
        "issuers": (3, False),
    }
    assert published.seen() == before
    assert published.refresh().changed
    assert published.current.why == "changed: cards"


def test_a_dry_run_refuses_what_a_refresh_would_refuse(published):
    change(published.data / "cards.csv", cut)
    with pytest.raises(ScorelineError, match="line 6"):
        published.refresh(dry_run=True)


def test_a_dry_run_before_the_first_publish_publishes_nothing(place):
    assert place.refresh(dry_run=True).changed
    assert (place.state.number, place.state.generations()) == (0, [])


def test_a_dry_run_without_a_change_says_so(published):
    report = published.refresh(dry_run=True)
    assert (report.changed, report.generation) == (False, published.current.name)


# Age


def test_a_table_is_as_old_as_its_source_was_last_seen_the_same(published):
    first = published.state.source("cards")["seen_at"]
    published.refresh()
    second = published.state.source("cards")["seen_at"]
    assert second > first
    change(published.data / "cards.csv", cut)
    with pytest.raises(ScorelineError):
        published.refresh()
    assert published.state.source("cards")["seen_at"] == second


def test_a_good_table_that_another_holds_back_grows_older_too(published):
    """What is answered from is the old one, whatever lies at the source."""
    before = published.state.source("cards")
    put(published.data / "cards.csv", as_csv(CARDS[:-1]))
    change(published.data / "issuers.csv", lambda text: text.replace(b"20000", b"-5"))
    with pytest.raises(ScorelineError):
        published.refresh()
    assert published.state.source("cards")["seen_at"] == before["seen_at"]


def test_a_table_that_golden_requests_hold_back_grows_older_and_says_why(place):
    own_predictor(place.folder, NO_SUCH_FEE)
    place.refresh("start")
    before = place.state.source("cards")
    change(place.data / "cards.csv", lambda text: text + CARD_THAT)
    with pytest.raises(GenerationError):
        place.refresh()
    after = place.state.source("cards")
    assert after["seen_at"] == before["seen_at"]
    assert "no such fee" in after["error"]
    assert place.state.source("issuers")["error"] is None


def test_a_dry_run_makes_no_table_younger(published):
    before = published.state.source("cards")
    put(published.data / "cards.csv", as_csv(CARDS[:-1]))
    published.refresh(dry_run=True)
    assert published.state.source("cards")["seen_at"] == before["seen_at"]


# Several builders


def test_of_two_builders_at_once_one_does_the_work(published):
    put(published.data / "cards.csv", as_csv(CARDS[:-1]))
    builders = [published.builder() for _ in range(4)]
    barrier = threading.Barrier(len(builders))

    def refresh(builder):
        barrier.wait()
        return builder.refresh()

    with ThreadPoolExecutor(len(builders)) as pool:
        reports = list(pool.map(refresh, builders))
    assert sorted(report.changed for report in reports) == [False, False, False, True]
    assert {report.generation for report in reports} == {published.current.name}
    assert published.state.number == 2


def test_builders_of_two_processes_publish_once(published):
    put(published.data / "cards.csv", as_csv(CARDS[:-1]))
    command = [sys.executable, "-m", "scoreline", "refresh", *folders(published.folder, state=published.state.path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=plain_environment()) for _ in range(2)]
    said = sorted(process.communicate()[0].splitlines()[0] for process in running)
    assert [process.returncode for process in running] == [0, 0]
    name = published.current.name
    assert said == [
        f"refresh: nothing changed, generation {name} goes on",
        f"refresh: published generation {name}: cards",
    ]
    assert published.state.number == 2


class Versioned(FolderSource):
    """A source whose ETags are versions of its own, as an object store may give them."""

    def fetch(self, names, into, *, known_etag, max_bytes):
        if known_etag == "version-1":
            return None
        return replace(super().fetch(names, into, known_etag=None, max_bytes=max_bytes), etag="version-1")


def test_an_etag_counts_at_the_source_that_gave_it_alone(published, made, tmp_path):
    def refresh(data):
        settings = settings_for(published.folder, published.state.path)
        made_by = partial(make_predictor, published.folder)
        app = load_app(published.folder)
        return Builder(app, published.state, settings.model, settings.results, Versioned(data), made_by).refresh()

    other: Path = copy_cards(made, tmp_path / "other") / "data"
    put(other / "cards.csv", as_csv(CARDS[:-1]))
    assert not refresh(published.data).changed
    assert refresh(other).changed
    assert not refresh(other).changed
    assert refresh(published.data).changed
    assert [table.rows for table in published.current.tables.values()] == [5, 3]
    assert published.state.number == 3


def test_the_model_of_another_app_py_is_named_by_its_own_folder(published):
    text = (published.folder / "app.py").read_text()
    (published.folder / "app.py").write_text(text.replace("Number(minimum=0)}", "Number(minimum=1)}"))
    put(published.data / "cards.csv", as_csv(CARDS[:-1]))
    with pytest.raises(ArtifactError) as caught:
        published.refresh()
    assert str(caught.value).startswith(f"{published.folder / 'model'}: inputs schema, column 'minimum_income'")
