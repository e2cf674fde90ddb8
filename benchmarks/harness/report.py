"""The results as tables: medians of the rounds, and ratios within each round."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FLASK, ASGI, TRIAGE, PLAIN = "empty-flask", "empty-asgi", "triage", "plain"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"  # those of other benchmarks have their name instead
LIST_ROWS = 1_000
Results = Mapping[str, Any]  # what run.py writes: {"machine": ..., "sides": {name: {"title", "rounds", ...}}}
Round = Mapping[str, Any]


@dataclass(frozen=True)
class Bar:
    """What a run is held against.

    Attributes
    ----------
    got : None where a side that it needs did not run
    """

    what: str
    wanted: str
    got: float | None
    is_met: bool | None


def per_second(load: Mapping[str, Any]) -> float:
    """Return the good replies a second of a load."""
    return max(0, load["requests"] - load["wrong"]) / load["seconds"]


METRICS: dict[str, Callable[[Round], float | None]] = {  # None where lists were not measured
    "many": lambda one: per_second(one["many"]),
    "many_p50": lambda one: one["many"]["p50_ms"],
    "many_p99": lambda one: one["many"]["p99_ms"],
    "one": lambda one: per_second(one["one"]),
    "one_p50": lambda one: one["one"]["p50_ms"],
    "one_p99": lambda one: one["one"]["p99_ms"],
    "cpu_us": lambda one: one["cpu_us"],
    "worker_mb": lambda one: one["memory"]["worker"],
    "whole_mb": lambda one: one["memory"]["whole"],
    "start_s": lambda one: one["start_s"],
    "records": lambda one: one["lists"] and LIST_ROWS * per_second(one["lists"]),
    "records_a_core": lambda one: 1e6 / one["list_cpu_us"] if one["list_cpu_us"] and one["lists"]["requests"] else None,
    "list_p50": lambda one: one["lists"] and one["lists"]["p50_ms"],
}


def median(results: Results, side: str, metric: str) -> float | None:
    """Return the median of a side's rounds; None where it did not run."""
    found = [value for one in _rounds(results, side) if (value := METRICS[metric](one)) is not None]
    return statistics.median(found) if found else None


def ratio(results: Results, side: str, other: str, metric: str) -> float | None:
    """Return the median over the rounds of the ratio within each; None where one of the two did not run.

    Within a round both ran minutes apart, so that a slow quarter of an hour of the machine hits both.
    """
    measure = METRICS[metric]
    pairs = zip(_rounds(results, side), _rounds(results, other), strict=False)  # one may have failed in a later round
    values = ((measure(mine), measure(its)) for mine, its in pairs)
    found = [mine / its for mine, its in values if mine is not None and its]
    return statistics.median(found) if found else None


def bars(results: Results) -> list[Bar]:
    """Hold a run against the bars."""
    peers = [name for name, side in results["sides"].items() if side["kind"] == "peer"]
    rates = {name: rate for name in peers if (rate := median(results, name, "many"))}
    best = max(rates, key=lambda name: rates[name], default="none")
    differing = _differing(results, PLAIN)
    return [
        at_least(f"{TRIAGE} / {FLASK}, requests/s", 2.0, ratio(results, TRIAGE, FLASK, "many")),
        at_least(f"{TRIAGE} / {ASGI}, requests/s", 0.60, ratio(results, TRIAGE, ASGI, "many")),
        at_most(f"{TRIAGE} / {ASGI}, p99", 1.5, ratio(results, TRIAGE, ASGI, "many_p99")),
        at_most(f"{TRIAGE}, p99 in ms", 10, median(results, TRIAGE, "many_p99")),
        at_least(f"{PLAIN} / mlflow, requests/s", 40, ratio(results, PLAIN, "mlflow", "many")),
        at_least(f"{PLAIN} / best peer ({best}), requests/s", 10, ratio(results, PLAIN, best, "many")),
        at_least(f"{PLAIN} / onnx, requests/s", 1, ratio(results, PLAIN, "onnx", "many")),
        at_most(f"{PLAIN}, answers that differ", 0, None if differing is None else float(sum(differing))),
        at_least(f"{PLAIN}, records/s a core in lists", 50_000, median(results, PLAIN, "records_a_core")),
        at_most(f"{TRIAGE}, first answer in s", 1, median(results, TRIAGE, "start_s")),
    ]


def tables(results: Results) -> dict[str, list[list[str]]]:
    """Return the tables, each a list of rows of text, the first the head."""
    return {"single": _single_table(results), "lists": _list_table(results), "bars": bar_table(bars(results))}


def bar_table(held: Sequence[Bar]) -> list[list[str]]:
    """Return bars as a table, the first row its head."""
    rows = [["bar", "wanted", "got", ""]]
    for bar in held:
        verdict = "not run" if bar.is_met is None else "met" if bar.is_met else "not met"
        rows.append([bar.what, bar.wanted, "" if bar.got is None else _precise(bar.got), verdict])
    return rows


def at_least(what: str, wanted: float, got: float | None) -> Bar:
    """Return a bar that is met from `wanted` on."""
    return Bar(what, f">= {_precise(wanted)}", got, None if got is None else got >= wanted)


def at_most(what: str, wanted: float, got: float | None) -> Bar:
    """Return a bar that is met up to `wanted`."""
    return Bar(what, f"<= {_precise(wanted)}", got, None if got is None else got <= wanted)


def as_text(rows: Sequence[Sequence[str]]) -> str:
    """Align a table for a terminal: the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def as_markdown(rows: Sequence[Sequence[str]]) -> str:
    """Write a table as Markdown."""
    head, *body = rows
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *body))


def as_page(results: Results) -> str:
    """Write what stands in the README between the markers."""
    machine, settings = results["machine"], results["settings"]
    parts = [
        f"{results['when']}, commit {results['commit']}; {machine['cores']} cores ({machine['cpu']}), "
        f"{machine['memory_gb']} GB, {machine['system']}, Python {machine['python']}; {settings['workers']} workers, "
        f"{settings['rounds']} rounds of {settings['seconds']} s, {settings['orders']:,} orders.",
        *(as_markdown(rows) for rows in tables(results).values()),
        f"Versions: {_versions(results)}.",
    ]
    if absent := not_run(results):
        parts.insert(-1, "Not run: " + "; ".join(f"{name}: {why}" for name, why in absent.items()) + ".")
    return "\n\n".join(parts)


def rewrite_block(text: str, page: str, name: str = "bench") -> str:
    """Put a page between the markers of this name; ValueError unless each marker stands in the text once, in order.

    Examples
    --------
    >>> rewrite_block(f"before {BEGIN} old {END} after", "new").splitlines()
    ['before <!-- bench: begin -->', '', 'new', '', '<!-- bench: end --> after']
    """
    begin, end = BEGIN.replace("bench", name), END.replace("bench", name)
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"expected {begin} and then {end} once each")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{page}\n\n{end}{after}"


def not_run(results: Results) -> dict[str, str]:
    """Return the sides that did not run, each with why."""
    return {name: side["why"] for name, side in results["sides"].items() if not side["rounds"]}


def _rounds(results: Results, side: str) -> Sequence[Round]:
    found: Sequence[Round] = results["sides"].get(side, {"rounds": []})["rounds"]
    return found


def _single_table(results: Results) -> list[list[str]]:
    head = ["one record a request", "requests/s, 16", f"/ {FLASK}", f"/ {ASGI}", f"{PLAIN} /", "p50 ms, 16", "p99"]
    head += [
        "requests/s, 1",
        "p50 ms, 1",
        "p99",
        "CPU us",
        "MB a worker",
        "MB all",
        "first answer s",
        "differ",
        "wrong",
    ]
    rows = [head]
    for name, side in results["sides"].items():
        if not side["rounds"]:
            rows.append([side["title"], "not run", *[""] * (len(head) - 2)])
            continue
        shown = [_number(median(results, name, "many"))]
        shown += [_ratio(ratio(results, name, other, "many")) for other in (FLASK, ASGI)]
        shown += [_ratio(ratio(results, PLAIN, name, "many"))]
        shown += [_number(median(results, name, metric)) for metric in ("many_p50", "many_p99", "one", "one_p50")]
        shown += [_number(median(results, name, metric)) for metric in ("one_p99", "cpu_us", "worker_mb", "whole_mb")]
        shown += [_number(median(results, name, "start_s")), _difference(results, name), f"{_wrong(results, name):,}"]
        rows.append([side["title"], *shown])
    return rows


def _list_table(results: Results) -> list[list[str]]:
    rows = [["1,000 records a request", "records/s", "records/s a core", f"{PLAIN} /", "p50 ms a list"]]
    for name, side in results["sides"].items():
        if side["rounds"] and side["rounds"][0]["lists"] is not None:
            shown = [_number(median(results, name, metric)) for metric in ("records", "records_a_core")]
            shown += [_ratio(ratio(results, PLAIN, name, "records")), _number(median(results, name, "list_p50"))]
            rows.append([side["title"], *shown])
    return rows


def _differing(results: Results, side: str) -> tuple[int, int] | None:
    """Return the most labels and probabilities that differed in any check of a side."""
    checks = [one[when] for one in _rounds(results, side) for when in ("before", "after")]
    if not checks:
        return None
    return max(found["labels"] for found in checks), max(found["probabilities"] for found in checks)


def _difference(results: Results, side: str) -> str:
    found = _differing(results, side)
    assert found is not None
    records = _rounds(results, side)[0]["before"]["records"]
    if not any(found):
        return f"0 of {records:,}"
    return f"{found[0]:,} labels, {found[1]:,} probabilities of {records:,}"


def _wrong(results: Results, side: str) -> int:
    loads = [one[name] for one in _rounds(results, side) for name in ("one", "many", "lists") if one[name]]
    return sum(load["wrong"] for load in loads)


def _versions(results: Results) -> str:
    shown = {**results["versions"]}
    for side in results["sides"].values():
        shown |= {name: version for name, version in side["versions"].items() if name not in shown}
    return ", ".join(f"{name} {version}" for name, version in sorted(shown.items()))


def _precise(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 or value == int(value) else f"{value:.3g}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _ratio(value: float | None) -> str:
    return "" if value is None else _number(value)
