"""Deploying: model, configuration, endpoint; the wait; the golden rows. Each step only where it is left to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scoreline.aws.sagemaker import CONFIGURATION, ENDPOINT, MODEL, Kind, SageMaker
from scoreline.errors import DeployError
from scoreline.progress import StatusLine
from scoreline.sagemaker.golden import GoldenRows
from scoreline.sagemaker.plan import MARK, Requests

POLL_S = 5.0
_SERVING = "InService"
_IN_MOTION = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
_AGAIN = "Then: aws sagemaker delete-endpoint --endpoint-name {}, and deploy again."
Pause = Callable[[float], None]


@dataclass(frozen=True)
class Deployed:
    """What a deployment came to.

    Attributes
    ----------
    model, configuration, endpoint : their names
    done : what was done about each: `made`, `moved`, or `was there`
    former : the configuration that the endpoint had before, None where it had none
    """

    model: str
    configuration: str
    endpoint: str
    done: Mapping[str, str]
    former: str | None = None


def deploy(
    requests: Requests,
    sagemaker: SageMaker,
    *,
    is_named: bool = True,
    say: Callable[[str], None],
    pause: Pause = time.sleep,
) -> Deployed:
    """Make what is missing, move the endpoint where it is another's configuration, and wait until it serves.

    Parameters
    ----------
    is_named : a person has named the endpoint; only then is one moved that `deploy` did not make
    say : told what goes on
    pause : waits some seconds

    Raises
    ------
    AwsError
        AWS can't be asked, or refuses. Run again, it goes on from there.
    DeployError
        The endpoint does not come to serve, or is somebody else's.
    """
    made = {kind.shown: _ensure(kind, request, sagemaker) for kind, request in _made_first(requests)}
    name, wanted = ENDPOINT.name_of(requests.endpoint), CONFIGURATION.name_of(requests.endpoint)
    found, former = at_rest(name, sagemaker, pause), None
    if found is None:
        sagemaker.create(ENDPOINT, requests.endpoint)
        made[ENDPOINT.shown] = "made"
    elif _configuration_of(found) == wanted and found["EndpointStatus"] == _SERVING:
        made[ENDPOINT.shown] = "was there"
    else:
        former = _configuration_of(found)
        _refuse_to_move(found, sagemaker, is_named=is_named)
        sagemaker.move(name, wanted)
        made[ENDPOINT.shown] = "moved"
        say(f"deploy: {name} is moved from {former} to {wanted}, and answers on the way")
    _check_serves(at_rest(name, sagemaker, pause), name, wanted)
    return Deployed(MODEL.name_of(requests.model), wanted, name, made, former)


def ask_golden_rows(rows: GoldenRows, deployed: Deployed, sagemaker: SageMaker) -> None:
    """Send the golden rows to an endpoint and compare.

    Raises
    ------
    DeployError
        A reply differs from the model's here.
    """
    difference = rows.difference(sagemaker.invoke(deployed.endpoint, rows.request))
    if difference is not None:
        back = ""
        if deployed.former is not None:
            back = (f" To go back: aws sagemaker update-endpoint --endpoint-name {deployed.endpoint} "
                    f"--endpoint-config-name {deployed.former}")  # fmt: skip
        raise DeployError(
            f"{deployed.endpoint}: answers its golden rows otherwise than the model here: {difference}. It serves "
            f"another model: push an image of this one, or name this one's package with --model-data.{back}"
        )


def _made_first(requests: Requests) -> list[tuple[Kind, Mapping[str, Any]]]:
    return [(MODEL, requests.model), (CONFIGURATION, requests.configuration)]


def _ensure(kind: Kind, request: Mapping[str, Any], sagemaker: SageMaker) -> str:
    if sagemaker.find(kind, kind.name_of(request)) is not None:
        return "was there"
    return "made" if sagemaker.create(kind, request) else "was there"


def at_rest(name: str, sagemaker: SageMaker, pause: Pause) -> dict[str, Any] | None:
    """Wait until an endpoint is in no motion; return what is known of it, None where there is none."""
    with StatusLine(f"deploy: {name} is") as line:
        while (found := sagemaker.find(ENDPOINT, name)) is not None:
            if found["EndpointStatus"] not in _IN_MOTION:
                return found
            line.show(found["EndpointStatus"])
            pause(POLL_S)
    return None


def gone(name: str, sagemaker: SageMaker, pause: Pause) -> None:
    """Wait until there is no endpoint of a name any more."""
    found = at_rest(name, sagemaker, pause)
    if found is not None:
        raise DeployError(f"{name}: is {found['EndpointStatus']}, expected it gone. Run this again.")


def _refuse_to_move(found: Mapping[str, Any], sagemaker: SageMaker, *, is_named: bool) -> None:
    name, status = found["EndpointName"], found["EndpointStatus"]
    if status != _SERVING:
        raise DeployError(
            f"{name}: is {status}{_why(found)}, and AWS lets such an endpoint only be removed. {_cause_of(name)} "
            f"{_AGAIN.format(name)}"
        )
    if not is_named and sagemaker.tags(ENDPOINT, found).get(MARK) != name:
        raise DeployError(
            f"{name}: there is an endpoint of the app's name that `deploy` did not make. If it is to be moved to this "
            f"model, name it: --endpoint {name}"
        )


def _check_serves(found: Mapping[str, Any] | None, name: str, wanted: str) -> None:
    if found is None:
        raise DeployError(f"{name}: was removed by somebody while it was waited for. Run this again.")
    if found["EndpointStatus"] != _SERVING:
        raise DeployError(
            f"{name}: is {found['EndpointStatus']}, expected {_SERVING}{_why(found)}. {_cause_of(name)} "
            f"{_AGAIN.format(name)}"
        )
    if _configuration_of(found) != wanted:
        raise DeployError(
            f"{name}: is back on {_configuration_of(found)}, it could not be moved to {wanted}{_why(found)}. "
            f"{_cause_of(name)}"
        )


def _cause_of(name: str) -> str:
    where = f"Its log is in CloudWatch, group /aws/sagemaker/Endpoints/{name};"
    return f"{where} `scoreline doctor --image` shows most causes without AWS."


def _configuration_of(found: Mapping[str, Any]) -> str:
    return str(found.get("EndpointConfigName", ""))


def _why(found: Mapping[str, Any]) -> str:
    return f" ({found['FailureReason']})" if found.get("FailureReason") else ""
