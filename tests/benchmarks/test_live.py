"""`benchmarks/live.py`: what it takes for an answer, how it reads the kernel's books, and what its tables say."""

from __future__ import annotations

import doctest
import http.server
import importlib.util
import json
import os
import subprocess
import sys
import threading
import time

import pytest
import run as bench
from harness import prepare, report
from harness.answers import AnswerError
from harness.load import LoadError, Loading, Requests
from servers import wait_until
from services import figures, memory, reading
from services.editions import Edition
from services.server import LiveError, refresh

from scoreline.files import staged

ROLLUP = """00400000-7ffd [rollup]
Rss:               60000 kB
Pss:               21000 kB
Private_Clean:      3000 kB
Private_Dirty:      9000 kB
Private_Hugetlb:       0 kB
"""
NAME = "2-0ff1ce"


def held(private, whole, clean=0.0):
    return {"workers": [{"private": mb, "clean": clean} for mb in private], "whole": whole}


def memory_of(workers, *, read, reloaded, whole=(100.0, 120.0)):
    """Return the memory of so many workers that have as much each."""
    states = {"started": held([5.0] * workers, 80.0), "read": held([read] * workers, whole[0])}
    states["reloaded"] = held([reloaded] * workers, whole[1])
    return {"workers": workers, "ping_s": 0.5, "answer_s": 0.6, "rows": 2_000, "held": states, "refresh_s": [1.0]}


def load(rate, p99=5.0, wrong=0):
    return {"requests": rate, "seconds": 1.0, "p50_ms": 1.0, "p99_ms": p99, "max_ms": 9.0, "wrong": wrong}


def found_of(memory=(), rounds=(), pings=()):
    starts = [{"ping_s": seconds, "answer_s": seconds + 0.1} for seconds in pings]
    return {"memory": list(memory), "refresh": {"workers": 2, "rounds": list(rounds)}, "starts": starts}


def round_of(before, during, after, refresh_s=2.0):
    return {"refresh_s": refresh_s, "before": before, "during": during, "after": after}


def results_of(**runtimes):
    machine = {"cpu": "a CPU", "cores": 2, "memory_gb": 25, "system": "Linux 6", "python": "3.11.7"}
    settings = {"orders": 2_000, "reloads": 10, "rounds": 3, "seconds": 5}
    return {
        "when": "2026-11-22 08:00 UTC", "commit": "abc1234", "machine": machine, "settings": settings,
        "versions": {"wrk": "4.1.0"}, "runtimes": runtimes,
    }  # fmt: skip


@pytest.fixture
def answering():
    """Give a function that starts a server which answers every list with some records; it is ended afterwards."""
    started = []

    def start(records=2, status=200, generation=NAME):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                body = json.dumps([{"order_id": "O1"}] * records).encode()
                self.send_response(status)
                self.send_header("X-Scoreline-Generation", generation)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *given):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        started.append((server, threading.Thread(target=server.serve_forever)))
        started[-1][1].start()
        return server.server_address[1]

    yield start
    for server, thread in started:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def lists(tmp_path):
    """Give a file of five lists of two keys."""
    path = tmp_path / "lists.keys"
    path.write_text('{"order_id":"O1"},{"order_id":"O2"}\n' * 5)
    return path


def test_all_lists_are_read_once_over_all_connections(answering, lists):
    port = answering()
    assert reading.read_rows(port, lists, connections=3, generation=NAME) == 10
    assert reading.read_rows(port, lists, connections=3, generation=NAME, most=2) == 4


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param({"records": 1}, "2 keys was answered with 1 records", id="too-few"),
        pytest.param({"status": 503}, "answered 503", id="status"),
        pytest.param({"generation": "1-0ff1ce"}, "from 1-0ff1ce, published is 2-0ff1ce", id="old-generation"),
    ],
)
def test_a_list_that_is_not_answered_as_it_must_be_ends_the_run(answering, lists, given, said):
    with pytest.raises(AnswerError, match=said):
        reading.read_rows(answering(**given), lists, connections=2, generation=NAME)


def test_private_is_what_one_process_alone_has_and_clean_is_told_apart():
    rollup = memory.read_rollup(ROLLUP)
    assert rollup["Pss"] == pytest.approx(21.504)
    worker = memory.as_worker(rollup)
    assert (worker.private, worker.clean) == (pytest.approx(12.288), pytest.approx(3.072))


def test_our_own_books_can_be_read():
    import psutil

    mine = memory.look([psutil.Process()], [psutil.Process()])
    assert 0 <= mine.workers[0].clean < mine.workers[0].private < mine.whole


@pytest.mark.parametrize("module", [memory])
def test_examples_hold(module):
    assert doctest.testmod(module).failed == 0


def test_a_row_of_stock_has_a_piece_more_also_where_the_target_is_a_link_to_it(tmp_path):
    table, target = tmp_path / "inventory.csv", tmp_path / "more.csv"
    table.write_text("sku_code,timestamp,inventory\n004205,2021-06-09 12:52:20,669\n5,2021-06-09,0\n")
    os.link(table, target)
    prepare.restock(table, target)
    assert target.read_text().splitlines()[1:] == ["004205,2021-06-09 12:52:20,670", "5,2021-06-09,1"]
    assert "669" in table.read_text()


def made_results(folder, store):
    """Write what stands for a feature table, with a store of this name."""
    (folder / "store").mkdir(parents=True)
    files = ("feature.csv", store)
    for name in files:
        (folder / name).write_text(f"{folder.name} {name}")
    (folder / "feature.stamp.json").write_text(
        json.dumps(
            {"digest": "d", "plan": "p", "rows": 1, "columns": {}, "files": {name: {} for name in files},
             "store": store, "tables": {}, "format": 1}
        )
    )  # fmt: skip
    return Edition(folder, [], [])


def test_an_edition_takes_the_place_of_the_other_whole_and_leaves_it_as_it_was(tmp_path):
    first, second = (made_results(tmp_path / name, f"store/{name}.lmdb") for name in ("one", "two"))
    target = tmp_path / "results"
    for edition in (first, second, first):
        edition.put(target)
        assert (target / "feature.csv").read_text() == f"{edition.results.name} feature.csv"
        name = edition.results.name
        assert json.loads((target / "feature.stamp.json").read_text())["store"] == f"store/{name}.lmdb"
        assert (target / f"store/{name}.lmdb").samefile(edition.results / f"store/{name}.lmdb")
    assert (second.results / "feature.csv").read_text() == "two feature.csv"
    with staged(target):  # nothing holds the folder
        pass


def test_a_refresh_that_fails_is_told_with_what_it_said(tmp_path):
    with pytest.raises(LiveError, match=r"^scoreline refresh: .*no model artifact here"):
        refresh(tmp_path, "kernel")


def script(tmp_path, text):
    path = tmp_path / "wrk"
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return str(path)


COUNTS = dict.fromkeys(
    ("requests", "duration_us", "p50_us", "p99_us", "max_us", "bad_status", "bad_length", "position", "connect",
     "read", "write", "timeout"), 7,
)  # fmt: skip


def test_a_load_goes_on_until_it_is_stopped_and_then_gives_its_result(tmp_path):
    wrk = script(
        tmp_path,
        "import pathlib, signal, sys, time\n"
        f"signal.signal(signal.SIGINT, lambda *_: (print('RESULT {json.dumps(COUNTS)}', flush=True), sys.exit(0)))\n"
        f"pathlib.Path({str(tmp_path / 'on')!r}).touch()\n"
        "time.sleep(60)\n",
    )
    begin = time.monotonic()
    with Loading(wrk, 1, Requests(tmp_path / "keys", "/", "text/csv", "", "", (1, 2)), 16, 60) as loading:
        wait_until((tmp_path / "on").exists)
        assert loading.stopped().requests == 7
    assert time.monotonic() - begin < 30


def test_a_load_that_was_over_too_early_says_nothing_of_what_it_was_there_for(tmp_path):
    wrk = script(tmp_path, f"print('RESULT {json.dumps(COUNTS)}')\n")
    with Loading(wrk, 1, Requests(tmp_path / "keys", "/", "text/csv", "", "", (1, 2)), 16, 5) as loading:
        loading._wrk.wait(20)
        with pytest.raises(LoadError, match="was over, after 5 s, before"):
            loading.stopped()


def test_an_added_worker_is_the_difference_between_the_numbers_of_workers():
    one = memory_of(1, read=90.0, reloaded=90.0, whole=(100.0, 110.0))
    nine = memory_of(9, read=20.0, reloaded=24.0, whole=(180.0, 310.0))
    found = found_of([one, nine])
    assert figures.added_mb(found, 1, "read") is None
    assert figures.added_mb(found, 9, "read") == 10
    assert figures.added_mb(found, 9, "reloaded") == 25
    assert [(bar.got, bar.is_met) for bar in figures.bars(found)[:4]] == [
        (20, True),
        (10, True),
        (24, True),
        (25, True),
    ]  # fmt: skip  (one worker alone has the store's pages for itself, and counts for no bar)


def test_one_worker_of_many_that_has_too_much_misses_the_bar():
    many = memory_of(8, read=20.0, reloaded=20.0)
    many["held"]["reloaded"]["workers"][5]["private"] = 25.1
    bars = {bar.what.partition(":")[0]: bar.is_met for bar in figures.bars(found_of([many])) if "largest" in bar.what}
    assert bars == {"every row read once": True, "again after the reloads": False}


def test_ratios_of_a_refresh_are_within_each_round_and_every_failure_counts():
    rounds = [
        round_of(load(1_000, 4.0), load(500, 8.0), load(900, 4.0)),
        round_of(load(400, 10.0), load(360, 30.0), load(400, 10.0)),
        round_of(load(100, 1.0), load(70, 1.0), load(100, 1.0, wrong=1)),
    ]
    table = figures.tables(results_of(kernel=found_of(rounds=rounds)))[0]
    assert [row[0] for row in table[1:]] == ["kernel: before", "kernel: during (2.0 s)", "kernel: after"]
    during = dict(zip(table[0][1:4], table[2][1:4], strict=True))
    assert during == {"requests/s": "360", "/ before": "0.70", "p50 ms": "1.0"}
    assert table[2][4:] == ["8.0", "2.00", "9", "0"]
    (bar,) = [bar for bar in figures.bars(found_of(rounds=rounds)) if "failed" in bar.what]
    assert (bar.got, bar.is_met) == (1, False)


@pytest.mark.parametrize(("pings", "met"), [([0.9, 1.0, 3.0], True), ([0.9, 1.01, 1.1], False), ([], None)])
def test_the_median_start_is_held_against_a_second(pings, met):
    assert figures.bars(found_of(pings=pings))[-1].is_met is met


def test_gtil_stands_beside_the_kernel_in_every_table():
    full = found_of(
        [memory_of(1, read=9.0, reloaded=9.0), memory_of(2, read=9.0, reloaded=9.0)],
        [round_of(load(10), load(10), load(10))], [0.5],
    )  # fmt: skip
    *found, bars = figures.tables(results_of(kernel=full, gtil=full))
    assert len(found) == 3
    for table in found:
        assert {len(row) for row in table} == {len(table[0])}
        assert [row[0].replace("kernel", "gtil") for row in table[1:] if "kernel" in row[0]] == [
            row[0] for row in table[1:] if "gtil" in row[0]
        ]
    assert bars[0][-1] == "with gtil"
    assert all(row[-1] for row in bars[1:])


def test_what_did_not_run_has_no_table_and_its_bars_say_so():
    (bars,) = figures.tables(results_of(kernel=found_of()))
    assert {row[3] for row in bars[1:]} == {"not run"}


def test_the_page_has_its_place_in_the_readme():
    page = figures.as_page(results_of(kernel=found_of(pings=[0.5])))
    for part in ("2026-11-22", "abc1234", "2 cores (a CPU)", "wrk 4.1.0", "10 reloads", "| bar | wanted | got |"):
        assert part in page
    written = report.rewrite_block(bench.README.read_text(), page, "live")
    assert written.partition("<!-- live: begin -->")[2].partition("<!-- live: end -->")[0].strip() == page


@pytest.fixture
def live(tmp_path, monkeypatch):
    """Give `live.py` as a module, with nothing to prepare. Not by its name, which a folder of tests has too."""
    spec = importlib.util.spec_from_file_location("bench_live", bench.HERE / "live.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("end_in_order", "make_ready"):
        monkeypatch.setattr(module, name, lambda *_: None)
    monkeypatch.setattr(module, "program_versions", dict)
    monkeypatch.setattr(sys, "argv", ["live.py", "--out", str(tmp_path / "out.json")])
    return module


@pytest.mark.parametrize("started", [[], [{"ping_s": 0.5, "answer_s": 0.5}]], ids=["nothing", "starts"])
def test_what_was_measured_before_a_failure_is_kept_and_nothing_is_not(live, tmp_path, monkeypatch, capsys, started):
    def measure(options, workers, runtime, found):
        found["starts"] = started
        raise LiveError("a worker was replaced")

    monkeypatch.setattr(live, "measure", measure)
    assert live.main() == 1
    assert (tmp_path / "out.json").exists() is bool(started)
    assert "bench: a worker was replaced" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.needs("wrk")
@pytest.mark.needs("kernel")
def test_a_whole_run_with_few_orders(tmp_path):
    out, cache = tmp_path / "out.json", tmp_path / "cache"
    small = ["--orders", "2000", "--workers", "2", "--runtimes", "kernel", "--reloads", "2", "--starts", "1"]
    small += ["--seconds", "1", "--rounds", "1", "--cache", str(cache), "--out", str(out)]
    command = [sys.executable, str(bench.HERE / "live.py"), *small]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())["runtimes"]["kernel"]
    (one,) = found["memory"]
    assert (one["workers"], one["rows"], len(one["refresh_s"])) == (2, 2_000, 2)
    assert {len(one["held"][state]["workers"]) for state in figures.STATES} == {2}
    (refreshed,) = found["refresh"]["rounds"]
    during = refreshed["during"]
    assert during["wrong"] == 0
    assert during["requests"] > 0
    assert during["seconds"] == pytest.approx(refreshed["refresh_s"], abs=0.5)
    assert "first 200 of /ping" in done.stdout
    assert list((cache / "order_triage-2000").glob("live-*")) == []
