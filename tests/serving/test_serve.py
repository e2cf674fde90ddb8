"""`scoreline serve` as it is: real nginx, real gunicorn, real signals."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ports import free_port
from servers import (
    JSON,
    Command,
    SlowApp,
    ask,
    ask_over,
    copy_app,
    is_listened_on,
    keys_of,
    own_predictor,
    ping,
    serving,
    wait_until,
)

import scoreline.serving.nginx
from scoreline.serving.answer import answer

pytestmark = pytest.mark.slow
TEMPLATE = Path(scoreline.serving.nginx.__file__).with_name("nginx.conf.template")


def state_of(*roots):
    """Return all files with their sizes and times, to see whether anything was written."""
    found = [path for root in roots for path in (root, *sorted(root.rglob("*")))]
    return [(path, path.stat().st_mtime_ns, path.stat().st_size) for path in found]


@pytest.fixture(scope="module")
def server(triage, tmp_path_factory):
    """Give a server that all tests of this file share which do it no harm."""
    before = state_of(triage / "model", triage / "results")
    with serving(triage, triage, tmp_path_factory.mktemp("server"), "--workers", "2") as server:
        server.before = before
        yield server
    assert state_of(triage / "model", triage / "results") == before


@pytest.fixture
def start(triage, tmp_path):
    """Give a function that starts a server of its own for a test that ends or harms it."""
    with contextlib.ExitStack() as stack:

        def start_one(app=triage, **environment):
            environment = {"MODEL_SERVER_WORKERS": "2", **environment}
            return stack.enter_context(serving(app, triage, tmp_path / "server", **environment))

        yield start_one


@pytest.fixture
def slow(tmp_path):
    """Give an app that takes its time over a record when it is told so."""
    return SlowApp(tmp_path / "slow")


@pytest.fixture
def keys(triage):
    return keys_of(triage)


@pytest.fixture
def threads():
    """Give a pool of threads for requests that take a while."""
    with ThreadPoolExecutor(8) as pool:
        yield pool


def raw(port, request, within_s=10):
    """Send bytes as they are; return the status, the headers and the body of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=within_s) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        with contextlib.closing(response):
            response.begin()
            return response.status, dict(response.headers), response.read()


def chunked(port, record):
    """Send a record in two chunks, without a length; return the body of the answer."""
    pieces = json.dumps(record).encode()
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("POST", "/invocations", iter([pieces[:9], pieces[9:]]), JSON)
        return connection.getresponse().read()


# What a client sees


def test_ping_is_200_and_empty(server):
    reply = ask(server.port, "GET", "/ping")
    assert (reply.status, reply.body) == (200, b"")


def test_every_order_is_answered_as_without_a_server(server, service, keys):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        for key in keys:
            expected = answer(service, "POST", "/invocations", JSON, json.dumps(key).encode())
            reply = ask_over(connection, "POST", "/invocations", key)
            assert (reply.status, reply.body) == (200, expected.body)
            assert reply.headers["Content-Type"] == "application/json"
            assert reply.headers["X-Scoreline-Generation"] == service.last_known


def test_many_clients_at_once_each_get_their_own_answers(server, keys, threads):
    replies = list(threads.map(server.post, keys * 2))
    assert [reply.status for reply in replies] == [200] * len(replies)
    assert [reply.json()["order_id"] for reply in replies] == [key["order_id"] for key in keys * 2]


def test_a_list_of_all_orders_is_answered(server, keys):
    assert [entry["order_id"] for entry in server.post(keys).json()] == [key["order_id"] for key in keys]


def test_errors_of_the_application_come_through_as_they_are(server):
    assert (server.post({}).status, server.post([]).status) == (400, 400)
    reply = ask(server.port, "DELETE", "/invocations")
    assert (reply.status, reply.headers["Allow"]) == (405, "POST")
    assert reply.headers["Content-Type"] == "application/problem+json"


def test_a_body_of_6_mib_is_read_and_one_byte_more_is_413(server, keys):
    record = json.dumps(keys[0]).encode()
    limit = 6 << 20
    assert server.post(record + b" " * (limit - len(record))).status == 200
    reply = server.post(record + b" " * (limit + 1 - len(record)))
    assert (reply.status, reply.headers["Content-Type"]) == (413, "application/problem+json")
    assert reply.json()["type"] == "urn:scoreline:problem:too-large"
    assert reply.json()["status"] == 413


NO_REQUEST = b"urn:scoreline:problem:bad-request"


@pytest.mark.parametrize(
    ("request_", "status", "kind"),
    [
        pytest.param(b"GARBAGE\r\n\r\n", 400, NO_REQUEST, id="no-request-line"),
        pytest.param(b"get /ping HTTP/1.1\r\nHost: x\r\n\r\n", 400, NO_REQUEST, id="method-in-small-letters"),
        pytest.param(b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n", 400, NO_REQUEST, id="long-address"),
        pytest.param(b"GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n", 400, NO_REQUEST, id="zero-byte-in-address"),
        pytest.param(b"GET /../.. HTTP/1.1\r\nHost: x\r\n\r\n", 400, NO_REQUEST, id="above-the-root"),
        pytest.param(b"GET /ping HTTP/1.1\r\n\r\n", 400, NO_REQUEST, id="no-host"),
        pytest.param(
            b"GET /ping HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 40_000 + b"\r\n\r\n", 400, NO_REQUEST, id="header"
        ),
        pytest.param(
            b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, NO_REQUEST, id="bad-length"
        ),
        pytest.param(
            b"POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\n\r\n", 400, NO_REQUEST, id="encoding"
        ),
        pytest.param(b"GET /ping HTTP/3.1\r\nHost: x\r\n\r\n", 400, NO_REQUEST, id="version"),
        pytest.param(b"TRACE /x HTTP/1.1\r\nHost: x\r\n\r\n", 405, b"method-not-allowed", id="trace"),
        pytest.param(b"FOO /x HTTP/1.1\r\nHost: x\r\n\r\n", 404, b"no-such-route", id="unknown-method-and-route"),
        pytest.param(b"FOO /ping HTTP/1.1\r\nHost: x\r\n\r\n", 405, b"method-not-allowed", id="unknown-method"),
        pytest.param(
            b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", 413, b"too-large", id="length"
        ),
    ],
)
def test_what_is_no_request_is_refused_as_a_problem_too(server, request_, status, kind):
    came, headers, body = raw(server.port, request_)
    assert (came, headers["Content-Type"]) == (status, "application/problem+json")
    assert kind in body
    assert json.loads(body)["status"] == status


@pytest.fixture(scope="module", params=["asgi", "sync"])
def of_either_class(request, triage, tmp_path_factory):
    """Give a server whose workers are of one class, then one of the other."""
    if request.param == "asgi":
        yield request.getfixturevalue("server")
        return
    with serving(triage, triage, tmp_path_factory.mktemp("sync"), "--worker-class", "sync") as server:
        yield server


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"X-A: \x01\x02\r\n", id="control-characters"),
        pytest.param(b"X-A: \x7f\r\n", id="delete"),
        pytest.param(b"Content-Type: text/csv\r\nContent-Type: application/json\r\n", id="two-content-types"),
        pytest.param(b"Content-Type: application/json\r\n" * 40, id="many-content-types"),
        pytest.param(b"X-A: " + b"a" * 8190 + b"\r\n", id="line-too-long"),
        pytest.param(b"X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 900, id="more-than-32-KB"),
    ],
)
def test_a_head_that_nobody_can_take_is_refused_as_a_problem_by_whoever_does(of_either_class, head):
    request_ = b"POST /invocations HTTP/1.1\r\nHost: x\r\n" + head + b"Content-Length: 2\r\n\r\n{}"
    came, headers, body = raw(of_either_class.port, request_)
    if came != 400 or NO_REQUEST not in body:  # what is harmless may reach the application, which finds no record
        assert b"urn:scoreline:problem:" in body
    assert came in (400, 415)
    assert headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"X-A: " + b"a" * 8000 + b"\r\n", id="line"),
        pytest.param(b"X-A: a\r\n" * 900, id="number"),
        pytest.param((b"X-A: " + b"a" * 7900 + b"\r\n") * 3, id="all"),
    ],
)
def test_a_head_as_large_as_nginx_takes_it_is_taken(of_either_class, keys, head):
    address = b"/invocations?top=1&x=" + b"a" * 7500
    record = json.dumps(keys[0]).encode()
    for path in (b"/invocations", address):
        start_ = b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        some = head if path == b"/invocations" else b""
        sent = start_ + some + f"Content-Length: {len(record)}\r\n\r\n".encode() + record
        assert raw(of_either_class.port, sent)[0] == 200
    assert raw(of_either_class.port, b"GET /ping HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n")[0] == 200


def test_a_connection_is_kept_for_further_requests(server, keys):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        connection.connect()
        first = connection.sock
        for path, method, body in [("/ping", "GET", b""), ("/invocations", "POST", keys[0]), ("/x", "GET", b"")] * 10:
            ask_over(connection, method, path, body)
            assert connection.sock is first


def test_150_idle_connections_leave_room_for_others(server, keys):
    with contextlib.ExitStack() as stack:
        idle = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5)) for _ in range(150)
        ]
        assert ping(server.port) == 200
        assert server.post(keys[0]).status == 200
        idle[149].sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle[149].recv(1000).startswith(b"HTTP/1.1 200")


def test_slow_uploads_hold_no_worker(server, keys):
    with contextlib.ExitStack() as stack:
        for _ in range(24):
            upload = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5))
            upload.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
            upload.sendall(b'Content-Length: 500\r\n\r\n{"order_id"')
        assert server.post(keys[0]).status == 200
        assert ping(server.port) == 200


def test_a_client_that_goes_away_harms_nobody_else(server, keys):
    body = json.dumps(keys).encode()
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n".encode()
    for sent in (head + body, head + body[:100], head, b"POST /inv"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            connection.sendall(sent)
    assert server.post(keys[0]).status == 200
    assert ping(server.port) == 200


def test_a_body_in_chunks_is_read(server, keys):
    assert chunked(server.port, keys[0]) == server.post(keys[0]).body


def test_a_client_that_waits_for_a_100_is_told_to_go_on(server, keys):
    body = json.dumps(keys[0]).encode()
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head + f"Content-Length: {len(body)}\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")


def test_headers_that_sagemaker_adds_change_nothing(server, keys):
    added = {
        "X-Amzn-SageMaker-Custom-Attributes": "trace=" + "a" * 1018,
        "X-Amzn-SageMaker-Target-Model": "tenant/model-1.tar.gz",
        "X-Amzn-SageMaker-Inference-Id": "0123456789" * 6,
        "X-Amzn-SageMaker-Enable-Explanations": "`true`",
    }
    assert server.post(keys[0], **added).body == server.post(keys[0]).body


def test_workers_run_one_thread_each_until_a_large_body_comes(start, keys):
    server = start()
    for key in keys:
        server.post(key)
    wait_until(lambda: len(server.workers()) == 2)
    assert [worker.num_threads() for worker in server.workers()] == [1, 1]


def test_nginx_waits_for_a_core_rather_than_interrupt_a_worker(server):
    nginx = [server.part("nginx"), *server.part("nginx").children()]
    assert len(nginx) > 1
    assert {os.sched_getscheduler(process.pid) for process in nginx} == {os.SCHED_BATCH}
    workers = server.part("gunicorn").children()
    assert {os.sched_getscheduler(process.pid) for process in workers} == {os.SCHED_OTHER}


def test_serving_writes_nothing_into_model_and_results(server, triage, keys):
    server.post(keys)
    assert state_of(triage / "model", triage / "results") == server.before


def test_it_prints_its_plan_and_its_address_on_stderr_alone(server):
    assert server.out.read_text() == ""
    planned, ready = server.err.read_text().splitlines()[:2]
    assert planned.startswith("serve: order-triage, generation 1-")
    assert re.search("; 2 workers \\(as set\\), 1 thread each, timeout 60 s, trees by (kernel|gtil)$", planned)
    assert ready == f"serve: ready on http://127.0.0.1:{server.port}  (Ctrl-C stops)"


# How it ends


def test_sigterm_answers_the_request_in_flight_and_exits_0(start, slow, keys, threads):
    server = start(slow.folder)
    slow.take(1.5)
    reply = threads.submit(server.post, keys[0])
    wait_until(lambda: slow.begun == 1)
    server.process.send_signal(signal.SIGTERM)
    assert reply.result().json()["order_id"] == keys[0]["order_id"]
    assert server.wait(10) == 0
    assert server.nothing_is_left()
    assert not server.run_dir.exists()
    assert not is_listened_on(server.port)
    assert server.err.read_text().splitlines()[-1] == "serve: stopped"


def test_sigterm_does_not_wait_for_idle_connections(start, keys):
    server = start()
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            stack.enter_context(contextlib.closing(connection))
            assert ask_over(connection, "POST", "/invocations", keys[0]).status == 200
        server.process.send_signal(signal.SIGTERM)
        assert server.wait(8) == 0
        assert server.nothing_is_left()


def test_requests_that_outlast_a_stop_are_cut_off_within_27_s_and_counted(start, slow, keys, threads):
    server = start(slow.folder, MODEL_SERVER_TIMEOUT="60")
    slow.take(40)
    replies = [threads.submit(server.post, key) for key in keys[:2]]
    wait_until(lambda: slow.begun == 2)
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as idle:
        assert ask_over(idle, "GET", "/ping").status == 200
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.wait(29) == 0
    assert 24.9 < time.monotonic() - began < 27
    assert server.nothing_is_left()
    assert server.err.read_text().splitlines()[-2:] == [
        "serve: 2 requests cut off, no answer within 25 s",
        "serve: stopped",
    ]
    assert all(reply.exception() is not None for reply in replies)


def test_a_second_ctrl_c_cuts_off_at_once_and_says_so(start, slow, keys, threads):
    server = start(slow.folder)
    slow.take(20)
    reply = threads.submit(server.post, keys[0])
    wait_until(lambda: slow.begun == 1)
    server.process.send_signal(signal.SIGINT)
    wait_until(lambda: "serve: stopping" in server.printed)
    server.process.send_signal(signal.SIGINT)
    assert server.wait(5) == 0
    assert "serve: 1 request cut off, the stop was asked for again" in server.printed
    assert reply.exception() is not None


def test_ctrl_c_exits_0_and_leaves_nothing(start):
    server = start()
    server.process.send_signal(signal.SIGINT)
    assert server.wait(10) == 0
    assert server.nothing_is_left()


@pytest.mark.parametrize("part", ["gunicorn", "nginx"])
def test_it_exits_1_when_a_part_dies_and_names_it(start, part):
    server = start()
    server.part(part).kill()
    assert server.wait(10) == 1
    assert server.err.read_text().splitlines()[-1] == (
        f"scoreline: {part} ended by signal 9; its last lines above say why. The server is stopped."
    )
    assert server.nothing_is_left()
    assert not server.run_dir.exists()


def test_a_kill_of_the_supervisor_takes_nginx_and_gunicorn_along(start):
    server = start()
    server.look()
    server.process.kill()
    assert server.nothing_is_left()
    assert not is_listened_on(server.port)


def test_what_is_loaded_before_the_fork_is_left_out_of_collections(start, slow, keys):
    counted = slow.folder / "counted"
    own_predictor(slow.folder, f"import gc; pathlib.Path({str(counted)!r}).write_text(str(gc.get_freeze_count()))")
    server = start(slow.folder)
    assert server.post(keys[0]).status == 200
    assert int(counted.read_text()) > 20_000


def test_a_worker_that_is_killed_is_replaced_without_an_error(start, keys):
    server = start()
    wait_until(lambda: len(server.workers()) == 2)  # it is ready with the first
    killed, kept = server.workers()
    killed.kill()
    assert {server.post(key).status for key in keys[:50]} == {200}
    wait_until(lambda: len(server.workers()) == 2 and killed not in server.workers())
    assert kept in server.workers()
    assert {server.post(key).status for key in keys[:50]} == {200}
    wait_until(lambda: ping(server.port) == 200)
    assert server.process.poll() is None


# Busy, and too slow


def test_ping_is_200_at_once_while_every_worker_is_busy(start, slow, keys, threads):
    server = start(slow.folder)
    slow.take(3.5)
    replies = [threads.submit(server.post, key) for key in keys[:2]]
    wait_until(lambda: slow.begun == 2)
    took = []
    while not any(reply.done() for reply in replies):
        began = time.monotonic()
        assert ask(server.port, "GET", "/ping").status == 200
        took.append(time.monotonic() - began)
    assert len(took) > 20
    assert max(took) < 1
    assert {reply.result().status for reply in replies} == {200}


def test_a_request_past_the_deadline_is_504_and_its_worker_is_replaced(start, slow, keys, threads):
    server = start(slow.folder, MODEL_SERVER_TIMEOUT="2")
    wait_until(lambda: len(server.workers()) == 2)  # it is ready with the first
    workers = {worker.pid for worker in server.workers()}
    slow.take(60)
    began = time.monotonic()
    late = threads.submit(server.post, keys[0])
    wait_until(lambda: slow.begun == 1)
    slow.take(0)
    assert server.post(keys[1]).status == 200
    wait_until(lambda: ping(server.port) == 503)
    assert "past the deadline" in ask(server.port, "GET", "/ping").json()["detail"]
    reply = late.result()
    assert 1.9 < time.monotonic() - began < 10
    assert (reply.status, reply.headers["Content-Type"]) == (504, "application/problem+json")
    assert reply.json()["type"] == "urn:scoreline:problem:deadline"
    assert server.post(keys[1]).status == 200
    wait_until(lambda: ping(server.port) == 200, 4, "/ping, once the late worker is replaced")
    wait_until(lambda: len(server.workers()) == 2 and len(workers & {w.pid for w in server.workers()}) == 1)


def test_the_worker_setting_sets_the_number_of_processes(start):
    server = start(MODEL_SERVER_WORKERS="3")
    wait_until(lambda: len(server.workers()) == 3)
    assert "; 3 workers (as set), " in server.err.read_text()


# Other ways to run it


def test_an_apps_own_wsgi_py_and_nginx_conf_are_used(start, tmp_path, keys):
    app = copy_app(tmp_path / "own")
    (app / "wsgi.py").write_text(
        "from scoreline.serving.wsgi import app as ours\n"
        "def app(environ, start_response):\n"
        "    def start(status, headers, error=None):\n"
        "        return start_response(status, [*headers, ('X-Own-Wsgi', 'yes')], error)\n"
        "    return ours(environ, start)\n"
    )
    text = TEMPLATE.read_text().replace("server_tokens off;", "server_tokens off;\n    add_header X-Own-Nginx yes;")
    (app / "nginx.conf").write_text(text)
    headers = start(app).post(keys[0]).headers
    assert (headers["X-Own-Wsgi"], headers["X-Own-Nginx"]) == ("yes", "yes")


def test_it_also_runs_under_gunicorn_alone(triage, service, keys, tmp_path):
    port = free_port()
    environment = {
        "SCORELINE_APP": str(triage),
        "SCORELINE_MODEL_DIR": str(triage / "model"),
        "SCORELINE_RESULTS": str(triage / "results"),
        "SCORELINE_STATE": str(tmp_path / "state"),
        "HOME": str(tmp_path),  # gunicorn puts a control socket there
    }
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "scoreline.serving.wsgi:app"]
    gunicorn = Command(command, tmp_path, environment)
    try:
        wait_until(lambda: ping(port) == 200)
        assert ask(port, "GET", "/ping").headers["X-Scoreline-Generation"] == service.last_known
        expected = answer(service, "POST", "/invocations", JSON, json.dumps(keys[:9]).encode())
        assert ask(port, "POST", "/invocations", keys[:9]).body == expected.body
        assert chunked(port, keys[0]) == ask(port, "POST", "/invocations", keys[0]).body
        assert ask(port, "GET", "/-/golden/x").status == 404
        gunicorn.process.send_signal(signal.SIGTERM)
        assert gunicorn.wait(10) == 0
    finally:
        gunicorn.stop()


def test_under_gunicorn_alone_a_missing_model_is_one_line(triage, tmp_path):
    environment = {"SCORELINE_APP": str(triage), "SCORELINE_MODEL_DIR": str(tmp_path / "none")}
    environment |= {"SCORELINE_STATE": str(tmp_path / "state"), "HOME": str(tmp_path)}
    options = ["--bind", f"127.0.0.1:{free_port()}", "--preload"]
    gunicorn = Command(
        [sys.executable, "-m", "gunicorn", *options, "scoreline.serving.wsgi:app"], tmp_path, environment
    )
    try:
        assert gunicorn.wait(20) != 0
        assert (
            gunicorn.err.read_text().splitlines()[-1].startswith(f"scoreline: {tmp_path / 'none'}: no model artifact")
        )
    finally:
        gunicorn.stop()
