"""Answers while the networked store is away: 503 for lookups, the inputs of heads as ever; one round trip before."""

from __future__ import annotations

import contextlib
import json
import shutil

import pytest
from servers import JSON, keys_of, made_app, open_service, settings_for, wait_until

from scoreline.app.load import load_app
from scoreline.generations.ingest import Ingest
from scoreline.generations.online import open_events, open_online
from scoreline.serving.answer import answer
from scoreline.store.link import Link

pytestmark = pytest.mark.needs("redis")
INPUTS = {"order_hour_of_day": 13, "inventory": 5, "payment_status": "OK", "zip_code_available": True, "quantity": 1,
          "payment_method": "CREDIT_CARD"}  # fmt: skip


@pytest.fixture
def app(tmp_path_factory):
    return made_app(tmp_path_factory)


@pytest.fixture
def settings(app, tmp_path, redis):
    results = shutil.copytree(app / "results", tmp_path / "results")  # other tests have the file of the other open
    made = settings_for(app, tmp_path / "state", results=results, store=redis.urls["tcp"], store_timeout_ms=200)
    open_online(made, load_app(app)).publish(results, print)
    return made


@pytest.fixture
def service(settings):
    return open_service(settings)


@pytest.fixture
def new(app):
    """Give an order that is in no table."""
    return {**keys_of(app)[0], "order_id": "NEW", "timestamp": "2030-01-05", "quantity": 1, "payment_status": "OK"}


def asked(service, record, query="", headers=JSON):
    given = answer(service, "POST", "/invocations", headers, json.dumps(record).encode(), query)
    return given.status, json.loads(given.body), given.headers


@pytest.fixture
def away(redis, service):
    """Give the service with its store killed; it is started again at the end."""
    redis.kill()
    yield service
    redis.start()


def test_a_lookup_is_503_with_a_body_that_says_so_and_when_to_ask_again(away, app):
    status, body, headers = asked(away, keys_of(app)[0])
    assert (status, body["type"], body["status"]) == (503, "urn:scoreline:problem:store-away", 503)
    assert body["detail"].startswith("nothing can be looked up in the online store: it does not answer")
    assert (headers["Retry-After"], headers["X-Scoreline-Generation"][:2]) == ("1", "1-")
    assert "127.0.0.1" not in json.dumps(body)


def test_a_new_order_is_503_too_and_never_made_from_nothing(away, new):
    for query in ("", "features_from=live", "explain=true"):
        assert asked(away, new, query)[0] == 503


def test_in_a_list_the_inputs_of_the_heads_are_answered_and_bad_records_stay_bad(away, app):
    status, body, _ = asked(away, [keys_of(app)[0], INPUTS, {"order_id": 7}])
    assert status == 200
    assert [entry.get("status") for entry in body] == [503, None, 400]
    assert [entry.get("index") for entry in body] == [0, None, 2]
    assert body[1]["recommendation"] == "Deliver"
    status, body, _ = asked(away, keys_of(app)[:3])
    assert (status, [problem["index"] for problem in body["problems"]]) == (503, [0, 1, 2])


def test_once_it_is_back_lookups_are_answered(service, redis, app, new):
    assert asked(service, keys_of(app)[0])[0] == 200
    redis.kill()
    try:
        assert [asked(service, keys_of(app)[0])[0] for _ in range(5)] == [503] * 5
    finally:
        redis.start()
    wait_until(lambda: asked(service, keys_of(app)[0])[0] == 200)
    assert [asked(service, record)[0] for record in (*keys_of(app)[:20], new)] == [200] * 21


def test_a_store_that_was_emptied_is_503_and_no_key_is_said_to_be_missing(service, redis, app):
    redis.empty()
    for record in (keys_of(app)[0], {**keys_of(app)[0], "order_id": "never there"}):
        status, body, _ = asked(service, record)
        assert (status, body["type"]) == (503, "urn:scoreline:problem:store-away")
        assert "it has lost rows of the features that are served" in body["detail"]


@pytest.fixture
def counted(service, monkeypatch):
    """Give the service and a list that gets the commands of each round trip."""
    trips, real = [], Link._send

    def send(self, commands):
        trips.append(commands)
        return real(self, commands)

    monkeypatch.setattr(Link, "_send", send)
    return service, trips


@pytest.mark.parametrize("query", ["", "features_from=live"])
def test_whatever_a_request_looks_up_is_one_round_trip(counted, app, new, query):
    service, trips = counted
    records = [new, keys_of(app)[0], {**new, "order_id": "OTHER"}, [*keys_of(app)[:50], new, INPUTS], keys_of(app)]
    for record in records:
        trips.clear()
        assert asked(service, record, query)[0] == 200
        assert len(trips) <= 1, record


def test_a_new_order_without_a_time_is_one_round_trip_too(counted, new):
    service, trips = counted
    assert asked(service, {name: value for name, value in new.items() if name != "timestamp"})[0] == 200
    assert len(trips) == 1


def test_what_is_ingested_every_service_of_the_store_sees_at_once(settings, service, tmp_path, new):
    app = service.app
    other = open_service(settings_for(settings.app, tmp_path / "other", store=settings.store))
    online = open_online(settings, app)
    into = Ingest(app, settings.state, open_events(settings, online))
    for number in (3, 0, 7):
        row = {"sku_code": new["sku_code"], "timestamp": f"2030-01-0{1 + number % 4}", "inventory": number}
        report = into.append_body("inventory", json.dumps(row).encode(), "json-lines")
        assert (report.rows, report.known) == (1, 0)
    again = into.append_body("inventory", json.dumps(row).encode(), "json-lines")
    assert (again.rows, again.known) == (1, 1)
    for one in (service, other):
        told = asked(one, new, "explain=true")[1]["explanation"]["features"]["inventory"]
        assert (told["value"], told["row"]["batch"]) == (7, again.batch)
    assert not (tmp_path / "state/events.lmdb").exists()


def test_what_is_read_from_a_server_that_hangs_is_503_within_the_time_out(service, redis, app):
    assert asked(service, keys_of(app)[0])[0] == 200
    redis.stop_answering()
    try:
        assert [asked(service, keys_of(app)[0])[0] for _ in range(4)] == [503] * 4
    finally:
        redis.go_on()
    wait_until(lambda: asked(service, keys_of(app)[0])[0] == 200)


def test_without_the_store_the_ages_of_tables_are_those_of_the_generation(away):
    with contextlib.suppress(KeyError):
        assert away._newest_age_s("inventory") > 0
