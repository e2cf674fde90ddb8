"""Our code on workers that have none, or another."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from spark_cluster import CONF

pytestmark = [pytest.mark.slow, pytest.mark.needs("java")]

ROOT = Path(__file__).parents[2]
BUILD = f"""
import sys
sys.path.insert(0, {str(ROOT / "src")!r})
from pathlib import Path
from scoreline.app.load import load_app
from scoreline.distributed.session import open_session
from scoreline.features.spread import Tables, build_features_in
session = open_session(sys.argv[1], conf={CONF!r})
app = load_app(Path({str(ROOT / "apps/order_triage")!r}))
print(build_features_in(Path(sys.argv[2]), app, session, Tables({str(ROOT / "apps/order_triage/data")!r})).rows)
session.stop()
"""


def test_a_worker_with_another_scoreline_gets_this_one(tmp_path):
    other = tmp_path / "other/scoreline"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("raise RuntimeError('this is another Scoreline')")
    environment = {**os.environ, "PYTHONPATH": str(other.parent), "SPARK_LOCAL_IP": "127.0.0.1"}
    environment["PYSPARK_PYTHON"] = sys.executable
    command = [sys.executable, "-c", BUILD, "local[2]", str(tmp_path / "results")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["2000"], done.stderr[-3000:]
