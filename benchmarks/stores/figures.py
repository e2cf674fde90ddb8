"""Store builds and lookups as tables: medians of the rounds, ratios within each round, each part, bars."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from harness.report import Bar, as_markdown, at_most, bar_table

TITLES = {"ours": "`StoreWriter`", "bare": "sort and bare putmulti"}
MOST_TO_BARE, MOST_LOOKUP = 2.0, 2.0
Results = Mapping[str, Any]  # {"machine", "settings", "versions", "cases": [{"rows", "rounds"}]}
Case = Mapping[str, Any]  # a round: {"ours", "bare", "compare", "look-up"}, each what `stores/part.py` printed


def ratio(case: Case, metric: str) -> float:
    """Return the median over the rounds of ours to bare within each."""
    return statistics.median(one["ours"][metric] / one["bare"][metric] for one in case["rounds"])


def bars(results: Results) -> list[Bar]:
    """Hold a run against the bars."""
    held = []
    for case in results["cases"]:
        held.append(at_most(f"{case['rows']:,} rows: build / bare, wall", MOST_TO_BARE, ratio(case, "build_wall_s")))
        looked = statistics.median(one["look-up"]["ratio"] for one in case["rounds"])
        held.append(at_most(f"{case['rows']:,} rows: lookup / bare get", MOST_LOOKUP, looked))
    return held


def tables(results: Results) -> list[list[list[str]]]:
    """Return for each case the build with its parts, and the lookups; then the bars."""
    cases = [table for case in results["cases"] for table in (_build_table(case), _lookup_table(case))]
    return [*cases, bar_table(bars(results))]


def as_page(results: Results) -> str:
    """Write what stands in the README between the markers."""
    machine = results["machine"]
    head = (
        f"{results['when']}, commit {results['commit']}; {machine['cores']} cores ({machine['cpu']}), "
        f"{machine['memory_gb']} GB, {machine['system']}, Python {machine['python']}, load before "
        f"{machine['load_before']:.1f}."
    )
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return "\n\n".join([head, *map(as_markdown, tables(results)), f"Versions: {versions}."])


def _build_table(case: Case) -> list[list[str]]:
    rows = [[f"build, {case['rows']:,} rows", "wall s", "/ bare", "CPU s", "/ bare", "peak MB", "file MB"]]
    for side, title in TITLES.items():
        taken = [one[side] for one in case["rounds"]]
        row = [title]
        for clock in ("wall_s", "cpu_s"):
            row += [_median(taken, f"build_{clock}"), f"{ratio(case, f'build_{clock}') if side == 'ours' else 1:.2f}"]
        size = case["rounds"][0]["compare"][f"{side}_mb"]
        rows.append([*row, f"{max(one['peak_mb'] for one in taken):,}", f"{size:,}"])
        for part in taken[0]["parts"]:
            shown = [_median([one["parts"][part] for one in taken], clock) for clock in ("wall_s", "cpu_s")]
            rows.append([f"of it: {part}", shown[0], "", shown[1], "", "", ""])
    return rows


def _lookup_table(case: Case) -> list[list[str]]:
    looked = [one["look-up"] for one in case["rounds"]]
    shown = statistics.median(one["ratio"] for one in looked)
    return [
        [f"lookup, {case['rows']:,} rows", "CPU us", "/ bare"],
        ["`EmbeddedStore.get`: tuple to list", _median(looked, "ours_us", 2), f"{shown:.2f}"],
        ["bare get: bytes to bytes", _median(looked, "bare_us", 2), "1.00"],
    ]


def _median(taken: Sequence[Mapping[str, Any]], metric: str, digits: int = 1) -> str:
    return f"{statistics.median(one[metric] for one in taken):,.{digits}f}"
