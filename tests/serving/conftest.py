"""What tests of serving share: the service of order triage, and the two ways to ask it."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from oracle import oracle_rows
from servers import Answered, made_app, made_service

from scoreline.serving.answer import answer
from scoreline.serving.flask_app import create_app
from scoreline.settings import resolve_settings


@pytest.fixture(scope="session")
def triage(tmp_path_factory):
    """Give the folder of order triage with 300 orders, features and model; read only."""
    return made_app(tmp_path_factory)


@pytest.fixture
def settings_of():
    """Give a function that makes settings from folders alone, whatever this machine has."""

    def make(app: Path, **others):
        own = {"app": app, "data": app / "data", "model": app / "model", "results": app / "results"}
        return resolve_settings({**own, **others}, {})

    return make


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    """Give the service of order triage."""
    return made_service(tmp_path_factory)


@pytest.fixture(scope="session")
def orders(triage):
    """Give what plain Python makes of each order: its key, features and recommendation."""
    return oracle_rows(triage / "data")


@pytest.fixture
def batch(service):
    """Give the service as it is in a batch transform job."""
    return replace(service, batch=True)


@pytest.fixture(params=["answer", "flask"])
def ask(request, service):
    """Give a function that asks the service, once through `answer` alone and once through Flask."""

    def through_answer(body=b"", method="POST", path="/invocations", headers=None, of=service):
        given = answer(of, method, path, headers or {}, body)
        return Answered(given.status, dict(given.headers), given.body)

    def through_flask(body=b"", method="POST", path="/invocations", headers=None, of=service):
        given = create_app(of).test_client().open(path, method=method, headers=headers or {}, data=body)
        return Answered(given.status_code, dict(given.headers), given.data)

    return {"answer": through_answer, "flask": through_flask}[request.param]


@pytest.fixture
def short_path():
    """Give an empty folder whose path is short enough for a unix socket in it."""
    with tempfile.TemporaryDirectory(prefix="scoreline-test-", dir="/tmp") as folder:
        yield Path(folder)
