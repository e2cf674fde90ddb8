"""A new generation is answered from at the next request, shares what did not change, and may fail to load."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import subprocess
import sys
import threading

import pytest
from cards import CARDS, PERSON, as_csv, change, copy_cards, made_cards, put
from servers import KEY, copy_app, folders, made_app, plain_environment, settings_for

from scoreline.app.load import load_app
from scoreline.cli.main import run
from scoreline.errors import GenerationError
from scoreline.generations.state import StateFolder
from scoreline.predictor import Options, Sent
from scoreline.serving import service as module
from scoreline.serving.answer import answer
from scoreline.serving.service import load_service
from scoreline.serving.start import make_builder, open_generation

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def place(tmp_path_factory, tmp_path):
    """Give the settings of the app of cards, in folders of its own, with a first generation."""
    folder = copy_cards(made_cards(tmp_path_factory), tmp_path / "app")
    settings = settings_for(folder, tmp_path / "state")
    open_generation(settings, print)
    return settings


def refresh(settings):
    return make_builder(settings, load_app(settings.app), StateFolder(settings.state)).refresh()


def rename_card(settings, name):
    put(settings.data / "cards.csv", as_csv([CARDS[0], ["alder", "North", name, *CARDS[1][3:]], *CARDS[2:]]))
    return refresh(settings).generation


def train_anew(settings):
    change(settings.data / "history.csv", lambda text: text.replace(b",true\n", b",false\n", 60))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for command in ("feature", "train"):
            assert run([command, *folders(settings.app)]) == 0
    return refresh(settings).generation


def asked(service, method="POST", path="/invocations"):
    """Return the status of an answer, the generation that it names, and the name of the first card."""
    given = answer(service, method, path, JSON, json.dumps(PERSON).encode() if method == "POST" else b"")
    cards = json.loads(given.body).get("cards") if given.status == 200 and given.body else None
    first = next((card["name"] for card in cards or () if card["card_id"] == "alder"), None)
    return given.status, given.headers["X-Scoreline-Generation"], first


def break_published(settings):
    """Damage the published generation's table."""
    state = StateFolder(settings.state)
    (state.folder_of(state.number) / "tables/cards.msgpack").write_bytes(b"\x81")


# Adopting


def test_the_next_request_is_answered_from_what_was_published(place):
    service = load_service(place)
    assert asked(service) == (200, service.last_known, "Alder")
    for name in ("One", "Two", "Three"):
        generation = rename_card(place, name)
        assert asked(service) == (200, generation, name)


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/ping", 200), ("GET", "/nowhere", 404), ("GET", "/invocations", 405)]
)
def test_every_answer_adopts_and_names_what_is_published(place, method, path, status):
    service = load_service(place)
    generation = rename_card(place, "New")
    assert asked(service, method, path)[:2] == (status, generation)
    assert service.last_known == generation


def test_several_publishes_in_between_are_one_step(place):
    service = load_service(place)
    for name in ("One", "Two", "Three", "Four", "Five", "Six"):
        generation = rename_card(place, name)
    assert generation.startswith("7-")
    assert asked(service) == (200, generation, "Six")


def test_a_rollback_is_adopted_like_any_other(place):
    service = load_service(place)
    rename_card(place, "Bad")
    assert asked(service)[2] == "Bad"
    back = make_builder(place, load_app(place.app), StateFolder(place.state)).rollback()
    assert asked(service) == (200, back.name, "Alder")


def test_without_a_new_generation_nothing_is_loaded(place, monkeypatch):
    service = load_service(place)
    before = service.current()
    monkeypatch.setattr(module, "load_parts", None)
    assert refresh(place).changed is False
    assert service.current() is before


def test_a_request_in_flight_is_answered_from_where_it_began(place):
    """Its parts are one value, which a publish does not change."""
    service = load_service(place)
    began = service.current()
    rename_card(place, "New")
    assert asked(service)[2] == "New"
    reply = began.scorer.score([Sent(tuple(PERSON.values()))], Options())[0]
    assert [card["name"] for card in reply["cards"] if card["card_id"] == "alder"] == ["Alder"]


# Sharing


def test_when_a_table_changed_all_else_is_shared(place):
    service = load_service(place)
    before = service.current()
    rename_card(place, "New")
    after = service.current()
    assert after is not before
    assert after.predictor is before.predictor
    assert after.artifact is before.artifact
    assert after.tables["issuers"] is before.tables["issuers"]
    assert after.tables["cards"] is not before.tables["cards"]


def test_when_the_model_changed_the_tables_are_shared(place):
    service = load_service(place)
    before = service.current()
    odds = answer(service, "POST", "/invocations", JSON, json.dumps(PERSON).encode()).body
    train_anew(place)
    after = service.current()
    assert after.predictor is not before.predictor
    assert dict(after.tables) == dict(before.tables)
    assert all(after.tables[name] is table for name, table in before.tables.items())
    assert answer(service, "POST", "/invocations", JSON, json.dumps(PERSON).encode()).body != odds


@pytest.fixture
def triage(tmp_path_factory, tmp_path):
    """Give the settings of order triage, with a first generation."""
    folder = copy_app(tmp_path / "triage")
    made = made_app(tmp_path_factory)
    for name in ("data", "model", "results"):
        shutil.copytree(made / name, folder / name)
    settings = settings_for(folder, tmp_path / "state")
    open_generation(settings, print)
    return settings


def by_command(name, settings):
    """Run a command in a process of its own, as a person would beside a server."""
    state = {"state": settings.state} if name == "refresh" else {}
    command = [sys.executable, "-m", "scoreline", name, *folders(settings.app, **state)]
    subprocess.run(command, check=True, capture_output=True, env=plain_environment())


def another_model(settings):
    """Let the model folder hold the same model by another manifest, which is another artifact."""
    manifest = settings.model / "manifest.json"
    manifest.write_text(manifest.read_text() + "\n")


def key_of_first(settings):
    header, first = (settings.data / "orders.csv").read_text().splitlines()[:2]
    row = dict(zip(header.split(","), first.split(","), strict=True))
    return json.dumps({name: row[name] for name in KEY}).encode()


def test_an_open_store_is_shared_while_it_is_the_same(triage):
    service, key = load_service(triage), key_of_first(triage)
    expected = answer(service, "POST", "/invocations", JSON, key).body
    before = service.current()
    another_model(triage)
    by_command("refresh", triage)
    given = answer(service, "POST", "/invocations", JSON, key)
    assert (given.status, given.body) == (200, expected)
    assert given.headers["X-Scoreline-Generation"].startswith("2-")
    assert service.current().store is before.store
    assert service.current().predictor is not before.predictor


def test_a_new_store_is_opened_and_an_older_one_again_after_a_rollback(triage):
    service, key = load_service(triage), key_of_first(triage)
    assert answer(service, "POST", "/invocations", JSON, key).status == 200
    orders = triage.data / "orders.csv"
    orders.write_text(orders.read_text().replace(json.loads(key)["order_id"], "O7777777"))
    by_command("feature", triage)
    by_command("refresh", triage)
    assert answer(service, "POST", "/invocations", JSON, key).status == 404
    with contextlib.redirect_stdout(io.StringIO()):
        assert run(["rollback", *folders(triage.app, state=triage.state)]) == 0
    given = answer(service, "POST", "/invocations", JSON, key)
    assert given.status == 200
    assert given.headers["X-Scoreline-Generation"].startswith("3-")


FORKED = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from servers import settings_for
from scoreline.serving.answer import answer
from scoreline.serving.service import load_service

service = load_service(settings_for(Path(sys.argv[2]), Path(sys.argv[3])))  # as gunicorn's master does
child = os.fork()
if child:
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print("forked", flush=True)
sys.stdin.readline()
given = answer(service, "POST", "/invocations", {"Content-Type": "application/json"}, sys.argv[4].encode())
print(given.status, given.headers["X-Scoreline-Generation"], flush=True)
"""


def test_a_worker_that_never_answered_before_adopts_a_generation_with_the_same_store(triage, request):
    """Its store came open through the fork, and LMDB opens no file twice, by whatever name."""
    tests = str(request.config.rootpath / "tests")
    arguments = [tests, str(triage.app), str(triage.state), key_of_first(triage).decode()]
    worker = subprocess.Popen(
        [sys.executable, "-c", FORKED, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=plain_environment(),
    )
    assert worker.stdout.readline() == "forked\n"
    another_model(triage)
    by_command("refresh", triage)
    said, _ = worker.communicate("\n")
    assert said.startswith("200 2-"), said
    assert worker.returncode == 0


# Failing


def test_what_cannot_be_adopted_is_503_and_the_worker_is_replaced(place, caplog):
    service, replaced = load_service(place), []
    service.replace_worker = lambda: replaced.append(1)
    former = service.last_known
    rename_card(place, "New")
    break_published(place)
    given = answer(service, "POST", "/invocations", JSON, json.dumps(PERSON).encode())
    assert (given.status, json.loads(given.body)["type"]) == (503, "urn:scoreline:problem:not-ready")
    assert given.headers["X-Scoreline-Generation"] == former
    assert replaced == [1]
    assert "cards.msgpack: can't be read as reference table 'cards'" in caplog.text
    assert "cards.msgpack" not in given.body.decode()


def test_without_anybody_to_replace_it_a_worker_tries_again_and_gets_well(place):
    service = load_service(place)
    rename_card(place, "New")
    break_published(place)
    for _ in range(2):
        assert asked(service)[0] == 503
        assert asked(service, "GET", "/ping")[0] == 503
    generation = rename_card(place, "Newer")
    assert asked(service) == (200, generation, "Newer")


def test_a_new_worker_is_refused_a_generation_that_is_damaged(place):
    break_published(place)
    with pytest.raises(GenerationError, match=r"cards\.msgpack: can't be read"):
        load_service(place)


def test_with_nothing_published_a_worker_says_what_to_run(tmp_path_factory, tmp_path):
    settings = settings_for(made_cards(tmp_path_factory), tmp_path / "state")
    with pytest.raises(GenerationError) as caught:
        load_service(settings)
    assert str(caught.value) == f"{tmp_path / 'state'}: nothing is published here. Run `scoreline refresh`."


def test_a_generation_that_is_pruned_while_it_is_loaded_is_passed_over(place, monkeypatch):
    """Between reading the number and the files, others are published and this one is removed."""
    service, real, tries = load_service(place), module.load_parts, []

    def load(app, folder, *others):
        tries.append(folder.name)
        if len(tries) == 1:
            generation = rename_card(place, "Newest")
            shutil.rmtree(folder)
            assert generation != folder.name
        return real(app, folder, *others)

    rename_card(place, "New")
    monkeypatch.setattr(module, "load_parts", load)
    status, generation, name = asked(service)
    assert (status, name) == (200, "Newest")
    assert [number.split("-")[0] for number in tries] == ["2", "3"]
    assert generation == tries[-1]


def test_a_generation_that_is_gone_for_good_is_an_error(place, monkeypatch):
    service, tries = load_service(place), []
    state = StateFolder(place.state)
    rename_card(place, "New")
    shutil.rmtree(state.folder_of(2))
    monkeypatch.setattr(module, "load_parts", lambda *_: tries.append(1))
    assert asked(service)[0] == 503
    assert tries == []


def test_an_adoption_that_takes_too_long_ends_the_worker(place, monkeypatch):
    service, ended = load_service(place), threading.Event()
    service.replace_worker = lambda: None
    monkeypatch.setattr(module, "ADOPT_S", 0.01)
    monkeypatch.setattr(module.os, "_exit", lambda code: ended.set())
    real = module.load_parts
    monkeypatch.setattr(module, "load_parts", lambda *arguments: (ended.wait(20), real(*arguments))[1])
    rename_card(place, "New")
    assert asked(service)[2] == "New"
    assert ended.is_set()


def test_an_adoption_in_time_does_not(place, monkeypatch):
    service, ended = load_service(place), []
    service.replace_worker = lambda: None
    timers = []
    real = threading.Timer

    def timer(*arguments):
        timers.append(real(*arguments))
        return timers[-1]

    monkeypatch.setattr(module.threading, "Timer", timer)
    monkeypatch.setattr(module.os, "_exit", ended.append)
    rename_card(place, "New")
    assert asked(service)[2] == "New"
    assert [made.finished.wait(0) for made in timers] == [True]
    assert ended == []


def test_many_threads_adopt_once(place, monkeypatch):
    service, loads, real = load_service(place), [], module.load_parts
    monkeypatch.setattr(module, "load_parts", lambda *arguments: (loads.append(1), real(*arguments))[1])
    generation = rename_card(place, "New")
    barrier, found = threading.Barrier(8), []

    def ask():
        barrier.wait()
        found.append(asked(service))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(200, generation, "New")] * 8
    assert loads == [1]
