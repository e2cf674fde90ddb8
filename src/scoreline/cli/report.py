"""What commands print: short summaries, for a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scoreline.app.load import shown
from scoreline.features.build import REJECTED_FOLDER, FeatureReport
from scoreline.generations.report import RefreshReport
from scoreline.inference.run import InferenceReport
from scoreline.model.classes import ClassMetrics
from scoreline.model.evaluate import Metrics
from scoreline.model.train import TrainReport
from scoreline.scoring.run import ScoreReport

_SHOWN = 5


def feature_lines(report: FeatureReport, results: Path, *, at: str | None = None) -> list[str]:
    """Say what was read, set aside and built; `at` is the address that got it, where it is not the results folder."""
    lines = ["feature"]
    for load in report.loads:
        aside = f", {load.set_aside:,} set aside" if load.set_aside else ""
        lines.append(f"  {load.file.name:<16} {load.rows_read:>10,} rows read{aside}")
        if load.ingested:
            lines.append(f"  {'':<16} {load.ingested:>10,} rows ingested since, folded in")
        for column, values in load.unknown.items():
            kept = ", ".join(f"{value!r} ({count:,})" for value, count in list(values.items())[:_SHOWN])
            kept += f" and {len(values) - _SHOWN:,} more" if len(values) > _SHOWN else ""
            lines.append(f"  {'':<16} {column} outside its list, kept: {kept}")
        if reached := report.reached.get(load.spec.name):
            lines.append(f"  {'':<16} {_rows(reached)} of the spine would have used a row set aside")
        if unplaced := report.unplaced.get(load.spec.name):
            lines.append(
                f"  {'':<16} {_rows(unplaced)} set aside without a readable key: whom it reaches can't be told"
            )
    if any(load.set_aside for load in report.loads):
        lines.append(f"  rows set aside are listed in {f'{at}/rejected' if at else shown(results / REJECTED_FOLDER)}")
    checked = f"  {report.rows:,} rows of features, {report.checked} of them checked against a plain loop; "
    if at is None:
        lines.append(f"{checked}stamped {report.digest[:12]}")
    else:
        lines += [f"  {report.rows:,} rows of features, {report.checked} of them checked another way", f"  all in {at}"]
    if not report.rows:
        lines.append("  warning: there is no good row, the feature table is empty")
    return lines


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def train_lines(report: TrainReport, model_dir: Path) -> list[str]:
    """Say how good the learned heads are, and which could not be learnt."""
    lines = ["train"]
    for head, metrics in report.metrics.items():
        if isinstance(metrics, ClassMetrics):
            lines += _class_lines(head, metrics)
            continue
        lines.append(
            f"  {head}: AUC {metrics.auc:.3f}, Brier {metrics.brier:.4f} (base rate {metrics.base_rate:.3f} alone: "
            f"{metrics.brier_base:.4f}), log loss {metrics.log_loss:.4f}, on the latest {metrics.rows:,} rows"
        )
        if not metrics.beats_base_rate:
            lines.append(f"  warning: {head} is no better than always saying the base rate")
        lines += _reliability_lines(head, metrics)
    for head, count in report.knocked_out.items():
        lines.append(f"  {head}: {_rows(count)} not learnt from, a knock-out rule holds for them")
    for head, found in report.leaks.items():
        named = ", ".join(f"{name} (AUC {auc:.3f} alone)" for name, auc in found.items())
        lines.append(f"  warning: {head}: gives the target away: {named}; is it known before the decision?")
    for head, names in report.blank.items():
        lines.append(f"  warning: {head} learns nothing of {', '.join(names)}: null in every row that trains")
    for head, why in report.uncompiled.items():
        lines.append(f"  warning: {head} is served by its estimator itself, slowly: {why}")
    for head, why in report.absent.items():
        lines.append(f"  warning: {head} could not be learnt and is null in replies: {why}")
    return [*lines, f"  model artifact in {shown(model_dir)}"]


def _class_lines(head: str, metrics: ClassMetrics) -> list[str]:
    lines = [
        f"  {head}: accuracy {metrics.accuracy:.3f} (the most frequent class alone: {metrics.accuracy_base:.3f}), "
        f"log loss {metrics.log_loss:.4f} (shares alone: {metrics.log_loss_base:.4f}), on the latest "
        f"{metrics.rows:,} rows"
    ]
    if not metrics.beats_base_rate:
        lines.append(f"  warning: {head} is no better than always giving the shares of the classes")
    found = ", ".join(f"{name} {share:.3f}" for name, share in metrics.recall.items() if share is not None)
    lines.append(f"  {'':<16} found of each class: {found}")
    if metrics.unseen:
        lines.append(f"  warning: {head} never gives {', '.join(metrics.unseen)}: no row that trains has it")
    return lines


def refresh_lines(report: RefreshReport) -> list[str]:
    """Say what a refresh published, or would publish."""
    parts = {**{name: table["changed"] for name, table in report.tables.items()}, "model": report.model}
    if report.store:
        parts["store"] = True
    changed = [name for name, is_changed in parts.items() if is_changed]
    lines = []
    for name, table in report.tables.items():
        before = f", {table['rows_before']:,} before" if "rows_before" in table else ""
        lines.append(f"  {name:<16} {table['rows']:>8,} rows{', changed' if table['changed'] else ''}{before}")
    lines += [f"  {note}" for note in report.notes]
    if not report.changed:
        return [f"refresh: nothing changed, generation {report.generation} goes on", *lines]
    what = ", ".join(changed) or "app.py"
    if report.dry_run:
        goes_on = f"generation {report.generation} goes on" if report.generation else "nothing is published yet"
        return [f"refresh: all good, {what} would be published; {goes_on}", *lines]
    return [f"refresh: published generation {report.generation}: {what}", *lines]


def status_lines(described: dict[str, Any]) -> list[str]:
    """Say which generation is served, from what, and what there is to go back to."""
    servers = ", ".join(f"pid {pid}" for pid in described["servers"]) or "no server runs"
    lines = [f"generation {described['published'] or 'none yet'}; {servers}"]
    if described["pinned"] is not None:
        lines.append(f"  pinned at {described['pinned']} by a rollback; scoreline rollback --unpin lets new content in")
    if described["tables"]:
        lines.append(f"  reference tables from {described['source']}")
    for name, table in described["tables"].items():
        seen = "never seen" if table["age_s"] is None else f"seen {table['age_s']:,.0f} s ago"
        stale = f", older than the {table['stale_after_s']:,} s declared" if table["stale"] else ""
        lines.append(f"  {name:<16} {seen}{stale}")
        if table["error"]:
            lines.append(f"  {'':<16} last: {table['error']}")
    lines += _store_lines(described.get("store"))
    lines += _events_lines(described["events"])
    for kept in described["generations"]:
        rows = "".join(f", {name} {table['rows']:,} rows" for name, table in kept["tables"].items())
        lines.append(f"  {kept['generation']:<12} {kept['created_at'][:19]}Z  {kept['why']}{rows}")
    return lines


def _store_lines(store: dict[str, Any] | None) -> list[str]:
    """Say which features are current in the networked store."""
    if store is None:
        return []
    if store["error"]:
        return [f"  {store['error']}"]
    since = "nothing published" if store["current"] is None else f"{store['current']}, since {store['since'][:19]}Z"
    return [f"  online store at {store['where']}: {since}"]


def _events_lines(described: dict[str, Any]) -> list[str]:
    """Say how old each table's newest row is, and how many rows wait in the event log for the next `feature`."""
    lines = []
    for name, table in described.get("tables", {}).items():
        age = "no row" if table["age_s"] is None else f"newest row {_age(table['age_s'])} old"
        stale = f", older than the {table['stale_after_s']:,} s declared" if table["stale"] else ""
        lines.append(f"  {name:<16} {age}{stale}")
    if described.get("ingested_since"):
        lines.append(
            f"  {described['ingested_since']:,} rows ingested since; the next `scoreline feature` folds them in"
        )
    return lines


def _age(seconds: float) -> str:
    """Return an age as a person says it.

    Examples
    --------
    >>> _age(90), _age(7_000), _age(172_700), _age(9_000_000)
    ('90 s', '117 min', '48 h', '104 days')
    """
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:,.0f} s"


def _reliability_lines(head: str, metrics: Metrics) -> list[str]:
    """Show by band, over all rows and for each value of the `report_by` feature, what was predicted and observed."""
    if not metrics.by:
        return []
    parts = {"all": metrics, **metrics.by}
    rows = [
        ["", *parts],
        ["rows", *(f"{part.rows:,}" for part in parts.values())],
        ["AUC", *("" if part.auc != part.auc else f"{part.auc:.3f}" for part in parts.values())],
        ["Brier", *(f"{part.brier:.4f}" for part in parts.values())],
        ["base rate alone", *(f"{part.brier_base:.4f}" for part in parts.values())],
    ]
    by_band = [{band["from"]: band for band in part.reliability} for part in parts.values()]
    for start in sorted({start for bands in by_band for start in bands}):
        found = [bands.get(start) for bands in by_band]
        cells = ["" if b is None else f"{b['predicted']:.2f} {b['observed']:.2f} ({b['rows']:,})" for b in found]
        rows.append([f"{start:.1f}-{start + 0.1:.1f}", *cells])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return [f"  {head}, by band: predicted, observed (rows)", *(f"    {line.rstrip()}" for line in lines)]


def inference_lines(report: InferenceReport) -> list[str]:
    """Say how many records were scored, how they were decided and how fast."""
    lines = ["inference", f"  {report.records - report.errors:,} records scored, {report.errors:,} errors"]
    if report.set_aside:
        lines[-1] += f"; {report.set_aside:,} rows of the file set aside"
    if report.errors:
        lines.append(f"  the first error: {report.first_error}")
    for decisions in report.decisions.values():
        for decision, count in decisions.most_common():
            lines.append(f"  {decision:<24} {count:>10,}  {count / report.records:6.1%}")
    lines += [f"  {label}: {count:,}" for label, count in report.counts.items()]
    lines += [f"  warning: {label}: not counted, its function failed: {why}" for label, why in report.uncounted.items()]
    lines.append(f"  {report.per_second:,.0f} requests/s over {report.seconds:.1f} s")
    return [*lines, f"  results in {shown(report.path)}"]


def score_lines(report: ScoreReport) -> list[str]:
    """Say how many records were scored, how they were decided and how fast."""
    total = report.total
    lines = ["score", f"  {total.records - total.errors:,} records scored, {total.errors:,} errors"]
    if report.parts_before:
        lines.append(f"  {report.parts_before:,} of {report.parts:,} parts were done before")
    if total.first_error:  # on Spark none is the first
        lines.append(f"  the first error: {total.first_error}")
    if total.failure:
        lines.append(f"  the app's own code failed: {total.failure}")
    for decisions in total.decisions.values():
        for decision, count in sorted(decisions.items(), key=lambda item: -item[1]):
            lines.append(f"  {decision:<24} {count:>10,}  {count / total.records:6.1%}")
    if report.scored_now:
        where = {0: "on Spark", 1: "1 process"}.get(report.workers, f"{report.workers} processes")
        lines.append(f"  {report.per_second:,.0f} records/s over {report.seconds:.1f} s, {where}")
    return [*lines, f"  replies in {report.path}"]
