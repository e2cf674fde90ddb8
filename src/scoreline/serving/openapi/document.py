"""The OpenAPI 3.1 document, with examples that the server that gives it can answer."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any

from scoreline.app.declaration import App
from scoreline.app.reply import of_heads
from scoreline.generations.golden import golden_requests
from scoreline.generations.parts import Parts
from scoreline.model.inputs import inputs_of
from scoreline.predictor import Missing, Options
from scoreline.serving.openapi.schemas import Schema, inputs_schema, problem_schema, reply_schema, request_schema
from scoreline.serving.problems import MEDIA_TYPE

JSON = "application/json"
EXAMPLE_TOP = 3  # entries of a ranked list in the example
_PROBLEMS = {
    400: "The body can't be read, or a record does not fit",
    404: "No row is known by this key, or there is no such route",
    405: "The route does not take this method",
    406: "No media type that Accept names can be given",
    413: "The body is too large",
    415: "The media type is not taken",
    500: "A mistake of the server's",
    503: "No worker answers, or what is published can't be adopted",
    504: "The answer took too long",
}


def make_document(app: App, parts: Parts, taken: Sequence[str], given: Sequence[str]) -> dict[str, Any]:
    """Return the document.

    Parameters
    ----------
    parts : what examples are scored with: a key of the online store, or a made-up record
    taken, given : media types that records come in and replies go in
    """
    record = example_record(app, parts)
    schemas: dict[str, Schema] = {"Request": request_schema(app), "Reply": reply_schema(app, app.reply_fields)}
    if said := of_heads(app.reply_fields):
        schemas |= {"Inputs": inputs_schema(inputs_of(app).types), "InputsReply": reply_schema(app, said)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": app.name,
            "version": parts.generation.name,
            "description": f"Served by Scoreline {importlib.metadata.version('scoreline')}.",
        },
        "paths": {
            "/ping": {"get": _ping()},
            "/invocations": {"post": _invocations(app, parts, schemas, record, taken, given)},
        },
        "components": {"schemas": {**schemas, "Problem": problem_schema()}},
    }


def example_record(app: App, parts: Parts) -> dict[str, Any] | None:
    """Return a record that can be scored: the first of the store, or one in the middle of all ranges."""
    request = app.declared_request
    if request is not None:
        fields = dict(zip(request.table.spec.columns, golden_requests(app)[1].values, strict=True))
        return fields if request.each is None else {**fields, "top": EXAMPLE_TOP}
    row = None if parts.store is None else parts.store.first()
    return None if row is None else dict(zip(app.spine.spec.key, row, strict=False))


def _ping() -> dict[str, Any]:
    return {
        "operationId": "ping",
        "summary": "200 once the model answers",
        "responses": {"200": {"description": "Ready"}, "503": _problem("Not ready")},
    }


def _invocations(
    app: App,
    parts: Parts,
    schemas: Mapping[str, Schema],
    record: dict[str, Any] | None,
    taken: Sequence[str],
    given: Sequence[str],
) -> dict[str, Any]:
    one = _any_of("Request", schemas)
    body = {"anyOf": [*one, {"type": "array", "items": {"anyOf": one}, "minItems": 1}]}
    reply = [*_any_of("Reply", schemas), {"$ref": "#/components/schemas/Problem"}]
    answer = {"anyOf": [*reply[:-1], {"type": "array", "items": {"anyOf": reply}}]}
    operation: dict[str, Any] = {
        "operationId": "invocations",
        "summary": "Score a record, or several",
        "requestBody": {"required": True, "content": _content(taken, body, _example(record))},
        "responses": {
            "200": {
                "description": "A reply a record, in order; a problem in the place of one that is bad",
                "content": _content(given, answer, _example(_reply_to(parts, app, record))),
            },
            **{str(status): _problem(what) for status, what in _PROBLEMS.items()},
        },
    }
    request = app.declared_request
    if request is not None and request.each is not None and request.select is not None:
        operation["parameters"] = [
            _parameter("top", {"type": "integer", "minimum": 1}, "give the first so many alone"),
            _parameter(request.select, {"type": "string"}, "score these rows alone; keys parted by commas"),
        ]
    return operation


def _any_of(name: str, schemas: Mapping[str, Schema]) -> list[Schema]:
    """Return references to a schema and to its like for the inputs of the heads."""
    names = {"Request": ("Request", "Inputs"), "Reply": ("Reply", "InputsReply")}[name]
    return [{"$ref": f"#/components/schemas/{each}"} for each in names if each in schemas]


def _content(types: Sequence[str], schema: Schema, example: dict[str, Any]) -> dict[str, Any]:
    """Describe a body in each media type: only of JSON there is a schema."""
    content: dict[str, Any] = {}
    for name in types:
        is_binary = name.endswith("npy")
        content[name] = (
            {"schema": schema, **example}
            if name == JSON
            else {"schema": {"type": "string", **({"format": "binary"} if is_binary else {})}}
        )
    return content


def _example(value: Any) -> dict[str, Any]:
    return {} if value is None else {"example": value}


def _reply_to(parts: Parts, app: App, record: dict[str, Any] | None) -> Any:
    if record is None:
        return None
    asked: Any = tuple(record.values()) if app.declared_request is None else golden_requests(app)[1]
    reply = parts.scorer.score([asked], Options(top=EXAMPLE_TOP))[0]
    return None if isinstance(reply, Missing) else reply


def _parameter(name: str, schema: Schema, what: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": what}


def _problem(what: str) -> dict[str, Any]:
    return {
        "description": what,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
