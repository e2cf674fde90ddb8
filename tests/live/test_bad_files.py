"""Files that must not be served, put where the good ones were."""

from __future__ import annotations

import pytest
from approval import (
    CARDS,
    ISSUERS,
    PROBLEM,
    WHICH_EDITION,
    generation_of,
    number_of,
    read_edition,
    refresh,
    seen_by_fresh_connections,
    serving_odds,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(odds, s3, new_catalogue, tmp_path_factory):
    """Give a server of approval odds, and the catalogue that it serves."""
    catalogue = new_catalogue()
    with serving_odds(odds, s3, tmp_path_factory.mktemp("bad"), catalogue) as server:
        yield server, catalogue


@pytest.fixture
def edition(served):
    """Give the edition that is served as a test begins: a new one."""
    server, catalogue = served
    number = read_edition(server.post(WHICH_EDITION)) + 1
    catalogue.put(number)
    catalogue.put_file(ISSUERS, catalogue.issuers)
    assert refresh(server).status == 200
    return number


def doubled(content):
    """Return the file with its third line once more at the end."""
    return content + content.splitlines(keepends=True)[2]


def many(content, times):
    """Return the file with so many times its rows; their keys differ."""
    head, *lines = content.splitlines(keepends=True)
    return head + b"".join(b"again-%d-%b" % (turn, line) for turn in range(times) for line in lines)


LATIN = b"a-card,CR\xc9DIT UNION,Carte \xe0 puce,0,300,10,20,false,none,false,false,\n"
BAD = {
    "truncated": (CARDS, lambda good: good[: len(good) // 2], ["line 3"]),
    "truncated-in-the-last-number": (CARDS, lambda good: good[:-1], ["its last line has no line end", "cut off"]),
    "column-renamed": (CARDS, lambda good: good.replace(b"min_score", b"minimum_score", 1), ["'min_score'"]),
    "column-gone": (ISSUERS, lambda good: b"\n".join(line.rpartition(b",")[0] for line in good.split(b"\n")), []),
    "other-type": (CARDS, lambda good: good.replace(b",620,", b",middling,", 1), ["'min_score'", "a whole number"]),
    "out-of-range": (CARDS, lambda good: good.replace(b",620,", b",62,", 1), ["'min_score'", "300"]),
    "key-twice": (CARDS, doubled, ["key (card_id) was there before, in line 3"]),
    "empty": (CARDS, lambda good: b"", []),
    "head-alone": (CARDS, lambda good: good.splitlines(keepends=True)[0], ["has 0 rows", "300"]),
    "ten-times-the-rows": (CARDS, lambda good: many(good, 80), ["rows; app.py declares from 300 to 5,000"]),
    "ten-times-the-bytes": (ISSUERS, lambda good: bytes(41_000_000), ["is 41,000,000 bytes", "at most 4,096,000"]),
    "utf-16": (CARDS, lambda good: good.decode().encode("utf-16"), ["UTF-8"]),
    "latin-1": (CARDS, lambda good: good + LATIN, ["line 644", "UTF-8"]),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_with_the_reason_and_the_good_one_goes_on(served, edition, kind):
    server, catalogue = served
    file, spoil, why = BAD[kind]
    before = server.post(WHICH_EDITION)
    bad = spoil(catalogue.edition(edition + 1) if file == CARDS else catalogue.issuers)
    catalogue.put_file(file, bad)
    for _ in range(2):  # it does not get better by being looked at
        answer = refresh(server)
        assert (answer.status, answer.headers["Content-Type"]) == (409, PROBLEM)
        assert (answer.json()["type"], answer.json()["status"]) == ("urn:scoreline:problem:conflict", 409)
        assert generation_of(answer) == generation_of(before)
        detail = answer.json()["detail"]
        assert file in detail
        assert (str(server.state) in detail, ".building" in detail) == (False, False)
        assert [part for part in why if part not in detail] == [], detail
        assert detail.endswith(". The generation published before goes on.")
    assert seen_by_fresh_connections(server.port, 20) == {(200, generation_of(before), edition): 20}
    catalogue.put(edition + 1)
    catalogue.put_file(ISSUERS, catalogue.issuers)
    good = refresh(server)
    assert (good.status, number_of(good)) == (200, number_of(before) + 1)
    assert seen_by_fresh_connections(server.port, 20) == {(200, generation_of(good), edition + 1): 20}


def test_a_file_that_is_gone_is_a_reason_too(served, edition):
    server, catalogue = served
    catalogue.remove(ISSUERS)
    answer = refresh(server)
    assert answer.status == 409
    assert "no such object; expected issuer_rules.csv" in answer.json()["detail"]
    assert read_edition(server.post(WHICH_EDITION)) == edition


def test_one_bad_file_holds_the_good_one_back(served, edition):
    server, catalogue = served
    before = server.post(WHICH_EDITION)
    catalogue.put(edition + 1)
    catalogue.put_file(ISSUERS, doubled(catalogue.issuers))
    answer = refresh(server)
    assert answer.status == 409
    assert ISSUERS in answer.json()["detail"]
    assert CARDS not in answer.json()["detail"]
    assert seen_by_fresh_connections(server.port, 20) == {(200, generation_of(before), edition): 20}
    catalogue.put_file(ISSUERS, catalogue.issuers)
    answer = refresh(server)
    assert (answer.status, number_of(answer)) == (200, number_of(before) + 1)
    assert {name: table["changed"] for name, table in answer.json()["tables"].items()} == {
        "card_variables": True,
        "issuer_rules": False,
    }


def test_two_bad_files_are_both_named(served, edition):
    server, catalogue = served
    catalogue.put_file(CARDS, doubled(catalogue.edition(edition)))
    catalogue.put_file(ISSUERS, doubled(catalogue.issuers))
    answer = refresh(server)
    assert answer.status == 409
    assert (CARDS in answer.json()["detail"], ISSUERS in answer.json()["detail"]) == (True, True)


def test_a_file_that_has_not_changed_publishes_nothing(served, edition):
    server, catalogue = served
    before = refresh(server)
    catalogue.put(edition)  # the same bytes anew
    answer = refresh(server)
    assert (answer.status, answer.json()["changed"]) == (200, False)
    assert answer.json() == before.json()
    assert [table["changed"] for table in answer.json()["tables"].values()] == [False, False]


def test_a_dry_run_says_what_would_be_and_publishes_nothing(served, edition):
    server, catalogue = served
    before = server.post(WHICH_EDITION)
    catalogue.put(edition + 1)
    for _ in range(2):
        answer = refresh(server, "?dry_run=1")
        assert answer.status == 200
        assert {name: answer.json()[name] for name in ("dry_run", "changed", "generation")} == {
            "dry_run": True,
            "changed": True,
            "generation": generation_of(before),
        }
    assert seen_by_fresh_connections(server.port, 20) == {(200, generation_of(before), edition): 20}
    catalogue.put_file(CARDS, doubled(catalogue.edition(edition + 1)))
    assert refresh(server, "?dry_run=1").status == 409
    catalogue.put(edition + 1)
    assert number_of(refresh(server)) == number_of(before) + 1
    assert read_edition(server.post(WHICH_EDITION)) == edition + 1
