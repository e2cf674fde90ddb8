"""The link: each question gets its own answer, a time-out, a breaker that knows when the server is back."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import subprocess
import sys
import threading
import time

import pytest
from ports import free_port
from redis_server import PASSWORD, RedisServer
from servers import wait_until

from scoreline.errors import SettingError, StoreAwayError, StoreError
from scoreline.store.address import parse_address
from scoreline.store.link import Link

pytestmark = pytest.mark.needs("redis")
PING = (b"PING",)


@pytest.fixture(params=["tcp", "unix"])
def link(redis, request):
    return Link(parse_address(redis.urls[request.param]), 0.2)


def answers(link):
    try:
        return link.ask(PING) == [b"PONG"]
    except StoreAwayError:
        return False


def test_answers_come_in_the_order_of_the_commands_a_refusal_among_them_leaves_no_answer_behind(link):
    link.ask((b"SET", b"text", b"1"), (b"HSET", b"hash", b"a", b"2"))
    assert link.ask((b"GET", b"text"), (b"HGET", b"hash", b"a"), (b"GET", b"none")) == [b"1", b"2", None]
    with pytest.raises(StoreError, match="refuses: WRONGTYPE"):
        link.ask((b"GET", b"text"), (b"GET", b"hash"), (b"HGET", b"hash", b"a"))
    assert link.ask((b"GET", b"text")) == [b"1"]


def test_threads_that_ask_at_once_get_each_their_own_answers(link):
    wrong = []

    def ask(number):
        for turn in range(200):
            if link.ask((b"ECHO", f"{number} {turn}")) != [f"{number} {turn}".encode()]:
                wrong.append((number, turn))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_an_answer_that_comes_too_late_is_never_taken_for_that_of_the_next_question(redis, link):
    assert link.ask((b"ECHO", b"first")) == [b"first"]
    redis.stop_answering()
    try:
        with pytest.raises(StoreAwayError, match=r"no answer within 0\.2 s"):
            link.ask((b"ECHO", b"late"))
    finally:
        redis.go_on()
    wait_until(lambda: answers(link))
    assert link.ask((b"ECHO", b"next")) == [b"next"]


def test_answers_that_were_left_unread_are_never_taken_for_those_of_the_next_question(link, monkeypatch):
    class Interrupted(BaseException):
        """What a signal raises, between two answers."""

    link.ask(PING)
    connection = link._own.connection
    real, answers = connection.read_response, []

    def read(**how):
        if answers:
            raise Interrupted
        answers.append(real(**how))
        return answers[0]

    monkeypatch.setattr(connection, "read_response", read)
    with pytest.raises(Interrupted):
        link.ask((b"ECHO", b"one"), (b"ECHO", b"two"), (b"ECHO", b"three"))
    monkeypatch.undo()
    assert link.ask((b"ECHO", b"next")) == [b"next"]


def test_a_server_that_was_started_anew_is_asked_over_a_new_connection_and_nobody_notices(redis, link):
    assert answers(link)
    redis.kill()
    redis.start()
    assert link.ask(PING) == [b"PONG"]


def test_while_the_server_is_away_nobody_waits_and_once_it_is_back_it_is_asked_again(redis, link, caplog):
    caplog.set_level(logging.INFO)
    assert answers(link)
    redis.kill()
    try:
        for _ in range(2):
            with pytest.raises(StoreAwayError, match="can't be reached"):
                link.ask(PING)
        assert link.is_away
        with pytest.raises(StoreAwayError, match="it is not asked now"):
            link.ask(PING)
    finally:
        redis.start()
    wait_until(lambda: not link.is_away)
    assert [link.ask(PING) for _ in range(20)] == [[b"PONG"]] * 20
    assert [record.message.rpartition(" ")[2] for record in caplog.records] == ["up", "again"]


def test_however_long_it_was_away_it_is_asked_again(redis, link, monkeypatch):
    monkeypatch.setattr("scoreline.store.breaker.PROBE_S", 0.001)
    looked, answers_of = [], Link._answers
    monkeypatch.setattr(Link, "_answers", lambda link: (looked.append(1), answers_of(link))[1])
    link._forget()  # a breaker that looks as told here
    redis.kill()
    try:
        for _ in range(2):
            assert not answers(link)
        wait_until(lambda: len(looked) > 250)  # a pool of the client's would have stopped at a hundred
    finally:
        redis.start()
    wait_until(lambda: not link.is_away)
    assert answers(link)


def test_a_look_that_fails_in_an_unknown_way_is_not_the_last(redis, link, monkeypatch):
    looked = iter([RuntimeError("what nobody thought of"), False, True])

    def look(link):
        found = next(looked)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(Link, "_answers", look)
    link._forget()
    redis.kill()
    try:
        for _ in range(2):
            assert not answers(link)
    finally:
        redis.start()
    wait_until(lambda: not link.is_away)


def test_a_connection_may_be_lost_any_number_of_times(link):
    for _ in range(150):
        link.close()
        assert answers(link)


def test_a_database_that_there_is_not_is_said(redis):
    link = Link(parse_address(f"{redis.urls['tcp']}/99"), 0.2)
    with pytest.raises(StoreError, match=r"refuses: .*out of range"):
        link.ask(PING)


def test_requests_to_a_server_that_hangs_are_refused_at_once_after_the_second(redis, link):
    redis.stop_answering()
    try:
        for _ in range(2):
            assert not answers(link)
        begin = time.process_time(), time.monotonic()
        for _ in range(1000):
            assert not answers(link)
        assert time.monotonic() - begin[1] < 1000 * 0.2 / 2  # each would wait as long as the time-out
    finally:
        redis.go_on()
    wait_until(lambda: answers(link))


def test_one_failure_is_a_hiccup(redis, link):
    redis.stop_answering()
    try:
        assert not answers(link)
    finally:
        redis.go_on()
    assert not link.is_away
    wait_until(lambda: answers(link))


def test_what_was_asked_ahead_is_not_asked_again(redis, link):
    link.ask((b"SET", b"a", b"1"))
    with link.ahead([(b"GET", b"a"), (b"GET", b"b")]):
        with contextlib.closing(redis.client()) as client:
            client.set("a", "2")
        assert link.ask((b"GET", b"a")) == [b"1"]
        assert link.ask((b"GET", b"b"), (b"GET", b"a")) == [None, b"1"]
        assert link.ask((b"GET", b"a"), (b"GET", b"c")) == [b"2", None]  # not all of it is known
    assert link.ask((b"GET", b"a")) == [b"2"]


FORK = """
import os, sys
from scoreline.store.address import parse_address
from scoreline.store.link import Link
link = Link(parse_address(sys.argv[1]), 1.0)
(mine,) = link.ask((b"CLIENT", b"ID"))
if os.fork() == 0:
    print(link.ask((b"CLIENT", b"ID")) != [mine], flush=True)
    os._exit(0)
os.wait()
print(link.ask((b"CLIENT", b"ID")) == [mine], flush=True)
"""


def test_a_forked_child_has_a_connection_of_its_own_and_leaves_the_parent_its(redis):
    script = [sys.executable, "-W", "ignore", "-c", FORK, redis.urls["tcp"]]
    assert subprocess.run(script, capture_output=True, text=True, check=True).stdout.split() == ["True", "True"]


@pytest.mark.parametrize(
    ("url", "password", "says"),
    [
        ("redis://127.0.0.1:{port}", None, "Check user and password"),
        ("redis://:wrong-one@127.0.0.1:{port}", None, "Check user and password"),
        ("redis://127.0.0.1:{port}", "wrong-one", "Check user and password"),
    ],
)
def test_a_password_that_is_missing_or_wrong_is_said_and_none_is_shown(url, password, says):
    with RedisServer(password=PASSWORD) as server:
        link = Link(parse_address(url.format(port=server.port), password), 2.0)
        with pytest.raises(StoreAwayError, match=says) as caught:
            link.ask(PING)
        assert "wrong-one" not in str(caught.value) + repr(link._address)
        for url, password in ((f"redis://:{PASSWORD}@127.0.0.1:{server.port}", None),
                              (f"valkey://127.0.0.1:{server.port}/1", PASSWORD)):  # fmt: skip
            assert Link(parse_address(url, password), 2.0).ask(PING) == [b"PONG"]


@pytest.mark.needs("redis with TLS")
def test_over_tls_the_servers_certificate_is_checked(tmp_path):
    make_certificates(tmp_path)
    with RedisServer(password=PASSWORD, tls=tmp_path) as server:
        url = f"rediss://localhost:{server.port}"
        trusting = Link(parse_address(f"{url}?ssl_ca_certs={tmp_path / 'ca.crt'}", PASSWORD), 5.0)
        assert trusting.ask(PING) == [b"PONG"]
        with pytest.raises(StoreAwayError, match="CERTIFICATE_VERIFY_FAILED"):
            Link(parse_address(url, PASSWORD), 5.0).ask(PING)
        with pytest.raises(StoreAwayError):  # in the clear
            Link(parse_address(f"redis://localhost:{server.port}", PASSWORD), 1.0).ask(PING)


def make_certificates(folder):
    """Make an authority, and a certificate of it for localhost."""
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-batch"]
    own = ["-keyout", folder / "ca.key", "-out", folder / "ca.crt", "-subj", "/CN=tests"]
    subprocess.run([*make, *own], check=True, capture_output=True)
    server = ["-keyout", folder / "server.key", "-out", folder / "server.crt", "-subj", "/CN=localhost"]
    signed = ["-CA", folder / "ca.crt", "-CAkey", folder / "ca.key", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*make, *server, *signed], check=True, capture_output=True)


def test_a_server_that_is_not_there_is_named_without_what_is_secret():
    port = free_port()
    with pytest.raises(StoreAwayError) as caught:
        Link(parse_address(f"redis://user:hush@127.0.0.1:{port}/3"), 1.0).ask(PING)
    assert str(caught.value).startswith(f"the online store at redis://127.0.0.1:{port}/3 can't be reached (Error 111")
    assert "hush" not in str(caught.value)


def test_an_option_that_the_client_does_not_know_is_refused(redis):
    with pytest.raises(
        SettingError, match=r"SCORELINE_STORE: redis://127\.0\.0\.1:\d+: there is no option 'colour'; .*redis-py"
    ):
        Link(parse_address(f"{redis.urls['tcp']}?colour=red"), 1.0).ask(PING)


def test_without_the_client_library_it_says_what_to_install():
    script = (
        "import sys; sys.modules['redis'] = None\n"
        "from scoreline.store.link import Link\nfrom scoreline.store.address import parse_address\n"
        "try: Link(parse_address('redis://h'), 1.0).ask((b'PING',))\nexcept Exception as e: print(type(e).__name__, e)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.startswith("SettingError")
    assert "pip install 'scoreline[redis]'" in said.stdout


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h/staging", "expected a database by its number, as in redis://host:6379/1"),
        ("valkeys://u:secret@h:1/1a", "expected a database by its number, as in redis://host:6379/1"),
        ("redis://h/1/2", "expected a database by its number, as in redis://host:6379/1"),
        ("unix://run/redis.sock", "expected three slashes before the socket's path, as in unix:///run/redis.sock"),
    ],
)
def test_a_slip_that_would_lead_elsewhere_is_refused(url, expected):
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        parse_address(url)


@pytest.mark.parametrize("url", ["redis://h", "redis://h/", "rediss://h:1/2", "unix://u:secret@/run/redis.sock?db=2"])
def test_what_is_an_address_is_taken(url):
    assert "secret" not in parse_address(url).shown


@pytest.mark.parametrize("url", ["http://h", "redis://", "unix://", "redis", "redis://h:secret-port", ""])
def test_what_is_no_address_is_refused_without_showing_it(url):
    with pytest.raises(ValueError, match=r"^expected redis://host:6379/0, ") as caught:
        parse_address(url)
    assert "secret" not in str(caught.value)
