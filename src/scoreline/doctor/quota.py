"""What this machine or container lets a server have: processors and memory."""

from __future__ import annotations

import math
import os
from pathlib import Path

import psutil

from scoreline.serving.plan import cpu_quota

_CGROUP = Path("/sys/fs/cgroup")


def cpus(cgroup: Path = _CGROUP) -> tuple[int, str]:
    """Return how many workers have a processor each, and why: the CPU quota, else the cores."""
    cores = len(os.sched_getaffinity(0))
    quota = cpu_quota(cgroup)
    if quota is not None and quota < cores:
        return max(1, math.ceil(quota)), f"CPU quota of {quota:g}"
    return cores, "1 core" if cores == 1 else f"{cores} cores"


def memory_limit(cgroup: Path = _CGROUP) -> int:
    """Return the bytes that may be used: the limit of the container (cgroup v2, then v1), else the machine's."""
    total: int = psutil.virtual_memory().total
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (cgroup / name).read_text().strip()
        except OSError:
            continue
        return min(total, int(text)) if text.isdigit() else total
    return total
