"""Fingerprints of feature functions: what they compute, whatever their comments and layout say."""

from __future__ import annotations

import ast
import datetime
import functools
import inspect
import re
import textwrap
from collections.abc import Mapping
from types import CodeType, FunctionType
from typing import Any

import numpy as np

_PLAIN = (str, bytes, int, float, complex, type(None), datetime.date, datetime.time, datetime.timedelta, re.Pattern)


def describe_function(function: Any) -> str:
    """Return a text that changes when the function, or what it uses from its own file, changes.

    Its syntax tree without docstrings, and the same of functions of its module that it calls, and
    the values of constants that it reads or was made with.
    """
    if isinstance(function, functools.partial):
        given = _constant([function.args, function.keywords])
        return f"{describe_function(function.func)}\nmade with {given}"
    if not isinstance(function, FunctionType):
        return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', repr(function))}"
    parts: dict[str, str] = {}
    _collect(function, function.__module__, parts)
    return "\n".join(f"{name} = {parts[name]}" for name in sorted(parts))


def _collect(function: FunctionType, module: str, parts: dict[str, str]) -> None:
    code = function.__code__
    parts[code.co_qualname] = _tree_of(code)
    used = {name: function.__globals__[name] for name in _names_used(code) if name in function.__globals__}
    cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
    used |= {f"{code.co_qualname}.{name}": cell.cell_contents for name, cell in cells}
    for name, value in sorted(used.items()):
        if isinstance(value, FunctionType):
            if value.__module__ == module and value.__code__.co_qualname not in parts:
                _collect(value, module, parts)
        elif (text := _constant(value)) is not None:
            parts[name] = text


def _names_used(code: CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names_used(constant)
    return names


def _constant(value: Any) -> str | None:
    """Return a constant as text, the same in every process; None for what is no plain value."""
    if isinstance(value, np.ndarray | np.generic):
        return f"{value.dtype} {_constant(value.tolist())}"
    if isinstance(value, Mapping):
        items = [_constant(pair) for pair in value.items()]
    elif isinstance(value, (tuple, list, set, frozenset)):
        items = [_constant(item) for item in value]
    else:
        return repr(value) if isinstance(value, _PLAIN) else None
    known = [item for item in items if item is not None]
    if len(known) < len(items):
        return None
    return f"{type(value).__name__}({', '.join(sorted(known) if isinstance(value, (set, frozenset)) else known)})"


def _tree_of(code: CodeType) -> str:
    if code.co_filename.startswith("<"):  # an exec: what Python 3.13 finds under that name is the text of `python -c`
        return _bytecode_of(code)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(code)))
    except (OSError, SyntaxError, TypeError):  # no source at hand: a lambda inside a call, an exec
        return _bytecode_of(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            first = node.body[0]
            is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            if is_docstring and len(node.body) > 1:
                node.body = node.body[1:]
            node.name = "f"
    return ast.unparse(tree)


def _bytecode_of(code: CodeType) -> str:
    constants = [_bytecode_of(c) if isinstance(c, CodeType) else _constant(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"
