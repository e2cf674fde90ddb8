"""Fingerprints of feature functions: what changes them, and what does not."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest

from scoreline.app.load import load_module
from scoreline.features.fingerprint import describe_function

PLAIN = '''\
LIMIT = 3
UNUSED = 1
WEIGHTS = {"small": 1.0, "large": 2.5}


def scaled(quantity):
    return quantity * WEIGHTS["large"]


def is_large(quantity):
    """Tell large orders."""
    return scaled(quantity) > LIMIT  # pieces
'''


@pytest.fixture
def fingerprint(tmp_path):
    """Give a function that writes a Python file, loads it and describes its `name`."""
    numbers = itertools.count()

    def describe(text, name="is_large"):
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        (folder / "app.py").write_text(text)
        return describe_function(getattr(load_module(folder / "app.py"), name))

    return describe


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("  # pieces", "", id="a-comment"),
        pytest.param('    """Tell large orders."""\n', "", id="the-docstring"),
        pytest.param("Tell large orders.", "Whether an order is large.", id="the-docstrings-words"),
        pytest.param("scaled(quantity) > LIMIT", "scaled(\n        quantity,\n    ) > (LIMIT)", id="the-layout"),
        pytest.param("LIMIT = 3\n", "\n\n\nLIMIT = 2 + 1\n", id="how-a-constant-is-written"),
        pytest.param("UNUSED = 1", "UNUSED = 2", id="a-constant-that-it-does-not-read"),
        pytest.param("UNUSED = 1", "def other(quantity): return 0", id="another-function"),
    ],
)
def test_what_computes_the_same_has_the_same_fingerprint(fingerprint, old, new):
    assert PLAIN.count(old) == 1
    assert fingerprint(PLAIN.replace(old, new)) == fingerprint(PLAIN)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("> LIMIT", ">= LIMIT", id="its-body"),
        pytest.param("LIMIT = 3", "LIMIT = 4", id="a-constant-that-it-reads"),
        pytest.param("LIMIT = 3", "LIMIT = 3.0", id="the-type-of-a-constant"),
        pytest.param("quantity * WEIGHTS", "quantity + WEIGHTS", id="a-function-that-it-calls"),
        pytest.param("2.5", "2.6", id="a-constant-that-a-function-that-it-calls-reads"),
        pytest.param("scaled(quantity) > LIMIT", "quantity > LIMIT", id="whether-it-calls-it"),
        pytest.param("def is_large(quantity):", "def is_large(pieces, quantity=0):", id="its-arguments"),
    ],
)
def test_what_computes_something_else_has_another_fingerprint(fingerprint, old, new):
    assert PLAIN.count(old) == 1
    assert fingerprint(PLAIN.replace(old, new)) != fingerprint(PLAIN)


@pytest.mark.parametrize(
    ("constant", "other"),
    [
        pytest.param("'a'", "'b'", id="text"),
        pytest.param("True", "1", id="a-boolean"),
        pytest.param("None", "0", id="none"),
        pytest.param("(1, 2)", "(1, 3)", id="a-tuple"),
        pytest.param("(1, 2)", "[1, 2]", id="a-tuple-or-a-list"),
        pytest.param("{'a': [1]}", "{'a': [2]}", id="a-dict-of-lists"),
        pytest.param("{'a', 'b'}", "{'a', 'c'}", id="a-set"),
        pytest.param("frozenset('ab')", "frozenset('ac')", id="a-frozenset"),
        pytest.param("np.array([1.0, 2.0])", "np.array([1.0, 2.5])", id="an-array"),
        pytest.param("np.arange(5000)", "np.arange(5000) // 2 * 2", id="a-long-array"),
        pytest.param("np.datetime64('2021-07-04')", "np.datetime64('2021-07-05')", id="a-moment"),
        pytest.param("datetime(2021, 7, 4)", "datetime(2021, 7, 5)", id="a-datetime"),
        pytest.param("re.compile('a+')", "re.compile('a*')", id="a-pattern"),
    ],
)
def test_the_value_of_a_constant_of_any_plain_kind_counts(fingerprint, constant, other):
    text = "import re\nimport numpy as np\nfrom datetime import datetime\nLIMIT = {}\ndef f(n):\n    return n, LIMIT\n"
    assert fingerprint(text.format(constant), "f") == fingerprint(text.format(constant), "f")
    assert fingerprint(text.format(constant), "f") != fingerprint(text.format(other), "f")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("def above(limit):\n    def g(n): return n > limit\n    return g\nf = above({})\n", id="closure"),
        pytest.param("import functools\ndef above(limit, n):\n    return n > limit\nf = functools.partial(above, {})\n",
                     id="partial"),
        pytest.param("f = lambda n: n > {}\n", id="lambda"),
        pytest.param("both = dict(\n    g=lambda n: n, f=lambda n: n > {},\n)\nf = both['f']\n", id="lambda-in-a-call"),
        pytest.param("both = dict(\n    g=lambda n: n, f=lambda n: [m in {{'a', {}}} for m in n],\n)\nf = both['f']\n",
                     id="a-set-in-a-lambda-in-a-call"),
        pytest.param("exec('def f(n): return n > {}')\n", id="no-source"),
        pytest.param(
            "import functools\ndef plus(g):\n    @functools.wraps(g)\n    def inner(n):\n        return g(n) + {}\n"
            "    return inner\n@plus\ndef f(n):\n    return n\n", id="a-decorator",
        ),
        pytest.param(
            "import functools\ndef plain(g):\n    @functools.wraps(g)\n    def inner(n):\n        return g(n)\n"
            "    return inner\nLIMIT = {}\n@plain\ndef f(n):\n    return n > LIMIT\n", id="decorated",
        ),
        pytest.param("LIMIT = {}\ndef f(n):\n    return [m > LIMIT for m in n]\n", id="inside-a-comprehension"),
        pytest.param("LIMIT = {}\ndef f(n):\n    def g(m): return m > LIMIT\n    return g(n)\n", id="inside-a-def"),
    ],
)  # fmt: skip
def test_a_number_counts_wherever_the_function_has_it_from(fingerprint, text):
    assert fingerprint(text.format(3), "f") == fingerprint(text.format(3), "f")
    assert fingerprint(text.format(3), "f") != fingerprint(text.format(4), "f")


def test_functions_that_call_each_other_are_described_once(fingerprint):
    text = "def f(n):\n    return g(n)\ndef g(n):\n    return f(n) if n else 1\n"
    assert fingerprint(text, "f").count("def f") == 2  # both trees, each under the name `f`


def test_functions_of_libraries_are_not_followed(fingerprint):
    text = "from scoreline import hour_of_day\ndef f(at):\n    return hour_of_day(at)\n"
    assert fingerprint(text, "f") == "f = def f(at):\n    return hour_of_day(at)"


def test_the_fingerprint_is_the_same_in_every_process(tmp_path):
    (tmp_path / "app.py").write_text(
        "import functools\nKNOWN = {'a', 'b', 'c', 'd'}\nclass Box: ...\nbox = Box()\n"
        "def g(limit, n):\n    return (n in KNOWN, n in {'x', 'y', 'z'}, limit, box)\n"
        "f = functools.partial(g, {'p', 'q', 'r'})\n"
    )
    script = (
        "import pathlib, sys\nfrom scoreline.app.load import load_module\n"
        "from scoreline.features.fingerprint import describe_function\n"
        "print(describe_function(load_module(pathlib.Path(sys.argv[1])).f))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "app.py")]
    first, second = (
        subprocess.run(command, env={"PYTHONHASHSEED": seed, **PATH}, capture_output=True, check=True).stdout
        for seed in ("1", "2")
    )
    assert b"KNOWN = set('a', 'b', 'c', 'd')" in first
    assert first == second


PATH = {"PYTHONPATH": ":".join(sys.path)}
