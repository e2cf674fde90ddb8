"""What the WSGI and ASGI entry points load: the service, with numeric libraries held to one thread."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable

# Before numpy loads: with a thread pool in each worker, workers on few cores starve one another.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

from typing import TYPE_CHECKING

from scoreline.errors import ScorelineError
from scoreline.serving.asgi_app import AsgiShell, end_soon
from scoreline.serving.process import PUBLISHED_VARIABLE
from scoreline.serving.service import OWN_PREDICTOR, Service, end_after_this_request, load_service
from scoreline.settings import Settings, resolve_settings

if TYPE_CHECKING:
    from flask import Flask


def wsgi_app() -> Flask:
    """Return the Flask application of the app in SCORELINE_APP."""
    from scoreline.serving.flask_app import create_app  # the ASGI shell has no use for Flask

    return create_app(_load(end_after_this_request)[0])


def asgi_app() -> AsgiShell:
    """Return the ASGI application of the app in SCORELINE_APP."""
    service, settings = _load(end_soon)
    return AsgiShell(service, settings.timeout_s, inline=not (settings.app / OWN_PREDICTOR).is_file())


def _load(replace_worker: Callable[[], None]) -> tuple[Service, Settings]:
    """Load the service of the app in SCORELINE_APP; outside `serve`, first publish what is there.

    Parameters
    ----------
    replace_worker : ends a worker that can't adopt a generation; used under `serve`, which starts another

    Raises
    ------
    SystemExit
        It can't be loaded: the message says what to do.
    """
    try:
        settings = resolve_settings()
        if PUBLISHED_VARIABLE not in os.environ:
            from scoreline.serving.start import open_generation  # engines, which a worker has no use for

            open_generation(settings, lambda line: print(line, file=sys.stderr))
        logging.getLogger("scoreline").setLevel(settings.log_level.upper())
        service = load_service(settings)
    except ScorelineError as error:
        raise SystemExit(f"scoreline: {error}") from error
    if PUBLISHED_VARIABLE in os.environ:
        service.replace_worker = replace_worker
    return service, settings
