"""Feature builds as tables: medians of the rounds, ratios within each round, bars."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from harness.report import Bar, as_markdown, at_most, bar_table

OURS, SAME_JOB, SQL = "ours", "ours-same-job", "sql"
TITLES = {
    SQL: "plain DuckDB SQL",
    OURS: "`scoreline feature`, all of it",
    SAME_JOB: "`scoreline feature` but for store and self-check",
    "sql-no-zones": "plain SQL, times without their zones: wrong values",
    "pandas": "pandas merge_asof",
}
MOST_TO_SQL, MOST_MB, FROM_ORDERS = 1.3, 4096, 10_000_000
Results = Mapping[str, Any]  # {"machine", "settings", "versions", "cases": [{"orders", "skus", "sides"}]}
Round = Mapping[str, Any]  # {"wall_s", "cpu_s", "peak_mb", "values", for ours "apart_wall_s", "apart_cpu_s"}


def rounds_of(case: Mapping[str, Any], side: str) -> Sequence[Round]:
    """Return a side's rounds; of ours also without what the other sides have not got."""
    if side != SAME_JOB:
        return case["sides"].get(side, {"rounds": []})["rounds"]
    return [
        {**one, **{clock: one[clock] - one[f"apart_{clock}"] for clock in ("wall_s", "cpu_s")}}
        for one in rounds_of(case, OURS)
    ]


def ratio(case: Mapping[str, Any], side: str, metric: str) -> float | None:
    """Return the median over the rounds of the ratio to plain SQL within each; None where one did not run."""
    found = [mine[metric] / its[metric] for mine, its in zip(rounds_of(case, side), rounds_of(case, SQL), strict=False)]
    return statistics.median(found) if found else None


def bars(results: Results) -> list[Bar]:
    """Hold a run against the bars."""
    held = []
    for case in results["cases"]:
        name = _name(case)
        for clock, metric in (("wall", "wall_s"), ("CPU", "cpu_s")):  # CPU hardly minds what else the machine does
            held.append(at_most(f"{name}: same job / plain SQL, {clock}", MOST_TO_SQL, ratio(case, SAME_JOB, metric)))
            held.append(at_most(f"{name}: all / plain SQL, {clock}", MOST_TO_SQL, ratio(case, OURS, metric)))
        if case["orders"] >= FROM_ORDERS:
            held.append(at_most(f"{name}: peak in MB", MOST_MB, max(_all(case, OURS, "peak_mb"), default=None)))
    return held


def tables(results: Results) -> list[list[list[str]]]:
    """Return a table for each case, then that of the bars; the first row of each its head."""
    return [*(_case_table(case) for case in results["cases"]), bar_table(bars(results))]


def as_page(results: Results) -> str:
    """Write what stands in the README between the markers."""
    machine, settings = results["machine"], results["settings"]
    head = (
        f"{results['when']}, commit {results['commit']}; {machine['cores']} cores ({machine['cpu']}), "
        f"{machine['memory_gb']} GB, {machine['system']}, Python {machine['python']}, load before "
        f"{machine['load_before']:.1f}; {settings['threads']} threads."
    )
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return "\n\n".join([head, *map(as_markdown, tables(results)), f"Versions: {versions}."])


def _case_table(case: Mapping[str, Any]) -> list[list[str]]:
    rows = [[_name(case), "wall s", "/ plain SQL", "CPU s", "/ plain SQL", "peak MB", "values", "rounds"]]
    wanted = {one["values"] for one in rounds_of(case, OURS)}
    for side, title in TITLES.items():
        if not (rounds := rounds_of(case, side)):
            if side in case["sides"]:
                rows.append([title, f"not run: {case['sides'][side]['why']}", *[""] * (len(rows[0]) - 2)])
            continue
        row = [title]
        for metric in ("wall_s", "cpu_s"):
            row += [f"{statistics.median(_all(case, side, metric)):.1f}", _shown(ratio(case, side, metric))]
        row += [f"{max(_all(case, side, 'peak_mb')):,}"]
        row += ["as ours" if {one["values"] for one in rounds} == wanted else "others", str(len(rounds))]
        rows.append(row)
    return rows


def _all(case: Mapping[str, Any], side: str, metric: str) -> list[float]:
    return [one[metric] for one in rounds_of(case, side)]


def _name(case: Mapping[str, Any]) -> str:
    skus = "" if case["skus"] is None else f", {case['skus']:,} skus"
    return f"{case['orders']:,} orders{skus}"


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
