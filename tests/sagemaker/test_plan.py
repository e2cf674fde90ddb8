"""What a deployment asks of AWS: requests, names, and what is refused before AWS is asked."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from scoreline.errors import SettingError
from scoreline.sagemaker.content import region_of
from scoreline.sagemaker.plan import Capture, Deployment, Machines, name_of, requests_of, stem_of

IMAGE = "434418615032.dkr.ecr.us-east-2.amazonaws.com/cards@sha256:1"
ROLE = "arn:aws:iam::434418615032:role/service-role/SageMaker"
PLAIN = Deployment("cards", IMAGE, ROLE, {"MODEL_SERVER_WORKERS": "2", "MODEL_SERVER_TIMEOUT": "30"})
NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")  # as the API has it


def test_the_requests_whole():
    requests = requests_of(PLAIN)
    model, configuration = requests.model["ModelName"], requests.configuration["EndpointConfigName"]
    tags = [{"Key": "scoreline:endpoint", "Value": "cards"}]
    assert requests.model == {
        "ModelName": model,
        "PrimaryContainer": {
            "Image": IMAGE,
            "Environment": {"MODEL_SERVER_WORKERS": "2", "MODEL_SERVER_TIMEOUT": "30"},
        },
        "ExecutionRoleArn": ROLE,
        "Tags": tags,
    }
    assert requests.configuration == {
        "EndpointConfigName": configuration,
        "ProductionVariants": [
            {"VariantName": "AllTraffic", "ModelName": model, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        ],
        "Tags": tags,
    }
    assert requests.endpoint == {"EndpointName": "cards", "EndpointConfigName": configuration, "Tags": tags}
    assert requests.move == {"EndpointName": "cards", "EndpointConfigName": configuration}
    assert re.fullmatch(r"cards-[0-9a-f]{12}", model)
    assert re.fullmatch(r"cards-[0-9a-f]{12}", configuration)


def test_a_model_package_data_capture_and_instances():
    wanted = replace(
        PLAIN,
        model_data="s3://models/cards/model.tar.gz",
        machines=Machines("ml.c5.xlarge", 3),
        capture=Capture("s3://captured/cards", 20),
    )
    wanted.check()
    requests = requests_of(wanted)
    assert requests.model["PrimaryContainer"]["ModelDataUrl"] == "s3://models/cards/model.tar.gz"
    (variant,) = requests.configuration["ProductionVariants"]
    assert (variant["InstanceType"], variant["InitialInstanceCount"]) == ("ml.c5.xlarge", 3)
    assert requests.configuration["DataCaptureConfig"] == {
        "EnableCapture": True,
        "InitialSamplingPercentage": 20,
        "DestinationS3Uri": "s3://captured/cards",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
    }


def test_a_serverless_endpoint_has_memory_and_one_worker():
    wanted = Deployment("cards", IMAGE, ROLE, machines=Machines(serverless_mb=2048, concurrency=7))
    wanted.check()
    requests = requests_of(wanted)
    assert requests.model["PrimaryContainer"]["Environment"] == {"MODEL_SERVER_WORKERS": "1"}
    (variant,) = requests.configuration["ProductionVariants"]
    assert variant["ServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 7}
    assert variant.keys() == {"VariantName", "ModelName", "ServerlessConfig"}


def test_the_same_request_has_the_same_names_and_variables_have_no_order():
    turned = replace(PLAIN, environment=dict(reversed(PLAIN.environment.items())))
    assert requests_of(PLAIN) == requests_of(turned)


@pytest.mark.parametrize(
    ("change", "models_differ"),
    [
        ({"image": IMAGE.replace("sha256:1", "sha256:2")}, True),
        ({"role": ROLE + "2"}, True),
        ({"environment": {"MODEL_SERVER_WORKERS": "3"}}, True),
        ({"model_data": "s3://models/model.tar.gz"}, True),
        ({"content": "another-etag"}, True),
        ({"endpoint": "other"}, True),
        ({"machines": Machines(count=2)}, False),
        ({"machines": Machines("ml.m5.xlarge")}, False),
        ({"capture": Capture("s3://captured/cards")}, False),
    ],
)
def test_whatever_changes_gives_new_names(change, models_differ):
    one, other = requests_of(PLAIN), requests_of(replace(PLAIN, **change))
    assert (one.model["ModelName"] != other.model["ModelName"]) is models_differ
    assert one.configuration["EndpointConfigName"] != other.configuration["EndpointConfigName"]


@pytest.mark.parametrize("endpoint", ["a", "a" * 63, "a" * 49 + "-b" + "c" * 12, "a" * 50 + "-" + "b"])
def test_names_are_ones_that_aws_takes_however_long_the_endpoints_is(endpoint):
    name = name_of(endpoint, {}, "")
    assert len(name) <= 63
    assert NAME.fullmatch(name)
    assert name.startswith(stem_of(endpoint))


def test_endpoints_whose_long_names_begin_alike_share_no_name():
    assert name_of("a" * 62 + "b", {}, "") != name_of("a" * 62 + "c", {}, "")


def test_without_what_only_aws_can_tell_names_say_so():
    assert requests_of(replace(PLAIN, content=None)).model["ModelName"] == "cards-DIGEST"


MANY = {f"V{n}": "1" for n in range(101)}
LARGE = {f"V{n}": "x" * 1000 for n in range(33)}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"endpoint": "my endpoint"}, "--endpoint 'my endpoint': expected at most 63 letters, digits and hyphens"),
        ({"endpoint": "-a"}, "--endpoint '-a': expected"),
        ({"endpoint": "a-"}, "--endpoint 'a-': expected"),
        ({"endpoint": "a" * 64}, "got 64 characters"),
        ({"endpoint": ""}, "got 0 characters"),
        ({"image": "a b"}, "--image 'a b': expected an address of at most 255"),
        ({"image": "a" * 256}, "--image"),
        ({"role": "SageMaker"}, "--role SageMaker: expected a role's ARN"),
        ({"role": "arn:aws:iam::43441861503:role/x"}, "expected a role's ARN"),
        ({"environment": {"1A": "x"}}, "--env 1A: expected a name of letters"),
        ({"environment": {"A-B": "x"}}, "--env A-B: expected a name of letters"),
        ({"environment": {"A": "x" * 1025}}, "--env A: expected a value of at most 1024 bytes, got 1,025"),
        ({"environment": {"A": "\u00e9" * 513}}, "--env A: expected a value of at most 1024 bytes, got 1,026"),
        ({"environment": {"A" * 1025: "x"}}, "expected a name of at most 1024 bytes, got 1,025"),
        ({"environment": MANY}, "--env: expected at most 100 variables, got 101"),
        ({"environment": LARGE}, "--env: expected at most 32,768 bytes in all names and values, got 33,089"),
        ({"environment": {"MODEL_SERVER_WORKERS": "many"}}, "MODEL_SERVER_WORKERS='many': expected a whole number"),
        ({"environment": {"MODEL_SERVER_TIMEOUT": "9999"}}, "MODEL_SERVER_TIMEOUT='9999': expected a whole number"),
        ({"model_data": "s3://models/model.zip"}, "ending in .tar.gz"),
        ({"model_data": "model.tar.gz"}, "--model-data model.tar.gz: expected s3://bucket/key"),
        ({"machines": Machines("m5.large")}, "--instance-type m5.large: expected one of SageMaker's"),
        ({"machines": Machines(count=0)}, "--instances 0: expected 1 or more"),
        ({"machines": Machines(serverless_mb=1500)}, "--serverless-memory 1500: expected one of 1024, 2048"),
        ({"machines": Machines(serverless_mb=1024, concurrency=201)}, "--serverless-concurrency 201"),
        ({"machines": Machines(serverless_mb=1024)}, "MODEL_SERVER_WORKERS=2: a serverless endpoint has 1 worker"),
        ({"capture": Capture("captured/")}, "--capture captured/: expected s3://bucket/prefix"),
        ({"capture": Capture("s3://captured", 101)}, "--capture-percent 101: expected 0 to 100"),
        (
            {"machines": Machines(serverless_mb=1024), "capture": Capture("s3://captured")},
            "--capture: serverless endpoints capture nothing",
        ),
    ],
)
def test_what_aws_or_serve_would_refuse_is_refused_before(change, says):
    with pytest.raises(SettingError) as caught:
        replace(PLAIN, **change).check()
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"endpoint": "a" * 63},
        {"environment": {f"V{n}": "1" for n in range(100)}},
        {"environment": {"A" * 1024: "x" * 1024}},
        {"environment": {f"V{n:02}": "x" * 1021 for n in range(32)}},
        {"image": "a.io/" + "a" * 250},
    ],
)
def test_just_within_the_limits_is_taken(change):
    replace(PLAIN, **change).check()


def test_the_region_is_the_images_since_sagemaker_takes_it_from_there_alone():
    assert region_of(PLAIN, None) == "us-east-2"
    assert region_of(PLAIN, "us-east-2") == "us-east-2"
    assert region_of(replace(PLAIN, image="ghcr.io/cards:1"), "eu-west-1") == "eu-west-1"
    with pytest.raises(SettingError, match="the image is in us-east-2"):
        region_of(PLAIN, "eu-west-1")
