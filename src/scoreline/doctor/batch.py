"""Batch transform: `GET /execution-parameters`."""

from __future__ import annotations

import json
from typing import Any

from scoreline.doctor.findings import Checks, Failed, Grade, NotChecked
from scoreline.doctor.sample import JSON
from scoreline.doctor.wire import Site

_ROUTE = "/execution-parameters"
_MOST_MB = 100
_STRATEGIES = ("MULTI_RECORD", "SINGLE_RECORD", "MultiRecord", "SingleRecord")

CHECKS: Checks[Site] = Checks()


@CHECKS.add(
    "execution-parameters", "B1", Grade.MUST, f"GET {_ROUTE} is 404, or gives whole numbers, their product at most 100",
    fix='Answer {"MaxConcurrentTransforms": <workers>, "MaxPayloadInMB": 6} as application/json, both whole numbers, '
    "their product at most 100; or 404, then SageMaker takes 1 and 6.",
)  # fmt: skip
def _execution_parameters(site: Site) -> str:
    given = _given(site)
    if given is None:
        return "404"
    concurrent, payload = given.get("MaxConcurrentTransforms", 1), given.get("MaxPayloadInMB", 6)
    for name, value, low in (("MaxConcurrentTransforms", concurrent, 1), ("MaxPayloadInMB", payload, 0)):
        if type(value) is not int or value < low:
            raise Failed(f"{name} is {json.dumps(value)}")
    if payload > _MOST_MB or concurrent * payload > _MOST_MB:
        raise Failed(f"{concurrent} at once of {payload} MB each: more than {_MOST_MB} MB")
    if given.get("BatchStrategy", _STRATEGIES[0]) not in _STRATEGIES:
        raise Failed(f"BatchStrategy is {json.dumps(given['BatchStrategy'])}")
    return json.dumps(given)


@CHECKS.add(
    "batch-strategy", "B1", Grade.SHOULD, f"GET {_ROUTE} names no BatchStrategy that local mode refuses",
    fix="Leave BatchStrategy out: the documentation writes MULTI_RECORD, the SDK's local mode takes MultiRecord alone, "
    "and the default is right.",
    needs=("execution-parameters",),
)  # fmt: skip
def _batch_strategy(site: Site) -> str:
    given = _given(site)
    if given is None:
        raise NotChecked(f"there is no {_ROUTE}")
    strategy = given.get("BatchStrategy", "MultiRecord")
    if strategy not in ("MultiRecord", "SingleRecord"):
        raise Failed(str(strategy))
    return "left out" if "BatchStrategy" not in given else str(strategy)


def _given(site: Site) -> dict[str, Any] | None:
    reply = site.ask("GET", _ROUTE)
    if reply.status == 404:
        return None
    if reply.status != 200 or reply.media_type != JSON:
        raise Failed(str(reply))
    try:
        content = json.loads(reply.body)
    except ValueError as error:
        raise Failed(f"no JSON: {reply.says}") from error
    if not isinstance(content, dict):
        raise Failed(f"no JSON object: {reply.says}")
    return content
