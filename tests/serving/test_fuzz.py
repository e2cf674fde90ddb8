"""Whatever bytes a client sends: an answer in time, never a 5xx, and every refusal as problem+json."""

from __future__ import annotations

import contextlib
import csv
import http.client
import io
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import hypothesis
import numpy as np
import pytest
import schemathesis
from cards import PERSON, made_cards
from flowers import COLUMNS, made_flowers
from mutations import mutated
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance
from servers import Server, ask, folders, keys_of, made_app

pytestmark = pytest.mark.slow
TYPES = ("application/json", "text/csv", "application/jsonlines", "application/x-npy")
ACCEPTS = (None, "*/*", "text/csv, application/json", "application/jsonlines", "application/x-npy", "text/html;q=0.1")
DAMAGED = 1_700  # bodies of each media type, for each app
THREADS = 4
PATIENCE_S = 20  # a hang is longer than that


def rows_of_triage(app):
    return [list(key.values()) for key in keys_of(app)[:5]], list(keys_of(app)[0])


def rows_of_flowers(app):
    with (app / "data/flowers.csv").open(newline="") as file:
        return [[int(row[0]), *map(float, row[1:])] for row in list(csv.reader(file))[1:6]], list(COLUMNS)


def rows_of_cards(app):
    return [list(PERSON.values())], list(PERSON)


APPS = {
    "triage": (made_app, rows_of_triage),
    "flowers": (made_flowers, rows_of_flowers),
    "cards": (made_cards, rows_of_cards),
}


@pytest.fixture(scope="module", params=list(APPS))
def served(request, tmp_path_factory):
    """Give a server of each app, with good rows and the names of their columns."""
    make, rows = APPS[request.param]
    app, folder = make(tmp_path_factory), tmp_path_factory.mktemp("fuzzed")
    server = Server(app, folder, "--state", str(folder / "state"), "--workers", "2", *folders(app))
    try:
        server.wait_until_ready()
        yield server, *rows(app)
        assert server.process.poll() is None
        assert "Traceback" not in server.printed
        assert "failed:" not in server.printed  # what `answer` logs of a mistake of ours
    finally:
        server.stop()


def good_bodies(media_type, rows, names):
    """Return bodies of a media type, each as another client would send it."""
    records = [dict(zip(names, row, strict=True)) for row in rows]
    if media_type == "text/csv":
        return [_csv(rows), _csv([names, *rows]), _csv(rows[:1])]
    if media_type == "application/jsonlines":
        return ["\n".join(map(json.dumps, records)).encode(), "\n".join(map(json.dumps, rows)).encode() + b"\n"]
    if media_type == "application/x-npy":
        numbers = [[value if isinstance(value, (int, float)) else 0.5 for value in row] for row in rows]
        return [_npy(np.array(numbers)), _npy(np.array(numbers, dtype=">f4")), _npy(np.array(numbers, dtype=object))]
    bodies = [records[0], records, rows, {"instances": rows}, {"inputs": records}, {"dataframe_records": records}]
    bodies += [
        {"dataframe_split": {"columns": names, "data": rows}},
        {"instances": [{"features": row} for row in rows]},
    ]
    return [json.dumps(body).encode() for body in bodies]


def _csv(rows):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _npy(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)  # one of them on purpose: it must never be loaded
    return file.getvalue()


class Sender:
    """Sends bodies over one connection, opened again where the server closes it, and holds each answer to the rules."""

    def __init__(self, port):
        self.port, self.statuses = port, Counter()
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)

    def send(self, media_type, number, body):
        accept = ACCEPTS[number % len(ACCEPTS)]
        headers = {"Content-Type": media_type, **({"Accept": accept} if accept else {})}
        try:
            self.connection.request("POST", "/invocations", body, headers)
            response = self.connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError):  # an idle connection that was closed meanwhile
            self.connection.close()
            self.connection.request("POST", "/invocations", body, headers)
            response = self.connection.getresponse()
        hold_to_rules(response.status, response.getheader("Content-Type"), response.read(), body)
        self.statuses[response.status] += 1


def hold_to_rules(status, content_type, answer, sent):
    assert status < 500, (status, answer[:300], sent)
    assert b"Traceback" not in answer
    assert b"<html" not in answer
    if status >= 400:
        assert content_type == "application/problem+json", (status, content_type, sent)
        problem = json.loads(answer)
        assert problem["status"] == status
        assert problem["detail"]
    elif content_type == "application/json":
        json.loads(answer, parse_constant=lambda name: pytest.fail(f"a bare {name} for {sent!r}"))


@pytest.mark.parametrize("media_type", TYPES)
def test_damaged_bodies_are_answered_or_refused_and_never_break_the_server(served, media_type):
    server, rows, names = served
    good = good_bodies(media_type, rows, names)

    def send(part):
        sender = Sender(server.port)
        with contextlib.closing(sender.connection):
            for number, body in enumerate(mutated(good, DAMAGED // THREADS, seed=part)):
                sender.send(media_type, number, body)
        return sender.statuses

    with ThreadPoolExecutor(THREADS) as pool:
        statuses = sum(pool.map(send, range(THREADS)), Counter())
    assert statuses.total() == DAMAGED // THREADS * THREADS
    assert statuses[400] + statuses[415] + statuses[406] > 0
    assert ask(server.port, "GET", "/ping").status == 200


def test_what_the_openapi_document_allows_is_answered_as_it_says(served):
    server = served[0]
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    sent = Counter()
    for result in schema.get_all_operations():
        operation = result.ok()

        @hypothesis.settings(max_examples=250, deadline=None, derandomize=True, database=None,
                             suppress_health_check=list(hypothesis.HealthCheck))  # fmt: skip
        @hypothesis.given(case=operation.as_strategy())
        def answered(case):
            response = case.call(base_url=server.url, timeout=PATIENCE_S)
            content_type = (response.headers.get("content-type") or [None])[0]
            hold_to_rules(response.status_code, content_type, response.content, case.body)
            case.validate_response(response, checks=(status_code_conformance, response_schema_conformance))
            sent[case.path] += 1

        answered()
    assert sent["/invocations"] >= 200
