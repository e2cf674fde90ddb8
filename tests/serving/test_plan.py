"""How many workers."""

from __future__ import annotations

import pytest

from scoreline.serving.plan import WorkerPlan, plan_workers


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch):
    """Let this machine have eight cores."""
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))


def version_2(folder, content):
    (folder / "cpu.max").write_text(content)
    return folder


def version_1(folder, quota, period="100000\n"):
    (folder / "cpu").mkdir()
    (folder / "cpu/cpu.cfs_quota_us").write_text(quota)
    (folder / "cpu/cpu.cfs_period_us").write_text(period)
    return folder


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("200000 100000\n", WorkerPlan(2, "CPU quota of 2")),
        ("50000 10000\n", WorkerPlan(5, "CPU quota of 5")),
        ("170000 100000\n", WorkerPlan(2, "CPU quota of 1.7")),
        ("140000 100000\n", WorkerPlan(1, "CPU quota of 1.4")),
        ("10000 100000\n", WorkerPlan(1, "CPU quota of 0.1")),
        ("800000 100000\n", WorkerPlan(8, "8 cores")),
        ("6400000 100000\n", WorkerPlan(8, "8 cores")),
        ("max 100000\n", WorkerPlan(8, "8 cores")),
        ("", WorkerPlan(8, "8 cores")),
    ],
)
def test_the_quota_of_cgroup_version_2_counts_up_to_the_cores(tmp_path, content, expected):
    assert plan_workers(None, version_2(tmp_path, content)) == expected


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("300000\n", WorkerPlan(3, "CPU quota of 3")),
        ("20000\n", WorkerPlan(1, "CPU quota of 0.2")),
        ("1600000\n", WorkerPlan(8, "8 cores")),
        ("-1\n", WorkerPlan(8, "8 cores")),
    ],
)
def test_the_quota_of_cgroup_version_1_counts_up_to_the_cores(tmp_path, quota, expected):
    assert plan_workers(None, version_1(tmp_path, quota)) == expected


def test_version_2_counts_where_both_are_mounted(tmp_path):
    version_1(tmp_path, "300000\n")
    assert plan_workers(None, version_2(tmp_path, "200000 100000\n")).workers == 2


def test_without_a_quota_the_cores_count(tmp_path):
    assert plan_workers(None, tmp_path) == WorkerPlan(8, "8 cores")


def test_the_setting_wins_over_quota_and_cores(tmp_path):
    assert plan_workers(13, version_2(tmp_path, "200000 100000\n")) == WorkerPlan(13, "as set")
