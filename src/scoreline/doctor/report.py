"""Findings as lines for a person, or as JSON for a program."""

from __future__ import annotations

import json
from collections.abc import Sequence

from scoreline.doctor.findings import Finding, Outcome

_MARKS = {Outcome.PASSED: "ok", Outcome.NOT_CHECKED: "--"}


def lines_of(finding: Finding) -> list[str]:
    """Return a finding as one line, and for a failure the fix on a second one.

    Examples
    --------
    >>> from scoreline.doctor.findings import Grade
    >>> finding = Finding("ping-empty", "H3", Grade.SHOULD, Outcome.FAILED, "no body", "4 bytes: pong", "Send none.")
    >>> print(*lines_of(finding), sep="\\n")
    warn  H3   ping-empty            no body: 4 bytes: pong
               fix: Send none.
    """
    mark = _MARKS.get(finding.outcome) or ("FAIL" if finding.is_failure else "warn")
    why = "not checked, " if finding.outcome is Outcome.NOT_CHECKED else ""
    first = f"{mark:<5} {finding.item:<4} {finding.name:<21} {finding.what}: {why}{finding.came}"
    return [first, *([f"{'':<10} fix: {finding.fix}"] if finding.fix else [])]


def summary_of(findings: Sequence[Finding]) -> str:
    """Return the closing line."""
    passed = sum(finding.outcome is Outcome.PASSED for finding in findings)
    skipped = sum(finding.outcome is Outcome.NOT_CHECKED for finding in findings)
    warnings, failures = sum(f.is_warning for f in findings), sum(f.is_failure for f in findings)
    aside = f", {skipped} not checked" if skipped else ""
    return f"doctor: {passed} passed, {_some(warnings, 'warning')}, {_some(failures, 'failure')}{aside}"


def json_of(findings: Sequence[Finding]) -> str:
    """Return all findings as one JSON object."""
    return json.dumps(
        {
            "findings": [finding.describe() for finding in findings],
            "passed": sum(finding.outcome is Outcome.PASSED for finding in findings),
            "warnings": sum(finding.is_warning for finding in findings),
            "failures": sum(finding.is_failure for finding in findings),
            "not_checked": sum(finding.outcome is Outcome.NOT_CHECKED for finding in findings),
        },
        indent=2,
    )


def is_good(findings: Sequence[Finding], *, strict: bool) -> bool:
    """Whether something was checked, and nothing failed that must hold; with `strict` nor anything that should."""
    was_checked = any(finding.outcome is not Outcome.NOT_CHECKED for finding in findings)
    return was_checked and not any(finding.is_failure or (strict and finding.is_warning) for finding in findings)


def _some(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
