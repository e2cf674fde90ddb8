"""What an image carries of an app: its files, a model, and what serving that model needs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from servers import settings_for, write_sample

from scoreline.cli.bundle import bundle
from scoreline.errors import ScorelineError
from scoreline.serving.start import open_generation
from scoreline.settings import resolve_settings

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture
def app(tmp_path):
    """Give an app with data, and things that no image needs."""
    folder = tmp_path / "app"
    folder.mkdir()
    shutil.copy(ROOT / "apps/order_triage/app.py", folder)
    write_sample(folder / "data")
    for name in ("results/old", "state/old", "__pycache__/x.pyc", "notes.txt", "lib/model/weights.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    return folder


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_model_is_trained_where_the_app_has_none_and_data_stay_outside(app, tmp_path):
    before = files_of(app)
    bundle(app, tmp_path / "out")
    found = files_of(tmp_path / "out")
    assert {"app.py", "notes.txt", "lib/model/weights.txt", "package.json", "model/manifest.json"} <= found
    assert not {file for file in found if file.startswith(("data/", "state/", "__pycache__/")) or file.endswith("/old")}
    assert len([file for file in found if file.startswith("results/")]) == 2  # the stamp and the store
    assert files_of(app) == before
    report = open_generation(settings_for(tmp_path / "out", tmp_path / "state"), print)
    assert report.notes == []


def test_the_apps_own_model_is_taken_as_it_is(app, triage, tmp_path, capsys):
    shutil.copytree(triage / "model", app / "model")
    bundle(app, tmp_path / "out")
    made = files_of(triage / "model") - {".lock"}
    assert files_of(tmp_path / "out/model") == made
    for file in made:
        assert (tmp_path / "out/model" / file).read_bytes() == (triage / "model" / file).read_bytes()
    assert "the app's own model/ is taken" in capsys.readouterr().err


def test_a_model_whose_golden_rows_differ_is_not_packed(app, triage, tmp_path):
    shutil.copytree(triage / "model", app / "model")
    golden = app / "model/golden.json"
    golden.write_text(golden.read_text().replace("0.", "0.1", 1))
    with pytest.raises(ScorelineError, match="golden"):
        bundle(app, tmp_path / "out")


def test_reference_tables_go_along_as_copies_for_a_day_without_a_network(tmp_path, monkeypatch):
    bundle(ROOT / "apps/approval_odds", tmp_path / "out")
    out = tmp_path / "out"
    assert files_of(out / "data") == {"card_variables.csv", "issuer_rules.csv"}
    for name, value in {"URL_S3": "http://127.0.0.1:9", "REGION": "us-east-2"}.items():
        monkeypatch.setenv(f"AWS_{'ENDPOINT_' if name == 'URL_S3' else ''}{name}", value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    settings = resolve_settings(
        {"app": out, "state": tmp_path / "state", "data_url": "s3://efmldevelopment/data/creditcards/"}, {}
    )
    report = open_generation(settings, print)
    assert len(report.notes) == 2
    assert all("Going on with the copy at hand" in note for note in report.notes)
    tables = json.loads((out / "package.json").read_text())["tables"]
    assert {table["file"]: table["rows"] for table in tables.values()} == {
        "card_variables.csv": 640,
        "issuer_rules.csv": 163,
    }
