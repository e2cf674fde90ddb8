"""`scoreline inference` with servers that misbehave."""

from __future__ import annotations

import os
import random
import signal
import sys
import time

import pytest
from ports import free_port
from servers import Command, folders, keys_of, wait_until

OLD = '{"old": true}\n'


def echo(record, number):
    return 200, {"order_id": record["order_id"], "recommendation": "Deliver"}


@pytest.fixture
def old_results(tmp_path):
    """Give the file of a former run."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results/results.json").write_text(OLD)
    return tmp_path / "results/results.json"


def test_lines_keep_the_order_of_the_file_when_replies_do_not(tiny, small, infer, monkeypatch):
    monkeypatch.setenv("SCORELINE_CONCURRENCY", "3")  # so that fewer are waited for than there are orders

    def dawdle(record, number):
        time.sleep(random.Random(number).uniform(0, 0.05))
        return echo(record, number)

    code, lines, _, _ = infer(small, tiny(dawdle).url)
    assert code == 0
    assert [line["order_id"] for line in lines] == [key["order_id"] for key in keys_of(small)]


def test_each_order_is_sent_once_with_its_key_as_text(tiny, small, infer):
    sent = []
    infer(small, tiny(lambda record, number: (sent.append(record), echo(record, number))[1]).url)
    assert sorted(sent, key=lambda key: key["order_id"]) == sorted(keys_of(small), key=lambda key: key["order_id"])


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_server_that_is_away_for_a_moment_is_asked_again(tiny, small, infer, impatient, status):
    server = tiny(lambda record, number: (status, "busy") if number <= 2 else echo(record, number))
    code, lines, out, _ = infer(small, server.url)
    assert code == 0
    assert len(server.asked) == 22
    assert not any("error" in line for line in lines)
    assert "20 records scored, 0 errors" in out


def test_a_connection_that_is_closed_without_an_answer_is_made_again(tiny, small, infer, impatient):
    server = tiny(lambda record, number: (0, None) if number == 3 else echo(record, number))
    code, lines, _, _ = infer(small, server.url)
    assert (code, len(server.asked)) == (0, 21)
    assert not any("error" in line for line in lines)


def test_a_server_that_stays_away_costs_six_tries_a_record(tiny, small, infer, impatient):
    unlucky = keys_of(small)[7]["order_id"]
    server = tiny(lambda record, number: (503, "") if record["order_id"] == unlucky else echo(record, number))
    code, lines, _, _ = infer(small, server.url)
    assert (code, len(server.asked)) == (1, 25)
    assert [line["order_id"] for line in lines if "error" in line] == [unlucky]
    assert lines[7]["error"]["status"] == 503


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, "<html>Oops</html>"), (200, "<html>Welcome</html>"), (200, "[1]"), (404, "{}"), (200, "")],
)
def test_what_is_no_reply_is_a_line_with_an_error(tiny, small, infer, status, body):
    server = tiny(lambda record, number: (status, body) if number == 1 else echo(record, number))
    code, lines, _, err = infer(small, server.url)
    (wrong,) = [line for line in lines if "error" in line]
    assert code == 1
    assert wrong.keys() == {"order_id", "customer_id", "sku_code", "zip_code", "error"}
    assert wrong["error"]["status"] == status
    assert wrong["error"]["detail"] == f"expected a JSON reply, the server answered {status} with something else"
    assert "1 of 20 records could not be scored" in err


def test_a_problem_of_the_server_is_kept_as_it_came(tiny, small, infer):
    problem = {"type": "urn:x", "title": "No", "status": 400, "detail": "zip_code: expected text"}
    server = tiny(lambda record, number: (400, problem) if number == 5 else echo(record, number))
    _, lines, out, _ = infer(small, server.url)
    assert [line["error"] for line in lines if "error" in line] == [problem]
    assert "the first error: zip_code: expected text" in out


def test_a_server_that_dies_midway_ends_the_run_with_errors(tiny, small, infer, impatient, monkeypatch):
    monkeypatch.setenv("SCORELINE_CONCURRENCY", "2")

    def die(record, number):
        if number == 6:
            server.gone.set()
            server.socket.close()
        return echo(record, number)

    server = tiny(die)
    began = time.monotonic()
    code, lines, _, err = infer(small, server.url)
    errors = [line["error"]["detail"] for line in lines if "error" in line]
    assert time.monotonic() - began < 10
    assert (code, len(lines)) == (1, 20)
    assert 13 <= len(errors) <= 16
    assert any(detail.startswith("no answer after 6 tries") for detail in errors)
    assert errors[-1] == "not tried: the server went away"
    assert f"{len(errors)} of 20 records could not be scored" in err


def test_without_a_server_it_says_so_and_keeps_the_old_results(small, infer, impatient, old_results):
    url = f"http://127.0.0.1:{free_port()}"
    code, _, out, err = infer(small, url)
    assert (code, out) == (1, "")
    (line,) = err.splitlines()
    assert line.startswith(f"scoreline: no server answers at {url} (")
    assert line.endswith("Start one with `scoreline serve`, or name one with --url.")
    assert [path.name for path in old_results.parent.iterdir()] == ["results.json"]
    assert old_results.read_text() == OLD


def test_a_server_that_is_not_ready_is_not_asked(tiny, small, infer, impatient, old_results):
    server = tiny(echo)
    server.ping = 503
    code, _, _, err = infer(small, server.url)
    assert (code, server.asked, old_results.read_text()) == (1, [], OLD)
    assert err == f"scoreline: the server at {server.url} is not ready: its /ping answers 503, expected 200\n"


def test_a_path_before_invocations_is_kept(tiny, small, infer):
    server = tiny(echo)
    code, _, _, _ = infer(small, f"{server.url}/models/triage/")
    assert (code, set(server.asked)) == (0, {"/models/triage/invocations"})


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://", "http://[::1", "http://127.0.0.1:99999", "http://a:b"])
def test_what_is_no_address_is_refused(small, infer, url):
    code, lines, _, err = infer(small, url)
    assert (code, lines) == (1, None)
    assert err == f"scoreline: --url {url}: expected a server's address, for example http://127.0.0.1:8080\n"


def test_a_file_without_orders_gives_a_file_without_lines(tiny, small, infer):
    header = (small / "data/orders.csv").read_text().splitlines()[0]
    (small / "data/orders.csv").write_text(f"{header}\n")
    code, lines, out, _ = infer(small, tiny(echo).url)
    assert (code, lines) == (0, [])
    assert "0 records scored, 0 errors" in out


def test_a_table_that_cannot_be_read_stops_it_before_the_server_is_asked(small, infer, old_results):
    (small / "data/orders.csv").write_text("order_id\n")
    code, _, _, err = infer(small, "127.0.0.1:1")
    assert code == 1
    assert "orders.csv: has no column 'customer_id'" in err
    assert old_results.read_text() == OLD


def test_results_that_cannot_be_put_in_place_are_one_clear_line(tiny, small, infer, tmp_path):
    (tmp_path / "results/results.json/x").mkdir(parents=True)
    code, _, _, err = infer(small, tiny(echo).url)
    assert code == 1
    assert err == f"scoreline: {tmp_path / 'results/results.json'}: can't be written (Is a directory)\n"
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["results.json"]


def test_a_results_folder_that_is_a_file_is_one_clear_line(tiny, small, cli_with_file_for_results):
    code, err = cli_with_file_for_results(small, tiny(echo).url)
    assert code == 1
    assert "in-the-way" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("number", "code", "says"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_ends_it_at_once_and_leaves_the_old_results(tiny, small, tmp_path, old_results, number, code, says):
    server = tiny(lambda record, number: (server.gone.wait(60), echo(record, number))[1])
    (tmp_path / "tmp").mkdir()
    arguments = ["inference", *folders(small, results=old_results.parent), "--url", server.url]
    command = Command([sys.executable, "-m", "scoreline", *arguments], tmp_path, {"TMPDIR": str(tmp_path / "tmp")})
    try:
        wait_until(lambda: len(server.asked) == 8)
        began = time.monotonic()
        command.process.send_signal(number)
        assert command.wait(20) == code
        assert time.monotonic() - began < 10
        assert command.err.read_text().splitlines()[-1] == f"scoreline: {says}; what was unfinished is dropped"
        assert os.listdir(old_results.parent) == ["results.json"]
        assert old_results.read_text() == OLD
        assert os.listdir(tmp_path / "tmp") == []
    finally:
        command.stop()
