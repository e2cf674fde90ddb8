"""Generations of a networked store: taken on when they become current, never an older one, none that is gone."""

from __future__ import annotations

import contextlib
import json
import shutil

import pytest
from servers import JSON, copy_app, folders, keys_of, made_app, open_service, run, settings_for

from scoreline.app.load import load_app
from scoreline.cli.report import status_lines
from scoreline.errors import GenerationError, StampError, StoreAwayError, StoreError, StoreLostError
from scoreline.features.stamp import read_stamp
from scoreline.generations.ingest import Ingest
from scoreline.generations.manifest import NETWORKED_FILE, STORE_FILE
from scoreline.generations.online import open_online
from scoreline.generations.state import StateFolder
from scoreline.generations.status import describe_state
from scoreline.serving.answer import answer
from scoreline.serving.service import load_service
from scoreline.serving.start import make_builder, open_generation, source_of

pytestmark = pytest.mark.needs("redis")


class Place:
    """Order triage with features in a server, and any number of state folders, as of so many hosts."""

    def __init__(self, app, folder, server):
        self.app, self.folder, self.server = app, folder, server
        self.results = folder / "results"
        shutil.copytree(app / "results", self.results)
        self.triage = load_app(app)
        self.keys = keys_of(app)

    def settings(self, host="a", **others):
        return settings_for(self.app, self.folder / host, results=self.results, **{"store": self.url, **others})

    @property
    def url(self):
        return self.server.urls["tcp"]

    def publish(self, *options, environment=None, monkeypatch=None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SCORELINE_STORE", self.url)
            state = str(self.folder / "a")
            return run(["feature", *folders(self.app, results=self.results), "--state", state, "--publish", *options])

    def builder(self, host="a", **others):
        settings = self.settings(host, **others)
        return make_builder(settings, self.triage, StateFolder(settings.state))

    def current(self, host="a"):
        return StateFolder(self.folder / host).current()

    def change(self, rows=1):
        """Change the features, as a new day does."""
        path = self.folder / "data/orders.csv"
        if not path.parent.exists():
            shutil.copytree(self.app / "data", path.parent)
        lines = path.read_text().splitlines()
        path.write_text("\n".join(lines[:-rows]) + "\n")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SCORELINE_STORE", self.url)
            arguments = folders(self.app, results=self.results, data=path.parent)
            assert run(["feature", *arguments, "--state", str(self.folder / "a"), "--publish"]) == 0


@pytest.fixture
def place(tmp_path_factory, tmp_path, redis):
    """Give order triage with its features published."""
    made = Place(made_app(tmp_path_factory), tmp_path, redis)
    online = open_online(made.settings(), made.triage)
    online.publish(made.results, print)
    return made


def asked(service, record, **headers):
    given = answer(service, "POST", "/invocations", JSON, json.dumps(record).encode())
    return given.status, json.loads(given.body), given.headers


def test_two_hosts_answer_from_the_same_generation_and_a_file_of_the_same_rows_has_its_digest_too(place):
    replies = []
    for host, store in (("a", place.url), ("b", place.server.urls["unix"]), ("c", None)):
        service = open_service(place.settings(host, store=store))
        status, reply, headers = asked(service, place.keys)
        replies.append((status, reply, headers["X-Scoreline-Generation"].partition("-")[2]))
    assert replies[0][0] == 200
    assert replies[0] == replies[1] == replies[2]
    assert len(replies[0][1]) == 300


def test_no_results_folder_is_needed_where_it_serves(place):
    shutil.rmtree(place.results)
    status, _, _ = asked(open_service(place.settings()), place.keys[0])
    assert status == 200


def test_what_becomes_current_is_taken_on_and_what_is_not_is_one_question(place):
    place.builder().refresh("start")
    first = place.current()
    place.builder().follow_store()
    assert place.current() == first
    place.change()
    builder = place.builder()
    builder.follow_store()
    assert (place.current().number, place.current().why) == (2, "changed: store")
    assert place.current().store != first.store
    service = load_service(place.settings())
    assert asked(service, place.keys[-1])[0] == 404
    assert asked(service, place.keys[0])[0] == 200


def test_a_worker_that_has_not_adopted_yet_answers_from_the_rows_that_it_names(place):
    service = open_service(place.settings())
    place.change()
    status, _, headers = asked(service, place.keys[-1])
    assert (status, headers["X-Scoreline-Generation"][:2]) == (200, "1-")
    place.builder().follow_store()
    status, _, headers = asked(service, place.keys[-1])
    assert (status, headers["X-Scoreline-Generation"][:2]) == (404, "2-")


def test_a_server_that_went_back_to_an_older_copy_is_not_followed(place):
    with contextlib.closing(place.server.client()) as client:
        older = client.get("scoreline:{order-triage}:current")
        place.builder().refresh("start")
        place.change()
        place.builder().follow_store()
        client.set("scoreline:{order-triage}:current", older)
    with pytest.raises(StoreError, match=r"went back to what was current at .*: the server lost its data"):
        place.builder().follow_store()
    assert place.current().number == 2


def test_at_start_without_the_store_the_last_generation_goes_on_and_without_one_it_is_refused(place):
    place.builder().refresh("start")
    place.server.kill()
    try:
        said = []
        report = open_generation(place.settings(), said.append)
        assert not report.changed
        assert "can't be reached" in said[0]
        assert "Lookups are answered 503 until it is back" in said[0]
        with pytest.raises(StoreAwayError, match="can't be reached"):
            open_generation(place.settings("new"), print)
        with pytest.raises(StoreAwayError):
            place.builder().refresh("ask")
        described = describe_state(
            StateFolder(place.folder / "a"), place.triage, source_of(place.settings()),
            open_online(place.settings(), place.triage),
        )  # fmt: skip
        assert any("can't be reached" in line for line in status_lines({**described, "servers": []}))
    finally:
        place.server.start()


def test_a_store_where_nothing_was_published_is_refused_with_what_to_run(place):
    place.server.empty()
    with pytest.raises(GenerationError, match=r"holds no features of this app. Run `scoreline feature --publish`"):
        place.builder().refresh("start")


def test_features_of_another_app_py_are_refused_and_the_old_ones_go_on(place, tmp_path):
    place.builder().refresh("start")
    other = copy_app(tmp_path / "other", ("hour_of_day(timestamp, TIME_ZONE)", "hour_of_day(timestamp, TIME_ZONE) + 0"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCORELINE_STORE", place.url)
        arguments = folders(other, data=place.app / "data", results=tmp_path / "elsewhere")
        assert run(["feature", *arguments, "--state", str(tmp_path / "s"), "--publish"]) == 0
    with pytest.raises(StampError, match=r"holds the features of another app\.py"):
        place.builder().follow_store()
    assert asked(load_service(place.settings()), place.keys[0])[0] == 200


def test_one_can_go_back_while_the_rows_are_there_and_not_once_they_are_gone(place):
    place.builder().refresh("start")
    place.change()
    place.builder().follow_store()
    back = place.builder().rollback()
    service = load_service(place.settings())
    assert asked(service, place.keys[-1])[0] == 200
    place.builder().follow_store()
    assert place.current() == back  # pinned
    place.builder().unpin()
    place.builder().follow_store()
    assert asked(service, place.keys[-1])[0] == 404
    with contextlib.closing(place.server.client()) as client:
        for key in client.scan_iter(f"scoreline:*:{back.store}:*"):
            client.delete(key)
    with pytest.raises(StoreLostError, match="does not hold"):
        place.builder().rollback()


def test_a_pinned_generation_is_held_on_however_long_it_is(place):
    place.builder().refresh("start")
    place.change()
    place.builder().follow_store()
    back = place.builder().rollback()
    with contextlib.closing(place.server.client()) as client:
        for key in client.scan_iter(f"scoreline:*:{back.store}:*"):
            client.expire(key, 60)
        place.builder().follow_store()
        assert min(client.ttl(key) for key in client.scan_iter(f"scoreline:*:{back.store}:*")) > 40_000


def test_from_a_file_to_a_networked_store_and_back_is_a_new_generation_of_the_same_content(place):
    state = StateFolder(place.folder / "a")
    digests = set()
    for number, store in enumerate([None, place.url, None], start=1):
        there, gone = (STORE_FILE, NETWORKED_FILE) if store is None else (NETWORKED_FILE, STORE_FILE)
        service = open_service(place.settings(store=store))
        assert (state.number, place.current().why) == (number, "the first" if number == 1 else "changed: store")
        assert (state.folder_of(number) / there).exists()
        assert not (state.folder_of(number) / gone).exists()
        assert asked(service, place.keys[0])[0] == 200
        digests.add(place.current().digest)
        service.current().store.close()
    assert len(digests) == 1


def test_a_file_that_a_rollback_holds_on_to_is_answered_from_also_where_a_store_is_set(place):
    open_service(place.settings(store=None)).current().store.close()
    place.builder(store=None).rollback(1)
    service = open_service(place.settings())
    new = {**place.keys[0], "order_id": "NEW", "timestamp": "2030-01-05", "quantity": 1, "payment_status": "OK"}
    assert [asked(service, record)[0] for record in (place.keys[0], new, [new, place.keys[1]])] == [200] * 3
    service.current().store.close()


def test_status_counts_what_no_published_features_hold(place):
    place.builder().refresh("start")
    online = open_online(place.settings(), place.triage)
    row = json.dumps({"sku_code": "S", "timestamp": "2030-01-05", "inventory": 5}).encode()
    Ingest(place.triage, place.folder / "a", online.events).append_body("inventory", row, "json-lines")
    counted = []
    for _ in range(2):
        state = StateFolder(place.folder / "a")
        described = describe_state(state, place.triage, source_of(place.settings()), online)
        counted.append(described["events"]["ingested_since"])
        place.change()
    assert counted == [1, 0]


def test_publishing_needs_a_store(place, capsys, monkeypatch):
    assert run(["feature", *folders(place.app, results=place.results), "--publish"]) == 2
    assert "--publish: expected a networked store in SCORELINE_STORE" in capsys.readouterr().err


def test_feature_says_what_is_current_now_and_an_unreachable_store_leaves_results_and_says_so(place, capsys):
    assert place.publish() == 0
    out = capsys.readouterr().out.splitlines()[-1]
    assert out.startswith(f"  published in {place.url}: {read_stamp(place.results).digest[:12]}, current since 20")
    place.server.kill()
    try:
        assert place.publish() == 1
        assert "can't be reached" in capsys.readouterr().err
    finally:
        place.server.start()
