"""What importing costs: an app file, and the package itself, load no engine, no model library and no server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {
    "boto3", "botocore", "cloudpickle", "click", "duckdb", "flask", "gunicorn", "joblib", "lightgbm", "lmdb", "msgspec",
    "pandas", "pyarrow", "pyspark", "redis", "scipy", "skops", "sklearn", "treelite", "urllib3", "xgboost",
}  # fmt: skip


def modules_after(statement):
    """Run a statement in an interpreter of its own; return the top-level modules that it has loaded then."""
    script = f"import sys\n{statement}\nprint(' '.join(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("app", sorted(path.parent.name for path in ROOT.glob("apps/*/app.py")))
def test_loading_an_app_loads_no_engine_and_no_model_library(app):
    folder = ROOT / "apps" / app
    loaded = modules_after(
        f"from pathlib import Path; from scoreline.app.load import load_app; load_app(Path({str(folder)!r}))"
    )
    assert "scoreline" in loaded
    assert loaded & HEAVY == set()


def test_importing_the_package_loads_no_engine_and_no_model_library():
    loaded = modules_after("import scoreline")
    assert "scoreline" in loaded
    assert loaded & HEAVY == set()


def test_the_list_of_modules_would_show_a_heavy_one():
    assert "pyarrow" in modules_after("import scoreline.features.arrays")


def test_what_answers_requests_needs_no_model_library_and_no_engine():
    loaded = modules_after("import scoreline.predictor, scoreline.generations.parts, scoreline.store.embedded")
    assert loaded & {"sklearn", "scipy", "skops", "treelite", "duckdb", "pandas", "pyarrow", "boto3"} == set()


def test_a_networked_store_loads_its_client_library_only_when_it_is_asked():
    made = "from scoreline.store.link import Link; from scoreline.store.address import parse_address; "
    assert "redis" not in modules_after(made + "Link(parse_address('redis://nowhere'), 1.0)")
    assert "redis" in modules_after(made + "Link(parse_address('redis://nowhere'), 1.0)._make")


def test_a_folder_as_source_needs_no_library_of_aws():
    loaded = modules_after("from scoreline.tables.fetch import open_source; open_source('/nowhere', None)")
    assert loaded & {"boto3", "botocore", "urllib3"} == set()


def test_the_engine_of_one_machine_needs_nothing_of_spark():
    loaded = modules_after("import scoreline.cli.main, scoreline.cli.feature, scoreline.features.build")
    assert "duckdb" in loaded
    assert loaded & {"pyspark", "py4j", "pandas"} == set()


def test_scoring_a_batch_loads_neither_spark_nor_what_its_input_does_not_need():
    loaded = modules_after("import scoreline.cli.score, scoreline.scoring.run, scoreline.scoring.worker")
    assert loaded & {"pyspark", "py4j", "pandas", "redis", "boto3", "sklearn", "skops", "treelite", "duckdb"} == set()


@pytest.mark.needs("java")
def test_what_runs_on_workers_of_spark_needs_no_other_engine_and_no_store():
    rooms = ("reading", "aside", "functions", "output")
    loaded = modules_after("import " + ", ".join(f"scoreline.features.engines.distributed.{room}" for room in rooms))
    assert "pyspark" in loaded
    assert loaded & {"boto3", "duckdb", "flask", "lmdb", "msgspec", "sklearn", "skops", "tqdm", "treelite"} == set()
