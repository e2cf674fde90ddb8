"""A server that keeps the contract passes every check; one that breaks it in one way fails that one, with its fix."""

from __future__ import annotations

import pytest

from scoreline.doctor.findings import Grade, Outcome
from scoreline.doctor.hosting import CHECKS
from scoreline.doctor.records import records_of_site
from scoreline.doctor.sample import Sample, sample_of_csv
from scoreline.doctor.wire import Site
from scoreline.errors import SettingError

pytestmark = pytest.mark.slow

# fault of the server, the one check that it fails, words of its fix
FAULTS = [
    ("ping-slow", "ping", "at once"),
    ("ping-ill", "ping", "as soon as the model can answer"),
    ("ping-body", "ping-empty", "the status alone"),
    ("ping-stands-in-line", "ping-busy", "a process or thread that never scores"),
    ("serves-any-path", "routes", "an unknown path with 404"),
    ("html", "no-html", "error_page with a JSON body"),
    ("plain-errors", "problem-json", "application/problem+json"),
    ("one-thread", "slow-upload", "proxy_request_buffering"),
    ("few-threads", "idle", "worker_connections 2048"),
    ("closes", "keep-alive", "Content-Length"),
    ("no-chunks", "chunked", "Transfer-Encoding: chunked"),
    ("no-continue", "continue", "HTTP/1.1 100 Continue"),
    ("5-mib", "body-6-mib", "client_max_body_size 6m;"),
    ("reset", "too-large", "lingering_close"),
    ("no-limit", "too-large", "Without any limit"),
    ("one-missing", "list-count", "as many entries"),
    ("list-of-one-swallowed", "list-count", "also a list of one"),
    ("reordered", "list-order", "join on position"),
    ("one-bad-costs-all", "bad-among-good", "an error object in the bad one's place"),
    ("charset", "content-type-exact", "without `; charset=utf-8`"),
    ("exact-type-in", "content-type-forms", "first `;`"),
    ("accept-whole", "accept-forms", "list of ranges with q-values"),
    ("no-csv", "csv", "text/csv without a header"),
    ("no-lines", "json-lines", "application/jsonlines"),
    ("no-npy", "npy", "allow_pickle=False"),
    ("bad-json-500", "bad-body", "answer 400"),
    ("traceback", "bad-body", "a traceback shows your code"),
    ("empty-body-500", "empty-body", "before it is parsed"),
    ("unpickles", "no-pickle", "allow_pickle=False"),
    ("bare-nan", "no-bare-nan", "Write null"),
    ("takes-any-type", "content-type-415", "415 with that list"),
    ("accept-ignored", "accept-406", "406 with the list"),
    ("long-head-refused", "amzn-headers", "large_client_header_buffers"),
    ("no-echo", "attributes-echo", "Copy the header"),
    ("echo-decodes", "attributes-safe", "undecoded"),
    ("parameters-text", "execution-parameters", "both whole numbers"),
    ("parameters-too-much", "execution-parameters", "their product at most 100"),
    ("strategy", "batch-strategy", "Leave BatchStrategy out"),
]


LINES = f"{'1'.zfill(4000)},2\n{'3'.zfill(4000)},4\n"  # long, so that 6 MiB of them are few


def failed(site):
    """Return the fixes of the checks that fail, by name."""
    return {found.name: found.fix for found in CHECKS.look_at(site) if found.outcome is Outcome.FAILED}


def test_a_server_that_keeps_the_contract_passes_every_check(site):
    assert {found.name: found.came for found in CHECKS.look_at(site()) if found.outcome is not Outcome.PASSED} == {}


@pytest.mark.parametrize(("fault", "check", "words"), FAULTS, ids=[fault for fault, *_ in FAULTS])
def test_a_fault_is_found_by_its_check_alone_and_told_its_fix(site, fault, check, words):
    found = failed(site(fault))
    assert list(found) == [check]
    assert words in found[check]


def test_every_check_of_a_server_is_failed_by_some_fault_here():
    without = {"records", "accept"}  # see below; nothing on loopback takes a connection slowly
    assert {check.name for check in CHECKS} - {check for _, check, _ in FAULTS} == without


def test_a_record_that_the_server_does_not_know_is_told_to_be_named(site):
    found = failed(site(sample=Sample(({"z": 1},), (), "elsewhere")))
    assert "--record FILE" in found["records"]
    assert list(found) == ["records"]


def test_without_a_record_what_needs_one_is_not_checked_and_says_how_to_name_one(site):
    came = {found.name: found for found in CHECKS.look_at(site(sample=None))}
    assert came["records"].outcome is Outcome.NOT_CHECKED
    assert "--record" in came["records"].came
    assert {name for name, found in came.items() if found.outcome is Outcome.FAILED} == set()
    assert came["bad-body"].outcome is Outcome.PASSED
    assert came["list-order"].came == "list-count comes first"


def test_lines_of_csv_alone_will_do(site):
    came = {found.name: found.outcome for found in CHECKS.look_at(site(sample=sample_of_csv(LINES, "the test")))}
    assert came.pop("list-order") is came.pop("csv") is Outcome.PASSED
    assert Outcome.FAILED not in came.values()
    assert came["json-lines"] is Outcome.NOT_CHECKED


def test_where_nobody_listens_there_is_one_reason(sample):
    came = [found for found in CHECKS.look_at(Site("http://127.0.0.1:9", sample)) if found.grade is Grade.MUST]
    assert came[0].came == "ping 1 of 20: GET /ping: the connection is refused"


def test_records_come_from_the_examples_of_openapi(site):
    sample = records_of_site(site("openapi", sample=None))
    assert sample.records == ({"x": 1.5, "y": 2.0}, {"x": 2.5, "y": 4.0})
    assert records_of_site(site(sample=None)) is None


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://x", "http://", "http://x:99999"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(SettingError, match="expected a server's address"):
        Site(url)
