"""`scoreline score` on a real Spark cluster gives the replies that one machine gives."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scored import lines_of, rows_of
from servers import folders, keys_of, own_predictor, settings_for, wait_until

from scoreline.app.load import load_app
from scoreline.cli.main import run
from scoreline.errors import ScorelineError
from scoreline.features.plan import make_plan
from scoreline.scoring.cluster.parts import Output
from scoreline.scoring.cluster.run import run_on_spark
from scoreline.scoring.run import Asked
from scoreline.tables.read import LINE, read_file

pytestmark = [pytest.mark.slow, pytest.mark.needs("java")]
ODDS = Path(__file__).parents[2] / "apps/approval_odds"


@pytest.fixture(scope="module")
def odds(tmp_path_factory):
    """Give a copy of approval odds with its model trained."""
    folder = tmp_path_factory.mktemp("odds")
    shutil.copy(ODDS / "app.py", folder)
    shutil.copytree(ODDS / "data", folder / "data")
    for command in ("feature", "train"):
        assert run([command, *folders(folder)]) == 0
    return folder


@pytest.fixture
def on_spark(spark, tmp_path):
    """Give a function that scores on the cluster: the folder with the replies, and the report."""

    def score_it(app, records, **how):
        out = tmp_path / f"spark-{len(list(tmp_path.iterdir()))}"
        asked = Asked(str(records), str(out), **how)
        return out, run_on_spark(settings_for(app, tmp_path / "state"), asked, spark)

    return score_it


def alone(score, app, records, out, *options):
    """Score on one machine; return the rows by the first of their columns."""
    score(app, records, out, *options)
    return rows_of(out) if out.suffix == ".parquet" else lines_of(out)


def text_of(folder):
    return "".join(path.read_text() for path in sorted(folder.glob("part-*")))


def by_first(rows):
    return sorted(rows, key=lambda row: json.dumps(next(iter(row.values()))))


def write_parquet(app, records, path, **how):
    """Write a CSV file of records as Parquet; return where."""
    loaded = load_app(app)
    spec = (loaded.spine if loaded.declared_request is None else loaded.declared_request.table).spec
    (chunk,) = read_file(spec, records)
    pq.write_table(chunk.rows.drop_columns([LINE]), path, **how)
    return path


@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl"])
def test_orders_joined_to_their_features_get_the_replies_of_one_machine(triage, score, on_spark, tmp_path, form):
    records = triage / "data/orders.csv"
    expected = alone(score, triage, records, tmp_path / "one.parquet")
    if form == "parquet":
        records = write_parquet(triage, records, tmp_path / "in.parquet", row_group_size=40)
    if form == "jsonl":
        (tmp_path / "in.jsonl").write_text("".join(json.dumps(key) + "\n" for key in keys_of(triage)))
        records = tmp_path / "in.jsonl"
    out, report = on_spark(triage, records)
    assert by_first(rows_of(out)) == by_first(expected)
    assert (report.total.records, report.total.errors) == (300, 0)
    counted = [row["recommendation"] for row in expected]
    assert report.total.decisions == {"recommendation": {name: counted.count(name) for name in sorted(set(counted))}}


@pytest.mark.parametrize("format", ["parquet", "jsonl", "csv"])
def test_applicants_get_the_ranked_cards_of_one_machine(odds, score, on_spark, tmp_path, format):
    records = odds / "data/applicants.csv"
    out, report = on_spark(odds, records, format=format, top=None if format == "csv" else 3)
    if format == "csv":
        score(odds, records, tmp_path / "one.csv")
        assert text_of(out) == (tmp_path / "one.csv").read_text()
    else:
        expected = alone(score, odds, records, tmp_path / f"one.{format}", "--top", 3)
        assert by_first(
            rows_of(out) if format == "parquet" else [json.loads(x) for x in text_of(out).splitlines()]
        ) == (by_first(expected))
    assert (report.total.records, report.total.errors) == (100, 0)


BAD = [b'torn,"C1,2021-01-01,1,1,1,\n', b"\xff,C1,2021-01-01,1,1,1,\n", b",C1,2021-01-01,1,1,1,\n", b"\n", b"a,b\n"]


def test_bad_records_cost_their_own_rows_and_are_counted(triage, score, on_spark, tmp_path):
    head, *lines = (triage / "data/orders.csv").read_bytes().splitlines(keepends=True)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.csv").write_bytes(head + BAD[0] + lines[0] + b"".join(BAD[1:]))
    (tmp_path / "in/b.csv").write_bytes(head.replace(b"\n", b"\r\n") + lines[1].replace(b"\n", b"\r\n"))
    out, report = on_spark(triage, tmp_path / "in", format="jsonl")
    expected = alone(score, triage, tmp_path / "in", tmp_path / "one.jsonl")
    for line in expected:
        line.get("error", {}).pop("index", None)  # Spark does not tell the place of a line of text
    assert by_first([json.loads(line) for line in text_of(out).splitlines()]) == by_first(expected)
    assert (report.total.records, report.total.errors) == (6, 4)


def test_a_key_that_is_not_in_the_table_is_404_and_never_another_row(triage, score, on_spark, tmp_path):
    known = keys_of(triage)[0]
    keys = [known, known | {"zip_code": "nowhere"}, known | {"order_id": known["order_id"] + " "}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(key) + "\n" for key in keys))
    out, report = on_spark(triage, tmp_path / "in.jsonl", format="jsonl")
    expected = alone(score, triage, tmp_path / "in.jsonl", tmp_path / "one.jsonl")
    for line in expected:
        line.get("error", {}).pop("index", None)
    assert by_first([json.loads(line) for line in text_of(out).splitlines()]) == by_first(expected)
    assert [line["error"]["status"] for line in expected if "error" in line] == [404, 404]
    assert (report.total.records, report.total.errors) == (3, 2)


def test_a_bad_row_of_parquet_says_its_place(triage, on_spark, tmp_path):
    keys = keys_of(triage)[:4]
    columns = {name: [key[name] for key in keys] for name in keys[0]}
    columns["order_id"][2] = None
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    out, _ = on_spark(triage, tmp_path / "in.parquet")
    (error,) = [row["error"] for row in rows_of(out) if "error" in row]
    assert (error["index"], error["file"], error["field"]) == (2, "in.parquet", "order_id")


def test_inputs_of_the_heads_need_no_join(triage, score, on_spark, tmp_path):
    head = "inventory,quantity,payment_status,payment_method,zip_code_available,order_hour_of_day\n"
    (tmp_path / "in.csv").write_text(head + "5,2,OK,CREDIT_CARD,true,12\n,2,OK,CREDIT_CARD,true,12\n")
    out, report = on_spark(triage, tmp_path / "in.csv", format="csv")
    score(triage, tmp_path / "in.csv", tmp_path / "one.csv")
    assert text_of(out) == (tmp_path / "one.csv").read_text()
    assert report.total.decisions["recommendation"] == {"HoldCheckAvailability": 1, "Deliver": 1}


def test_cells_with_quotes_commas_and_spaces_come_back_as_they_were(odds, score, on_spark, tmp_path):
    with (odds / "data/applicants.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[:3]
    for row, name in zip(rows, ['a"b', " c, d ", "back\\slash"], strict=True):
        row["applicant_id"] = name
    rows[1]["credit_score"] = "1"
    with (tmp_path / "in.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    out, _ = on_spark(odds, tmp_path / "in.csv", format="csv")
    score(odds, tmp_path / "in.csv", tmp_path / "one.csv")
    (part,) = out.glob("part-*")
    with part.open(newline="") as ours, (tmp_path / "one.csv").open(newline="") as one:
        got, expected = list(csv.DictReader(ours)), list(csv.DictReader(one))
    for row in (got[1], expected[1]):
        row["error"] = {name: value for name, value in json.loads(row["error"]).items() if name != "index"}
    assert got == expected
    assert [row["applicant_id"] for row in got] == ['a"b', " c, d ", "back\\slash"]


@pytest.mark.parametrize("of", ["this app", "another"])
def test_features_at_an_address_are_taken_where_their_stamp_is_of_the_app(triage, on_spark, tmp_path, of):
    plan = make_plan(load_app(triage)).digest if of == "this app" else "0" * 64
    for folder in ("feature", "stamp"):
        (tmp_path / "built" / folder).mkdir(parents=True)
    shutil.copy(triage / "results/feature.parquet", tmp_path / "built/feature/part-0.parquet")
    (tmp_path / "built/stamp/part-0.txt").write_text(json.dumps({"plan": plan}))
    features = f"file://{tmp_path}/built"
    if of == "another":
        with pytest.raises(ScorelineError, match=r"/built: was built by another app\.py"):
            on_spark(triage, triage / "data/orders.csv", features=features)
    else:
        _, report = on_spark(triage, triage / "data/orders.csv", features=features)
        assert (report.total.records, report.total.errors) == (300, 0)


@pytest.fixture
def in_parts(triage, spark, tmp_path, monkeypatch):
    """Give a function that scores the same orders from four files, a part each, into one folder."""
    monkeypatch.setattr("scoreline.scoring.cluster.run._LEAST_BYTES", 1)
    head, *lines = (triage / "data/orders.csv").read_text().splitlines(keepends=True)
    (tmp_path / "in").mkdir()
    for number in range(4):
        (tmp_path / f"in/{number} [a%20].csv").write_text(head + "".join(lines[number * 75 : (number + 1) * 75]))
    asked = Asked(str(tmp_path / "in"), str(tmp_path / "out"), format="jsonl")

    def score_it(**how):
        settings = settings_for(triage, tmp_path / "state")
        return tmp_path / "out", run_on_spark(settings, replace(asked, **how), spark)

    return score_it


@pytest.mark.parametrize("ended", ["between parts", "as replies are put in place"])
def test_a_run_whose_driver_died_goes_on_with_what_is_missing(triage, in_parts, score, tmp_path, monkeypatch, ended):
    method, calls = ("write", 2) if ended == "between parts" else ("_move", 1)
    whole, done = getattr(Output, method), []

    def dies(self, *arguments):
        if len(done) == calls:
            raise KeyboardInterrupt
        done.append(arguments)
        return whole(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Output, method, dies)
        with pytest.raises(KeyboardInterrupt):
            in_parts()
    assert not (tmp_path / "out/_SUCCESS").exists()
    out, report = in_parts()
    assert (report.total.records, report.total.errors, report.parts) == (300, 0, 4)
    assert report.parts_before == (2 if ended == "between parts" else 4)
    expected = alone(score, triage, triage / "data/orders.csv", tmp_path / "one.jsonl")
    assert by_first([json.loads(line) for line in text_of(out).splitlines()]) == by_first(expected)
    assert sorted({path.name[:10] for path in out.glob("part-*")}) == [f"part-0000{number}" for number in range(4)]
    again = in_parts()[1]
    assert (again.scored_now, again.parts_before, again.total) == (0, 4, report.total)


def test_parts_of_another_input_are_refused_and_dropped_if_asked(in_parts, tmp_path):
    out, _ = in_parts()
    before = {path.name for path in out.iterdir()}
    (tmp_path / "in/3 [a%20].csv").unlink()
    with pytest.raises(ScorelineError, match=r"changed since: input file:.*/in/3 \[a%20\]\.csv, .* --anew drops them"):
        in_parts()
    with pytest.raises(ScorelineError, match=r"changed since: .*--format\. --anew drops them"):
        in_parts(format="csv")
    with pytest.raises(ScorelineError, match="--top 1: app 'order-triage' gives no ranked list"):
        in_parts(top=1)
    assert {path.name for path in out.iterdir()} == before
    assert in_parts(anew=True)[1].total.records == 225
    (tmp_path / "out/_manifest.json").unlink()
    for anew in (False, True):
        with pytest.raises(ScorelineError, match=r"/out: holds other files \(.*\), and no parts of `scoreline score`"):
            in_parts(anew=anew)
    assert list(out.glob("part-*"))


def test_a_file_with_another_header_is_refused_by_name(triage, on_spark, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.csv").write_text("order_id,customer_id,sku_code,zip_code\nA,B,C,D\n")
    (tmp_path / "in/b.csv").write_text("customer_id,order_id,sku_code,zip_code\nB,A,C,D\n")
    with pytest.raises(ScorelineError, match=r"b\.csv: its header is another than that of the first file"):
        on_spark(triage, tmp_path / "in")


def test_the_own_predictor_is_shipped(triage, own_triage, on_spark):
    own_predictor(own_triage, "import helper_of_mine")
    (own_triage / "helper_of_mine.py").write_text("")
    out, report = on_spark(own_triage, own_triage / "data/orders.csv")
    assert (report.total.records, report.total.errors) == (300, 0)
    assert len(rows_of(out)) == 300


def test_a_worker_that_dies_in_mid_job_costs_nothing(triage, own_triage, score, on_spark, cluster, tmp_path):
    begun = tmp_path / "begun"
    own_predictor(own_triage, f"pathlib.Path({str(begun)!r}).touch(); time.sleep(0.02 if len(matrix) > 1 else 0)")
    table = pq.read_table(write_parquet(triage, triage / "data/orders.csv", tmp_path / "one.parquet"))
    (tmp_path / "many").mkdir()
    for number in range(24):
        pq.write_table(table, tmp_path / f"many/{number:02d}.parquet")
    begun.unlink(missing_ok=True)
    killer = threading.Thread(target=kill_once, args=(begun, cluster))
    killer.start()
    out, report = on_spark(own_triage, tmp_path / "many")
    killer.join()
    cluster.fill()
    expected = alone(score, triage, triage / "data/orders.csv", tmp_path / "alone.parquet")
    assert by_first(rows_of(out)) == by_first(expected * 24)
    assert report.total.records == 300 * 24


def kill_once(begun, cluster):
    import time

    until = time.monotonic() + 60
    while not begun.exists() and time.monotonic() < until:
        time.sleep(0.01)
    cluster.kill_worker()


def test_the_command_runs_on_a_cluster_of_its_own_choice(triage, cluster, start_score, tmp_path, monkeypatch):
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "spark-defaults.conf").write_text(
        "spark.driver.host 127.0.0.1\nspark.ui.enabled false\nspark.executor.cores 1\nspark.cores.max 2\n"
        "spark.executor.memory 1g\nspark.sql.shuffle.partitions 4\n"
    )
    monkeypatch.setenv("SPARK_CONF_DIR", str(conf))
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    options = ("--engine", "spark", "--master", cluster.master)
    command = start_score(triage, triage / "data/orders.csv", tmp_path / "out", *options)
    assert command.wait(120) == 0, command.printed
    assert "300 records scored, 0 errors" in command.printed
    assert len(rows_of(tmp_path / "out")) == 300


def test_a_run_that_is_interrupted_leaves_no_copy_of_the_model(triage, cluster, start_score, tmp_path, monkeypatch):
    for name, value in (("TMPDIR", tmp_path / "tmp"), ("SPARK_CONF_DIR", tmp_path), ("SPARK_LOCAL_IP", "127.0.0.1")):
        monkeypatch.setenv(name, str(value))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "spark-defaults.conf").write_text("spark.driver.host 127.0.0.1\nspark.ui.enabled false\n")
    options = ("--engine", "spark", "--master", cluster.master)
    command = start_score(triage, triage / "data/orders.csv", tmp_path / "out", *options)
    wait_until(lambda: list((tmp_path / "tmp").glob("scoreline-*/*.zip")), 120, "what is sent to the machines")
    command.process.send_signal(signal.SIGINT)
    assert command.wait(60) == 130
    assert command.err.read_text().endswith("scoreline: interrupted; what was unfinished is dropped\n")
    assert "Traceback" not in command.err.read_text()
    assert not list((tmp_path / "tmp").glob("scoreline-*"))
