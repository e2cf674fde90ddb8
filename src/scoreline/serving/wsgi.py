"""The WSGI entry point: `gunicorn scoreline.serving.wsgi:app`, with the app's folder in SCORELINE_APP.

Importing this module loads the service, so that gunicorn's preload shares it between workers.
"""

from __future__ import annotations

import os

# Before numpy loads: with a thread pool in each worker, workers on few cores starve one another.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

from scoreline.errors import ScorelineError
from scoreline.serving.flask_app import create_app
from scoreline.serving.service import load_service
from scoreline.settings import resolve_settings

VERIFIED_VARIABLE = "SCORELINE_FILES_VERIFIED"  # set by the supervisor, which has hashed all files just before

try:
    app = create_app(load_service(resolve_settings(), verify=VERIFIED_VARIABLE not in os.environ))
except ScorelineError as error:
    raise SystemExit(f"scoreline: {error}") from error
