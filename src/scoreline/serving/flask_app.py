"""The Flask shell: it carries `answer`, and holds no behaviour of its own."""

from __future__ import annotations

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from scoreline.serving.answer import Answer, answer
from scoreline.serving.problems import MEDIA_TYPE, Problem
from scoreline.serving.service import Service


def create_app(service: Service) -> Flask:
    """Return the WSGI application of a service: every route and method goes through `answer`."""
    app = Flask("scoreline", static_folder=None)

    # Before Flask looks for a route: it would redirect `//` and answer methods that it does not know itself.
    @app.before_request
    def carry() -> Response:
        query = request.query_string.decode("latin-1")
        return _response(answer(service, request.method, request.path, request.headers, request.get_data(), query))

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> Response:
        """Say in our shape what Werkzeug raises: a body that breaks off, for one."""
        problem = Problem(error.code or 500, "bad-body", error.description or error.name)
        headers = {"Content-Type": MEDIA_TYPE, "X-Scoreline-Generation": service.last_known}
        return _response(Answer(problem.status, problem.encode(), headers))

    return app


def _response(given: Answer) -> Response:
    response = Response(given.body, given.status)
    response.headers.pop("Content-Type")  # Flask would add one, and a charset to some
    response.headers.update(dict(given.headers))
    return response
