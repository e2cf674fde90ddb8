"""The public face: what `from scoreline import ...` gives, and that everything public says what it is."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import scoreline

SOURCE = Path(scoreline.__file__).parent
MODULES = sorted(str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py"))


def test_the_public_names_are_sorted_and_listed_once():
    assert scoreline.__all__ == sorted(set(scoreline.__all__))


def test_the_public_names_are_exactly_what_can_be_imported():
    given = {
        name for name, value in vars(scoreline).items() if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert given == set(scoreline.__all__)


@pytest.mark.parametrize("module", [name for name in MODULES if (SOURCE / name).stat().st_size])
def test_whatever_is_public_has_a_docstring(module):
    tree = ast.parse((SOURCE / module).read_text())
    assert ast.get_docstring(tree), f"{module} has none"
    assert [name for name, node in public_parts(tree) if not ast.get_docstring(node)] == []


def public_parts(tree, prefix=""):
    """Yield the public functions and classes of a module, and the public methods of those classes."""
    for node in tree.body:
        is_part = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        if is_part and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public_parts(node, f"{node.name}.")


APPS = sorted((Path(__file__).parent.parent / "apps").glob("*/app.py"))


@pytest.mark.parametrize("path", APPS, ids=lambda path: path.parent.name)
def test_an_app_file_uses_public_names_alone(path):
    tree = ast.parse(path.read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    of_ours = [node for node in imports if isinstance(node, ast.ImportFrom) and node.module.startswith("scoreline")]
    assert [node.module for node in of_ours] == ["scoreline"]
    assert {alias.name for alias in of_ours[0].names} <= set(scoreline.__all__)
    others = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    assert {name.partition(".")[0] for name in others} <= {"numpy"}
    private = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr.startswith("_")]
    assert private == []
