"""Which of an app folder's files go into its package."""

from __future__ import annotations

from pathlib import Path

import pytest

from scoreline.errors import AppError
from scoreline.sagemaker.own_files import own_files


@pytest.fixture
def folder(tmp_path):
    """Give a function that writes files and returns the names of those that are taken."""

    def taken(files, *more):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return [str(file) for file in own_files(tmp_path, more)]

    return taken


def test_the_files_that_scoreline_looks_for_are_taken_and_nothing_else(folder):
    ours = {"app.py": "", "predictor.py": "", "wsgi.py": "", "nginx.conf": ""}
    others = {"README.md": "", "data/orders.csv": "", "make_sample.py": "import app", "model/manifest.json": "{}"}
    assert folder(ours | others) == sorted(ours)


@pytest.mark.parametrize(
    "imports",
    [
        "import shop",
        "import shop as s, json",
        "from shop import rules",
        "def f():\n    import shop",
        "try:\n    import shop\nexcept ImportError:\n    pass",
    ],
)
def test_a_module_beside_the_app_is_taken_wherever_it_is_imported(folder, imports):
    assert folder({"app.py": imports, "shop.py": "", "other.py": ""}) == ["app.py", "shop.py"]


def test_modules_that_modules_import_are_taken_and_circles_end(folder):
    files = {"wsgi.py": "import one", "app.py": "", "one.py": "import two", "two.py": "import one, numpy"}
    assert folder(files) == sorted(files)


def test_an_imported_package_is_taken_whole_with_what_it_opens_and_imports(folder):
    rules = "import helper\nfrom .deep import x"
    package = {"shop/__init__.py": "", "shop/deep/rules.py": rules, "shop/states.json": "[]"}
    left = {"shop/__pycache__/rules.pyc": "", "shop/.hidden": "", "deep.py": ""}
    app = {"app.py": "import shop.deep.rules", "helper.py": ""}
    assert folder(app | package | left) == sorted(app | package)


def test_a_folder_without_modules_is_no_package(folder):
    assert folder({"app.py": "import data", "data/orders.csv": ""}) == ["app.py"]


def test_further_files_and_folders_are_taken_by_name(folder):
    files = {"app.py": "", "states.json": "", "lists/a.txt": "", "lists/deep/b.txt": ""}
    assert folder(files | {"other.json": ""}, "states.json", "lists") == sorted(files)


@pytest.mark.parametrize("name", ["nowhere.json", "../outside.txt", "/etc/hostname"])
def test_a_further_file_that_is_not_in_the_folder_is_refused_by_name(folder, tmp_path, name):
    (tmp_path.parent / "outside.txt").write_text("")
    with pytest.raises(AppError, match=f"--add {name}: expected a file in the app's folder"):
        folder({"app.py": ""}, name)


def test_a_module_that_is_no_python_is_named_with_its_line(folder):
    with pytest.raises(AppError, match=r"shop\.py, line 2: can't be parsed"):
        folder({"app.py": "import shop", "shop.py": "x = 1\ny = (\n"})


def test_an_order_that_does_not_depend_on_the_disk(tmp_path):
    for name in ("b", "a", "c"):
        (tmp_path / f"{name}.py").write_text("")
    (tmp_path / "app.py").write_text("import c, a, b")
    assert own_files(tmp_path) == [Path("a.py"), Path("app.py"), Path("b.py"), Path("c.py")]
