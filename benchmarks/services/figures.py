"""What `live.py` found, as tables and bars."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.report import Bar, as_markdown, at_most, bar_table, per_second

from services.memory import largest, median_private

Found = Mapping[str, Any]  # what one runtime came to: {"memory": [...], "refresh": {...}, "starts": [...]}
STATES = {"started": "after the start", "read": "every row read once", "reloaded": "again after the reloads"}
PHASES = ("before", "during", "after")
MOST_MB = 25  # that an added worker may have for itself
PING_S = 1  # from `serve` to the first 200 of /ping, for the sample


def tables(results: Mapping[str, Any]) -> list[list[list[str]]]:
    """Return the tables, each a list of rows of text, the first the head."""
    found = results["runtimes"]
    made: list[list[list[str]]] = [
        [table_of_head(results), *(row for name, one in found.items() for row in rows(name, one))]
        for table_of_head, rows in ((_memory_head, _memory_rows), (_start_head, _start_rows), (_load_head, _load_rows))
    ]
    kernel, *others = found
    beside = {f"with {name}": bars(found[name]) for name in others}
    return [*(table for table in made if len(table) > 1), bar_table(bars(found[kernel]), beside)]


def bars(found: Found) -> list[Bar]:
    """Hold what one runtime came to against the bars; what was not measured has no figure."""
    held = []
    for state in ("read", "reloaded"):
        most = [largest(one["held"][state]) for one in found["memory"] if one["workers"] > 1]
        held.append(at_most(f"{STATES[state]}: private MB of the largest of several workers", MOST_MB, _most(most)))
        added = [mb for one in found["memory"] if (mb := added_mb(found, one["workers"], state)) is not None]
        held.append(at_most(f"{STATES[state]}: MB of all for each added worker", MOST_MB, _most(added)))
    rounds = found["refresh"]["rounds"]
    wrong = sum(one[phase]["wrong"] for one in rounds for phase in PHASES) if rounds else None
    held.append(at_most("requests that failed before, during and after refreshes", 0, wrong))
    pings = [one["ping_s"] for one in found["starts"]]
    held.append(at_most("sample: first 200 of /ping in s", PING_S, statistics.median(pings) if pings else None))
    return held


def added_mb(found: Found, workers: int, state: str) -> float | None:
    """Return by how much all processes grow with each worker more, from the fewest workers on; None for those."""
    fewest = min(found["memory"], key=lambda one: one["workers"])
    (here,) = [one for one in found["memory"] if one["workers"] == workers]
    more = workers - fewest["workers"]
    grown = here["held"][state]["whole"] - fewest["held"][state]["whole"]
    return grown / more if more else None


def phase_ratio(rounds: Sequence[Found], phase: str, measure: Callable[[Found], float]) -> float:
    """Return the median over the rounds of the ratio to the load before, within each."""
    return statistics.median(measure(one[phase]) / measure(one["before"]) for one in rounds)


def as_page(results: Mapping[str, Any]) -> str:
    """Write what stands in the README between the markers."""
    machine, settings = results["machine"], results["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(results["versions"].items()))
    head = (
        f"{results['when']}, commit {results['commit']}; {machine['cores']} cores ({machine['cpu']}), "
        f"{machine['memory_gb']} GB, {machine['system']}, Python {machine['python']}; {settings['orders']:,} orders, "
        f"{settings['reloads']} reloads, {settings['rounds']} rounds of {settings['seconds']} s."
    )
    return "\n\n".join([head, *map(as_markdown, tables(results)), f"Versions: {versions}."])


def _memory_head(results: Mapping[str, Any]) -> list[str]:
    return ["memory in MB", "a worker", "the largest", "of it clean", "all", "all, each added worker"]


def _memory_rows(runtime: str, found: Found) -> list[list[str]]:
    rows = []
    for one in found["memory"]:
        for state, words in STATES.items():
            held = one["held"][state]
            added = added_mb(found, one["workers"], state)
            private = [median_private(held), largest(held), largest(held, "clean")]
            shown = [*(f"{mb:.1f}" for mb in private), f"{held['whole']:.0f}", "" if added is None else f"{added:.1f}"]
            rows.append([f"{_so_many(one['workers'])}, {runtime}: {words}", *shown])
    return rows


def _start_head(results: Mapping[str, Any]) -> list[str]:
    return ["from `serve` to the first 200, s", "/ping", "a request"]


def _start_rows(runtime: str, found: Found) -> list[list[str]]:
    rows = [
        [f"{_so_many(one['workers'])}, {runtime}: {one['rows']:,} rows", *_seconds([one])] for one in found["memory"]
    ]
    if starts := found["starts"]:
        rows.append([f"{runtime}: as large as the sample, median of {len(starts)}", *_seconds(starts)])
    return rows


def _load_head(results: Mapping[str, Any]) -> list[str]:
    head = ["refresh at 16 connections", "requests/s", "/ before"]
    return [*head, "p50 ms", "p99 ms", "/ before", "longest ms", "failed"]


def _load_rows(runtime: str, found: Found) -> list[list[str]]:
    rounds = found["refresh"]["rounds"]
    if not rounds:
        return []
    took = statistics.median(one["refresh_s"] for one in rounds)
    titles = {"before": "before", "during": f"during ({took:.1f} s)", "after": "after"}
    return [_load_row(f"{runtime}: {titles[phase]}", rounds, phase) for phase in PHASES]


def _load_row(title: str, rounds: Sequence[Found], phase: str) -> list[str]:
    def middle(measure: Callable[[Found], float]) -> float:
        return statistics.median(measure(one[phase]) for one in rounds)

    def p99(load: Found) -> float:
        return float(load["p99_ms"])

    return [
        title,
        f"{middle(per_second):,.0f}",
        f"{phase_ratio(rounds, phase, per_second):.2f}",
        f"{middle(lambda load: load['p50_ms']):.1f}",
        f"{middle(p99):.1f}",
        f"{phase_ratio(rounds, phase, p99):.2f}",
        f"{max(one[phase]['max_ms'] for one in rounds):.0f}",
        f"{sum(one[phase]['wrong'] for one in rounds):,}",
    ]


def _seconds(starts: Sequence[Found]) -> list[str]:
    return [f"{statistics.median(one[what] for one in starts):.2f}" for what in ("ping_s", "answer_s")]


def _so_many(workers: int) -> str:
    return "1 worker" if workers == 1 else f"{workers} workers"


def _most(values: Sequence[float]) -> float | None:
    return max(values, default=None)
