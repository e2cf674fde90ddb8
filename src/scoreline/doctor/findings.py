"""What a check is, what it comes to, and how a list of them is gone through.

A check looks at one thing of a subject (a server, an app, an image) and returns what came, in a few
words; it raises `Failed` where that is not what must hold, and `NotChecked` where it can't look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

Subject = TypeVar("Subject")
Look = Callable[[Subject], str]


class Grade(StrEnum):
    """How much depends on a check."""

    MUST = "must"  # SageMaker or its clients break where it fails
    SHOULD = "should"  # good practice


class Outcome(StrEnum):
    """What a check came to."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


class Failed(Exception):
    """What was looked at is not as it must be.

    Parameters
    ----------
    came : what came instead, in a few words
    fix : what to change, where it is more particular than the check's own
    """

    def __init__(self, came: str, fix: str | None = None) -> None:
        super().__init__(came)
        self.came, self.fix = came, fix


class NotChecked(Exception):
    """It can't be looked at here; the message says why."""


@dataclass(frozen=True)
class Check(Generic[Subject]):
    """One thing that must or should hold.

    Attributes
    ----------
    name : public and stable, such as `ping-empty`
    item : of the contract, as docs/doctor.md lists them
    what : what must hold
    fix : what to change where it does not
    needs : names of checks without which looking would only repeat their failure
    """

    name: str
    item: str
    grade: Grade
    what: str
    fix: str
    look: Look[Subject]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """What one check came to.

    Attributes
    ----------
    came : what was seen; where it was not checked, why
    fix : what to change, empty unless it failed
    """

    name: str
    item: str
    grade: Grade
    outcome: Outcome
    what: str
    came: str
    fix: str = ""

    @property
    def is_failure(self) -> bool:
        """Whether what must hold does not."""
        return self.outcome is Outcome.FAILED and self.grade is Grade.MUST

    @property
    def is_warning(self) -> bool:
        """Whether what should hold does not."""
        return self.outcome is Outcome.FAILED and self.grade is Grade.SHOULD

    def describe(self) -> dict[str, Any]:
        """Return the finding as JSON-able data."""
        return asdict(self)


class Checks(Generic[Subject]):
    """A list of checks of one kind of subject, in the order in which they are looked at.

    Examples
    --------
    >>> checks: Checks[int] = Checks()
    >>> @checks.add("even", "X1", Grade.MUST, "an even number", fix="Take another one.")
    ... def _even(number):
    ...     if number % 2:
    ...         raise Failed(f"got {number}")
    ...     return f"got {number}"
    >>> [(finding.outcome.value, finding.came, finding.fix) for finding in checks.look_at(3)]
    [('failed', 'got 3', 'Take another one.')]
    """

    def __init__(self) -> None:
        self._checks: dict[str, Check[Subject]] = {}

    def __iter__(self) -> Iterator[Check[Subject]]:
        return iter(self._checks.values())

    def add(
        self, name: str, item: str, grade: Grade, what: str, *, fix: str, needs: tuple[str, ...] = ()
    ) -> Callable[[Look[Subject]], Look[Subject]]:
        """Return a decorator that adds a function as a check."""

        def take(look: Look[Subject]) -> Look[Subject]:
            self._checks[name] = Check(name, item, grade, what, fix, look, needs)
            return look

        return take

    def extend(self, others: Checks[Subject]) -> None:
        """Add the checks of another list behind these."""
        self._checks |= others._checks

    def look_at(self, subject: Subject, known: Mapping[str, Finding] | None = None) -> Iterator[Finding]:
        """Go through the checks; yield what each comes to.

        Parameters
        ----------
        known : findings of other checks, by name, for those that need them
        """
        found = dict(known or {})
        for check in _needed_first(list(self)):
            found[check.name] = finding = _finding(check, subject, found)
            yield finding

    def leave(self, reason: str) -> Iterator[Finding]:
        """Yield all checks as not checked."""
        for check in _needed_first(list(self)):
            yield Finding(check.name, check.item, check.grade, Outcome.NOT_CHECKED, check.what, reason)


def _needed_first(checks: list[Check[Subject]]) -> list[Check[Subject]]:
    """Put checks behind those that they need, and else leave their order."""
    by_name, ordered = {check.name: check for check in checks}, dict[str, Check[Subject]]()

    def put(check: Check[Subject]) -> None:
        for name in check.needs:
            if name in by_name and name not in ordered:
                put(by_name[name])
        ordered.setdefault(check.name, check)

    for check in checks:
        put(check)
    return list(ordered.values())


def _finding(check: Check[Subject], subject: Subject, found: Mapping[str, Finding]) -> Finding:
    def came_to(outcome: Outcome, came: str, fix: str = "") -> Finding:
        return Finding(check.name, check.item, check.grade, outcome, check.what, came, fix)

    lacking = [name for name in check.needs if name in found and found[name].outcome is not Outcome.PASSED]
    if lacking:
        return came_to(Outcome.NOT_CHECKED, f"{lacking[0]} comes first")
    try:
        return came_to(Outcome.PASSED, check.look(subject))
    except Failed as failed:
        return came_to(Outcome.FAILED, failed.came, failed.fix or check.fix)
    except NotChecked as reason:
        return came_to(Outcome.NOT_CHECKED, str(reason))
    except Exception as error:  # a server may say anything: the other checks are looked at all the same
        return came_to(Outcome.FAILED, f"what came makes no sense ({type(error).__name__}: {error})", check.fix)
