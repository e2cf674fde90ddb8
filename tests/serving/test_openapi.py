"""The OpenAPI document: valid, true of what the server answers, and enough to make a client from."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import jsonschema
import pytest
from cards import made_cards
from flowers import made_flowers
from openapi_spec_validator import OpenAPIV31SpecValidator
from servers import JSON, Server, folders, made_app, made_service, open_service, settings_for
from servers import ask as ask_over_http

from scoreline.serving.answer import answer


@pytest.fixture(scope="module", params=["order triage", "flowers", "cards"])
def served(request, tmp_path_factory):
    """Give a service: of keys, of numbers alone, and of requests scored against each card."""
    if request.param == "order triage":
        return made_service(tmp_path_factory)
    made = made_flowers if request.param == "flowers" else made_cards
    return open_service(settings_for(made(tmp_path_factory), tmp_path_factory.mktemp("state")))


def document_of(service):
    given = answer(service, "GET", "/openapi.json", {}, b"")
    assert (given.status, given.headers["Content-Type"]) == (200, "application/json")
    return json.loads(given.body)


def content(document, where):
    operation = document["paths"]["/invocations"]["post"]
    part = operation["requestBody"] if where == "request" else operation["responses"]["200"]
    return part["content"]["application/json"]


def check(document, value, schema):
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(value)


def test_the_document_is_sound(served):
    document = document_of(served)
    OpenAPIV31SpecValidator(document).validate()
    assert document["info"]["title"] == served.app.name
    assert document["info"]["version"] == served.last_known


@pytest.mark.parametrize("kind", ["request", "inputs"])
def test_each_example_is_answered_as_it_says(served, kind):
    document = document_of(served)
    asked, given = content(document, "request"), content(document, "reply")
    record, expected = asked["examples"][kind]["value"], given["examples"][kind]["value"]
    check(document, record, asked["schema"])
    check(document, record, {"$ref": f"#/components/schemas/{kind.capitalize()}"})
    check(document, expected, given["schema"])
    reply = answer(served, "POST", "/invocations", JSON, json.dumps(record).encode())
    assert (reply.status, json.loads(reply.body)) == (200, expected)


@pytest.mark.parametrize("kind", ["request", "inputs"])
@pytest.mark.parametrize("media_type", ["text/csv", "application/jsonlines"])
def test_examples_of_lines_work_as_they_stand(served, media_type, kind):
    bodies = document_of(served)["paths"]["/invocations"]["post"]["requestBody"]["content"]
    example = bodies[media_type]["examples"][kind]["value"]
    headers = {"Content-Type": media_type, "Accept": "application/json"}
    (reply,) = json.loads(answer(served, "POST", "/invocations", headers, example.encode()).body)
    assert set(reply) == set(content(document_of(served), "reply")["examples"][kind]["value"])


WRAPPED = [
    lambda one: {"instances": [one]},
    lambda one: {"instances": [{"features": list(one.values())}]},
    lambda one: {"inputs": [list(one.values())]},
    lambda one: {"inputs": {name: [value] for name, value in one.items()}},
    lambda one: {"inputs": one},
    lambda one: {"dataframe_records": [one]},
    lambda one: {"dataframe_split": {"columns": list(one), "data": [list(one.values())]}},
    lambda one: [list(one.values())],
]


@pytest.mark.parametrize("kind", ["request", "inputs"])
@pytest.mark.parametrize("wrap", WRAPPED)
def test_a_wrapped_record_is_as_the_document_says(served, wrap, kind):
    document = document_of(served)
    record = content(document, "request")["examples"][kind]["value"]
    body = wrap({name: value for name, value in record.items() if name != "top"})
    check(document, body, {"anyOf": content(document, "request")["schema"]["anyOf"][2:]})  # it is no record
    reply = answer(served, "POST", "/invocations", JSON, json.dumps(body).encode())
    assert reply.status == 200
    is_list = isinstance(body, list)
    check(document, json.loads(reply.body), content(document, "reply")["schema"])
    if not is_list:
        check(document, json.loads(reply.body), {"$ref": "#/components/schemas/Predictions"})


def test_wrappers_that_hold_something_else_are_not_described(service):
    document = document_of(service)
    described = {"anyOf": content(document, "request")["schema"]["anyOf"][2:]}
    for body in (
        {"instances": {}},
        {"instances": []},
        {"dataframe_split": {"columns": []}},
        {"instance": [["a"]]},
        ["a"],
    ):
        with pytest.raises(jsonschema.ValidationError):
            check(document, body, described)


def test_execution_parameters_are_as_the_document_says(served):
    operation = document_of(served)["paths"]["/execution-parameters"]["get"]
    given = answer(served, "GET", "/execution-parameters", {}, b"")
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    check(document_of(served), json.loads(given.body), schema)
    assert set(schema["properties"]) == set(json.loads(given.body))


def test_the_reply_to_inputs_has_no_keys_that_are_unknown_and_those_of_a_request_have_a_type(served):
    schemas = document_of(served)["components"]["schemas"]
    unknown = {name: schema for name, schema in schemas["Reply"]["properties"].items() if name.startswith("unknown_")}
    has_cards = served.schema.select is not None
    assert unknown == ({"unknown_card_ids": {"type": "array", "items": {"type": "string"}}} if has_cards else {})
    assert not any(name.startswith("unknown_") for name in schemas["InputsReply"]["properties"])


def test_an_array_of_replies_is_said_to_be_for_those_that_are_numbers(served):
    given = document_of(served)["paths"]["/invocations"]["post"]["responses"]["200"]["content"]
    if "application/x-npy" in given:
        which = "" if served.tables.request.is_numeric else ": for inputs"
        assert given["application/x-npy"]["schema"]["description"].endswith(f"where all columns are numbers{which}")


def test_a_route_that_there_is_not_is_answered_with_those_that_are(service):
    detail = json.loads(answer(service, "GET", "/", {}, b"").body)["detail"]
    assert {word for word in detail.split() if word.startswith("/")} == {
        "/ping,", "/execution-parameters,", "/openapi.json", "/invocations"
    }  # fmt: skip


def test_every_media_type_that_is_named_is_taken_and_given(served):
    operation = document_of(served)["paths"]["/invocations"]["post"]
    assert set(operation["requestBody"]["content"]) <= set(served.taken)
    assert set(operation["responses"]["200"]["content"]) <= set(served.given)
    assert {"application/json", "text/csv", "application/jsonlines"} <= set(operation["requestBody"]["content"])


def test_replies_to_all_orders_are_as_the_document_says(service, orders):
    document = document_of(service)
    keys = [{name: order[name] for name in service.app.spine.spec.key} for order in orders]
    reply = json.loads(answer(service, "POST", "/invocations", JSON, json.dumps([*keys, {}]).encode()).body)
    assert len(reply) == len(orders) + 1
    check(document, reply, content(document, "reply")["schema"])
    for one in reply[:-1]:
        check(document, one, {"$ref": "#/components/schemas/Reply"})


def test_the_inputs_of_an_order_are_a_record_too(service, orders):
    document = document_of(service)
    names = document["components"]["schemas"]["Inputs"]["required"]
    own = {"quantity": 2, "payment_method": None}  # no rule looks at them
    records = [{name: order.get(name, own.get(name)) for name in names} for order in orders[:50]]
    for record in records:
        check(document, record, {"$ref": "#/components/schemas/Inputs"})
    replies = json.loads(answer(service, "POST", "/invocations", JSON, json.dumps(records).encode()).body)
    assert [reply["recommendation"] for reply in replies] == [order["recommendation"] for order in orders[:50]]
    for reply in replies:
        check(document, reply, {"$ref": "#/components/schemas/InputsReply"})


@pytest.mark.parametrize("body", [b"{", b'{"order_id": 7}', b"[]", b"[{}, {}]"])
def test_problems_are_as_the_document_says(service, body):
    document = document_of(service)
    given = answer(service, "POST", "/invocations", JSON, body)
    assert str(given.status) in document["paths"]["/invocations"]["post"]["responses"]
    check(document, json.loads(given.body), {"$ref": "#/components/schemas/Problem"})


def test_the_document_is_read_only(ask):
    assert ask(method="HEAD", path="/openapi.json").status == 200
    refused = ask(b"{}", path="/openapi.json", headers=JSON)
    assert (refused.status, refused.headers["Allow"]) == (405, "GET")


@pytest.mark.slow
def test_a_client_that_is_generated_from_it_gets_the_reply(tmp_path_factory, tmp_path, monkeypatch, orders):
    app = made_app(tmp_path_factory)
    server = Server(app, tmp_path, "--state", str(tmp_path / "state"), "--workers", "1", *folders(app))
    try:
        server.wait_until_ready()
        (tmp_path / "openapi.json").write_bytes(ask_over_http(server.port, "GET", "/openapi.json").body)
        generate = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
        generate += ["--path", str(tmp_path / "openapi.json"), "--output-path", str(tmp_path / "triage_client")]
        done = subprocess.run(generate, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        monkeypatch.syspath_prepend(str(tmp_path))
        invocations = importlib.import_module("triage_client.api.default.invocations")
        models = importlib.import_module("triage_client.models")
        order = orders[3]
        body = models.Request(**{name: order[name] for name in ("order_id", "customer_id", "sku_code", "zip_code")})
        with importlib.import_module("triage_client").Client(base_url=server.url) as client:
            reply = invocations.sync(client=client, body=body)
            unknown = invocations.sync(client=client, body=models.Request("NONE", "NONE", "NONE", "NONE"))
        assert isinstance(reply, models.Reply)
        assert (reply.order_id, str(reply.recommendation)) == (order["order_id"], order["recommendation"])
        assert (type(unknown), unknown.status) == (models.Problem, 404)
    finally:
        server.stop()
