"""Why AWS gave no answer, or knows the caller badly, in words that say what to do."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from botocore import exceptions as aws

NO_CREDENTIALS = (
    "no AWS credentials found in the environment, in a profile or in the role of the container or instance. "
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the container a role."
)
_EXPIRED = "the session token has expired. Get new credentials."
_UNKNOWN_KEY = "the access key is not known there. Check AWS_ACCESS_KEY_ID, or the profile."
_WRONG_SECRET = "the secret does not belong to the access key. Check AWS_SECRET_ACCESS_KEY."  # noqa: S105 (says so alone)
_WRONG_CLOCK = "the clock of this machine is off. Set it right."
# What services answer when they know the caller badly or not at all; other refusals are about what one may do.
REFUSED_CREDENTIALS = {
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "InvalidAccessKeyId": _UNKNOWN_KEY,
    "InvalidClientTokenId": _UNKNOWN_KEY,
    "UnrecognizedClientException": _UNKNOWN_KEY,
    "InvalidToken": "the session token is not valid. Check AWS_SESSION_TOKEN, or get new credentials.",
    "RequestExpired": _WRONG_CLOCK,
    "RequestTimeTooSkewed": _WRONG_CLOCK,
    "InvalidSignatureException": _WRONG_SECRET,
    "SignatureDoesNotMatch": _WRONG_SECRET,
}


def region_of_environment() -> str | None:
    """Return the region that the environment names; None leaves it to the profile."""
    # botocore itself reads AWS_DEFAULT_REGION alone; containers on AWS are given AWS_REGION
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None


def shown_endpoint(url: str) -> str:
    """Return an endpoint without a password that somebody may have put into the URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def why_no_answer(error: Exception, asked: str | None, variable: str) -> str:
    """Say why no answer came.

    Parameters
    ----------
    error : a BotoCoreError, or the ValueError that an endpoint gives that is no URL
    asked : the endpoint; None where it did not come to that
    variable : the environment variable that names another endpoint
    """
    where = shown_endpoint(getattr(error, "kwargs", {}).get("endpoint_url") or asked or "")
    match error:
        case aws.NoCredentialsError():
            return NO_CREDENTIALS
        case aws.PartialCredentialsError():
            return f"the AWS credentials lack {error.kwargs['cred_var']}. Set it as well."
        case aws.CredentialRetrievalError() | aws.MetadataRetrievalError() | aws.SSOError():
            return f"AWS credentials could not be fetched ({type(error).__name__}). Check the role or the profile."
        case aws.ProfileNotFound():
            return f"there is no AWS profile '{error.kwargs['profile']}'. Check AWS_PROFILE."
        case aws.ConfigParseError():
            return f"the AWS configuration file {error.kwargs['path']} can't be read. Put it right."
        case aws.ProxyConnectionError():
            return "the proxy can't be reached. Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY."
        case aws.SSLError():
            return f"no safe connection to {where} (TLS). Check its certificate, or AWS_CA_BUNDLE."
        case aws.ConnectTimeoutError() | aws.ReadTimeoutError():
            return f"{where} did not answer in time. Check the network, or {variable}."
        case aws.ConnectionError() | aws.HTTPClientError():
            return f"{where} can't be reached. Check the network, or {variable}."
        case aws.NoRegionError():
            return "no region is set. Set AWS_REGION, or the region of the profile."
        case aws.InvalidRegionError():
            return f"'{error.kwargs['region_name']}' is no AWS region. Check AWS_REGION."
        case aws.ParamValidationError():
            return f"the request is not one that AWS takes: {error.kwargs['report']}"
        case ValueError() if asked is None:
            return f"the endpoint is not a URL. Check {variable} and AWS_ENDPOINT_URL."
    return f"can't be asked for ({type(error).__name__}). Check the AWS settings."
