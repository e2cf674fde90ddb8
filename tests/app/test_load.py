"""Loading an app: what comes of a file without a mistake, and how files and lines are named."""

from __future__ import annotations

import sys

import pytest

from scoreline import Boolean, Category, Integer, Number, Text
from scoreline.app.load import load_app, load_module, shown
from scoreline.errors import AppError, ScorelineError, SettingError


def test_an_app_without_a_mistake_is_given_as_declared(app_folder, right_app):
    app = load_app(app_folder(right_app))
    assert app.name == "shop"
    assert list(app.tables) == ["orders", "stock", "zips"]
    assert app.spine.spec.key == ("order_id", "sku")
    assert app.feature_types == {
        "level": Integer(),
        "region": Category("NORTH", "SOUTH"),
        "value": Number(),
        "is_large": Boolean(),
        "zip_code": Text(),
    }
    assert app.heads["action"].inputs == ("level", "is_large", "region")
    assert app.targets == ("kept",)
    assert list(app.reply_fields) == ["order_id", "action", "why", "odds"]
    assert [summary.arguments for summary in app.summaries] == [("action", "level")]


def test_order_triage_is_an_app_without_a_mistake(order_triage):
    assert list(order_triage.heads) == ["recommendation", "fulfilment_probability"]


def test_a_folder_without_an_app_file_says_how_to_name_one(tmp_path):
    with pytest.raises(AppError, match=r"no app.py here. Name the app's folder with --app DIR or SCORELINE_APP"):
        load_app(tmp_path)


def test_a_folder_that_there_is_not_is_a_setting_that_can_not_be_used(tmp_path):
    with pytest.raises(SettingError, match=r"^SCORELINE_APP=.*/nope \(or --app\): expected a folder with an app.py"):
        load_app(tmp_path / "nope")


def test_one_app_under_two_names_is_one_app(app_folder, right_app):
    assert load_app(app_folder(right_app + "application = app\n")).name == "shop"


def test_apps_of_two_folders_do_not_mix(app_folder, right_app):
    first = load_app(app_folder(right_app, "a"))
    second = load_app(app_folder(right_app.replace('App("shop")', 'App("other")'), "b"))
    assert (first.name, second.name) == ("shop", "other")
    assert first.spine is not second.spine


def test_helper_modules_beside_the_app_can_be_imported_and_shadow_no_library(app_folder, right_app):
    folder = app_folder(right_app + "import shop_tables, json\nassert shop_tables.LIMIT == 3 and json.dumps\n")
    (folder / "shop_tables.py").write_text("LIMIT = 3\n")
    (folder / "json.py").write_text("raise AssertionError('not this one')\n")
    load_app(folder)
    assert sys.path[-1] == str(folder)


def test_a_syntax_error_in_a_helper_module_is_named_after_the_helper(app_folder):
    folder = app_folder("import helper\n")
    (folder / "helper.py").write_text("x = 1\ny = (\n")
    with pytest.raises(AppError) as caught:
        load_app(folder)
    assert str(caught.value) == f"{folder}/helper.py, line 2: '(' was never closed"


def test_an_error_in_a_helper_module_is_told_at_the_line_that_imports_it(app_folder):
    folder = app_folder("x = 1\nimport helper\n")
    (folder / "helper.py").write_text("\n\n\n1 / 0\n")
    with pytest.raises(AppError, match=r"app.py, line 2: ZeroDivisionError"):
        load_app(folder)


@pytest.mark.parametrize("where", ["shop", "./shop", "../{here}/shop"])
def test_the_line_is_named_however_the_folder_is_written(app_folder, monkeypatch, tmp_path, where):
    app_folder("x = 1\n1 / 0\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AppError, match=r"^shop/app.py, line 2: ZeroDivisionError"):
        load_app(tmp_path.__class__(where.format(here=tmp_path.name)))


def test_an_app_is_loaded_and_its_mistakes_are_named_where_the_working_directory_was_removed(
    app_folder, monkeypatch, tmp_path
):
    folder = app_folder("x = 1\n1 / 0\n")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(AppError, match=rf"^{folder}/app.py, line 2: ZeroDivisionError"):
        load_app(folder)


def test_an_app_error_is_a_scoreline_error_and_a_value_error(app_folder):
    with pytest.raises(AppError) as caught:
        load_app(app_folder("1 / 0\n"))
    assert isinstance(caught.value, ScorelineError)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_file_is_shown_as_a_user_would_type_it(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "a" / "app.py") == "a/app.py"
    assert shown(tmp_path.parent / "app.py") == str(tmp_path.parent / "app.py")


def test_any_python_file_of_an_app_can_be_loaded(tmp_path):
    (tmp_path / "predictor.py").write_text("class Own: ...\n")
    assert load_module(tmp_path / "predictor.py").Own.__name__ == "Own"
