"""What commands print: short summaries, for a person."""

from __future__ import annotations

from pathlib import Path

from scoreline.app.load import shown
from scoreline.features.build import REJECTED_FOLDER, FeatureReport
from scoreline.inference.run import InferenceReport
from scoreline.model.train import TrainReport

_SHOWN = 5


def feature_lines(report: FeatureReport, results: Path) -> list[str]:
    """Say what was read, set aside and built."""
    lines = ["feature"]
    for load in report.loads:
        aside = f", {len(load.rejected):,} set aside" if load.rejected else ""
        lines.append(f"  {load.file.name:<16} {load.rows_read:>10,} rows read{aside}")
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
    if any(load.rejected for load in report.loads):
        lines.append(f"  rows set aside are listed in {shown(results / REJECTED_FOLDER)}")
    lines.append(
        f"  {report.rows:,} rows of features, {report.checked} of them checked against a plain loop; "
        f"stamped {report.digest[:12]}"
    )
    if not report.rows:
        lines.append("  warning: there is no good row, the feature table is empty")
    return lines


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def train_lines(report: TrainReport, model_dir: Path) -> list[str]:
    """Say how good the learned heads are, and which could not be learnt."""
    lines = ["train"]
    for head, metrics in report.metrics.items():
        lines.append(
            f"  {head}: AUC {metrics.auc:.3f}, Brier {metrics.brier:.4f} (base rate {metrics.base_rate:.3f} alone: "
            f"{metrics.brier_base:.4f}), log loss {metrics.log_loss:.4f}, on the latest {metrics.rows:,} rows"
        )
        if not metrics.beats_base_rate:
            lines.append(f"  warning: {head} is no better than always saying the base rate")
    for head, names in report.blank.items():
        lines.append(f"  warning: {head} learns nothing of {', '.join(names)}: null in every row that trains")
    for head, why in report.uncompiled.items():
        lines.append(f"  warning: {head} is served by its estimator itself, slowly: {why}")
    for head, why in report.absent.items():
        lines.append(f"  warning: {head} could not be learnt and is null in replies: {why}")
    return [*lines, f"  model artifact in {shown(model_dir)}"]


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
