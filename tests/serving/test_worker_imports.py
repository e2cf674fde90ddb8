"""What a worker holds in memory."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from servers import keys_of, plain_environment

FORBIDDEN = {"duckdb", "pandas", "sklearn", "scipy", "pyarrow", "boto3", "treelite", "skops", "tqdm", "urllib3"}


@pytest.mark.needs("kernel")  # without it a worker has treelite
def test_a_worker_has_no_engine_and_no_model_library_after_its_first_answer(triage):
    script = f"""
import sys
from scoreline.serving.wsgi import app
reply = app.test_client().post("/invocations", json={json.dumps(keys_of(triage)[0])})
print(reply.status_code, *sorted({{name.partition(".")[0] for name in sys.modules}}))
"""
    folders = {
        "SCORELINE_APP": str(triage),
        "SCORELINE_MODEL_DIR": str(triage / "model"),
        "SCORELINE_RESULTS": str(triage / "results"),
    }
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, env=plain_environment(**folders), capture_output=True, text=True, check=True)
    status, *modules = ran.stdout.split()
    assert status == "200"
    assert {"flask", "lmdb", "numpy"} <= set(modules)
    assert FORBIDDEN & set(modules) == set()
