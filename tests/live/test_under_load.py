"""Fifty refreshes while requests come in all the time."""

from __future__ import annotations

import pytest
from approval import (
    WHICH_EDITION,
    Load,
    generation_of,
    number_of,
    read_edition,
    refresh,
    seen_by_fresh_connections,
)

pytestmark = pytest.mark.slow
REFRESHES, LOOKS = 50, 200


def test_fifty_refreshes_under_load_fail_no_request_and_each_answer_is_of_the_generation_it_names(start, catalogue):
    server = start(catalogue)
    first = server.post(WHICH_EDITION)
    editions = {generation_of(first): 0}
    with Load(server.port, [WHICH_EDITION], read_edition) as load:
        for edition in range(1, REFRESHES + 1):
            catalogue.put(edition)
            answer = refresh(server)
            report = answer.json()
            assert (answer.status, report["changed"]) == (200, True)
            assert report["tables"]["card_variables"]["changed"]
            assert not report["tables"]["issuer_rules"]["changed"]
            assert report["generation"] == generation_of(answer)
            assert number_of(answer) == number_of(first) + edition
            editions[report["generation"]] = edition
            seen = seen_by_fresh_connections(server.port, LOOKS)
            assert seen == {(200, report["generation"], edition): LOOKS}
    assert load.failures == []
    assert set(load.answers) <= set(editions.items())
    assert len(load.answers) > REFRESHES / 2  # most editions were seen by it, not by the looks alone
