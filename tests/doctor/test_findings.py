"""How a list of checks is gone through."""

from __future__ import annotations

import pytest

from scoreline.doctor.findings import Checks, Failed, Grade, NotChecked, Outcome
from scoreline.doctor.report import is_good, summary_of


def fails(_):
    raise Failed("got 3")


def fails_in_its_own_way(_):
    raise Failed("got 3", "Take 4.")


def cannot_look(_):
    raise NotChecked("no light")


def stumbles(_):
    return {}["no such member"]


def checks_of(*looks):
    """Make a list of checks of functions, or of pairs with the names that one needs; all must hold."""
    checks = Checks()
    for look in looks:
        look, needs = look if isinstance(look, tuple) else (look, ())
        checks.add(look.__name__, "", Grade.MUST, "it holds", fix="Mend it.", needs=needs)(look)
    return checks


def holds(subject):
    return str(subject)


@pytest.mark.parametrize(
    ("look", "outcome", "came", "fix"),
    [
        (holds, Outcome.PASSED, "7", ""),
        (fails, Outcome.FAILED, "got 3", "Mend it."),
        (fails_in_its_own_way, Outcome.FAILED, "got 3", "Take 4."),
        (cannot_look, Outcome.NOT_CHECKED, "no light", ""),
        (stumbles, Outcome.FAILED, "what came makes no sense (KeyError: 'no such member')", "Mend it."),
    ],
)
def test_what_a_check_comes_to(look, outcome, came, fix):
    (found,) = checks_of(look).look_at(7)
    assert (found.outcome, found.came, found.fix) == (outcome, came, fix)


def test_what_is_needed_is_looked_at_first_and_its_failure_is_not_repeated():
    checks = checks_of((holds, ("stumbles", "fails")), (stumbles, ("fails",)), fails)
    found = list(checks.look_at(7))
    assert [finding.name for finding in found] == ["fails", "stumbles", "holds"]
    assert [finding.came for finding in found[1:]] == ["fails comes first", "stumbles comes first"]


def test_findings_of_another_list_count_too():
    known = {finding.name: finding for finding in checks_of(fails).look_at(7)}
    (found,) = checks_of((holds, ("fails",))).look_at(7, known)
    assert found.came == "fails comes first"


def test_what_is_not_known_is_not_waited_for():
    (found,) = checks_of((holds, ("of-another-list",))).look_at(7)
    assert found.outcome is Outcome.PASSED


def test_what_could_not_be_checked_is_neither_good_nor_bad():
    found = list(checks_of(cannot_look, holds).look_at(7))
    assert is_good(found, strict=True)
    assert summary_of(found) == "doctor: 1 passed, 0 warnings, 0 failures, 1 not checked"
