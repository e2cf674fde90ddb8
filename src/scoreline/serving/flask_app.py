"""The Flask shell: it carries `answer`, and holds no behaviour of its own."""

from __future__ import annotations

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from scoreline.serving.answer import Answer, answer
from scoreline.serving.problems import MEDIA_TYPE, Problem
from scoreline.serving.service import Service

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def create_app(service: Service) -> Flask:
    """Return the WSGI application of a service: every route and method goes through `answer`."""
    app = Flask("scoreline", static_folder=None)

    def carry(path: str = "") -> Response:
        given = answer(service, request.method, request.path, dict(request.headers), request.get_data())
        return _response(given)

    options = {"methods": _METHODS, "provide_automatic_options": False}
    app.add_url_rule("/", "root", carry, **options)  # type: ignore[arg-type]
    app.add_url_rule("/<path:path>", "any", carry, **options)  # type: ignore[arg-type]
    app.register_error_handler(HTTPException, _as_problem)
    return app


def _response(given: Answer) -> Response:
    response = Response(given.body, given.status)
    response.headers.pop("Content-Type")  # Flask would add one, and a charset to some
    response.headers.update(dict(given.headers))
    return response


def _as_problem(error: HTTPException) -> Response:
    """Werkzeug's own errors (a method or body that HTTP does not know) in our shape."""
    status = error.code or 500
    kind = {405: "method-not-allowed", 404: "no-such-route", 413: "too-large"}.get(status, "bad-body")
    problem = Problem(status, kind, error.description or error.name)
    return _response(Answer(status, problem.encode(), {"Content-Type": MEDIA_TYPE}))
