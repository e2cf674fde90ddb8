"""docs/originals.md names a test for each piece of the two originals: reading it, and finding names that prove nothing.

`make check` looks for the tests by name. Where a skip is a failure, tests/conftest.py also asks after a run of the
whole suite which of them passed: one that was skipped, or did not run since its parameters are others, ends it with 1.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PAGE = "docs/originals.md"
_ROW = re.compile(r"^\| *(?P<original>[^|\n]+?) *\|[^|\n]*\|(?P<tests>[^|\n]*)\|$", re.M)
_TEST = re.compile(r"`(tests/[^`]+\.py::[^`]+)`")


@dataclass(frozen=True)
class Row:
    """A row of the page.

    Attributes
    ----------
    original : the piece, as the original names it
    tests : node ids as pytest names them; one without [parameters] stands for all of them
    """

    original: str
    tests: tuple[str, ...]


def rows_of(page: str) -> list[Row]:
    """Return the rows of all tables of the page, without their heads."""
    rows = [Row(found["original"], tuple(_TEST.findall(found["tests"]))) for found in _ROW.finditer(page)]
    return [row for row in rows if row.original != "original" and not set(row.original) <= set("-:")]


def is_defined(test: str, root: Path) -> bool:
    """Whether a file of tests defines a test of that name; its parameters are not looked at."""
    file, *names = test.partition("[")[0].split("::")
    if not (root / file).is_file():
        return False
    body: list[ast.stmt] = ast.parse((root / file).read_text()).body
    for name in names:
        found = [node for node in body if getattr(node, "name", None) == name]
        if not found:
            return False
        body = getattr(found[-1], "body", [])
    return True


def unproved(tests: Iterable[str], outcomes: Mapping[str, str]) -> dict[str, str]:
    """Return the tests that prove nothing, each with why.

    Parameters
    ----------
    tests : node ids, without [parameters] for all of them
    outcomes : node id -> passed, skipped, failed, ... of each test that was run or passed over

    Examples
    --------
    >>> unproved(["a.py::one", "a.py::two"], {"a.py::one[x]": "passed", "a.py::one[y]": "skipped"})
    {'a.py::one': 'skipped', 'a.py::two': 'not run'}
    """
    found = {}
    for test in dict.fromkeys(tests):
        came = {outcome for name, outcome in outcomes.items() if name == test or name.startswith(f"{test}[")}
        if came != {"passed"}:
            found[test] = ", ".join(sorted(came - {"passed"})) or "not run"
    return found
