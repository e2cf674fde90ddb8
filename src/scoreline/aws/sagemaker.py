"""SageMaker's models, endpoint configurations and endpoints: found, made, moved, removed, asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scoreline.aws.service import Service
from scoreline.errors import AwsError

_ABSENT = ("could not find", "does not exist", "not found")  # it answers ValidationException for this too
_THERE = ("already existing", "already exists", "resourceinuse")
_LOGS = "Its log is in CloudWatch, group /aws/sagemaker/Endpoints/ and the endpoint's name."
_HINTS = {
    "model data": "Check --model-data: `scoreline package` writes the file, `aws s3 cp` brings it there.",
    "manifest media type": "Push the image again with `scoreline push`, which makes the one kind that SageMaker takes.",
    "image": "Push it first: `scoreline push` prints the address to give as --image.",
    "role": "Check --role: it must trust sagemaker.amazonaws.com, and may read the image and --model-data.",
    "quota": "Ask for more in Service Quotas (Amazon SageMaker), or take another --instance-type.",
    "limit": "Ask for more in Service Quotas (Amazon SageMaker), or take another --instance-type.",
    "modelerror": _LOGS,
    "modelnotready": "Run this again in a minute.",
}


@dataclass(frozen=True)
class Kind:
    """A kind of thing in SageMaker.

    Attributes
    ----------
    noun : as its calls have it
    shown : as people are told
    """

    noun: str
    shown: str

    def name_of(self, described: Mapping[str, Any]) -> str:
        """Return the name in a request, or in an answer."""
        return str(described[f"{self.noun}Name"])


MODEL = Kind("Model", "model")
CONFIGURATION = Kind("EndpointConfig", "endpoint configuration")
ENDPOINT = Kind("Endpoint", "endpoint")


class SageMaker:
    """SageMaker of one region.

    Parameters
    ----------
    region : None for that of the environment or the profile
    """

    def __init__(self, region: str | None = None) -> None:
        self._control = Service("sagemaker", region, _HINTS)
        self._runtime = Service("sagemaker-runtime", region, _HINTS, answers_within_s=75)

    @property
    def region(self) -> str:
        """The region; AwsError where none is set."""
        return self._control.region

    def find(self, kind: Kind, name: str) -> dict[str, Any] | None:
        """Return what is known of a thing; None where there is none of that name."""
        try:
            return self._control.ask(f"Describe{kind.noun}", **{f"{kind.noun}Name": name})
        except AwsError as error:
            if _says(error, _ABSENT):
                return None
            raise

    def create(self, kind: Kind, request: Mapping[str, Any]) -> bool:
        """Make a thing; return whether it was, False where somebody has just made it."""
        try:
            self._control.ask(f"Create{kind.noun}", **request)
        except AwsError as error:
            if _says(error, _THERE):
                return False
            raise
        return True

    def move(self, endpoint: str, configuration: str) -> None:
        """Begin to move an endpoint to another configuration; it answers from the old one until then."""
        self._control.ask("UpdateEndpoint", EndpointName=endpoint, EndpointConfigName=configuration)

    def delete(self, kind: Kind, name: str) -> None:
        """Remove a thing, or begin to; one that is gone already will do."""
        try:
            self._control.ask(f"Delete{kind.noun}", **{f"{kind.noun}Name": name})
        except AwsError as error:
            if not _says(error, _ABSENT):
                raise

    def listed(self, kind: Kind, part: str) -> Iterator[dict[str, Any]]:
        """Yield name and ARN of all things with a part in their names."""
        for page in self._pages(f"List{kind.noun}s", NameContains=part):
            for described in page[f"{kind.noun}s"]:
                if part in kind.name_of(described):
                    yield described

    def tags(self, kind: Kind, described: Mapping[str, Any]) -> dict[str, str]:
        """Return the tags of a thing that was found or listed."""
        pages = self._pages("ListTags", ResourceArn=described[f"{kind.noun}Arn"])
        return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}

    def invoke(self, endpoint: str, request: Mapping[str, Any]) -> bytes:
        """Ask an endpoint for predictions.

        Parameters
        ----------
        request : Body, ContentType and Accept

        Raises
        ------
        AwsError
            No answer came, or the container's was not 200.
        """
        return bytes(self._runtime.ask("InvokeEndpoint", EndpointName=endpoint, **request)["Body"].read())

    def _pages(self, operation: str, **request: Any) -> Iterator[dict[str, Any]]:
        page = self._control.ask(operation, **request)
        yield page
        while page.get("NextToken"):
            page = self._control.ask(operation, **request, NextToken=page["NextToken"])
            yield page


def _says(error: AwsError, words: tuple[str, ...]) -> bool:
    return any(word in f"{error.code} {error.said}".lower() for word in words)
