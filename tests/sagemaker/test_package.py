"""`scoreline package`: what is in it, and that it serves on its own."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import pytest
from cards import PERSON, copy_cards
from servers import JSON, copy_app, folders, keys_of, open_service, settings_for

from scoreline.cli.main import run
from scoreline.errors import AppError, ArtifactError, SettingError, SourceAwayError, StampError
from scoreline.generations.package import read_package
from scoreline.serving.answer import answer
from scoreline.serving.start import open_generation
from scoreline.settings import resolve_settings

AWAY = "s3://nowhere/cards/"


def files_of(root):
    return {str(path.relative_to(root / "model")) for path in (root / "model").rglob("*") if path.is_file()}


def asked(service, record):
    given = answer(service, "POST", "/invocations", JSON, json.dumps(record).encode())
    assert given.status == 200, given
    return json.loads(given.body)


@pytest.fixture
def away(monkeypatch):
    """Let nobody answer where S3 would be."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")


def test_it_holds_what_serving_needs_and_nothing_that_only_training_reads(pack, triage, cards):
    of_cards, of_triage = files_of(pack(cards, name="cards")), files_of(pack(triage, name="triage"))
    artifact = {"manifest.json", "golden.json", "package.json", "app/app.py"}
    artifact |= {f"heads/odds.{kind}" for kind in ("parity.npz", "skops", "trees")}
    assert of_cards == artifact | {"data/cards.csv", "data/issuers.csv"}
    assert {name for name in of_triage if "heads/" not in name} == {
        "manifest.json", "golden.json", "package.json", "app/app.py", "results/feature.stamp.json",
        *(f"results/store/{path.name}" for path in (triage / "results/store").glob("*.lmdb")),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["triage", "cards"])
def test_an_equal_app_elsewhere_gives_the_same_bytes(request, name, tmp_path, capsys):
    app = request.getfixturevalue(name)
    copy = shutil.copytree(app, tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__", "state"))
    for folder, out in ((app, tmp_path / "one.tar.gz"), (copy, tmp_path / "other.tar.gz")):
        assert run(["package", *folders(folder), "--out", str(out)]) == 0
    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "other.tar.gz").read_bytes()


def test_it_is_written_into_the_apps_folder_and_leaves_nothing_else(cards, tmp_path, capsys):
    app = copy_cards(cards, tmp_path / "app")
    before = {path for path in app.rglob("*") if "__pycache__" not in path.parts}
    assert run(["package", *folders(app)]) == 0
    assert {path for path in app.rglob("*") if "__pycache__" not in path.parts} - before == {app / "model.tar.gz"}
    out = capsys.readouterr().out
    assert "data/cards.csv" in out
    assert f"model.tar.gz: {(app / 'model.tar.gz').stat().st_size:,} bytes" in out


def test_a_dry_run_lists_it_and_writes_nothing(cards, tmp_path, capsys):
    app = copy_cards(cards, tmp_path / "app")
    assert run(["package", *folders(app), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("app/app.py", "heads/odds.trees", "nothing is written"))
    assert not (app / "model.tar.gz").exists()


def test_an_unpacked_package_answers_as_the_app_did_and_is_linked_to_where_it_is(pack, triage, hosted, tmp_path):
    root = pack(triage)
    settings = hosted(root)
    assert (settings.app, settings.results, settings.package) == (
        root / "model/app", root / "model/results", root / "model",
    )  # fmt: skip
    service = open_service(settings)
    plain = open_service(settings_for(triage, tmp_path / "plain"))
    key = keys_of(triage)[0]
    assert asked(service, key) == asked(plain, key)
    assert service.last_known == plain.last_known
    (generation,) = (settings.state / "generations").iterdir()
    brought = [path for path in generation.rglob("*") if path.is_file() and path.name != "generation.json"]
    assert len(brought) > 3
    assert all(path.is_symlink() and path.resolve().is_relative_to(root / "model") for path in brought)


def test_a_packages_reference_tables_serve_where_no_source_is_named(pack, cards, hosted):
    service = open_service(hosted(pack(cards)))
    reply = asked(service, PERSON)
    assert reply["offered"] == 4
    assert "stale" not in reply


def test_a_package_serves_its_own_copy_while_the_source_is_away_and_says_so(pack, cards, hosted, away):
    settings = hosted(pack(cards), SCORELINE_DATA_URL=AWAY)
    said = []
    report = open_generation(settings, said.append)
    assert report.changed
    assert len(said) == 2
    assert all("can't be reached" in line and "Going on with the copy at hand." in line for line in said)
    service = open_service(settings)
    assert asked(service, PERSON)["stale"] == ["cards"]


def test_once_the_source_is_back_its_tables_are_taken(pack, cards, hosted, away, tmp_path):
    root = pack(cards)
    open_generation(hosted(root, SCORELINE_DATA_URL=AWAY), print)
    newer = shutil.copytree(cards / "data", tmp_path / "newer")
    text = (newer / "cards.csv").read_text().replace("Alder", "Alder the second")
    (newer / "cards.csv").write_text(text)
    service = open_service(hosted(root, SCORELINE_DATA_URL=str(newer)))
    assert "Alder the second" in [card["name"] for card in asked(service, PERSON)["cards"]]
    assert service.last_known.startswith("2-")


def test_tables_are_packed_as_their_source_has_them_now(pack, cards, hosted, tmp_path):
    newer = shutil.copytree(cards / "data", tmp_path / "newer")
    (newer / "cards.csv").write_text((newer / "cards.csv").read_text().replace("Alder", "Alder the second"))
    root = pack(cards, "--data-url", str(newer))
    assert "Alder the second" in (root / "model/data/cards.csv").read_text()
    assert read_package(root / "model").tables["cards"].source == "the package"


def test_a_package_that_was_moved_serves_from_where_it_is_now(pack, triage, hosted):
    root = pack(triage)
    service = open_service(hosted(root))
    service.current().store.close()
    moved = root.rename(root.with_name("moved"))
    assert asked(open_service(hosted(moved)), keys_of(triage)[0])["order_id"] == keys_of(triage)[0]["order_id"]


def test_an_apps_own_predictor_and_helpers_come_along(pack, cards, hosted, tmp_path):
    app = copy_cards(cards, tmp_path / "own")
    (app / "helper.py").write_text("LEAST = 0.25\n")
    (app / "predictor.py").write_text(
        "from helper import LEAST\nfrom scoreline.predictor import Predictor as Base\n"
        "class Predictor(Base):\n    def predict(self, matrix):\n        outputs = super().predict(matrix)\n"
        "        return {**outputs, 'odds': outputs['odds'].clip(LEAST, 1)}\n"
    )
    assert run(["train", *folders(app)]) == 0
    root = pack(app)
    assert {"app/predictor.py", "app/helper.py"} <= files_of(root)
    reply = asked(open_service(hosted(root)), {**PERSON, "score": 300})
    assert min(card["odds"] for card in reply["cards"] if card["odds"] is not None) == 0.25


# What it refuses


@pytest.fixture
def refused(capsys, tmp_path):
    """Give a function that runs `package`, sees it fail, and returns its one line; nothing was written."""

    def package(*arguments):
        out = tmp_path / "out.tar.gz"
        assert run(["package", *map(str, arguments), "--out", str(out)]) == 1
        assert not out.exists()
        (line,) = capsys.readouterr().err.splitlines()
        return line.removeprefix("scoreline: ")

    return package


def test_without_features_or_model_it_says_what_to_run(refused, triage, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert refused(*folders(triage, results=empty)).endswith("no feature table here. Run `scoreline feature` first.")
    assert refused(*folders(triage, model_dir=empty)).endswith("no model artifact here. Run `scoreline train` first.")
    assert list(empty.iterdir()) == []


def test_the_model_of_another_app_py_is_refused(refused, triage, tmp_path):
    app = copy_app(tmp_path / "changed", ("NIGHT_ENDS = 6 ", "NIGHT_ENDS = 7 "))
    assert "'rule night'" in refused(*folders(app, model_dir=triage / "model", results=triage / "results"))


def test_a_source_that_is_away_is_refused(refused, cards, away):
    line = refused(*folders(cards), "--data-url", AWAY)
    assert "can't be reached" in line


def test_a_file_that_the_app_opens_is_asked_for_and_taken_by_name(refused, cards, pack, tmp_path):
    app = copy_cards(cards, tmp_path / "app")
    (app / "limits.json").write_text("{}")
    text = "import json, pathlib\njson.loads((pathlib.Path(__file__).parent / 'limits.json').read_text())\n"
    (app / "app.py").write_text(text + (app / "app.py").read_text())
    line = refused(*folders(app))
    assert line.startswith("the app does not load from its own files alone: app.py, line 2: FileNotFoundError")
    assert line.endswith("Taken: app/app.py. Name what is missing with --add.")
    assert "app/limits.json" in files_of(pack(app, "--add", "limits.json"))


# What serving refuses


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 2}', '{"format": 1, "app": "x"}'])
def test_a_package_that_can_not_be_read_is_refused_by_name(pack, cards, hosted, text):
    root = pack(cards)
    (root / "model/package.json").write_text(text)
    with pytest.raises(
        ArtifactError, match=r"package\.json: can't be read as a model package \(.*Unpack the package again, or make "
    ):
        open_generation(hosted(root), print)


def test_a_package_without_its_table_and_a_source_that_is_away_is_refused(pack, cards, hosted, away):
    root = pack(cards)
    content = json.loads((root / "model/package.json").read_text())
    del content["tables"]["cards"]
    (root / "model/package.json").write_text(json.dumps(content))
    with pytest.raises(SourceAwayError, match="There is no copy of 'cards' at hand"):
        open_generation(hosted(root, SCORELINE_DATA_URL=AWAY), print)


def test_while_a_platform_trains_no_package_is_taken_for_the_app(pack, cards):
    root = pack(cards)
    found = resolve_settings({}, {"SCORELINE_ML_ROOT": str(root)})
    assert (found.package, found.app) == (root / "model", root / "model/app")
    (root / "input").mkdir()
    found = resolve_settings({"app": cards}, {"SCORELINE_ML_ROOT": str(root)})
    assert (found.package, found.app, found.data) == (None, cards, root / "input/data")


def test_a_package_may_be_tried_from_any_folder(pack, cards, tmp_path):
    root = pack(cards)
    found = resolve_settings({"model": root / "model"}, {})
    assert (found.package, found.app) == (root / "model", root / "model/app")


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ('{"app": "order_triage"}', "/tmp/scoreline-state-order_triage"),
        ('{"app": "my odds/2"}', "/tmp/scoreline-state-my-odds-2"),
        ('{"app": "../.."}', "/tmp/scoreline-state--"),
        ("{", "/tmp/scoreline-state"),
        ("[]", "/tmp/scoreline-state"),
    ],
)
def test_packages_of_two_apps_that_are_tried_on_one_machine_have_states_of_their_own(tmp_path, text, state):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/package.json").write_text(text)
    assert resolve_settings({"model": tmp_path / "model"}, {}).state == Path(state)
    assert resolve_settings({"model": tmp_path / "model"}, {"SCORELINE_STATE": "/named"}).state == Path("/named")
    assert resolve_settings({}, {"SCORELINE_ML_ROOT": str(tmp_path)}).state == Path("/tmp/scoreline-state")


def test_names_in_a_package_stay_below_it(pack, triage, tmp_path):
    pack(triage)
    with tarfile.open(tmp_path / "ml.tar.gz") as archive:
        assert all(not name.startswith(("/", ".")) for name in archive.getnames())


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("heads/odds.trees", "heads/odds.trees: is missing from the model artifact"),
        ("manifest.json", "model: no model artifact here"),
        ("app/app.py", "app/app.py: is missing from the model package"),
        ("app", "app/app.py: is missing from the model package"),
    ],
)
def test_a_damaged_package_is_to_be_unpacked_or_made_again(pack, cards, hosted, damage, says):
    root = pack(cards)
    path = root / "model" / damage
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(ArtifactError) as caught:
        open_generation(hosted(root), print)
    assert str(caught.value).endswith(f"{says}. Unpack the package again, or make a new one with `scoreline package`.")


def test_a_torn_store_in_a_package_is_too(pack, triage, hosted):
    root = pack(triage)
    (store,) = (root / "model/results/store").iterdir()
    store.write_bytes(store.read_bytes()[:-1])
    with pytest.raises(StampError, match=r"it is torn\. Unpack the package again, or make a new one"):
        open_generation(hosted(root), print)


def test_an_app_folder_that_was_named_and_is_none_is_misuse_beside_a_model_too(hosted, tmp_path):
    (tmp_path / "ml/model").mkdir(parents=True)
    with pytest.raises(SettingError, match=r"^SCORELINE_APP=/nope \(or --app\)"):
        open_generation(hosted(tmp_path / "ml", SCORELINE_APP="/nope"), print)


def test_where_there_is_neither_package_nor_app_it_says_what_it_looked_at(hosted, tmp_path):
    (tmp_path / "ml/model").mkdir(parents=True)
    with pytest.raises(AppError) as caught:
        open_generation(hosted(tmp_path / "ml"), print)
    assert str(caught.value) == (
        f"{tmp_path / 'elsewhere'}: no app.py here, and {tmp_path / 'ml/model'}: no package.json, so that it is no "
        "model package. Unpack a whole package there, or name the app's folder with --app DIR or SCORELINE_APP."
    )
