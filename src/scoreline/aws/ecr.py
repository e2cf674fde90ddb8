"""ECR, where SageMaker takes images from: whose account this is, a repository, a password to push with."""

from __future__ import annotations

import base64
import binascii

from scoreline.aws.service import Service
from scoreline.errors import AwsError

_ABSENT, _THERE, _NO_IMAGE = "RepositoryNotFoundException", "RepositoryAlreadyExistsException", "ImageNotFoundException"


class Ecr:
    """ECR of one region.

    Parameters
    ----------
    region : None for that of the environment or the profile
    """

    def __init__(self, region: str | None = None) -> None:
        self._service = Service("ecr", region)

    @property
    def region(self) -> str:
        """The region; AwsError where none is set."""
        return self._service.region

    def account(self) -> str:
        """Return the account that the credentials belong to."""
        return str(Service("sts", self.region).ask("GetCallerIdentity")["Account"])

    def login(self) -> tuple[str, str]:
        """Return a user and a password for docker, which hold for 12 hours.

        Raises
        ------
        AwsError
            AWS gives none.
        """
        answer = self._service.ask("GetAuthorizationToken")
        try:
            token = base64.b64decode(answer["authorizationData"][0]["authorizationToken"]).decode()
        except (KeyError, IndexError, binascii.Error, UnicodeDecodeError) as error:
            raise AwsError("GetAuthorizationToken: expected a token, the answer has none. Try again.") from error
        user, _, password = token.partition(":")
        return user, password

    def has_repository(self, account: str, name: str) -> bool:
        """Whether an account has a repository of that name."""
        try:
            self._service.ask("DescribeRepositories", registryId=account, repositoryNames=[name])
        except AwsError as error:
            if error.code != _ABSENT:
                raise
            return False
        return True

    def create_repository(self, account: str, name: str) -> None:
        """Create a repository; one that somebody else has just created will do."""
        try:
            self._service.ask("CreateRepository", registryId=account, repositoryName=name)
        except AwsError as error:
            if error.code != _THERE:
                raise

    def digest_of(self, account: str, name: str, tag: str) -> str | None:
        """Return the digest of the image that a tag names now; None where there is no such image."""
        try:
            answer = self._service.ask(
                "DescribeImages", registryId=account, repositoryName=name, imageIds=[{"imageTag": tag}]
            )
        except AwsError as error:
            if error.code in (_ABSENT, _NO_IMAGE):
                return None
            raise
        return str(answer["imageDetails"][0]["imageDigest"])
