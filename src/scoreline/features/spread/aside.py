"""Rows set aside on Spark, as files in a folder of this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

from pyspark.sql import DataFrame

from scoreline.distributed.trouble import translated
from scoreline.features.build import REACHED_FILE
from scoreline.features.engines.distributed.aside import rejected_lines
from scoreline.features.spread.steps import Build


def write_rejected(build: Build, work: Path, folder: Path) -> None:
    """Write `rejected/<table>.jsonl` and `reached.jsonl`, one file each, from the parts that Spark writes."""
    folder.mkdir(parents=True, exist_ok=True)
    reached = work / REACHED_FILE
    for load in build.loads:
        name = f"{load.spec.name}.jsonl"
        (folder / name).unlink(missing_ok=True)
        if load.set_aside:
            _gather(rejected_lines(load), work / name)
            (work / name).replace(folder / name)
        if (lines := build.reached(load)) is not None:
            _gather(lines, reached)
    (folder / REACHED_FILE).unlink(missing_ok=True)
    if reached.exists() and reached.stat().st_size:
        reached.replace(folder / REACHED_FILE)


def _gather(lines: DataFrame, into: Path) -> None:
    """Append the parts of a frame of lines to one file, in their order."""
    parts = into.with_suffix(".parts")
    with translated(f"writing {into.name}"):
        lines.write.text(f"file://{parts.resolve()}")
    with into.open("ab") as file:
        for part in sorted(parts.glob("part-*")):
            with part.open("rb") as source:
                shutil.copyfileobj(source, file)
    shutil.rmtree(parts)
