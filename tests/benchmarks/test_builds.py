"""The feature build and the store beside others: the sides agree, and the tables say what was measured."""

from __future__ import annotations

import json
import sys

import feature_build
import pytest
import store
from builds import figures as build_figures
from builds import tables
from harness import report
from harness.child import PartError, run_part
from stores import figures as store_figures
from stores.clock import Clock

ORDERS = 400


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Tables of a few orders."""
    return tables.make_tables(tmp_path_factory.mktemp("cache"), ORDERS, None)


def one_round(wall_s, *, apart=None, values="same", peak_mb=100):
    """Return what a side's round took; `apart`: of it store and self-check, which only ours has."""
    taken = {"wall_s": wall_s, "cpu_s": wall_s, "peak_mb": peak_mb, "values": values}
    return taken if apart is None else {**taken, "apart_wall_s": apart, "apart_cpu_s": apart}


def case_of(orders=1_000_000, **rounds):
    sides = {name: {"why": "", "rounds": found} for name, found in rounds.items()}
    return {"orders": orders, "skus": 1_000, "sides": sides}


def results_of(*cases):
    return {**RUN, "cases": list(cases)}


RUN = {
    "when": "2026-11-22 08:00 UTC", "commit": "abc1234", "settings": {"threads": 2}, "versions": {"duckdb": "1.0"},
    "machine": {
        "cpu": "a CPU", "cores": 2, "memory_gb": 25, "system": "Linux 6", "python": "3.11.7", "load_before": 0.1
    },
}  # fmt: skip


def store_case(rows=1_000_000, *, ours=2.0, bare=1.0, lookup=1.5):
    def built(seconds):
        part = {"wall_s": seconds / 2, "cpu_s": seconds / 2}
        parts = {"sort": part, "put": part}
        return {"build_wall_s": seconds, "build_cpu_s": seconds, "peak_mb": 300, "parts": parts}

    looked = {"ours_us": 3.0, "bare_us": 2.0, "ratio": lookup}
    sizes = {"ours_mb": 12, "bare_mb": 11}
    return {
        "rows": rows,
        "rounds": [{"ours": built(ours), "bare": built(bare), "compare": sizes, "look-up": looked}],
    }


@pytest.mark.parametrize("side", ["ours", "sql"])
def test_a_side_builds_the_whole_feature_table_and_the_digest_is_of_its_values(data, tmp_path, side):
    taken = feature_build.run_side(side, data, tmp_path)
    assert taken["rows"] == ORDERS
    assert taken["wall_s"] > 0 < taken["peak_mb"]
    assert list(tmp_path.iterdir()) == []
    if side == "sql":
        assert taken["values"] == feature_build.run_side("ours", data, tmp_path)["values"]
        assert taken["values"] != feature_build.run_side("sql-no-zones", data, tmp_path)["values"]


def test_tables_are_made_once_and_again_when_the_script_changes(data, monkeypatch, tmp_path):
    before = (data / "orders.csv").stat().st_mtime_ns
    assert tables.make_tables(data.parent, ORDERS, None) == data
    assert (data / "orders.csv").stat().st_mtime_ns == before
    changed = tmp_path / "make_sample.py"
    changed.write_text(tables.SCRIPT.read_text() + "\n")
    monkeypatch.setattr(tables, "SCRIPT", changed)
    tables.make_tables(data.parent, ORDERS, None)
    assert (data / "orders.csv").stat().st_mtime_ns > before


def test_a_store_has_the_same_pairs_as_the_bare_one_and_each_part_is_timed(tmp_path):
    taken = store.run_round(3_000, 0, tmp_path)
    assert list(taken["ours"]["parts"]) == ["encode", "sort", "bytes of rows", "put", "spool, merge, sync"]
    assert list(taken["bare"]["parts"]) == ["sort", "put", "sync"]
    for side in ("ours", "bare"):
        parts = [part["wall_s"] for part in taken[side]["parts"].values()]
        assert sum(parts) == pytest.approx(taken[side]["build_wall_s"], abs=0.01)
    assert taken["look-up"]["keys"] == 3_000


def test_stores_that_hold_other_pairs_are_not_compared_in_time(tmp_path):
    for part, rows in (("ours", 50), ("bare", 60)):
        run_part(store.PART, part, tmp_path, rows)
    with pytest.raises(PartError, match=r"compare .* ended with 1"):
        run_part(store.PART, "compare", tmp_path, 50)


def test_the_same_job_is_ours_without_store_and_self_check():
    case = case_of(sql=[one_round(10)], ours=[one_round(14, apart=2)])
    assert build_figures.ratio(case, "ours", "wall_s") == 1.4
    assert build_figures.ratio(case, "ours-same-job", "wall_s") == 1.2
    (head, sql, whole, same), _ = build_figures.tables(results_of(case))
    assert head[:3] == ["1,000,000 orders, 1,000 skus", "wall s", "/ plain SQL"]
    assert [row[1:3] for row in (sql, whole, same)] == [["10.0", "1.00"], ["14.0", "1.40"], ["12.0", "1.20"]]


def test_a_ratio_is_the_median_of_those_within_each_round():
    case = case_of(
        sql=[one_round(10), one_round(100), one_round(10)], ours=[one_round(12), one_round(90), one_round(9)]
    )
    assert build_figures.ratio(case, "ours", "wall_s") == 0.9
    assert build_figures.ratio(case, "pandas", "wall_s") is None


def test_bars_are_of_each_case_and_memory_of_the_large_ones_alone():
    small = case_of(sql=[one_round(10)], ours=[one_round(14, apart=2, peak_mb=9_000)])
    large = case_of(10_000_000, sql=[one_round(10)], ours=[one_round(12, apart=2, peak_mb=4_097)])
    bars = build_figures.bars(results_of(small, large))
    assert [bar.is_met for bar in bars] == [True, False, True, False, *[True] * 4, False]
    assert "peak in MB" in bars[-1].what


def test_values_that_are_not_ours_and_sides_that_did_not_run_are_shown():
    case = case_of(sql=[one_round(10, values="other")], ours=[one_round(10, apart=0)], pandas=[])
    case["sides"]["pandas"]["why"] = "no such package"
    rows = {row[0]: row for row in build_figures.tables(results_of(case))[0]}
    assert rows["plain DuckDB SQL"][-2] == "others"
    assert rows["`scoreline feature`, all of it"][-2] == "as ours"
    assert rows["pandas merge_asof"][1] == "not run: no such package"


@pytest.mark.parametrize(("ours", "lookup", "met"), [(2.0, 2.0, [True, True]), (2.1, 2.1, [False, False])])
def test_a_store_is_held_to_twice_the_bare_one(ours, lookup, met):
    results = results_of(store_case(ours=ours, lookup=lookup))
    assert [bar.is_met for bar in store_figures.bars(results)] == met
    build, looked, _ = store_figures.tables(results)
    assert [row[0] for row in build[1:4]] == ["`StoreWriter`", "of it: sort", "of it: put"]
    assert build[1][2] == f"{ours:.2f}"
    assert looked[1][1:] == ["3.00", f"{lookup:.2f}"]


@pytest.mark.parametrize(
    ("figures", "case", "name"),
    [
        pytest.param(
            build_figures, case_of(sql=[one_round(1)], ours=[one_round(1, apart=0)]), "features", id="features"
        ),
        pytest.param(store_figures, store_case(), "store", id="store"),
    ],
)
def test_a_page_names_machine_and_versions_and_has_its_place_in_the_readme(figures, case, name):
    page = figures.as_page(results_of(case))
    for part in ("2026-11-22", "abc1234", "2 cores (a CPU)", "duckdb 1.0", "| bar | wanted | got |"):
        assert part in page
    text = feature_build.README.read_text()
    written = report.rewrite_block(text, page, name)
    assert written.partition(f"<!-- {name}: begin -->")[2].partition(f"<!-- {name}: end -->")[0].strip() == page


def test_a_clock_gives_what_no_part_took_to_the_rest():
    clock = Clock()
    with clock.of("all"), clock.of("part"):
        pass
    assert clock.timed("part", abs)(-3) == 3
    clock.wall_s, clock.cpu_s = {"part": 1.0, "all": 3.0}, {"part": 0.5, "all": 0.5}
    assert clock.describe("all", "rest") == {
        "build_wall_s": 3.0,
        "build_cpu_s": 0.5,
        "parts": {"part": {"wall_s": 1.0, "cpu_s": 0.5}, "rest": {"wall_s": 2.0, "cpu_s": 0.0}},
    }


def test_a_part_is_measured_alone_and_its_failure_is_told(tmp_path):
    script = tmp_path / "part.py"
    script.write_text("import sys, json\nprint('talk')\nprint(json.dumps({'asked': sys.argv[1:]}))\n")
    taken = run_part(script, "a", 7)
    assert taken["asked"] == ["a", "7"]
    assert set(taken) == {"asked", "wall_s", "cpu_s", "peak_mb"}
    script.write_text("raise SystemExit(3)")
    with pytest.raises(PartError, match=r"part\.py a: ended with 3"):
        run_part(script, "a")


def test_results_and_tables_are_written_also_when_a_later_case_fails(tmp_path, monkeypatch, capsys):
    def run_case(cache, orders, *_):
        if orders > 1:
            raise PartError("part.py sql: ended with 1")
        return case_of(orders, sql=[one_round(1)], ours=[one_round(1, apart=0)])

    out = tmp_path / "out.json"
    monkeypatch.setattr(feature_build, "run_case", run_case)
    monkeypatch.setattr(feature_build, "install_pandas", lambda cache: (None, "not here"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # main sets it
    options = ["--orders", "1", "2", "--skus", "0", "--cache", str(tmp_path / "cache"), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["feature_build.py", *options])
    assert feature_build.main() == 1
    assert [case["orders"] for case in json.loads(out.read_text())["cases"]] == [1]
    said = capsys.readouterr()
    assert "1 orders, 1,000 skus: all / plain SQL, wall" in said.out
    assert "part.py sql: ended with 1" in said.err
