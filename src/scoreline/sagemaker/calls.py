"""The calls that a deployment or a removal would make, as data: what a dry run prints."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from scoreline.aws.sagemaker import CONFIGURATION, ENDPOINT, MODEL
from scoreline.sagemaker.content import image_of
from scoreline.sagemaker.golden import GoldenRows
from scoreline.sagemaker.plan import MARK, UNKNOWN, Deployment, requests_of, stem_of

Call = dict[str, Any]


def calls_to_deploy(wanted: Deployment, rows: GoldenRows | None) -> list[Call]:
    """Return the calls in their order, `when` saying of some when they are made.

    Where AWS would have to be asked what is behind an address now, names end in `DIGEST`.
    """
    looks = _looks(wanted)
    requests = requests_of(replace(wanted, content=None) if looks else replace(wanted, content=""))
    made = "there is none of that name"
    calls = [
        *looks,
        _call("sagemaker", f"Create{MODEL.noun}", requests.model, made),
        _call("sagemaker", f"Create{CONFIGURATION.noun}", requests.configuration, made),
        _call("sagemaker", f"Create{ENDPOINT.noun}", requests.endpoint, made),
        _call("sagemaker", f"Update{ENDPOINT.noun}", requests.move, "the endpoint has another configuration"),
    ]
    if rows is not None:
        asked = {"EndpointName": wanted.endpoint, **rows.request}
        calls.append(_call("sagemaker-runtime", "InvokeEndpoint", asked, "the endpoint is InService"))
    return calls


def calls_to_remove(endpoint: str) -> list[Call]:
    """Return the calls in their order; only what bears the mark of `deploy` is removed."""
    marked = f"its tag {MARK} is {endpoint}"
    calls = [_call("sagemaker", f"Delete{ENDPOINT.noun}", {f"{ENDPOINT.noun}Name": endpoint}, marked)]
    for kind in (CONFIGURATION, MODEL):
        calls.append(_call("sagemaker", f"List{kind.noun}s", {"NameContains": stem_of(endpoint)}))
        calls.append(
            _call("sagemaker", f"Delete{kind.noun}", {f"{kind.noun}Name": f"{stem_of(endpoint)}{UNKNOWN}"}, marked)
        )
    return calls


def _looks(wanted: Deployment) -> list[Call]:
    ecr, name, tag = image_of(wanted)
    looks = []
    if ecr is not None and tag is not None:
        asked = {"registryId": ecr.account, "repositoryName": name, "imageIds": [{"imageTag": tag}]}
        looks.append(_call("ecr", "DescribeImages", asked))
    if wanted.model_data is not None:
        bucket, _, key = wanted.model_data.removeprefix("s3://").partition("/")
        looks.append(_call("s3", "GetObject", {"Bucket": bucket, "Key": key}, "for its ETag alone"))
    return looks


def _call(service: str, operation: str, request: Any, when: str | None = None) -> Call:
    call = {"service": service, "operation": operation, "request": request}
    return call if when is None else {**call, "when": when}
