"""`scoreline feature`, `train` and `check` as a person meets them."""

from __future__ import annotations

import shutil

import pytest
from servers import copy_app, folders, write_sample


def contents(folder):
    """Return all files of a folder with their bytes."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def drop_column(data, name):
    lines = [line.split(",") for line in (data / "orders.csv").read_text().splitlines()]
    place = lines[0].index(name)
    kept = [",".join(field for index, field in enumerate(line) if index != place) for line in lines]
    (data / "orders.csv").write_text("\n".join(kept) + "\n")


def add_second_file(data):
    shutil.copyfile(data / "orders.csv", data / "order.csv")


def spoil_rows(data):
    text = (data / "orders.csv").read_text()
    (data / "orders.csv").write_text(text.replace(",2021-", ",soon-", 30))


BAD_DATA = [
    pytest.param(
        lambda data: drop_column(data, "sku_code"), "table 'orders', orders.csv: has no column 'sku_code'", id="column"
    ),
    pytest.param(add_second_file, "table 'orders': orders.csv and order.csv are both in ", id="both-files"),
    pytest.param(lambda data: (data / "payments.csv").unlink(), "table 'payments': no file in ", id="no-file"),
    pytest.param(spoil_rows, "table 'orders': 30 of 60 rows of orders.csv can't be read", id="too-many-bad-rows"),
    pytest.param(shutil.rmtree, "data folder ", id="no-folder"),
]


@pytest.mark.parametrize(("damage", "says"), BAD_DATA)
def test_feature_refuses_bad_data_with_one_line_and_keeps_the_last_good_results(cli, app, damage, says):
    assert cli("feature", *folders(app)).code == 0
    before = contents(app / "results")
    damage(app / "data")
    ran = cli("feature", *folders(app))
    (line,) = ran.err.splitlines()
    assert (ran.code, ran.out) == (1, "")
    assert line.startswith(f"scoreline: {says}")
    after = contents(app / "results")
    assert {path: after.get(path) for path in before} == before
    assert {path.parent.name for path in after.keys() - before.keys()} <= {"rejected"}


@pytest.mark.parametrize("command", ["check", "feature", "train", "serve", "inference", "up"])
def test_without_an_app_every_command_says_how_to_name_one(cli, tmp_path, command):
    ran = cli(command, "--app", tmp_path)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        f"scoreline: {tmp_path}: no app.py here. Name the app's folder with --app DIR or SCORELINE_APP.\n"
    )


def test_a_mistake_in_app_py_is_one_line_with_its_place(cli, app):
    text = (app / "app.py").read_text()
    (app / "app.py").write_text(text.replace("latest(inventory.inventory)", "latest(inventory.inventroy)"))
    line_number = 1 + text[: text.index("latest(inventory.inventory)")].count("\n")
    ran = cli("feature", *folders(app))
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (1, "", 1)
    assert f"app.py, line {line_number}" in ran.err
    assert "Did you mean 'inventory'?" in ran.err


def test_feature_and_train_print_results_on_stdout_alone(cli, app):
    planted = write_sample(app / "data", orders=300, bad_rows=True)
    featured = cli("feature", *folders(app))
    assert (featured.code, featured.err) == (0, "")
    assert featured.out.splitlines()[0] == "feature"
    assert f"{planted['orders']} set aside" in featured.out
    trained = cli("train", *folders(app))
    assert (trained.code, trained.err) == (0, "train: fitting fulfilment_probability on 180 rows\n")
    assert trained.out.splitlines()[0] == "train"
    assert (app / "model/manifest.json").is_file()


def test_train_without_features_says_what_to_run(cli, app):
    ran = cli("train", *folders(app))
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"scoreline: {app / 'results'}: no feature table here. Run `scoreline feature` first.\n"


def test_the_folders_may_come_from_variables(cli, app, monkeypatch, tmp_path):
    for name, folder in {"APP": app, "DATA": app / "data", "RESULTS": tmp_path / "elsewhere"}.items():
        monkeypatch.setenv(f"SCORELINE_{name}", str(folder))
    assert cli("feature").code == 0
    assert (tmp_path / "elsewhere/feature.parquet").is_file()


def test_an_option_wins_over_its_variable(cli, app, monkeypatch, tmp_path):
    monkeypatch.setenv("SCORELINE_RESULTS", str(tmp_path / "elsewhere"))
    assert cli("feature", *folders(app)).code == 0
    assert (app / "results/feature.parquet").is_file()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(("command", "name"), [("feature", "RESULTS"), ("train", "MODEL_DIR")])
def test_a_folder_that_cannot_be_written_is_one_clear_line(cli, app, monkeypatch, tmp_path, command, name):
    if command == "train":
        assert cli("feature", *folders(app)).code == 0
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(f"SCORELINE_{name}", str(tmp_path / "file"))
    for folder in {"DATA", "RESULTS"} - {name}:
        monkeypatch.setenv(f"SCORELINE_{folder}", str(app / folder.lower()))
    ran = cli(command, "--app", app)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"scoreline: {tmp_path / 'file'}: can't be written (")
    assert len(ran.err.splitlines()) == 1


# check


def test_check_says_ok_and_runs_nothing(cli, app):
    before = contents(app / "data")
    ran = cli("check", *folders(app))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[-1] == "ok"
    assert "orders.csv: 7 of 7 columns" in ran.out
    assert contents(app / "data") == before
    assert {path.name for path in app.iterdir()} - {"__pycache__"} == {"app.py", "data"}


def test_check_looks_into_the_current_folder(cli, app, here):
    here(app)
    assert cli("check", "--data", "data").out.splitlines()[0].startswith("app.py: order-triage: ")


def test_check_names_optional_columns_that_are_not_there(cli, app):
    drop_column(app / "data", "order_fulfilled")
    ran = cli("check", *folders(app))
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "ok")
    assert "orders.csv: 6 of 7 columns, without order_fulfilled" in ran.out


@pytest.mark.parametrize(("damage", "says"), [param for param in BAD_DATA if param.id != "too-many-bad-rows"])
def test_check_finds_bad_data_without_running_anything(cli, app, damage, says):
    damage(app / "data")
    ran = cli("check", *folders(app))
    assert ran.code == 1
    assert ran.err.startswith(f"scoreline: {says}")
    assert len(ran.err.splitlines()) == 1
    assert "ok" not in ran.out.splitlines()
    assert not (app / "results").exists()


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("predictor.py", "x = 1", "predictor.py: expected a class Predictor"),
        ("nginx.conf", "listen {{ prot }};", "nginx.conf: 'prot' is undefined"),
        ("nginx.conf", "events {} http { server { listn 1; } }", "nginx refuses it: "),
    ],
)
def test_check_reads_an_apps_other_files_too(cli, app, file, text, says):
    (app / file).write_text(text)
    ran = cli("check", *folders(app))
    assert ran.code == 1
    assert says in ran.err
    assert "Traceback" not in ran.err


def test_check_of_an_app_that_is_not_there_yet_reads_no_rows(cli, triage, tmp_path):
    """The heads of the tables are enough."""
    app = copy_app(tmp_path / "heads")
    (app / "data").mkdir()
    for path in (triage / "data").glob("*.csv"):
        (app / "data" / path.name).write_text(path.read_text().splitlines()[0] + "\n")
    assert cli("check", *folders(app)).code == 0
