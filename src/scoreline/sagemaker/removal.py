"""Removing what `deploy` made for an endpoint, and only that: what bears its mark."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from scoreline.aws.sagemaker import CONFIGURATION, ENDPOINT, MODEL, Kind, SageMaker
from scoreline.sagemaker.deploy import Pause, at_rest, gone
from scoreline.sagemaker.plan import MARK, stem_of


def remove(
    endpoint: str, sagemaker: SageMaker, *, say: Callable[[str], None], pause: Pause = time.sleep
) -> list[tuple[str, str]]:
    """Remove an endpoint with all configurations and models that `deploy` made for it, also for earlier deployments.

    An endpoint that somebody else made stays, with what it serves from.

    Returns
    -------
    list of (kind, name)
        What was removed, in that order.

    Raises
    ------
    AwsError
        AWS can't be asked, or refuses. Run again, it goes on from there.
    """
    removed, kept = [], set[tuple[str, str]]()
    found = at_rest(endpoint, sagemaker, pause)
    if found is not None and sagemaker.tags(ENDPOINT, found).get(MARK) == endpoint:
        sagemaker.delete(ENDPOINT, endpoint)
        gone(endpoint, sagemaker, pause)
        removed.append((ENDPOINT.shown, endpoint))
    elif found is not None:
        say(f"deploy: the endpoint {endpoint} was not made by `deploy`: it stays, with what it serves from")
        kept = _served_from(str(found["EndpointConfigName"]), sagemaker)
    for kind in (CONFIGURATION, MODEL):
        for name in sorted(_marked(kind, endpoint, sagemaker)):
            if (kind.shown, name) not in kept:
                sagemaker.delete(kind, name)
                removed.append((kind.shown, name))
    return removed


def _marked(kind: Kind, endpoint: str, sagemaker: SageMaker) -> Iterator[str]:
    for described in sagemaker.listed(kind, stem_of(endpoint)):
        if sagemaker.tags(kind, described).get(MARK) == endpoint:
            yield kind.name_of(described)


def _served_from(configuration: str, sagemaker: SageMaker) -> set[tuple[str, str]]:
    found = sagemaker.find(CONFIGURATION, configuration) or {"ProductionVariants": []}
    models = {
        (MODEL.shown, str(variant["ModelName"])) for variant in found["ProductionVariants"] if "ModelName" in variant
    }
    return {(CONFIGURATION.shown, configuration), *models}
