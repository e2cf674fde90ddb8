"""What a deployment asks of AWS: the requests, and names that follow from what they say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scoreline.errors import SettingError
from scoreline.sagemaker import limits
from scoreline.settings import check_variables, variables_of

MARK = "scoreline:endpoint"  # the tag of whatever `deploy` makes; its value is the endpoint's name
UNKNOWN = "DIGEST"  # in names, in the place of a digest of what only AWS can tell
_VARIANT = "AllTraffic"
_DIGITS = 12
_STEM = limits.NAME_LENGTH - _DIGITS - 1
# As the platform has them, so that it captures text and no base64.
_CAPTURED = {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]}


@dataclass(frozen=True)
class Machines:
    """What an endpoint runs on: instances, or so much memory of a serverless one.

    Attributes
    ----------
    serverless_mb : None for instances
    concurrency : requests at once that a serverless endpoint takes
    """

    instance_type: str = "ml.m5.large"
    count: int = 1
    serverless_mb: int | None = None
    concurrency: int = 5


@dataclass(frozen=True)
class Capture:
    """Where requests and replies are kept, and how many of a hundred."""

    url: str
    percent: int = 100


@dataclass(frozen=True)
class Deployment:
    """What is to be deployed.

    Attributes
    ----------
    endpoint : its name
    image : address of the image
    role : ARN of the role that the endpoint runs as
    environment : what its containers get
    model_data : model package in S3, None where the image's own model serves
    content : digests of what stands behind addresses whose content can change; None where it is not known
    """

    endpoint: str
    image: str
    role: str
    environment: Mapping[str, str] = field(default_factory=dict)
    model_data: str | None = None
    machines: Machines = Machines()
    capture: Capture | None = None
    content: str | None = ""

    def check(self) -> None:
        """Raise SettingError, naming the option, where AWS or `serve` would refuse."""
        limits.check_name("--endpoint", self.endpoint)
        limits.check_image(self.image)
        limits.check_role(self.role)
        limits.check_environment(self.environment)
        check_variables(self.environment)
        if self.model_data is not None:
            limits.check_model_data(self.model_data)
        self._check_machines()
        if self.capture is not None:
            limits.check_capture(self.capture.url, self.capture.percent)

    def _check_machines(self) -> None:
        if self.machines.serverless_mb is None:
            limits.check_instances(self.machines.instance_type, self.machines.count)
            return
        limits.check_serverless(self.machines.serverless_mb, self.machines.concurrency)
        if self.capture is not None:
            raise SettingError("--capture: serverless endpoints capture nothing. Leave one of the two out.")
        for name in variables_of("workers"):
            if self.environment.get(name, "1") not in ("", "1"):
                raise SettingError(f"--env {name}={self.environment[name]}: a serverless endpoint has 1 worker")


@dataclass(frozen=True)
class Requests:
    """The bodies of the calls that a deployment comes to. `move` is for an endpoint that is there."""

    model: Mapping[str, Any]
    configuration: Mapping[str, Any]
    endpoint: Mapping[str, Any]

    @property
    def move(self) -> dict[str, Any]:
        """The body of UpdateEndpoint."""
        return {name: self.endpoint[name] for name in ("EndpointName", "EndpointConfigName")}


def requests_of(wanted: Deployment) -> Requests:
    """Return the requests of a deployment.

    Names of model and endpoint configuration are the endpoint's with a digest of what the request says: the same
    request has the same name, so that asking twice makes nothing twice, and another one has another.
    """
    tags = [{"Key": MARK, "Value": wanted.endpoint}]
    model = {"PrimaryContainer": _container(wanted), "ExecutionRoleArn": wanted.role}
    model_name = name_of(wanted.endpoint, model, wanted.content)
    configuration = _configuration(wanted, model_name)
    configuration_name = name_of(wanted.endpoint, configuration, wanted.content)
    return Requests(
        {"ModelName": model_name, **model, "Tags": tags},
        {"EndpointConfigName": configuration_name, **configuration, "Tags": tags},
        {"EndpointName": wanted.endpoint, "EndpointConfigName": configuration_name, "Tags": tags},
    )


def stem_of(endpoint: str) -> str:
    """Return what the names of all models and configurations of an endpoint begin with."""
    return endpoint[:_STEM].rstrip("-") + "-"


def name_of(endpoint: str, request: Mapping[str, Any], content: str | None) -> str:
    """Return the name of what a request makes."""
    if content is None:
        return f"{stem_of(endpoint)}{UNKNOWN}"
    said = json.dumps([endpoint, request, content], sort_keys=True)
    return f"{stem_of(endpoint)}{hashlib.sha256(said.encode()).hexdigest()[:_DIGITS]}"


def _container(wanted: Deployment) -> dict[str, Any]:
    environment = dict(wanted.environment)
    if wanted.machines.serverless_mb is not None:
        environment.setdefault(variables_of("workers")[0], "1")
    container: dict[str, Any] = {"Image": wanted.image, "Environment": environment}
    if wanted.model_data is not None:
        container["ModelDataUrl"] = wanted.model_data
    return container


def _configuration(wanted: Deployment, model_name: str) -> dict[str, Any]:
    variant: dict[str, Any] = {"VariantName": _VARIANT, "ModelName": model_name}
    machines = wanted.machines
    if machines.serverless_mb is None:
        variant |= {"InstanceType": machines.instance_type, "InitialInstanceCount": machines.count}
    else:
        size = {"MemorySizeInMB": machines.serverless_mb, "MaxConcurrency": machines.concurrency}
        variant["ServerlessConfig"] = size
    configuration: dict[str, Any] = {"ProductionVariants": [variant]}
    if wanted.capture is not None:
        configuration["DataCaptureConfig"] = {
            "EnableCapture": True,
            "InitialSamplingPercentage": wanted.capture.percent,
            "DestinationS3Uri": wanted.capture.url,
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": _CAPTURED,
        }
    return configuration
