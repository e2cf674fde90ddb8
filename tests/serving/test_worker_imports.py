"""What a worker holds in memory."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from cards import PERSON, copy_cards, made_cards
from servers import keys_of, plain_environment, settings_for

from scoreline.serving.start import open_generation

FORBIDDEN = {
    "duckdb",
    "pandas",
    "sklearn",
    "scipy",
    "pyarrow",
    "boto3",
    "treelite",
    "skops",
    "tqdm",
    "urllib3",
    "redis",
}
SCRIPT = """
import json, sys
from scoreline.serving.wsgi import app
reply = app.test_client().post("/invocations", json=json.loads(sys.argv[1]))
print(reply.status_code, *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def modules_after(record, **environment):
    """Return the modules that a worker has loaded once it has answered a record."""
    command = [sys.executable, "-c", SCRIPT, json.dumps(record)]
    ran = subprocess.run(command, env=plain_environment(**environment), capture_output=True, text=True, check=True)
    status, *modules = ran.stdout.split()
    assert status == "200"
    return set(modules)


def environment_of(app, state):
    return {
        "SCORELINE_APP": str(app),
        "SCORELINE_MODEL_DIR": str(app / "model"),
        "SCORELINE_RESULTS": str(app / "results"),
        "SCORELINE_DATA": str(app / "data"),
        "SCORELINE_STATE": str(state),
    }


@pytest.mark.needs("kernel")  # without it a worker has treelite
def test_a_worker_has_no_engine_and_no_model_library_after_its_first_answer(triage, tmp_path):
    modules = modules_after(keys_of(triage)[0], **environment_of(triage, tmp_path / "state"))
    assert {"flask", "lmdb", "numpy"} <= modules
    assert FORBIDDEN & modules == set()


@pytest.mark.needs("kernel")
def test_a_worker_with_reference_tables_has_none_either(tmp_path_factory, tmp_path):
    """Under `serve`, where tables are read by other processes."""
    app = copy_cards(made_cards(tmp_path_factory), tmp_path / "app")
    open_generation(settings_for(app, tmp_path / "state"), print)
    modules = modules_after(PERSON, **environment_of(app, tmp_path / "state"), SCORELINE_PUBLISHED="1")
    assert FORBIDDEN & modules == set()
