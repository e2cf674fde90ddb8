"""`scoreline train` in a training job: what it reads, what it writes, and what it says when it fails."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from cards import PERSON
from servers import JSON, Command, copy_app, folders, keys_of, open_service, write_sample

from scoreline.cli.main import run
from scoreline.sagemaker.training import cut, read_job
from scoreline.serving.answer import answer
from scoreline.settings import resolve_settings

FILE_MODE = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}


@dataclass(frozen=True)
class Ran:
    """A job that ended: its exit code, what it printed, and why it failed (None: it did not)."""

    code: int
    out: str
    err: str
    failure: str | None


class Job:
    """Folders as a platform lays them out."""

    def __init__(self, root: Path) -> None:
        self.root, self.data, self.model = root, root / "input/data", root / "model"
        for folder in ("input/config", "input/data", "model", "output/data"):
            (root / folder).mkdir(parents=True)
        self.configure("hyperparameters", {})
        self.configure("resourceconfig", {"current_host": "algo-1", "hosts": ["algo-1"]})

    def configure(self, name, content):
        text = content if isinstance(content, str) else json.dumps(content)
        (self.root / f"input/config/{name}.json").write_text(text)

    def channels(self, **modes):
        names = [path.name for path in self.data.iterdir()]
        self.configure("inputdataconfig", {name: {**FILE_MODE, **modes} for name in names})

    def files(self, folder="."):
        found = (self.root / folder).rglob("*")
        return {str(path.relative_to(self.root / folder)) for path in found if path.is_file()}


@pytest.fixture
def job(tmp_path):
    return Job(tmp_path / "ml")


@pytest.fixture
def train(job, monkeypatch, capsys):
    """Give a function that runs `scoreline train` in an app's folder, in the job."""

    def train_it(app):
        monkeypatch.chdir(app)
        monkeypatch.setenv("SCORELINE_ML_ROOT", str(job.root))
        code = run(["train"])
        failure = job.root / "output/failure"
        return Ran(code, *capsys.readouterr(), failure.read_text() if failure.exists() else None)

    return train_it


@pytest.fixture
def one_channel(job, triage):
    """Lay out the tables of order triage in one channel."""
    shutil.copytree(triage / "data", job.data / "training")
    (job.data / "training/_SUCCESS").touch()
    job.channels()


@pytest.fixture
def hosted(job, tmp_path, monkeypatch):
    """Give a function that opens what a job left in its model folder, as an endpoint gets it."""

    def open_it():
        root = tmp_path / "endpoint"
        shutil.copytree(job.model, root / "model")
        monkeypatch.chdir(root)
        return open_service(resolve_settings({"state": tmp_path / "state"}, {"SCORELINE_ML_ROOT": str(root)}))

    return open_it


def asked(service, record):
    given = answer(service, "POST", "/invocations", JSON, json.dumps(record).encode())
    assert given.status == 200, given
    return json.loads(given.body)


# What it makes


def test_one_channel_with_all_tables_gives_a_model_that_serves_on_its_own(job, train, triage, one_channel, hosted):
    ran = train(triage)
    assert (ran.code, ran.failure) == (0, None)
    key = keys_of(triage)[0]
    assert asked(hosted(), key)["order_id"] == key["order_id"]
    assert {"manifest.json", "package.json", "app/app.py", "results/feature.stamp.json"} <= job.files("model")
    assert not [name for name in job.files("model") if name.startswith(".")]
    assert {"metrics.json", "report.txt", "feature.csv"} <= job.files("output/data")
    assert not [name for name in job.files() if ".training-" in name or ".building-" in name]


def test_the_model_is_that_of_the_same_app_outside(job, train, triage, one_channel):
    assert train(triage).code == 0
    for name in ("manifest.json", "golden.json"):
        assert (job.model / name).read_bytes() == (triage / "model" / name).read_bytes()


def test_metrics_and_report_say_how_good_it_is(job, train, triage, one_channel, monkeypatch):
    monkeypatch.setenv("TRAINING_JOB_NAME", "job-1")
    ran = train(triage)
    metrics = json.loads((job.root / "output/data/metrics.json").read_text())
    assert (metrics["job"], metrics["app"], metrics["rows"]) == ("job-1", "order-triage", 300)
    assert 0 < metrics["metrics"]["fulfilment_probability"]["auc"] < 1
    report = (job.root / "output/data/report.txt").read_text()
    assert report in ran.out
    assert f"model artifact in {job.model}" in report


def test_a_channel_a_table_may_have_several_files_and_reference_tables_too(job, train, cards, hosted):
    for name in ("history", "cards", "issuers"):
        (job.data / name).mkdir()
        shutil.copy(cards / f"data/{name}.csv", job.data / name / "some-name.csv")
    head, *lines = (cards / "data/history.csv").read_text().splitlines(keepends=True)
    for number, part in enumerate((lines[:150], lines[150:])):
        (job.data / f"history/part-{number}.csv").write_text(head + "".join(part))
    (job.data / "history/some-name.csv").unlink()
    (job.data / "history/old").mkdir()
    (job.data / "other").mkdir()
    job.channels()
    ran = train(cards)
    assert (ran.code, ran.failure) == (0, None), ran.err
    assert "channel 'history': its folder 'old' is not read" in ran.err
    assert "channel 'other' is not used: no table has its name" in ran.err
    assert asked(hosted(), PERSON)["offered"] == 4
    assert (job.model / "manifest.json").read_bytes() == (cards / "model/manifest.json").read_bytes()


def test_features_that_were_built_before_are_taken_as_they_are(job, train, triage, hosted):
    shutil.copytree(triage / "results", job.data / "features")
    job.channels()
    ran = train(triage)
    assert (ran.code, ran.failure) == (0, None), ran.err
    assert "feature.csv" not in job.files("output/data")
    assert asked(hosted(), keys_of(triage)[0])["order_id"] == keys_of(triage)[0]["order_id"]


def test_hyperparameters_reach_the_estimator_and_the_artifact(job, train, triage, one_channel):
    sent = {"max_iter": "7", "learning_rate": '"0.5"', "sagemaker_region": '"us-east-1"'}
    job.configure("hyperparameters", sent)
    assert train(triage).code == 0
    manifest = json.loads((job.model / "manifest.json").read_text())
    assert manifest["hyperparameters"] == {"max_iter": 7, "learning_rate": 0.5, "max_leaf_nodes": 15}
    assert json.loads((job.root / "output/data/metrics.json").read_text())["hyperparameters"]["max_iter"] == 7
    small, usual = (folder / "heads/fulfilment_probability.trees" for folder in (job.model, triage / "model"))
    assert small.stat().st_size < usual.stat().st_size / 5


def test_outside_a_job_hyperparameters_come_from_a_file_of_the_app_or_one_that_is_named(triage, tmp_path, capsys):
    app = copy_app(tmp_path / "app")
    (app / "hyperparameters.json").write_text('{"max_iter": 7}')
    arguments = folders(app, results=triage / "results")
    assert run(["train", *arguments]) == 0
    assert json.loads((app / "model/manifest.json").read_text())["hyperparameters"]["max_iter"] == 7
    (tmp_path / "named.json").write_text('{"max_itr": "8"}')
    assert run(["train", *arguments, "--hyperparameters", str(tmp_path / "named.json")]) == 2
    assert "named.json: app.py declares no hyperparameter 'max_itr'." in capsys.readouterr().err
    assert run(["train", *arguments, "--hyperparameters", str(tmp_path / "nowhere.json")]) == 2
    assert "nowhere.json: no such file" in capsys.readouterr().err


def test_without_any_configuration_file_it_trains_all_the_same(job, train, triage, one_channel):
    shutil.rmtree(job.root / "input/config")
    assert train(triage).code == 0
    assert "package.json" in job.files("model")


def test_folders_that_the_platform_did_not_make_are_made_and_the_apps_own_are_left_alone(
    job, train, triage, one_channel
):
    before = {path: path.stat().st_mtime_ns for path in triage.rglob("*") if "__pycache__" not in path.parts}
    for folder in (job.model, job.root / "output"):
        shutil.rmtree(folder)
    assert train(triage).failure is None
    assert "package.json" in job.files("model")
    assert "metrics.json" in job.files("output/data")
    after = {path: path.stat().st_mtime_ns for path in triage.rglob("*") if "__pycache__" not in path.parts}
    assert after == before


def test_a_second_run_replaces_the_first_and_what_it_said(job, train, triage, cards, one_channel):
    job.configure("hyperparameters", {"max_iter": "many"})
    assert train(triage).failure is not None
    assert job.files("model") == set()
    job.configure("hyperparameters", {})
    assert train(triage).failure is None
    first = job.files("model")
    (job.model / "app/gone.py").write_text("")
    assert train(triage).failure is None
    assert job.files("model") == first


def test_only_the_first_host_trains(job, train, triage, one_channel):
    job.configure("resourceconfig", {"current_host": "algo-2", "hosts": ["algo-2", "algo-1"]})
    ran = train(triage)
    assert (ran.code, ran.failure, job.files("model")) == (0, None, set())
    assert ran.err == "train: algo-2 leaves the work to algo-1\n"
    job.configure("resourceconfig", {"current_host": "algo-1", "hosts": ["algo-2", "algo-1"]})
    assert read_job(job.root).is_first


# How it fails


@pytest.mark.parametrize(
    ("name", "content", "code", "says"),
    [
        ("hyperparameters", {"max_iters": "5"}, 2, "app.py declares no hyperparameter 'max_iters'. Did you mean"),
        ("hyperparameters", {"max_iter": "many"}, 2, "hyperparameter 'max_iter': expected a whole number"),
        ("hyperparameters", {"max_iter": "-5"}, 1, "its estimator failed: InvalidParameterError"),
        ("hyperparameters", "[]", 2, "hyperparameters.json: expected a JSON object, got list"),
        ("resourceconfig", "{", 2, "resourceconfig.json: expected a JSON object, can't be read"),
        ("inputdataconfig", {"training": {"TrainingInputMode": "Pipe"}}, 2, "channel 'training' is in Pipe mode"),
        ("inputdataconfig", {"gone": FILE_MODE}, 1, "data folder "),
    ],
)
def test_a_mistake_in_the_configuration_is_said_where_the_platform_looks(
    job, train, triage, one_channel, name, content, code, says
):
    job.configure(name, content)
    ran = train(triage)
    assert ran.code == code
    assert says in ran.failure
    assert name != "hyperparameters" or code == 1 or f"{job.root}/input/config/hyperparameters.json: " in ran.failure
    assert ran.err.endswith(f"scoreline: {ran.failure}\n")
    assert job.files("model") == set()
    assert code == 1 or job.files("output/data") == set(), "what is misused is said before any work"


def test_a_channel_that_is_spread_over_hosts_is_refused(job, train, triage, one_channel):
    job.configure("resourceconfig", {"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]})
    job.channels(S3DistributionType="ShardedByS3Key")
    assert "channel 'training' is spread over 2 hosts (ShardedByS3Key)" in train(triage).failure


@pytest.mark.parametrize(
    ("channels", "says"),
    [
        ({"train": []}, "table 'orders': no file in "),
        ({"one": [], "two": []}, "expected channels orders, inventory, payments, zip_codes, or one channel 'training'"),
        ({}, "or one channel 'training' with all their files, got none"),
        ({"orders": ["orders.csv"]}, "table 'inventory': no file in "),
        ({"orders": ["orders.csv", "notes.json"]}, "notes.json: expected a file with the suffix .csv or .parquet"),
    ],
)
def test_channels_without_the_tables_are_a_failure(job, train, triage, channels, says):
    for name, files in channels.items():
        (job.data / name).mkdir()
        for file in files:
            shutil.copy(triage / "data/orders.csv", job.data / name / file)
    job.channels()
    ran = train(triage)
    assert ran.code == 1
    assert says in ran.failure


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ([], "reference table 'issuers': expected a channel of its name, as others have"),
        (["a.csv", "b.csv"], "reference table 'issuers': expected one file in "),
    ],
)
def test_a_reference_table_needs_one_file(job, train, cards, files, says):
    for name in ("history", "cards"):
        (job.data / name).mkdir()
        shutil.copy(cards / f"data/{name}.csv", job.data / name)
    for file in files:
        (job.data / "issuers").mkdir(exist_ok=True)
        shutil.copy(cards / "data/issuers.csv", job.data / "issuers" / file)
    assert says in train(cards).failure


def test_garbage_is_a_failure_in_utf_8(job, train, triage, one_channel):
    (job.data / "training/orders.csv").write_bytes(b'\x00\xff,not,data\n"')
    assert "orders.csv, line 1: the header is not UTF-8" in train(triage).failure


def test_a_setting_that_can_not_be_used_is_a_failure_too(job, train, triage, one_channel, monkeypatch):
    monkeypatch.setenv("SCORELINE_MAX_BAD_ROWS", "many")
    ran = train(triage)
    assert (ran.code, ran.failure) == (2, "SCORELINE_MAX_BAD_ROWS='many': expected a whole number, for example 20")


def test_a_mistake_of_ours_is_a_failure_with_its_place(job, train, triage, one_channel, monkeypatch):
    monkeypatch.setattr("scoreline.cli.job.run_feature", lambda settings: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        train(triage)
    failure = (job.root / "output/failure").read_text()
    assert failure.startswith("an unexpected error: ZeroDivisionError: ")
    assert "test_training.py line " in failure


@pytest.mark.parametrize(
    ("text", "kept"), [("a" * 2000, 1024), ("é" * 600, 1024), ("aé" * 600, 1024), ("€" * 600, 1023), ("\ud800", 1)]
)
def test_a_reason_is_cut_between_characters(text, kept):
    content = cut(text)
    assert len(content) == kept
    assert content.decode() == text.replace("\ud800", "?")[: len(content.decode())]


@pytest.mark.slow
def test_sigterm_leaves_nothing_half_written(job, tmp_path):
    slow = "import time; time.sleep(60)\n    return HistGradientBoostingClassifier(**tuning"
    app = copy_app(tmp_path / "app", ("return HistGradientBoostingClassifier(**tuning", slow))
    write_sample(job.data / "training")
    variables = {"SCORELINE_APP": str(app), "SCORELINE_ML_ROOT": str(job.root)}
    command = Command([sys.executable, "-m", "scoreline", "train"], tmp_path, variables)
    try:
        command.wait_until(lambda: "train: fitting" in command.printed)
        command.process.send_signal(signal.SIGTERM)
        assert command.wait(20) == 143
        assert command.nothing_is_left()
    finally:
        command.stop()
    assert job.files("model") == set()
    assert list(job.model.iterdir()) == []
    assert not [path for path in job.root.rglob("*") if path.name.startswith((".training-", ".building-"))]
    assert (job.root / "output/failure").read_text() == "stopped before the end; nothing was left half-written"
