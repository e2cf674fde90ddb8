"""What tests of containers share: the images of both applications, built once for all processes of a run."""

from __future__ import annotations

import fcntl
import tempfile
from pathlib import Path

import images
import pytest
from servers import made_app


@pytest.fixture(scope="session")
def triage(tmp_path_factory):
    """Give the folder of order triage with 300 orders, features and model; read only."""
    return made_app(tmp_path_factory)


def _built(app):
    name = images.name_of(app)
    with Path(tempfile.gettempdir(), "scoreline-test-images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one build at a time: what two have in common is made once
        images.build(images.ROOT / "apps" / app, name)
    return name


@pytest.fixture(scope="session")
def triage_image():
    """Give the name of order triage's image, with a model trained as it was built."""
    return _built("order_triage")


@pytest.fixture(scope="session")
def odds_image():
    """Give the name of approval odds' image."""
    return _built("approval_odds")
