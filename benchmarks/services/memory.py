"""What processes hold, from the kernel's own books: `smaps_rollup` of each."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil


@dataclass(frozen=True)
class WorkerMemory:
    """Memory of one worker in MB.

    Attributes
    ----------
    private : what it has for itself alone (USS)
    clean : of it pages of files that no other process has mapped: the kernel can drop them, and a
        second worker that reads the same rows makes them shared
    """

    private: float
    clean: float


@dataclass(frozen=True)
class Held:
    """Memory of a server in MB, at one moment.

    Attributes
    ----------
    whole : all processes, with what they share counted once (PSS)
    """

    workers: list[WorkerMemory]
    whole: float

    def describe(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return {"workers": [vars(worker) for worker in self.workers], "whole": self.whole}


def look(processes: Iterable[psutil.Process], workers: Iterable[psutil.Process]) -> Held:
    """Measure a server: all of its processes, and those of them that answer."""
    whole = 0.0
    for process in processes:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended since
            whole += read_rollup(Path(f"/proc/{process.pid}/smaps_rollup").read_text())["Pss"]
    rollups = [read_rollup(Path(f"/proc/{worker.pid}/smaps_rollup").read_text()) for worker in workers]
    return Held([as_worker(rollup) for rollup in rollups], whole)


def read_rollup(text: str) -> dict[str, float]:
    """Return the sums of a process in MB, by the kernel's names.

    Examples
    --------
    >>> read_rollup("00400000-7ffd [rollup]\\nRss:     2000 kB\\nPss:      1000 kB\\n")
    {'Rss': 2.048, 'Pss': 1.024}
    """
    fields = (line.split() for line in text.splitlines()[1:])
    return {name.rstrip(":"): int(kilobytes) * 1024 / 1e6 for name, kilobytes, _ in fields}


def as_worker(rollup: Mapping[str, float]) -> WorkerMemory:
    """Return what a worker has for itself, from its sums."""
    huge = rollup.get("Private_Hugetlb", 0.0)
    return WorkerMemory(rollup["Private_Clean"] + rollup["Private_Dirty"] + huge, rollup["Private_Clean"])


def median_private(held: Mapping[str, Any]) -> float:
    """Return what the median worker has for itself, of a description."""
    return statistics.median(worker["private"] for worker in held["workers"])


def largest(held: Mapping[str, Any], what: str = "private") -> float:
    """Return the most that a worker has, of a description."""
    return max(worker[what] for worker in held["workers"])
