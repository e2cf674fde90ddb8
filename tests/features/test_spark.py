"""The engine spark on a real standalone cluster, held against DuckDB and against a plain loop."""

from __future__ import annotations

import json
import random
import threading
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from oracle import oracle_rows

from scoreline import App, Category, Integer, Number, Text, Time, decision, latest, lookup
from scoreline.app.heads import Rule
from scoreline.app.load import load_module
from scoreline.errors import FeatureError, TableError
from scoreline.features.build import build_features
from scoreline.features.plan import make_plan
from scoreline.features.selfcheck import newest_rows
from scoreline.store.events import EventLog

pytestmark = [pytest.mark.slow, pytest.mark.needs("java")]

ROOT = Path(__file__).parents[2]
ORDERS = 200_000
FILES = ("feature.parquet", "feature.csv", "targets.parquet")


def build_here(app, data, results, **limits):
    """Build with DuckDB."""
    return build_features(app, data, results, threads=2, **{"max_bad_percent": 1.0, "max_bad_rows": 20, **limits})


def build_there(app, data, results, spark, **limits):
    """Build with Spark into a folder."""
    from scoreline.features.spread import Tables, build_features_in

    return build_features_in(results, app, spark, Tables(data, **limits))


def build_at(address, app, source, spark, file_format="parquet"):
    """Build with Spark at an address."""
    from scoreline.features.spread import Tables, build_features_at

    return build_features_at(str(address), app, spark, Tables(source), file_format=file_format)


def rejected(results):
    """Return what is in the files of rows set aside."""
    return {path.name: path.read_text() for path in (results / "rejected").iterdir()}


def make_tables(folder, orders, **options):
    """Make tables with ties, late rows and bad rows, and take the stock out of some rows."""
    sample = load_module(ROOT / "apps/order_triage/make_sample.py")
    sample.write_sample(folder, orders=orders, seed=5, bad_rows=True, **options)
    path = folder / "inventory.csv"
    head, *lines = path.read_text().splitlines()
    lines = [line.rpartition(",")[0] + "," if i % 41 == 0 else line for i, line in enumerate(lines)]
    path.write_text("\n".join([head, *lines]) + "\n")
    return folder


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Give tables with 200,000 orders, half of them and of the stock rows of one sku."""
    data = make_tables(tmp_path_factory.mktemp("many"), ORDERS)
    rng = np.random.default_rng(3)
    for name in ("orders", "inventory"):
        path = data / f"{name}.csv"
        head, *lines = path.read_text().splitlines()
        column = head.split(",").index("sku_code")
        hot = rng.random(len(lines)) < 0.5
        moved = [moved_to(line, column) if is_hot else line for line, is_hot in zip(lines, hot, strict=True)]
        path.write_text("\n".join([head, *moved]) + "\n")
    return data


def moved_to(line, column):
    """Give a line another sku, unless it is a bad one."""
    fields = line.split(",")
    if '"' in line or len(fields) <= column or not fields[column]:
        return line
    return ",".join([*fields[:column], "000hot", *fields[column + 1 :]])


@pytest.fixture(scope="module")
def many_here(many, tmp_path_factory):
    """Give what DuckDB builds from them, and its report."""
    from scoreline.app.load import load_app

    results = tmp_path_factory.mktemp("here")
    return results, build_here(load_app(ROOT / "apps/order_triage"), many, results)


def test_both_engines_build_the_same_of_200_000_orders_with_a_hot_key(
    order_triage, spark, many, many_here, tmp_path, monkeypatch
):
    from scoreline.features.engines.distributed import asof

    monkeypatch.setattr("scoreline.features.engines.distributed.engine.HOT_ROWS", 100_000)
    cuts, find_spans = [], asof.find_spans
    monkeypatch.setattr(asof, "find_spans", lambda *sides: cuts.append(find_spans(*sides)) or cuts[-1])
    here, report = many_here
    made = build_there(order_triage, many, tmp_path, spark)
    hot = [row for spans in cuts if spans is not None for row in spans.frame.collect()]
    assert [row["__key0"] for row in hot] == ["000hot"]
    assert len(hot[0]["__cuts"]) >= 4  # half a million rows and more, in spans of a hundred thousand
    for name in ("feature.parquet", "targets.parquet"):
        assert pq.read_table(tmp_path / name).equals(pq.read_table(here / name)), name
    assert (tmp_path / "feature.csv").read_bytes() == (here / "feature.csv").read_bytes()
    assert rejected(tmp_path) == rejected(here)
    assert made.digest == report.digest  # of the features and of the rows kept for what comes later
    assert (made.reached, made.unplaced, made.checked) == (report.reached, report.unplaced, 200)
    assert [load.unknown for load in made.loads] == [load.unknown for load in report.loads]
    stamps = [json.loads((folder / "feature.stamp.json").read_text()) for folder in (here, tmp_path)]
    assert stamps[0]["tables"] == stamps[1]["tables"]


def test_a_worker_that_dies_in_the_middle_costs_time_alone(
    order_triage, spark, cluster, many, many_here, tmp_path, monkeypatch
):
    joining = threading.Event()
    monkeypatch.setattr("scoreline.features.spread.note", lambda said: joining.set() if "joining" in said else None)
    failures = []

    def build():
        try:
            build_at(tmp_path / "out", order_triage, many, spark)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=build)
    thread.start()
    try:
        assert joining.wait(300)
        tracker = spark.sparkContext.statusTracker()
        while thread.is_alive() and not any(
            (info := tracker.getStageInfo(stage)) and info.numActiveTasks for stage in tracker.getActiveStageIds()
        ):
            thread.join(0.02)
        assert thread.is_alive(), "the work was over before a worker could die"
        assert cluster.executors()
        cluster.kill_worker()
        assert len(cluster.workers) == 1
    finally:
        thread.join(600)
        cluster.fill()
    assert failures == []
    here, _ = many_here
    assert read_parts(tmp_path / "out/feature").equals(pq.read_table(here / "feature.parquet"))


def read_parts(folder):
    """Read a folder of Parquet files in the order of their names."""
    return pa.concat_tables(pq.read_table(path) for path in sorted(folder.glob("*.parquet")))


def test_a_small_sample_agrees_with_a_plain_loop(order_triage, spark, tmp_path):
    data = make_tables(tmp_path / "data", 400)
    build_there(order_triage, data, tmp_path / "results", spark)
    expected = oracle_rows(data)
    names = [name for name in expected[0] if name != "recommendation"]
    rows = pq.read_table(tmp_path / "results/feature.parquet").to_pylist()
    assert [[row[name] for name in names] for row in rows] == [[row[name] for name in names] for row in expected]


def test_the_check_finds_the_events_that_a_plain_loop_finds(order_triage, spark, tmp_path):
    """Of keys with many rows and events, ties among them, and for rows before the first."""
    from scoreline.features.engines.distributed.brought import Brought
    from scoreline.features.spread.steps import Build, Tables

    plan, data = make_plan(order_triage), make_tables(tmp_path / "data", 400)
    join = next(join for join in plan.joins if join.table.name == "inventory")
    with Build(plan, spark, Tables(data, max_bad_rows=100)) as build:
        build.load()
        brought = Brought(build.session, build.engine, tmp_path)
        rows = brought.rows_at(plan.spine, range(2, 300))
        early = [{**row, plan.spine.time: row[plan.spine.time] - timedelta(days=3650)} for row in rows[:5]]
        found = brought.newest_rows(plan, join, brought, [*rows, *early])
        assert found == newest_rows(plan, join, brought, [*rows, *early])
    assert len(rows) > 250
    assert len({row["sku_code"] for row in rows}) < 100
    assert {event is None for event in found} == {True, False}


def parted(data, folder):
    """Cut tables into files in folders: orders by zip code as column of a folder's name, the others in three."""
    orders = pa.Table.from_pylist(list(csv_rows(data / "orders.csv")))
    for zip_code in pc.unique(orders["zip_code"]).to_pylist():
        some = orders.filter(pc.equal(orders["zip_code"], zip_code)).drop_columns(["zip_code"])
        path = folder / f"orders/zip_code={zip_code}/part-0.csv"
        path.parent.mkdir(parents=True)
        pyarrow.csv.write_csv(some, path)
    for name in ("inventory", "payments", "zip_codes"):
        head, *lines = (data / f"{name}.csv").read_text().splitlines()
        (folder / name).mkdir()
        for part in range(3):
            some = lines[part * len(lines) // 3 : (part + 1) * len(lines) // 3]
            (folder / f"{name}/part-{part}.csv").write_text("\n".join([head, *some]) + "\n")
        (folder / name / "_SUCCESS").touch()
    return folder


def keep_zip_codes(path, count):
    """Leave the orders of a few zip codes."""
    head, *lines = path.read_text().splitlines()
    column = head.split(",").index("zip_code")
    first = sorted({line.split(",")[column] for line in lines})[:count]
    path.write_text("\n".join([head, *(line for line in lines if line.split(",")[column] in first)]) + "\n")


def csv_rows(path):
    """Read a CSV file as text."""
    names = path.read_text().partition("\n")[0].split(",")
    options = pyarrow.csv.ConvertOptions(column_types={name: pa.string() for name in names}, strings_can_be_null=True)
    return pyarrow.csv.read_csv(path, convert_options=options).to_pylist()


def keyed(rows):
    """Order rows by their key, whatever files they came from."""
    return sorted(
        rows, key=lambda row: tuple(row[name] for name in ("order_id", "customer_id", "sku_code", "zip_code"))
    )


def test_tables_in_parts_are_read_and_written_in_parts_and_codes_keep_their_zeros(order_triage, spark, tmp_path):
    sample = load_module(ROOT / "apps/order_triage/make_sample.py")
    sample.write_sample(tmp_path / "data", orders=2_000, seed=9)
    keep_zip_codes(tmp_path / "data/orders.csv", 3)
    build_here(order_triage, tmp_path / "data", tmp_path / "here")
    expected = pq.read_table(tmp_path / "here/feature.parquet").to_pylist()
    source = parted(tmp_path / "data", tmp_path / "parted")
    report = build_at(f"file://{tmp_path}/out", order_triage, f"file://{source}", spark)
    assert report.rows == report.checked == len(expected) > 20
    assert keyed(read_parts(tmp_path / "out/feature").to_pylist()) == keyed(expected)
    assert any(row["zip_code"].startswith("0") for row in expected)
    targets = read_parts(tmp_path / "out/targets").to_pylist()
    assert len(targets) == len(expected)
    assert set(targets[0]) == {"order_id", "customer_id", "sku_code", "zip_code", "order_fulfilled"}
    assert json.loads(next((tmp_path / "out/stamp").glob("part-*")).read_text())["rows"] == len(expected)

    with pytest.raises(FeatureError, match="holds feature/ of a build already; nothing was written"):
        build_at(tmp_path / "out", order_triage, source, spark)

    theirs = tmp_path / "theirs/targets/part-0.csv"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("somebody else's")
    with pytest.raises(FeatureError, match="holds targets/ of a build already; nothing was written"):
        build_at(tmp_path / "theirs", order_triage, source, spark)
    assert theirs.read_text() == "somebody else's"

    # what was written in parts is read in parts: as a table of another build
    build_at(tmp_path / "csv", order_triage, source, spark, file_format="csv")
    written = [row for path in sorted((tmp_path / "csv/feature").glob("*.csv")) for row in csv_rows(path)]
    as_csv = csv_rows(tmp_path / "here/feature.csv")
    assert keyed(written) == keyed(as_csv)


@pytest.mark.parametrize("scheme", ["viewfs", "s3"])
def test_tables_and_features_may_be_at_addresses_of_other_file_systems(order_triage, spark, tmp_path, scheme):
    """Hadoop's own file system of mounted folders stands for one that is no folder, under its own name and as s3a."""
    sample = load_module(ROOT / "apps/order_triage/make_sample.py")
    sample.write_sample(tmp_path / "raw", orders=300, seed=9, bad_rows=True)
    (tmp_path / "made").mkdir()
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    kind = "ViewFileSystem" if scheme == "viewfs" else "ViewFileSystemOverloadScheme"
    hadoop.set(f"fs.{scheme.replace('s3', 's3a')}.impl", f"org.apache.hadoop.fs.viewfs.{kind}")
    hadoop.set("fs.viewfs.overload.scheme.target.file.impl", "org.apache.hadoop.fs.LocalFileSystem")
    factory = "org.apache.hadoop.mapreduce.lib.output.FileOutputCommitterFactory"  # that of s3a is not here
    hadoop.set("mapreduce.outputcommitter.factory.scheme.s3a", factory)
    for folder in ("raw", "made"):
        hadoop.set(f"fs.viewfs.mounttable.lake-{scheme}.link./{folder}", f"file://{tmp_path}/{folder}")
    lake = f"{scheme}://lake-{scheme}"
    report = build_at(f"{lake}/made/today", order_triage, f"{lake}/raw", spark)
    assert report.rows == report.checked + 100 == 300
    build_here(order_triage, tmp_path / "raw", tmp_path / "here")
    expected = pq.read_table(tmp_path / "here/feature.parquet").to_pylist()
    assert keyed(read_parts(tmp_path / "made/today/feature").to_pylist()) == keyed(expected)
    with pytest.raises(TableError, match=f"table 'orders': nothing at {scheme}a?://lake-{scheme}/raw/none"):
        build_at(f"{lake}/made/never", order_triage, f"{lake}/raw/none", spark)


def events_app():
    """Make an app of one spine and one table of events and one without time, with columns of every kind."""
    app = App("spread")
    spine = app.table("spine rows", key="a.b", time="at", columns={"a.b": Text, "at": Time, "k": Text})
    columns = {"k": Text, "at": Time, "n": Integer, "x": Number}
    events = app.table("events", key="k", time="at", columns=columns)
    codes = app.table("codes", key="k", columns={"k": Text, "c": Category("A"), "w": Time})
    app.features(
        spine=spine,
        n=latest(events.n),
        x=latest(events.x),
        c=lookup(codes.c),
        w=lookup(codes.w),
        twice=twice,
        k=spine.k,
    )
    app.head("any", rules=[Rule("all", then="x")])
    app.reply(any=decision("any"))
    return app


def twice(n):
    """Double a column; where the number is 13, fail."""
    if (n == 13).any():
        raise RuntimeError("thirteen")
    return n * 2.0


def test_parquet_with_columns_of_every_kind_gives_what_duckdb_gives(spark, tmp_path):
    data, moment = tmp_path / "data", np.datetime64("1969-12-31T23:59:59.999999", "us")
    rng = random.Random(1)
    (data / "events").mkdir(parents=True)
    pq.write_table(
        pa.table({"a.b": [f"0{i}" for i in range(50)], "at": [moment + i for i in range(50)], "k": ["0", "1"] * 25}),
        data / "spine rows.parquet",
    )
    for part in range(3):
        kinds = (
            lambda: rng.choice("01"),
            lambda: moment + rng.randrange(60),
            lambda: rng.choice([None, 1]),
            rng.random,
        )
        columns = [[make() for _ in range(30)] for make in kinds]
        pq.write_table(pa.table(columns, names=["k", "at", "n", "x"]), data / f"events/part-{part}.parquet")
    codes = {"k": ["0", "1", "0"], "c": ["A", "B", None], "w": [None, moment, moment]}
    pq.write_table(pa.table(codes), data / "codes.parquet")
    app = events_app()
    here, there = build_here(app, data, tmp_path / "here"), build_there(app, data, tmp_path / "there", spark)
    assert here.digest == there.digest
    for name in FILES:
        assert (tmp_path / "there" / name).stat().st_size
    assert pq.read_table(tmp_path / "there/feature.parquet").equals(pq.read_table(tmp_path / "here/feature.parquet"))
    assert rejected(tmp_path / "there") == rejected(tmp_path / "here")


def write_small(data, *, events=("0,2021-01-01,5,0.5",)):
    """Write the tables of `events_app` as CSV."""
    data.mkdir()
    (data / "spine rows.csv").write_text("a.b,at,k\n1,2021-01-02,0\n")
    (data / "events.csv").write_text("\n".join(["k,at,n,x", *events]) + "\n")
    (data / "codes.csv").write_text("k,c,w\n0,A,\n")
    return data


def test_ingested_rows_and_a_short_history_are_kept_as_duckdb_keeps_them(spark, tmp_path):
    from scoreline.features.spread import Tables, build_features_in

    rows = [f"{key},2021-01-0{day},{day},0.5" for day in (1, 2, 3, 4) for key in (0, 1)]
    data, app, log = write_small(tmp_path / "data", events=rows), events_app(), EventLog(tmp_path / "events.lmdb")
    day = 86_400_000_000
    moment = int(np.datetime64("2021-01-02", "us").astype(int))
    log.append(app.tables["events"].spec, [{"k": "0", "at": moment, "n": 7, "x": None}], "one", "a", moment)
    log.append(app.tables["codes"].spec, [{"k": "0", "c": "B", "w": moment + day}], "two", "b", moment)
    limits = {"max_bad_percent": 1.0, "max_bad_rows": 20}
    here = build_features(app, data, tmp_path / "here", threads=1, history_days=1, events=log, **limits)
    there = build_features_in(tmp_path / "there", app, spark, Tables(data, events=log), history_days=1)
    log.close()
    [row] = pq.read_table(tmp_path / "there/feature.parquet").to_pylist()
    assert (row["n"], row["x"], row["c"]) == (7, None, "B")
    assert (there.digest, there.states, there.events) == (here.digest, here.states, here.events)
    assert [load.ingested for load in there.loads] == [0, 1, 1]


def test_with_too_many_bad_rows_nothing_is_built_and_the_rows_are_listed(spark, tmp_path):
    data = write_small(tmp_path / "data", events=["0,2021-01-01,five,0.5", '0,"2021-01-01,5,0.5'])
    with pytest.raises(TableError) as there:
        build_there(events_app(), data, tmp_path / "there", spark, max_bad_rows=1)
    with pytest.raises(TableError) as here:
        build_here(events_app(), data, tmp_path / "here", max_bad_rows=1)
    assert str(there.value) == str(here.value).replace(str(tmp_path / "here"), str(tmp_path / "there"))
    assert rejected(tmp_path / "there") == rejected(tmp_path / "here")
    assert not (tmp_path / "there/feature.parquet").exists()


def test_a_function_that_fails_on_a_worker_is_named(spark, tmp_path):
    data = write_small(tmp_path / "data", events=["0,2021-01-01,13,0.5"])
    with pytest.raises(FeatureError, match="feature 'twice': its function failed: RuntimeError: thirteen"):
        build_there(events_app(), data, tmp_path / "results", spark)


def test_no_span_of_a_hot_key_has_more_rows_than_it_should(spark):
    from pyspark.sql import functions as F

    from scoreline.features.engines.distributed import asof

    rows = spark.range(0, 40_000, numPartitions=4).selectExpr("id", "if(id % 2 = 0, '0', cast(id AS string)) AS k")
    side = asof.Side(rows, [F.col("k")], F.col("id"), F.col("id"), 40_000)
    spans = asof.find_spans(side, side, hot_rows=4_000)
    assert spans is not None
    assert [row[0] for row in spans.frame.select("__key0").collect()] == ["0"]
    cut = rows.join(spans.frame, rows.k == spans.frame["__key0"])
    counts = cut.groupBy(F.size(F.filter("__cuts", lambda at: at <= F.col("id")))).count().collect()
    assert max(row["count"] for row in counts) <= 2_200  # of 20,000 rows of the spine, and so many events
    found = asof.join_as_of(side, asof.Side(rows.where("id % 5000 = 0"), [F.col("k")], F.col("id"), F.col("id"), 8),
                            F.struct("id"), "event", spans)  # fmt: skip
    hot = found.where("k = '0'").selectExpr("id", "event.id AS event").collect()
    assert all(row.event == row.id // 5000 * 5000 for row in hot)
    assert len(hot) == 20_000
