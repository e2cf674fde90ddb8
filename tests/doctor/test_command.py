"""`scoreline doctor` as one types it: lines, closing line, JSON, exit codes."""

from __future__ import annotations

import functools
import json
import shutil

import pytest
from servers import copy_app, folders, own_predictor

from scoreline.cli.main import run
from scoreline.doctor import examine
from scoreline.doctor.wire import Site

pytestmark = pytest.mark.slow


@pytest.fixture
def cli(capsys, monkeypatch, little):
    """Give a function that runs `scoreline doctor` in this process, trying servers a little."""
    monkeypatch.setattr(examine, "Site", functools.partial(Site, effort=little))

    def run_it(*arguments):
        code = run(["doctor", *map(str, arguments)])
        return code, *capsys.readouterr()

    return run_it


@pytest.fixture
def record(tmp_path):
    """Give a file with records that broken.py answers."""
    path = tmp_path / "record.json"
    path.write_text('[{"x": 1, "y": 2}, {"x": 2, "y": 9}]')
    return path


def test_a_good_server_exits_0_and_counts_at_the_end(cli, site, record):
    code, out, err = cli("--url", site().url, "--record", record)
    assert (code, err) == (0, "")
    first, *_, last = out.splitlines()
    assert first.startswith("ok    H3   ping                  GET /ping is 200 within 2 s, each time: 3 times 200")
    assert last == "doctor: 35 passed, 0 warnings, 0 failures"


def test_a_failure_exits_1_and_has_its_fix_on_the_next_line(cli, site, record):
    code, out, _ = cli("--url", site("charset").url, "--record", record)
    lines = out.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("FAIL")]
    assert "content-type-exact" in lines[at]
    assert lines[at].endswith(": Accept: application/json gives Content-Type: application/json; charset=utf-8")
    assert lines[at + 1].lstrip().startswith("fix: Set the header Content-Type itself")
    assert (code, lines[-1]) == (1, "doctor: 34 passed, 0 warnings, 1 failure")


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--strict",), 1)])
def test_a_warning_exits_1_only_where_one_is_strict(cli, site, record, options, code):
    came = cli("--url", site("no-echo").url, "--record", record, *options)
    assert came[0] == code
    assert came[1].splitlines()[-1] == "doctor: 34 passed, 1 warning, 0 failures"
    assert "\nwarn  H11  attributes-echo" in came[1]


def test_json_holds_every_finding(cli, site, record):
    code, out, _ = cli("--url", site("no-csv").url, "--record", record, "--json")
    content = json.loads(out)
    assert code == 0
    assert {name: content[name] for name in ("passed", "warnings", "failures", "not_checked")} == {
        "passed": 34, "warnings": 1, "failures": 0, "not_checked": 0,
    }  # fmt: skip
    (found,) = [finding for finding in content["findings"] if finding["outcome"] == "failed"]
    assert (found["name"], found["grade"], found["item"]) == ("csv", "should", "P2")
    assert found["fix"].startswith("Take text/csv")


def test_an_app_that_is_ill_is_not_started(cli, triage, tmp_path):
    app = shutil.copytree(triage, tmp_path / "app")
    own_predictor(app, "matrix = matrix + 1")
    code, out, _ = cli(*folders(app))
    assert code == 1
    (failed,) = [line for line in out.splitlines() if line.startswith("FAIL")]
    assert failed.startswith("FAIL       golden")
    assert "start                 it is ready" in out
    assert "not checked, golden comes first" in out
    assert not (app / "state").exists()


def test_a_mistake_in_app_py_is_the_first_thing_said(cli, tmp_path):
    app = copy_app(tmp_path / "app", ("NIGHT_ENDS)]", "NIGHT_END)]"))
    code, out, _ = cli(*folders(app))
    assert code == 1
    assert out.startswith("FAIL       app                   app.py loads, and declares one whole app: ")
    assert "name 'NIGHT_END' is not defined" in out.splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--url", "localhost"], "expected a server's address"),
        (["--url", "http://127.0.0.1:1", "--image", "a:b"], "either --url or --image, not both"),
        (["--record", "/no/such/file"], "does not exist"),
        (["--url", "http://127.0.0.1:1", "--record", __file__], "--record"),
    ],
)
def test_misuse_exits_2_and_says_why(cli, arguments, says):
    code, out, err = cli(*arguments)
    assert (code, out) == (2, "")
    assert says in err


@pytest.mark.parametrize(
    ("name", "text", "records", "lines"),
    [
        ("a.json", '{"x": 1}', [{"x": 1}], ["1"]),
        ("a.json", '{"instances": [[1, true], [2, null]]}', [[1, True], [2, None]], ["1,true", "2,"]),
        ("a.jsonl", '{"x": "a,b"}\n{"x": "c"}\n', [{"x": "a,b"}, {"x": "c"}], ['"a,b"', "c"]),
        ("a.json", '[{"x": {"deep": 1}}]', [{"x": {"deep": 1}}], []),
        ("a.csv", "00501,2\n\n00502,3\n", [], ["00501,2", "00502,3"]),
    ],
)
def test_records_come_from_a_file_of_json_lines_or_csv(tmp_path, name, text, records, lines):
    from scoreline.doctor.records import read_records

    (tmp_path / name).write_text(text)
    sample = read_records(tmp_path / name)
    assert (list(sample.records), list(sample.lines)) == (records, lines)


@pytest.mark.parametrize(
    ("name", "text"), [("a.json", "[]"), ("a.json", "17"), ("a.json", "nonsense"), ("a.csv", "\n")]
)
def test_a_file_without_a_record_is_misuse(cli, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    code, _, err = cli("--url", "http://127.0.0.1:1", "--record", tmp_path / name)
    assert code == 2
    assert f"--record {tmp_path / name}" in err
