"""`scoreline deploy`, against moto over HTTP; a real server of the model stands for the endpoint's container."""

from __future__ import annotations

import json
import shutil

import pytest
from moto_server import ACCOUNT, REGION, AwsRelay, MotoServer
from servers import copy_app, serving, without_aws

from scoreline.cli.main import run
from scoreline.sagemaker import deploy as deploy_module
from scoreline.sagemaker.golden import golden_rows

ECR = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/SageMaker"
MANIFEST = '{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "n": %d}'
IMAGE = f"{ECR}/order-triage:1"
MADE = ["CreateModel", "CreateEndpointConfig", "CreateEndpoint"]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def moto():
    """Give moto's server; one for the module."""
    with MotoServer() as server:
        yield server


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    """Let nothing wait."""
    monkeypatch.setattr(deploy_module, "POLL_S", 0)


@pytest.fixture
def aws(moto, monkeypatch, tmp_path):
    """Give what our environment takes for AWS: an image in ECR, and nothing else."""
    without_aws(monkeypatch, tmp_path)
    moto.forget()
    with AwsRelay(moto) as relay:
        for name, value in relay.environment.items():
            monkeypatch.setenv(name, value)
        relay.client("ecr").create_repository(repositoryName="order-triage")
        relay.digest = put_image(relay, 1)
        yield relay


@pytest.fixture
def app(tmp_path):
    """Give the folder of an app without a model."""
    return copy_app(tmp_path / "app")


@pytest.fixture
def deploy(app, capsys):
    """Give a function that deploys without golden rows; it gives the exit code, stdout and stderr."""

    def run_it(*more, image=IMAGE, checked=False, app=app):
        given = ["--image", image, "--role", ROLE, *([] if checked else ["--unchecked"])]
        code = run(["deploy", "--app", str(app), *given, *map(str, more)])
        return code, *capsys.readouterr()

    return run_it


@pytest.fixture
def delete(app, capsys):
    """Give a function that removes a deployment; it gives the exit code, stdout and stderr."""

    def run_it(*more):
        code = run(["deploy", "--app", str(app), "--delete", *more])
        return code, *capsys.readouterr()

    return run_it


def put_image(aws, number):
    """Put an image into ECR, in the place of another; return its digest."""
    made = aws.client("ecr").put_image(repositoryName="order-triage", imageManifest=MANIFEST % number, imageTag="1")
    return made["image"]["imageId"]["imageDigest"]


def there(aws):
    """Return the names of all that there is."""
    client = aws.client("sagemaker")
    return {
        "models": sorted(found["ModelName"] for found in client.list_models()["Models"]),
        "configurations": sorted(c["EndpointConfigName"] for c in client.list_endpoint_configs()["EndpointConfigs"]),
        "endpoints": sorted(found["EndpointName"] for found in client.list_endpoints()["Endpoints"]),
    }


def named(out):
    """Return kind -> (name, what was done) from what `deploy` printed."""
    return {line[2:26].strip(): (line[27:91].strip(), line[91:].strip()) for line in out.splitlines()[1:4]}


class TestTheFirstTime:
    def test_model_configuration_and_endpoint_are_made_and_listed(self, aws, deploy):
        code, out, err = deploy("--env", "MODEL_SERVER_WORKERS=2", "--env", "MODEL_SERVER_TIMEOUT=30")
        assert code == 0, err
        names = named(out)
        assert {kind: done for kind, (_, done) in names.items()} == {
            "model": "made", "endpoint configuration": "made", "endpoint": "made",
        }  # fmt: skip
        assert there(aws) == {
            "models": [names["model"][0]],
            "configurations": [names["endpoint configuration"][0]],
            "endpoints": ["order-triage"],
        }
        model = aws.client("sagemaker").describe_model(ModelName=names["model"][0])
        assert model["PrimaryContainer"]["Environment"] == {"MODEL_SERVER_WORKERS": "2", "MODEL_SERVER_TIMEOUT": "30"}
        assert model["ExecutionRoleArn"] == ROLE
        assert f"region                   {REGION}" in out

    def test_the_image_is_named_by_its_digest(self, aws, deploy):
        code, out, err = deploy()
        assert code == 0, err
        model = aws.client("sagemaker").describe_model(ModelName=named(out)["model"][0])
        assert model["PrimaryContainer"]["Image"] == f"{ECR}/order-triage@{aws.digest}"

    def test_an_image_that_ecr_does_not_have_is_told_to_be_pushed(self, aws, deploy):
        code, out, err = deploy(image=f"{ECR}/order-triage:2")
        assert (code, out) == (1, "")
        assert f"Push it first: scoreline push --repository {ECR}/order-triage" in err
        assert aws.operations == []

    def test_an_image_of_another_registry_is_taken_as_it_is(self, aws, deploy):
        code, out, err = deploy(image="registry.example.com/cards:1")
        assert code == 0, err
        assert "registry.example.com/cards:1" in out

    def test_data_capture_serverless_and_instances_reach_aws(self, aws, deploy):
        code, out, err = deploy("--capture", "s3://captured/triage", "--capture-percent", "20", "--instances", "2")
        assert code == 0, err
        made = aws.client("sagemaker").describe_endpoint_config(
            EndpointConfigName=named(out)["endpoint configuration"][0]
        )
        assert made["DataCaptureConfig"]["DestinationS3Uri"] == "s3://captured/triage"
        assert made["DataCaptureConfig"]["InitialSamplingPercentage"] == 20
        assert made["ProductionVariants"][0]["InitialInstanceCount"] == 2
        code, out, err = deploy("--endpoint", "small", "--serverless-memory", "2048")
        assert code == 0, err
        made = aws.client("sagemaker").describe_endpoint_config(
            EndpointConfigName=named(out)["endpoint configuration"][0]
        )
        assert made["ProductionVariants"][0]["ServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 5}

    def test_it_waits_with_a_line_until_the_endpoint_serves(self, aws, deploy):
        aws.refuse("DescribeEndpoint", "ValidationException", "Could not find endpoint")
        for _ in range(3):
            aws.say("DescribeEndpoint", EndpointName="order-triage", EndpointStatus="Creating")
        code, _, err = deploy()
        assert code == 0, err
        assert err.count("deploy: order-triage is Creating, ") == 1  # elsewhere than on a terminal, now and then

    def test_an_endpoint_that_fails_says_why_and_where_its_log_is(self, aws, deploy):
        aws.refuse("DescribeEndpoint", "ValidationException", "Could not find endpoint")
        failed = {"EndpointStatus": "Failed", "FailureReason": "The primary container did not pass the ping check."}
        aws.say("DescribeEndpoint", EndpointName="order-triage", EndpointConfigName="c", **failed)
        code, out, err = deploy()
        assert (code, out) == (1, "")
        assert "order-triage: is Failed, expected InService (The primary container did not pass the ping" in err
        assert "/aws/sagemaker/Endpoints/order-triage; `scoreline doctor --image` shows most causes" in err
        assert "aws sagemaker delete-endpoint --endpoint-name order-triage, and deploy again." in err


class TestAgain:
    def test_the_same_makes_nothing(self, aws, deploy):
        first = named(deploy()[1])
        assert aws.operations == MADE
        code, out, err = deploy()
        assert code == 0, err
        assert aws.operations == MADE
        assert {kind: name for kind, (name, _) in named(out).items()} == {k: name for k, (name, _) in first.items()}
        assert {done for _, done in named(out).values()} == {"was there"}

    @pytest.mark.parametrize("operation", MADE)
    def test_after_any_failure_it_goes_on_where_it_was(self, aws, deploy, operation):
        aws.refuse(operation, "InternalFailure", "oops", 500, times=4)
        assert deploy()[0] == 1
        code, out, err = deploy()
        assert code == 0, err
        assert [aws.operations.count(made) for made in MADE if made != operation] == [1, 1]
        assert all(len(names) == 1 for names in there(aws).values())
        assert named(out)["endpoint"] == ("order-triage", "made")

    def test_a_model_that_somebody_has_just_made_is_taken(self, aws, deploy):
        first = named(deploy()[1])["model"][0]
        aws.refuse("DescribeModel", "ValidationException", "Could not find model")  # and then it was there
        aws.refuse("CreateModel", "ValidationException", f'Cannot create already existing model "{first}".')
        code, out, err = deploy("--instances", "2")
        assert code == 0, err
        assert named(out)["model"] == (first, "was there")

    def test_new_content_under_the_same_tag_moves_the_endpoint(self, aws, deploy):
        former = named(deploy()[1])
        put_image(aws, 2)
        code, out, err = deploy()
        assert code == 0, err
        now = named(out)
        assert now["endpoint"] == ("order-triage", "moved")
        assert now["model"][0] != former["model"][0]
        assert f"is moved from {former['endpoint configuration'][0]} to {now['endpoint configuration'][0]}" in err
        found = aws.client("sagemaker").describe_endpoint(EndpointName="order-triage")
        assert found["EndpointConfigName"] == now["endpoint configuration"][0]
        assert aws.operations == [*MADE, *MADE[:2], "UpdateEndpoint"]
        assert len(there(aws)["models"]) == 2  # the former one stays, to go back to

    def test_new_content_of_the_model_package_moves_it_too(self, aws, deploy):
        s3 = aws.client("s3")
        s3.create_bucket(Bucket="models", CreateBucketConfiguration={"LocationConstraint": REGION})
        package = ["--model-data", "s3://models/triage/model.tar.gz"]
        code, out, err = deploy(*package)
        assert (code, out) == (1, "")
        assert "s3://models/triage/: no such object; expected model.tar.gz" in err
        for content, done in ((b"1", "made"), (b"1", "was there"), (b"2", "moved")):
            s3.put_object(Bucket="models", Key="triage/model.tar.gz", Body=content)
            code, out, err = deploy(*package)
            assert code == 0, err
            assert out.splitlines()[3].endswith(done)

    def test_a_model_package_that_only_the_role_may_read_is_deployed_all_the_same(self, aws, deploy):
        code, _, err = deploy("--model-data", "s3://no-such-bucket/model.tar.gz")
        assert code == 0, err
        assert "so that new content under this address is not seen. s3://no-such-bucket/" in err

    def test_a_move_that_aws_takes_back_is_a_failure(self, aws, deploy):
        former = named(deploy()[1])["endpoint configuration"][0]
        found = aws.client("sagemaker").describe_endpoint(EndpointName="order-triage")
        found = {name: found[name] for name in ("EndpointName", "EndpointArn", "EndpointConfigName", "EndpointStatus")}
        aws.say("DescribeEndpoint", **found)
        aws.say("DescribeEndpoint", **found | {"EndpointStatus": "Updating"})
        aws.say("DescribeEndpoint", **found | {"EndpointStatus": "RollingBack"})
        aws.say("DescribeEndpoint", **found, FailureReason="ping")
        code, out, err = deploy("--instances", "2")
        assert (code, out) == (1, "")
        assert f"order-triage: is back on {former}, it could not be moved to " in err
        assert "(ping)" in err

    def test_an_endpoint_that_failed_can_only_be_removed(self, aws, deploy):
        aws.say("DescribeEndpoint", EndpointName="order-triage", EndpointConfigName="c", EndpointStatus="Failed")
        code, out, err = deploy()
        assert (code, out) == (1, "")
        assert "order-triage: is Failed, and AWS lets such an endpoint only be removed." in err
        assert "UpdateEndpoint" not in aws.operations

    def test_somebody_elses_endpoint_is_moved_only_if_it_is_named(self, aws, deploy):
        theirs(aws, "order-triage")
        code, out, err = deploy()
        assert (code, out) == (1, "")
        assert "`deploy` did not make. If it is to be moved to this model, name it: --endpoint order-triage" in err
        code, out, err = deploy("--endpoint", "order-triage")
        assert code == 0, err
        assert named(out)["endpoint"] == ("order-triage", "moved")


class TestGoldenRows:
    @pytest.fixture
    def served(self, aws, triage, tmp_path):
        """Let endpoints be asked of a real server of the model; give the app's folder."""
        with serving(triage, triage, tmp_path / "server") as server:
            aws.model_port = server.port
            yield triage

    def test_the_endpoint_answers_them_as_the_model_here_does(self, aws, deploy, served):
        code, out, err = deploy(checked=True, app=served)
        assert code == 0, err
        rows = golden_rows(served, served / "model")
        assert out.splitlines()[-1] == f"  {len(rows.records)} golden rows are answered as they are here"
        assert aws.operations == [*MADE, "InvokeEndpoint"]

    def test_another_model_behind_the_endpoint_is_told_with_the_way_back(self, aws, deploy, served, tmp_path, capsys):
        former = named(deploy()[1])["endpoint configuration"][0]
        other = shutil.copytree(served, tmp_path / "other")
        text = (other / "app.py").read_text()
        (other / "app.py").write_text(text.replace('then="HoldCheckAvailability"', 'then="HoldCheckStock"'))
        train_again(other)
        capsys.readouterr()
        code, out, err = deploy("--instances", "2", checked=True, app=other)
        assert code == 1
        assert named(out)["endpoint"] == ("order-triage", "moved")
        assert 'recommendation: expected "HoldCheckStock", got "HoldCheckAvailability". It serves another model' in err
        assert f"update-endpoint --endpoint-name order-triage --endpoint-config-name {former}" in err

    def test_what_the_container_refuses_is_told_with_its_words(self, aws, deploy, triage):
        aws.refuse("InvokeEndpoint", "ModelError", "Received client error (415) from primary with message no", 424)
        code, _, err = deploy(checked=True, app=triage)
        assert code == 1
        assert "was refused with 424 ModelError: Received client error (415) from primary" in err
        assert "/aws/sagemaker/Endpoints/" in err

    def test_without_a_model_here_nothing_is_made(self, aws, deploy):
        code, out, err = deploy(checked=True)
        assert (code, out) == (1, "")
        assert "no model artifact here" in err
        assert aws.asked == []


class TestDelete:
    def test_all_that_was_made_is_removed_earlier_deployments_too(self, aws, deploy, delete):
        first = named(deploy()[1])
        second = named(deploy("--instances", "2")[1])
        code, out, err = delete()
        assert code == 0, err
        assert there(aws) == {"models": [], "configurations": [], "endpoints": []}
        removed = [line.split()[:-1] for line in out.splitlines()[1:]]
        configurations = sorted(names["endpoint configuration"][0] for names in (first, second))
        assert removed == [
            ["endpoint", "order-triage"],
            *(["endpoint", "configuration", name] for name in configurations),
            ["model", first["model"][0]],
        ]

    def test_what_others_made_stays_whatever_its_name(self, aws, deploy, delete):
        deploy()
        deploy("--endpoint", "order-triage-2", "--instances", "3")
        theirs(aws, "order-triage-other")
        kept = there(aws)
        assert delete()[0] == 0
        left = there(aws)
        assert left["endpoints"] == ["order-triage-2", "order-triage-other"]
        assert "order-triage-other" in left["models"]
        assert {name for name in kept["models"] if name.startswith("order-triage-2-")} <= set(left["models"])

    def test_somebody_elses_endpoint_stays_with_what_it_serves_from(self, aws, deploy, delete):
        theirs(aws, "order-triage")
        deploy("--endpoint", "order-triage", "--instances", "2")
        now = named(deploy("--endpoint", "order-triage")[1])
        code, out, err = delete()
        assert code == 0, err
        assert "the endpoint order-triage was not made by `deploy`: it stays" in err
        left = there(aws)
        assert left["endpoints"] == ["order-triage"]
        assert left["configurations"] == sorted(["order-triage", now["endpoint configuration"][0]])
        assert now["model"][0] in left["models"]
        assert len(out.splitlines()) == 2  # the former configuration is removed

    def test_it_waits_until_the_endpoint_is_in_no_motion_and_then_until_it_is_gone(self, aws, deploy, delete):
        deploy()
        found = aws.client("sagemaker").describe_endpoint(EndpointName="order-triage")
        shown = {"EndpointName": "order-triage", "EndpointArn": found["EndpointArn"]}
        aws.say("DescribeEndpoint", **shown, EndpointStatus="Creating")
        aws.say("DescribeEndpoint", **shown, EndpointStatus="InService")
        aws.say("DescribeEndpoint", **shown, EndpointStatus="Deleting")
        code, _, err = delete()
        assert code == 0, err
        assert "order-triage is Creating" in err
        assert "order-triage is Deleting" in err

    def test_again_there_is_nothing_to_remove(self, aws, deploy, delete):
        deploy()
        assert delete()[0] == 0
        code, out, err = delete()
        assert (code, out) == (0, "deploy\n  there is nothing that it made\n"), err


class TestDryRun:
    def test_every_request_is_printed_and_none_made(self, aws, deploy):
        code, out, err = deploy("--dry-run", "--model-data", "s3://models/model.tar.gz", "--env", "A=1")
        assert (code, err) == (0, "")
        calls = json.loads(out)
        assert [(call["service"], call["operation"]) for call in calls] == [
            ("ecr", "DescribeImages"),
            ("s3", "GetObject"),
            *(("sagemaker", operation) for operation in [*MADE, "UpdateEndpoint"]),
        ]
        assert calls[2]["request"] == {
            "ModelName": "order-triage-DIGEST",  # it is of the image behind the tag, which AWS alone knows
            "PrimaryContainer": {
                "Image": IMAGE, "Environment": {"A": "1"}, "ModelDataUrl": "s3://models/model.tar.gz",
            },
            "ExecutionRoleArn": ROLE,
            "Tags": [{"Key": "scoreline:endpoint", "Value": "order-triage"}],
        }  # fmt: skip
        assert aws.asked == []

    def test_with_the_images_digest_the_requests_are_those_that_a_run_makes(self, aws, deploy, triage):
        image = f"{ECR}/order-triage@{aws.digest}"
        _, out, _ = deploy("--dry-run", image=image, checked=True, app=triage)
        printed = {call["operation"]: call["request"] for call in json.loads(out)}
        assert aws.asked == []
        assert deploy(image=image)[0] == 0
        made = {operation: request for operation, request in aws.asked if operation in MADE}
        assert {name: printed[name] for name in MADE} == made
        rows = golden_rows(triage, triage / "model")
        assert printed["InvokeEndpoint"] == {"EndpointName": "order-triage", **rows.request}

    def test_removal(self, aws, delete):
        code, out, err = delete("--dry-run")
        assert (code, err) == (0, "")
        assert [call["operation"] for call in json.loads(out)] == [
            "DeleteEndpoint", "ListEndpointConfigs", "DeleteEndpointConfig", "ListModels", "DeleteModel",
        ]  # fmt: skip
        assert aws.asked == []


class TestRefusals:
    @pytest.mark.parametrize(
        ("operation", "code", "message", "advice"),
        [
            ("CreateModel", "ValidationException", "Could not find model data at s3://m/m.tar.gz.",
             "scoreline package"),
            ("CreateModel", "ValidationException", "Requested image x not found.", "Push it first: `scoreline push`"),
            ("CreateModel", "ValidationException", "Unsupported manifest media type application/vnd.oci.image.index",
             "Push the image again with `scoreline push`"),
            ("CreateModel", "ValidationException", "Could not assume role arn:x", "Check --role: it must trust"),
            ("CreateModel", "AccessDeniedException", "User: u is not authorized to perform: iam:PassRole on r",
             "Allow iam:PassRole for these credentials"),
            ("CreateEndpoint", "ResourceLimitExceeded", "The account-level service limit 'ml.m5.large for endpoint'",
             "Service Quotas (Amazon SageMaker), or take another --instance-type"),
            ("CreateEndpointConfig", "ValidationException", "1 validation error detected", "Put right what it names"),
        ],
    )  # fmt: skip
    def test_an_aws_error_says_what_to_do(self, aws, deploy, operation, code, message, advice):
        aws.refuse(operation, code, message)
        exit_code, out, err = deploy()
        assert (exit_code, out) == (1, "")
        assert f"{operation} in {REGION} was refused with 400 {code}: {message}" in err
        assert advice in err

    @pytest.mark.parametrize(
        ("more", "says"),
        [
            (["--env", "A"], "--env A: expected NAME=VALUE"),
            (["--env", "A=1", "--env", "A=2"], "--env A: is given twice"),
            (["--env", "MODEL_SERVER_WORKERS=0"], "MODEL_SERVER_WORKERS='0': expected a whole number"),
            (["--env", "MODEL_SERVER_WORKER=2"], "MODEL_SERVER_WORKER: is no setting. Did you mean"),
            (["--capture-percent", "10"], "--capture-percent says nothing without --capture"),
            (["--serverless-concurrency", "9"], "--serverless-concurrency says nothing without --serverless-memory"),
            (["--serverless-memory", "2048", "--instances", "2"], "a serverless endpoint, which has no --instances"),
            (["--image", "approval-odds"], "--image approval-odds: expected the address in a registry"),
            (["--endpoint", "a b"], "--endpoint 'a b': expected"),
            (["--role", "me"], "--role me: expected a role's ARN"),
            (["--region", "eu-west-1"], "--region eu-west-1: the image is in us-east-2"),
        ],
    )
    def test_misuse_exits_2_before_aws_is_asked(self, aws, deploy, more, says):
        code, out, err = deploy(*more)
        assert (code, out) == (2, "")
        assert says in err
        assert aws.asked == []

    def test_image_and_role_must_be_named(self, app, capsys):
        assert run(["deploy", "--app", str(app), "--role", ROLE]) == 2
        assert "Missing option '--image'" in capsys.readouterr().err
        assert run(["deploy", "--app", str(app), "--image", IMAGE]) == 2
        assert "Missing option '--role'" in capsys.readouterr().err


def theirs(aws, name):
    """Make a model, a configuration and an endpoint of somebody else."""
    client = aws.client("sagemaker")
    client.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "x"})
    variant = {"VariantName": "v", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    client.create_endpoint(EndpointName=name, EndpointConfigName=name)


def train_again(folder):
    """Make an app's features and model anew."""
    for command in ("feature", "train"):
        assert run([command, "--app", str(folder)]) == 0
