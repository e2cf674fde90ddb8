"""ECR and the account behind credentials, asked over HTTP; and what is said of each refusal."""

from __future__ import annotations

import pytest
from moto_server import ACCOUNT, REGION, AwsRelay, MotoServer
from ports import free_ports

from scoreline.aws.ecr import Ecr
from scoreline.aws.service import Service
from scoreline.errors import AwsError

MANIFEST = '{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}'
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_REGION": REGION}


@pytest.fixture(scope="module")
def moto():
    """Give moto's server; one for the module."""
    with MotoServer() as server:
        yield server


@pytest.fixture
def relay(moto, set_environment):
    """Give what our environment takes for AWS, with nothing in it."""
    moto.forget()
    with AwsRelay(moto) as relay:
        set_environment(relay.environment)
        yield relay


def why(call, *arguments, **named):
    """Return what is said where a call fails, which never holds the secret."""
    with pytest.raises(AwsError) as caught:
        call(*arguments, **named)
    assert "hush" not in str(caught.value)
    return str(caught.value)


@pytest.mark.slow
class TestWithAServer:
    def test_the_account_and_region_are_those_of_the_configuration(self, relay):
        assert (Ecr().account(), Ecr().region, Ecr("eu-west-1").region) == (ACCOUNT, REGION, "eu-west-1")

    def test_a_user_and_a_password_come_for_docker(self, relay):
        user, password = Ecr().login()
        assert user == "AWS"
        assert password

    def test_a_repository_is_there_once_it_is_created(self, relay):
        assert not Ecr().has_repository(ACCOUNT, "team/cards")
        Ecr().create_repository(ACCOUNT, "team/cards")
        assert Ecr().has_repository(ACCOUNT, "team/cards")
        assert not Ecr("eu-west-1").has_repository(ACCOUNT, "team/cards")

    def test_a_repository_that_somebody_has_just_created_will_do(self, relay):
        Ecr().create_repository(ACCOUNT, "cards")
        Ecr().create_repository(ACCOUNT, "cards")
        assert len(relay.client("ecr").describe_repositories()["repositories"]) == 1

    def test_the_digest_behind_a_tag(self, relay):
        assert Ecr().digest_of(ACCOUNT, "cards", "1") is None
        Ecr().create_repository(ACCOUNT, "cards")
        assert Ecr().digest_of(ACCOUNT, "cards", "1") is None
        put = relay.client("ecr").put_image(repositoryName="cards", imageManifest=MANIFEST, imageTag="1")
        assert Ecr().digest_of(ACCOUNT, "cards", "1") == put["image"]["imageId"]["imageDigest"]

    @pytest.mark.parametrize(
        ("code", "message", "status", "advice"),
        [
            ("AccessDeniedException", "User: u is not authorized to perform: ecr:CreateRepository on resource: r", 400,
             "Allow ecr:CreateRepository for these credentials"),
            ("AccessDeniedException", "No.", 400, "Allow ecr:CreateRepository for these credentials"),
            ("ExpiredTokenException", "expired", 400, "the session token has expired. Get new credentials."),
            ("UnrecognizedClientException", "The security token is invalid", 400, "the access key is not known there"),
            ("InvalidSignatureException", "Signature expired", 400, "Check AWS_SECRET_ACCESS_KEY"),
            ("LimitExceededException", "10000 repositories", 400, "Service Quotas"),
            ("InvalidParameterException", "bad name", 400, "Put right what it names, then run this again."),
        ],
    )  # fmt: skip
    def test_a_refusal_says_what_to_do(self, relay, code, message, status, advice):
        relay.refuse("CreateRepository", code, message, status, times=4)  # some are tried again
        said = why(Ecr().create_repository, ACCOUNT, "cards")
        assert said.startswith(f"CreateRepository in {REGION} was refused with {status} {code}: {message} ")
        assert advice in said

    def test_trouble_of_aws_is_tried_again_and_then_told(self, relay):
        relay.refuse("CreateRepository", "ServerException", "oops", 500, times=3)
        Ecr().create_repository(ACCOUNT, "cards")
        relay.refuse("CreateRepository", "ServerException", "oops", 500, times=4)
        assert "AWS is in trouble there (http://127.0.0.1" in why(Ecr().create_repository, ACCOUNT, "more")

    def test_a_call_that_is_asked_for_too_often_is_told_to_wait(self, relay):
        relay.refuse("DescribeRepositories", "ThrottlingException", "Rate exceeded", times=4)
        said = why(Ecr().has_repository, ACCOUNT, "cards")
        assert "Run this again in a minute: what is made stays, and is not made twice." in said


def test_without_a_region_it_says_where_to_set_one(set_environment):
    set_environment({"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hush"})
    assert why(Ecr().login) == "AWS ecr: no region is set. Set AWS_REGION, or the region of the profile."


def test_without_credentials_it_says_where_they_were_looked_for(set_environment):
    set_environment({"AWS_REGION": REGION})
    assert why(Ecr().login).startswith("GetAuthorizationToken: no AWS credentials found in the environment")


def test_an_endpoint_that_nobody_listens_at_is_named_with_its_variable(set_environment):
    (port,) = free_ports(1)
    set_environment({**KEYS, "AWS_ENDPOINT_URL_ECR": f"http://127.0.0.1:{port}"})
    assert why(Ecr().login) == (
        f"GetAuthorizationToken: http://127.0.0.1:{port} can't be reached. Check the network, or AWS_ENDPOINT_URL_ECR."
    )


def test_an_endpoint_that_is_no_url_is_named_by_its_variable(set_environment):
    set_environment({**KEYS, "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": "nonsense"})
    said = why(Service("sagemaker-runtime").ask, "InvokeEndpoint", EndpointName="a", Body=b"")
    variables = "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME and AWS_ENDPOINT_URL"
    assert said == f"AWS sagemaker-runtime: the endpoint is not a URL. Check {variables}."


def test_what_answers_otherwise_than_aws_is_said_to(answering, set_environment):
    set_environment({"AWS_ENDPOINT_URL_ECR": answering(404, "").url})
    assert "doesn't answer as AWS does (501). Check the network, or AWS_ENDPOINT_URL_ECR;" in why(Ecr().login)
