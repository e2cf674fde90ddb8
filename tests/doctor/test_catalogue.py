"""What all checks owe: a name of their own, a fix in plain words, a line in the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from scoreline.doctor.catalogue import GROUPS

PAGE = (Path(__file__).parents[2] / "docs/doctor.md").read_text()
ALL = [check for checks in GROUPS.values() for check in checks]


def test_names_are_unique_and_short_enough_for_their_column():
    assert len({check.name for check in ALL}) == len(ALL)
    assert [check.name for check in ALL if len(check.name) > 21 or len(check.item) > 4] == []


@pytest.mark.parametrize("check", ALL, ids=[check.name for check in ALL])
def test_a_check_has_a_fix_and_a_row_in_the_page(check):
    assert check.fix.endswith(".")
    assert f"| `{check.name}` | {check.item} | {check.grade} | {check.what} |\n" in PAGE


def test_the_page_has_no_row_of_a_check_that_there_is_not():
    assert PAGE.count("| must |") + PAGE.count("| should |") == len(ALL)


def test_what_a_check_needs_there_is():
    assert {name for check in ALL for name in check.needs} <= {check.name for check in ALL}
