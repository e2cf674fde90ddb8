"""How many workers: by setting, else by the CPU quota of the container, else by the cores."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from scoreline.settings import MOST_WORKERS

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class WorkerPlan:
    """Worker processes and where their number comes from."""

    workers: int
    why: str


def plan_workers(wanted: int | None, cgroup: Path = _CGROUP) -> WorkerPlan:
    """Plan the worker processes; never fewer than one.

    Parameters
    ----------
    wanted : int or None
        MODEL_SERVER_WORKERS or --workers.
    """
    if wanted is not None:
        return WorkerPlan(wanted, "as set")
    cores = min(len(os.sched_getaffinity(0)), MOST_WORKERS)
    quota = cpu_quota(cgroup)
    if quota is not None and quota < cores:
        return WorkerPlan(max(1, round(quota)), f"CPU quota of {quota:g}")
    return WorkerPlan(cores, f"{cores} cores")


def socket_paths(run_dir: Path, worker_class: str, workers: int) -> list[Path]:
    """Return the sockets that the workers listen on.

    ASGI workers have one each: nginx keeps connections to them open, and through one shared socket
    those end up unevenly among the workers. Sync workers take a connection at a time from a shared one.
    """
    return [run_dir / f"app{number}.sock" for number in range(workers if worker_class == "asgi" else 1)]


def cpu_quota(cgroup: Path = _CGROUP) -> float | None:
    """Return the CPU quota of this container in cores, None where there is none (cgroup v2, then v1)."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if quota in ("max", "-1") or not period.isdigit():
        return None
    return int(quota) / int(period)
