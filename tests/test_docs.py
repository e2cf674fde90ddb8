"""The documentation says what is true: commands, settings, links, and the app that the README shows."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scoreline.cli.main import scoreline
from scoreline.settings import SETTINGS

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("apps/*/README.md")]


def test_the_settings_page_is_what_the_settings_declare():
    spec = importlib.util.spec_from_file_location("make_settings", ROOT / "docs/make_settings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs/settings.md").read_text() == module.settings_page(), "run: python docs/make_settings.py"


@pytest.mark.parametrize("variable", [variable for setting in SETTINGS for variable in setting.variables])
def test_every_variable_in_the_pages_is_a_setting(variable):
    assert f"`{variable}`" in (ROOT / "docs/settings.md").read_text()


def test_no_page_names_a_variable_that_is_no_setting():
    known = {variable for setting in SETTINGS for variable in setting.variables}
    named = {
        v for page in PAGES for v in re.findall(r"\b(?:SCORELINE|MODEL_SERVER|SAGEMAKER)_[A-Z_]+", page.read_text())
    }
    assert named <= known


@pytest.mark.parametrize("command", scoreline.commands)
def test_every_command_is_in_the_readme(command):
    assert re.search(rf"\bscoreline {command}\b|`{command}`", (ROOT / "README.md").read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_in_the_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_room_of_the_house_exists_and_is_named():
    page = (ROOT / "docs/house.md").read_text()
    rooms = re.findall(r"^\| `([^`]+)`", page, re.M)
    assert rooms
    assert all((ROOT / room).exists() for room in rooms)
    there = {f"src/scoreline/{p.name}{'/' if p.is_dir() else ''}" for p in (ROOT / "src/scoreline").iterdir()}
    hidden = {path for path in there if path.rsplit("/", 1)[-1].startswith("_") or "__pycache__" in path}
    assert there - hidden - {"src/scoreline/py.typed"} <= set(rooms)


@pytest.mark.slow
def test_the_app_in_the_readme_works_as_it_stands(tmp_path):
    code = re.search(r"```python\n(from scoreline import App.*?)```", (ROOT / "README.md").read_text(), re.S).group(1)
    (tmp_path / "app.py").write_text(code)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/visits.csv").write_text(
        "visit_id,customer_id,at\nv1,c1,2024-01-01 10:00:00\nv2,c2,2024-01-01\nv3,c1,2024-01-03\n"
    )
    (tmp_path / "data/balances.csv").write_text("customer_id,at,balance\nc1,2023-12-31,5000\nc1,2024-01-02,1\n")
    for command in ("check", "up"):
        done = subprocess.run(
            [sys.executable, "-m", "scoreline", command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    lines = (tmp_path / "results/results.json").read_text().splitlines()
    assert [json.loads(line)["treatment"] for line in lines] == ["Champagne", "Greet", "Coffee"]


@pytest.mark.parametrize("body", re.findall(r"```json\n(.*?)\n```", (ROOT / "README.md").read_text(), re.S))
def test_json_in_the_readme_is_json(body):
    assert all(json.loads(line) for line in body.splitlines())
