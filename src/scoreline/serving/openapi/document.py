"""The OpenAPI 3.1 document, with examples that the server that gives it can answer."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any

from scoreline.app.declaration import App
from scoreline.app.reply import of_heads
from scoreline.generations.parts import Parts
from scoreline.model.inputs import inputs_of
from scoreline.serving.codecs import NUMBERS_ALONE, reply_tables
from scoreline.serving.kinds import EXPLAIN, EXPLAIN_LEVELS
from scoreline.serving.openapi.bodies import predictions, reply_body, request_body, request_parts
from scoreline.serving.openapi.examples import as_written, example_records, replies_to
from scoreline.serving.openapi.schemas import (
    Schema,
    inputs_schema,
    options_schemas,
    problem_schema,
    ref,
    reply_schema,
    request_schema,
)
from scoreline.serving.problems import MEDIA_TYPE
from scoreline.serving.records import RequestSchema, schema_of

JSON = "application/json"
_PROBLEMS = {
    400: "The body can't be read, or a record does not fit",
    404: "No row is known by this key, or there is no such route",
    405: "The route does not take this method",
    406: "No media type that Accept names can be given",
    413: "The body is too large",
    415: "The media type is not taken",
    500: "A mistake of the server's",
    503: "No worker or online store answers, or what is published can't be adopted",
    504: "The answer took too long",
}


def make_document(app: App, parts: Parts, taken: Sequence[str], given: Sequence[str]) -> dict[str, Any]:
    """Return the document.

    Parameters
    ----------
    parts : what examples are scored with: a key of the online store, or a made-up record
    taken, given : media types that records come in and replies go in
    """
    schema = schema_of(app)
    kinds, replies = _record_schemas(app), _reply_schemas(app)
    bodies = request_parts(kinds, schema.known, options_schemas(app))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": app.name,
            "version": parts.generation.name,
            "description": f"Served by Scoreline {importlib.metadata.version('scoreline')}.",
        },
        "paths": {
            "/ping": {"get": _ping()},
            "/execution-parameters": {"get": _execution_parameters()},
            "/invocations": {
                "post": {
                    "operationId": "invocations",
                    "summary": "Score a record, or several",
                    **_query(app),
                    **_invocations(app, schema, parts, taken, given, request_body(kinds, bodies), reply_body(replies)),
                }
            },
        },
        "components": {
            "schemas": {**kinds, **replies, **bodies, "Predictions": predictions(replies), "Problem": problem_schema()}
        },
    }


def _record_schemas(app: App) -> dict[str, Schema]:
    """Return the schema of each kind of record."""
    more = {"Inputs": inputs_schema(inputs_of(app).types)} if of_heads(app.reply_fields) else {}
    return {"Request": request_schema(app), **more}


def _reply_schemas(app: App) -> dict[str, Schema]:
    """Return the schema of the reply to each kind of record."""
    said = of_heads(app.reply_fields)
    more = {"InputsReply": reply_schema(app, said, of_inputs=True)} if said else {}
    return {"Reply": reply_schema(app, app.reply_fields), **more}


def _ping() -> dict[str, Any]:
    return {
        "operationId": "ping",
        "summary": "200 once the model answers",
        "responses": {"200": {"description": "Ready"}, "503": _problem("Not ready")},
    }


def _execution_parameters() -> dict[str, Any]:
    names = ("MaxConcurrentTransforms", "MaxPayloadInMB")
    schema = {
        "type": "object",
        "properties": {name: {"type": "integer", "minimum": 1} for name in names},
        "required": list(names),
    }
    return {
        "operationId": "execution_parameters",
        "summary": "How many bodies a batch transform job may send at once, and how large",
        "responses": {"200": {"description": "For this server", "content": {JSON: {"schema": schema}}}},
    }


def _invocations(
    app: App,
    schema: RequestSchema,
    parts: Parts,
    taken: Sequence[str],
    given: Sequence[str],
    body: Schema,
    reply: Schema,
) -> dict[str, Any]:
    """Describe what comes and what goes, with an example of each kind of record and its reply."""
    records, tables = example_records(app, parts), reply_tables(app)
    examples = {name: as_written(name, app, records) for name in taken}
    replies = {JSON: replies_to(app, parts, records)}
    arrays = _array_of([kind.is_numeric for kind in schema.kinds])
    reply_arrays = _array_of([tables.request.is_numeric, tables.inputs.is_numeric][: len(schema.kinds)])
    return {
        "requestBody": {"required": True, "content": _content(taken, body, arrays, examples)},
        "responses": {
            "200": {
                "description": "A reply a record, in order; a problem in the place of one that is bad",
                "content": _content(given, reply, reply_arrays, replies),
            },
            **{str(status): _problem(what) for status, what in _PROBLEMS.items()},
        },
    }


def _query(app: App) -> dict[str, Any]:
    """Describe the options of a ranked reply, as a query string has them."""
    request = app.declared_request
    if request is None:
        return {}
    parameters = [_parameter(EXPLAIN, {"type": "string", "enum": list(EXPLAIN_LEVELS)}, "tell how a reply came about")]
    if request.select is not None:
        parameters += [
            _parameter("top", {"type": "integer", "minimum": 1}, "give the first so many alone"),
            _parameter(request.select, {"type": "string"}, "score these rows alone; keys parted by commas"),
        ]
    return {"parameters": parameters}


def _content(
    types: Sequence[str], schema: Schema, arrays: str, examples: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Describe a body in each media type: only of JSON there is a schema."""
    content: dict[str, Any] = {}
    for name in types:
        of_text: Schema = {"type": "string"}
        of_array = {**of_text, "format": "binary", "description": arrays}
        content[name] = {"schema": schema if name == JSON else of_array if name in NUMBERS_ALONE else of_text}
        if examples.get(name):
            content[name]["examples"] = {kind: {"value": value} for kind, value in examples[name].items()}
    return content


def _array_of(numeric: Sequence[bool]) -> str:
    """Say which kinds of record an array can hold, a truth for each: the request, then the inputs."""
    kinds = [name for name, is_numeric in zip(("requests", "inputs"), numeric, strict=False) if is_numeric]
    which = "" if len(kinds) == len(numeric) else f": for {' and '.join(kinds)}"
    return f"an array of shape (records, columns), where all columns are numbers{which}"


def _parameter(name: str, schema: Schema, what: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": what}


def _problem(what: str) -> dict[str, Any]:
    return {
        "description": what,
        "content": {MEDIA_TYPE: {"schema": ref("Problem")}},
    }
