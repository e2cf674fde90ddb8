"""What a hosting platform asks beside predictions, and the headers that it adds, through every shell."""

from __future__ import annotations

import json
import logging

import pytest
from servers import JSON, keys_of

from scoreline.serving.answer import execution_parameters

ATTRIBUTES, INFERENCE_ID = "X-Amzn-SageMaker-Custom-Attributes", "X-Amzn-SageMaker-Inference-Id"
ADDED = {
    ATTRIBUTES: "trace=" + "a" * 1018,
    "X-Amzn-SageMaker-Target-Model": "tenant/model-1.tar.gz",
    "X-Amzn-SageMaker-Target-Variant": "AllTraffic",
    "X-Amzn-SageMaker-Target-Container-Hostname": "second",
    INFERENCE_ID: "0123456789" * 6,
    "X-Amzn-SageMaker-Inference-Component": "ic-1",
    "X-Amzn-SageMaker-Enable-Explanations": "`true`",
    "X-Amzn-SageMaker-Session-Id": "NEW_SESSION",
    "X-Amzn-SageMaker-Prefix-Aware-Id": "p1",
    "X-Amzn-SageMaker-Some-Future-Header": "v",
    "X-Amzn-RequestId": "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
}
TOO_LONG, NOT_VISIBLE = "a" * 1025, "caf\xe9"


@pytest.fixture
def order(triage):
    return json.dumps(keys_of(triage)[0]).encode()


def named(reply):
    """Return the headers of a reply by their names in small letters: ASGI has them so."""
    return {name.lower(): value for name, value in reply.headers.items()}


def asked(ask, of, method="GET"):
    return ask(method=method, path="/execution-parameters", of=of)


def test_execution_parameters_are_json_without_a_batch_strategy(ask, service):
    reply = asked(ask, service)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    assert reply.json() == {"MaxConcurrentTransforms": 1, "MaxPayloadInMB": 6}


@pytest.mark.parametrize(
    ("workers", "limit_mb", "concurrent", "payload_mb"),
    [
        pytest.param(4, 6, 4, 6, id="one-body-a-worker"),
        pytest.param(64, 6, 16, 6, id="the-product-is-100-at-the-most"),
        pytest.param(4, 50, 2, 50, id="large-bodies-take-turns"),
        pytest.param(4, 100, 1, 100, id="the-largest-of-the-api"),
        pytest.param(4, 500, 1, 100, id="a-limit-beyond-the-api"),
    ],
)
def test_execution_parameters_follow_workers_and_body_limit(but, workers, limit_mb, concurrent, payload_mb):
    found = execution_parameters(but(workers=workers, max_body_mb=limit_mb))
    assert found == {"MaxConcurrentTransforms": concurrent, "MaxPayloadInMB": payload_mb}


def test_a_head_of_execution_parameters_has_no_body(ask, service):
    assert asked(ask, service, "HEAD").status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"])
def test_execution_parameters_take_no_other_method(ask, service, method):
    reply = asked(ask, service, method)
    assert (reply.status, reply.headers["Allow"]) == (405, "GET")
    assert reply.headers["Content-Type"] == "application/problem+json"


def test_headers_that_the_platform_adds_change_no_answer(ask, order):
    plain, dressed = ask(order, headers=JSON), ask(order, headers={**JSON, **ADDED})
    assert (dressed.status, dressed.body) == (plain.status, plain.body)
    assert named(dressed) == {**named(plain), ATTRIBUTES.lower(): ADDED[ATTRIBUTES]}


@pytest.mark.parametrize("value", ["req-1", "a b;c=d, e", "~" * 1024])
def test_custom_attributes_are_given_back(ask, order, value):
    for body in (order, b"{"):
        assert named(ask(body, headers={**JSON, ATTRIBUTES: value}))[ATTRIBUTES.lower()] == value


@pytest.mark.parametrize("value", [TOO_LONG, NOT_VISIBLE, ""], ids=["long", "not-ascii", "empty"])
def test_custom_attributes_that_the_api_would_refuse_are_not_given_back(ask, order, value):
    reply = ask(order, headers={**JSON, ATTRIBUTES: value})
    assert (reply.status, ATTRIBUTES.lower() in named(reply)) == (200, False)


def test_no_attributes_on_other_routes(ask):
    assert ATTRIBUTES.lower() not in named(ask(method="GET", path="/ping", headers={ATTRIBUTES: "req-1"}))


class Failing:
    """A scorer with a mistake in it."""

    def score(self, records, options):
        raise KeyError(records)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({INFERENCE_ID: "inference-7"}, "failed, Inference-Id 'inference-7': KeyError\n"),
        ({INFERENCE_ID: "x" * 65}, "failed: KeyError\n"),
        ({}, "failed: KeyError\n"),
    ],
)
def test_what_fails_inside_is_logged_with_the_inference_id(ask, but, order, caplog, sent, said):
    with caplog.at_level(logging.ERROR, "scoreline.serving"):
        assert ask(order, headers={**JSON, **sent}, of=but(scorer=Failing())).status == 500
    (record,) = caplog.records
    assert record.getMessage().startswith(said)
    assert "O0" not in record.getMessage()
