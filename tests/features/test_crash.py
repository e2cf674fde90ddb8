"""A build that dies: whatever is there afterwards is whole, the old results or the new."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from scoreline.features.build import build_features
from scoreline.features.stamp import read_stamp
from scoreline.files import finish_commit

# Builds the old tables in one folder for each point of death, then the new ones, dying there. Each
# build is a fork of a process that only imported Scoreline, so that a death costs no start.
SCRIPT = """
import os, sys
from pathlib import Path
from scoreline.app.load import load_app
from scoreline.features import build

app, data, folders, points = load_app(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:]

def run(tables, results, point=None):
    child = os.fork()
    if not child:
        try:
            if point:
                arm(*point.split("-"))
            build.build_features(app, data / tables, results, threads=1, max_bad_percent=1.0, max_bad_rows=0)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def arm(when, number, name):
    place = build if hasattr(build, name) else os
    real, calls = getattr(place, name), []
    def dying(*args, **options):
        calls.append(args)
        if len(calls) == int(number) and when == "before":
            os._exit(9)
        answer = real(*args, **options)
        if len(calls) == int(number):
            os._exit(9)
        return answer
    setattr(place, name, dying)

for point in points:
    assert run("old", folders / point) == 0, point
    assert run("new", folders / point, point) == 9, point
"""
REPLACES = 6  # of the staging folder; then feature.csv, .parquet, the stamp, the targets and the store
BEFORE_THE_CHANGE = [
    "after-1-_load",
    "after-1-write_tables",
    "before-1-check_features",
    "after-1-stamp_tables",
    "before-1-replace",
]
AFTER_THE_CHANGE = [
    "after-1-replace",
    *(f"{when}-{number}-replace" for number in range(2, REPLACES + 1) for when in ("before", "after")),
    "before-1-remove_old_stores",
]


@pytest.fixture(scope="module")
def crashed(tmp_path_factory):
    """The folder of data (`old`, `new`) and of results, one for each point of death."""
    folder = tmp_path_factory.mktemp("crashed")
    for name, stock in (("old", 3), ("new", 4)):
        data = folder / name
        data.mkdir()
        (data / "orders.csv").write_text(
            "order_id,customer_id,timestamp,sku_code,quantity,zip_code\nO1,C1,2021-07-04,a,1,z\n"
        )
        (data / "inventory.csv").write_text(f"sku_code,timestamp,inventory\na,2021-07-03,{stock}\n")
        (data / "payments.csv").write_text("order_id,customer_id,timestamp,payment_method,payment_status\n")
        (data / "zip_codes.csv").write_text("zip_code,available_from\n")
    app = Path(__file__).parents[2] / "apps/order_triage"
    points = BEFORE_THE_CHANGE + AFTER_THE_CHANGE
    subprocess.run([sys.executable, "-c", SCRIPT, app, folder, folder / "results", *points], check=True)
    return folder


def stock_of(results):
    """Return the one stock value of the feature table, the CSV and the store's name, after a check of all files."""
    stamp = read_stamp(results)
    (stock,) = pq.read_table(results / "feature.parquet")["inventory"].to_pylist()
    assert f",{stock}," in (results / "feature.csv").read_text()
    assert (results / stamp.store).is_file()
    return stock


@pytest.mark.parametrize("point", BEFORE_THE_CHANGE)
def test_a_death_before_the_change_leaves_the_old_results_whole(crashed, point):
    assert stock_of(crashed / "results" / point) == 3


@pytest.mark.parametrize("point", AFTER_THE_CHANGE)
def test_a_death_after_the_change_is_completed_by_whoever_reads_next(crashed, point):
    assert stock_of(crashed / "results" / point) == 4


@pytest.mark.parametrize("point", ["after-1-write_tables", "before-4-replace"])
def test_the_next_build_clears_up_after_a_death(crashed, order_triage, point):
    results = crashed / "results" / point
    build_features(order_triage, crashed / "new", results, threads=1, max_bad_percent=1.0, max_bad_rows=0)
    assert stock_of(results) == 4
    assert {path.name for path in results.iterdir()} == {
        ".lock",
        "feature.csv",
        "feature.parquet",
        "feature.stamp.json",
        "store",
        "targets.parquet",
    }


def test_a_change_is_completed_once_and_then_left_alone(crashed):
    results = crashed / "results" / "before-2-replace"
    finish_commit(results)
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*") if path.is_file()}
    finish_commit(results)
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*") if path.is_file()} == before
    assert json.loads((results / "feature.stamp.json").read_text())["rows"] == 1
