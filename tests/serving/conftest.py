"""What tests of serving share: the service of order triage, and the two ways to ask it."""

from __future__ import annotations

import copy
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from oracle import oracle_rows
from servers import Answered, ask_asgi, made_app, made_service, settings_for

from scoreline.serving.answer import answer
from scoreline.serving.flask_app import create_app


@pytest.fixture(scope="session")
def triage(tmp_path_factory):
    """Give the folder of order triage with 300 orders, features and model; read only."""
    return made_app(tmp_path_factory)


@pytest.fixture
def settings_of(tmp_path):
    """Give a function that makes settings from folders alone, whatever this machine has."""
    return lambda app, **others: settings_for(app, **{"state": tmp_path / "state", **others})


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    """Give the service of order triage."""
    return made_service(tmp_path_factory)


@pytest.fixture(scope="session")
def orders(triage):
    """Give what plain Python makes of each order: its key, features and recommendation."""
    return oracle_rows(triage / "data")


@pytest.fixture
def but(service):
    """Give a function that returns the service with other attributes; `scorer` is that of its generation."""

    def vary(**changes):
        varied = copy.copy(service)
        if "scorer" in changes:
            parts = replace(service.current(), scorer=changes.pop("scorer"))
            varied.current = lambda: parts
        for name, value in changes.items():
            assert hasattr(service, name)
            setattr(varied, name, value)
        return varied

    return vary


@pytest.fixture
def batch(but):
    """Give the service as it is in a batch transform job."""
    return but(batch=True)


@pytest.fixture(params=["answer", "flask", "asgi"])
def ask(request, service):
    """Give a function that asks the service, through `answer` alone, through Flask and through ASGI."""

    def through_answer(body=b"", method="POST", path="/invocations", headers=None, query="", of=service):
        given = answer(of, method, path, headers or {}, body, query)
        return Answered(given.status, dict(given.headers), given.body)

    def through_flask(body=b"", method="POST", path="/invocations", headers=None, query="", of=service):
        client = create_app(of).test_client()
        given = client.open(path, method=method, headers=headers or {}, data=body, query_string=query)
        return Answered(given.status_code, dict(given.headers), given.data)

    def through_asgi(body=b"", method="POST", path="/invocations", headers=None, query="", of=service):
        return Answered(*ask_asgi(of, method, path, headers or {}, body, query))

    return {"answer": through_answer, "flask": through_flask, "asgi": through_asgi}[request.param]


@pytest.fixture
def short_path():
    """Give an empty folder whose path is short enough for a unix socket in it."""
    with tempfile.TemporaryDirectory(prefix="scoreline-test-", dir="/tmp") as folder:
        yield Path(folder)
