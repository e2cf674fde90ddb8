"""docs/originals.md maps every piece of the two originals to a test that there is, and in CI to one that passed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from proofs import PAGE, is_defined, rows_of
from servers import plain_environment

ROOT = Path(__file__).parent.parent
ROWS = rows_of((ROOT / PAGE).read_text())
TESTS = sorted({test for row in ROWS for test in row.tests})
PIECES = [
    "`data/`", "`model/`", "`results/`", "`results/feature.csv`", "`results/results.json`", "`docker-compose.yml`",
    "container `feature`", "container `serve`", "container `inference`", "`docker-compose up`", "tests of the features",
    "tests of the model", "`inventory.csv`", "`order.csv`", "`orders.csv`", "`payments.csv`", "`zip_codes.csv`",
    "the key `order_id`, `customer_id`, `sku_code`, `zip_code`", "`Deliver`", "`HoldCheckAvailability`",
    "`HoldCheckDelivery`", "`HoldCheckPayment`", "`Decline`",
    "`train`", "`serve`", "`card_variables.csv`", "`s3://efmldevelopment/data/creditcards/`",
    "`curl -X GET localhost:port/updateccdata`", "`Script-BuildDocker-Sagemaker`", "the ECR repository",
    "nginx", "gunicorn", "flask", "`wsgi.py`", "`predictor.py`", "`nginx.conf`", "`GET /ping`", "`POST /invocations`",
    "`MODEL_SERVER_WORKERS`, by default the cores", "`MODEL_SERVER_TIMEOUT`, by default 60 seconds", "`/opt/ml/model`",
    "`Dockerfile`", "requirements",
]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_every_piece_of_the_originals_has_a_row(piece):
    assert [row for row in ROWS if piece in row.original]


@pytest.mark.parametrize("row", ROWS, ids=[row.original for row in ROWS])
def test_every_row_names_a_test(row):
    assert row.tests


@pytest.mark.parametrize("test", TESTS)
def test_every_test_that_is_named_is_there(test):
    assert is_defined(test, ROOT), f"{PAGE} names {test}: there is none"


@pytest.mark.parametrize(
    "test",
    [
        "tests/test_gone.py::test_every_row_names_a_test",
        "tests/test_originals.py::test_gone",
        "tests/aws/test_s3.py::TestGone::test_an_empty_object_is_an_object",
        "tests/aws/test_s3.py::TestARealServer::test_gone",
        "tests/aws/test_s3.py::test_an_empty_object_is_an_object",
    ],
)
def test_a_name_of_nothing_is_found_out(test):
    assert not is_defined(test, ROOT)


# What a run of the whole suite does with the page: a small suite, with the real conftest.py

SMALL = """
import os, pytest

def test_whole():
    pass

@pytest.mark.parametrize("number", [1, 2])
def test_of_two(number):
    if number == 2 and "WITHOUT" in os.environ:
        pytest.skip("its part is not here")
"""


@pytest.fixture
def suite(tmp_path):
    """Give a function that runs a small suite whose page names tests; it returns exit code and output."""

    def run(named, *options, **environment):
        rows = [f"| x | x | `tests/test_small.py::{name}` |\n" for name in named]
        for name, content in {
            "pytest.ini": f"[pytest]\ntestpaths = tests\npythonpath = {ROOT / 'tests'}\n",
            "tests/test_small.py": SMALL,
            PAGE: "".join(["| original | here | proved by |\n| --- | --- | --- |\n", *rows]),
        }.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(content)
        shutil.copy(ROOT / "tests/conftest.py", tmp_path / "tests")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
        done = subprocess.run(
            command, cwd=tmp_path, env=plain_environment(**environment), capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout

    return run


@pytest.mark.slow
def test_a_run_whose_named_tests_passed_is_good(suite):
    code, printed = suite(["test_whole", "test_of_two", "test_of_two[2]"], SCORELINE_SKIP_IS_FAILURE="1")
    assert code == 0, printed
    assert PAGE not in printed


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["in-one-process", "in-several"])
def test_a_run_without_a_named_test_or_parameter_fails_and_names_it(suite, options):
    code, printed = suite(["test_gone", "test_whole", "test_of_two[3]"], *options, SCORELINE_SKIP_IS_FAILURE="1")
    assert code == 1, printed
    said = [line for line in printed.splitlines() if line.startswith(PAGE)]
    assert said == [
        f"{PAGE} names tests/test_small.py::test_gone: not run",
        f"{PAGE} names tests/test_small.py::test_of_two[3]: not run",
    ]


@pytest.mark.slow
def test_a_run_that_skips_a_named_test_in_part_fails_and_names_it(suite):
    named = ["test_of_two", "test_of_two[1]", "test_of_two[2]"]
    code, printed = suite(named, SCORELINE_SKIP_IS_FAILURE="1", WITHOUT="1")
    assert code == 1, printed
    said = [line for line in printed.splitlines() if line.startswith(PAGE)]
    assert said == [
        f"{PAGE} names tests/test_small.py::test_of_two: skipped",
        f"{PAGE} names tests/test_small.py::test_of_two[2]: skipped",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "environment"),
    [
        pytest.param((), {}, id="where-a-skip-is-no-failure"),
        pytest.param(("-k", "whole"), {"SCORELINE_SKIP_IS_FAILURE": "1"}, id="where-tests-are-chosen"),
        pytest.param(("tests/test_small.py",), {"SCORELINE_SKIP_IS_FAILURE": "1"}, id="where-a-file-is-chosen"),
    ],
)
def test_elsewhere_nothing_is_asked(suite, options, environment):
    code, printed = suite(["test_gone"], *options, **environment)
    assert code == 0, printed
