"""One AWS service, asked call by call. Whatever goes wrong is an `AwsError` that says what to do.

Credentials and region come from where every AWS tool takes them; another endpoint from `AWS_ENDPOINT_URL_<SERVICE>` or
`AWS_ENDPOINT_URL`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import boto3
from botocore import exceptions as aws
from botocore import xform_name
from botocore.config import Config

from scoreline.aws.trouble import REFUSED_CREDENTIALS, region_of_environment, shown_endpoint, why_no_answer
from scoreline.errors import AwsError

_TRIES = 4
_ACTION = re.compile(r"not authorized to perform:? ([\w-]+:\w+)")
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
_SLOW_DOWN = ("Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded")
_LIMITS = ("ResourceLimitExceeded", "LimitExceededException", "ServiceQuotaExceededException")
_SAID = 600  # characters of AWS's own words


class Service:
    """A service in a region.

    Parameters
    ----------
    name : as boto3 has it, `sagemaker`
    region : None for that of the environment or the profile
    hints : words of a refusal -> what to do about it; the first whose words are in it counts
    answers_within_s : how long an answer may take
    """

    def __init__(
        self, name: str, region: str | None = None, hints: Mapping[str, str] | None = None, answers_within_s: int = 60
    ) -> None:
        self._name, self._region, self._hints = name, region, hints or {}
        self._config = Config(
            connect_timeout=5,
            read_timeout=answers_within_s,
            retries={"total_max_attempts": _TRIES, "mode": "standard"},
        )
        self._client: Any = None  # made at the first use

    @property
    def region(self) -> str:
        """The region that it is asked in; AwsError where none is set."""
        return str(self._connected().meta.region_name)

    def ask(self, operation: str, **request: Any) -> dict[str, Any]:
        """Make a call; return its answer.

        Raises
        ------
        AwsError
            No answer came, or it is a refusal.
        """
        client = self._connected()
        try:
            return dict(getattr(client, xform_name(operation))(**request))
        except aws.ClientError as error:
            raise self._refusal(error, operation) from error
        except aws.BotoCoreError as error:
            raise AwsError(f"{operation}: {self._why(error)}") from error

    def _connected(self) -> Any:
        if self._client is None:
            try:
                session = boto3.session.Session(region_name=self._region or region_of_environment())
                if session.region_name is None:
                    raise aws.NoRegionError
                self._client = session.client(self._name, config=self._config)
            except (aws.BotoCoreError, ValueError) as error:
                raise AwsError(f"AWS {self._name}: {self._why(error)}") from error
        return self._client

    def _why(self, error: Exception) -> str:
        return why_no_answer(error, self._endpoint, self._variable)

    @property
    def _endpoint(self) -> str | None:
        return None if self._client is None else self._client.meta.endpoint_url

    @property
    def _variable(self) -> str:
        return f"AWS_ENDPOINT_URL_{self._name.upper().replace('-', '_')}"

    def _refusal(self, refused: aws.ClientError, operation: str) -> AwsError:
        error: Any = refused.response.get("Error", {})
        metadata: Any = refused.response.get("ResponseMetadata", {})
        code, said = str(error.get("Code", "")), str(error.get("Message", ""))
        status = int(metadata.get("HTTPStatusCode", 0))
        if refused.operation_name != operation:  # a role has to be assumed first
            return AwsError(
                f"AWS credentials could not be fetched. Check the role or the profile. ({code})", code, said
            )
        where = shown_endpoint(self._client.meta.endpoint_url)
        if not code or code == str(status):  # a login page of the network, say
            return AwsError(
                f"{operation}: {where} doesn't answer as AWS does ({status}). Check the network, or {self._variable}; "
                "if that is AWS, try again later."
            )
        came = f"{operation} in {self._client.meta.region_name} was refused with {status} {code}"
        words = f": {said[:_SAID]}" if said else ""
        return AwsError(f"{came}{words} {self._advice(code, said, status, operation)}", code, said)

    def _advice(self, code: str, said: str, status: int, operation: str) -> str:
        if code in REFUSED_CREDENTIALS:
            return f"The credentials will not do: {REFUSED_CREDENTIALS[code]}"
        if code in _DENIED:
            found = _ACTION.search(said)
            action = found.group(1) if found else f"{self._name.removesuffix('-runtime')}:{operation}"
            return f"Allow {action} for these credentials, or take others (AWS_PROFILE)."
        if code in _SLOW_DOWN:
            return "Run this again in a minute: what is made stays, and is not made twice."
        for words, hint in self._hints.items():
            if words.lower() in f"{code} {said}".lower():
                return hint
        if code in _LIMITS:
            return "Remove what is not needed any more, or ask for more in Service Quotas of the AWS console."
        if status >= 500:
            return f"AWS is in trouble there ({shown_endpoint(self._client.meta.endpoint_url)}). Try again later."
        return "Put right what it names, then run this again."
