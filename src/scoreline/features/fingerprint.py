"""Fingerprints of feature functions: what they compute, whatever their comments and layout say."""

from __future__ import annotations

import ast
import inspect
import textwrap
from types import FunctionType
from typing import Any


def describe_function(function: Any) -> str:
    """Return a text that changes when the function, or what it uses from its own file, changes.

    Its syntax tree without docstrings, and the same of functions of its module that it calls, and
    the values of constants that it reads.
    """
    if not isinstance(function, FunctionType):
        return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', repr(function))}"
    parts: dict[str, str] = {}
    _collect(function, function.__module__, parts)
    return "\n".join(f"{name} = {parts[name]}" for name in sorted(parts))


def _collect(function: FunctionType, module: str, parts: dict[str, str]) -> None:
    parts[function.__name__] = _tree_of(function)
    for name in sorted(_names_used(function.__code__)):
        value = function.__globals__.get(name)
        if name in parts or name not in function.__globals__:
            continue
        if isinstance(value, FunctionType) and value.__module__ == module:
            _collect(value, module, parts)
        elif isinstance(value, (str, int, float, bool, tuple, frozenset, type(None))):
            parts[name] = repr(sorted(value) if isinstance(value, frozenset) else value)


def _names_used(code: Any) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if hasattr(constant, "co_names"):
            names |= _names_used(constant)
    return names


def _tree_of(function: FunctionType) -> str:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError, TypeError):  # no source at hand (a lambda inside a call, an exec): its bytecode
        return function.__code__.co_code.hex()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.Lambda)) and not isinstance(node, ast.Lambda):
            first = node.body[0]
            is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            if is_docstring and len(node.body) > 1:
                node.body = node.body[1:]
            node.name = "f"
    return ast.unparse(tree)
