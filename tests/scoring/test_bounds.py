"""What scoring holds does not grow with the batch, and what it starts keeps to the plan."""

from __future__ import annotations

import gc
import shutil
import tracemalloc

import pyarrow as pa
import pytest
from servers import keys_of, open_service, settings_for

from scoreline.scoring import reading, writing
from scoreline.scoring import score as scoring
from scoreline.scoring.partitions import Partition
from scoreline.scoring.worker import Setup, Task, score_partition
from scoreline.scoring.writing import Layout

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(triage, tmp_path_factory):
    """Give the service of a copy of order triage: a process can open a store once, and commands open the other."""
    app = tmp_path_factory.mktemp("copy") / "triage"
    shutil.copytree(triage, app, ignore=shutil.ignore_patterns("state", "__pycache__"))
    return open_service(settings_for(app, tmp_path_factory.mktemp("state")))


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_memory_does_not_grow_with_the_batch(triage, service, tmp_path, monkeypatch, format):
    monkeypatch.setattr(reading, "_CHUNK_BYTES", 1 << 15)
    monkeypatch.setattr(writing, "_GROUP_ROWS", 1 << 8)
    monkeypatch.setattr(scoring, "_RECORDS_AT_ONCE", 100)
    keys = keys_of(triage)
    lines = "".join(",".join(key.values()) + "\n" for key in keys)
    layout = Layout(service.app, request=True, inputs=False)
    peaks, usual = [], pa.default_memory_pool()
    for number, times in enumerate((10, 10, 60)):  # the first warms up
        path = tmp_path / f"{number}.csv"
        path.write_text(",".join(keys[0]) + "\n" + lines * times)
        begin, end = path.read_bytes().index(b"\n") + 1, path.stat().st_size
        part = Partition("part-00000", path.name, str(path), "csv", begin, end, 0, len(keys) * times)
        gc.collect()
        pool = pa.proxy_memory_pool(usual)
        pa.set_memory_pool(pool)
        tracemalloc.start()
        report = score_partition(
            service,
            Setup("", format, True, False, None),
            layout,
            Task(part, str(tmp_path / f"{number}.out")),
            lambda n: None,
        )
        peaks.append(tracemalloc.get_traced_memory()[1] + pool.max_memory())
        tracemalloc.stop()
        pa.set_memory_pool(usual)
        assert (report.records, report.errors) == (len(keys) * times, 0)
    assert peaks[2] < 1.5 * peaks[1], peaks


@pytest.mark.parametrize(("workers", "expected"), [(1, 1), (2, 2)])
def test_there_are_as_many_processes_as_the_plan_says(triage, start_score, tmp_path, monkeypatch, workers, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    options = ("--format", "jsonl", "--part-records", 50, "--workers", workers)
    command = start_score(triage, triage / "data/orders.csv", tmp_path / "out", *options)
    most = 0

    def looked():
        nonlocal most
        running = [p for p in command.look() if "scoreline.scoring.worker" in " ".join(p.cmdline())]
        most = max(most, len(running))
        assert all(p.environ()["OMP_NUM_THREADS"] == "1" for p in running)
        return (tmp_path / "out/_SUCCESS").exists()

    command.wait_until(looked)
    assert command.wait() == 0
    assert most == expected


def test_no_process_is_started_for_work_that_is_not_there(triage, score, tmp_path):
    ran = score(triage, triage / "data/orders.csv", tmp_path / "out.jsonl", "--workers", 2)
    assert "1 process\n" in ran.out


def test_an_input_without_records_gives_an_output_without_rows(triage, score, tmp_path):
    (tmp_path / "in.csv").write_text("order_id,customer_id,sku_code,zip_code\n")
    for name, expected in (("out.csv", "order_id,recommendation,reason,fulfilment_probability,features_from,error\n"),
                           ("out.jsonl", "")):  # fmt: skip
        assert score(triage, tmp_path / "in.csv", tmp_path / name).code == 0
        assert (tmp_path / name).read_text() == expected
