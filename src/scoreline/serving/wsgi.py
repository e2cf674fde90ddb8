"""The WSGI entry point: `gunicorn scoreline.serving.wsgi:app`, with the app's folder in SCORELINE_APP.

Importing this module loads the service, so that gunicorn's preload shares it between workers.
"""

from __future__ import annotations

import os
import sys

# Before numpy loads: with a thread pool in each worker, workers on few cores starve one another.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

from scoreline.errors import ScorelineError
from scoreline.serving.flask_app import create_app
from scoreline.serving.service import end_after_this_request, load_service
from scoreline.serving.start import open_generation
from scoreline.settings import resolve_settings

PUBLISHED_VARIABLE = "SCORELINE_PUBLISHED"  # set by the supervisor, which has looked at the sources just before

try:
    settings = resolve_settings()
    if PUBLISHED_VARIABLE not in os.environ:
        open_generation(settings, lambda line: print(line, file=sys.stderr))
    service = load_service(settings)
    if PUBLISHED_VARIABLE in os.environ:
        service.replace_worker = end_after_this_request
    app = create_app(service)
except ScorelineError as error:
    raise SystemExit(f"scoreline: {error}") from error
