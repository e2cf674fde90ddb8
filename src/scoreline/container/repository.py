"""Where an image is pushed to: the address of a repository, taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from scoreline.aws.address import EcrRegistry, ecr_of
from scoreline.errors import SettingError

_HOST = re.compile(r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9][A-Za-z0-9.-]*)(?::[0-9]{1,5})?")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_LOOPBACK = re.compile(r"(?:localhost|127(?:\.[0-9]+){3}|\[::1\])(?::[0-9]+)?")
_EXAMPLE = "434418615032.dkr.ecr.us-east-2.amazonaws.com/approval-odds:1"


@dataclass(frozen=True)
class Repository:
    """A repository of images.

    Attributes
    ----------
    host : of its registry, with the port where there is one; None: ECR of the AWS configuration, not asked yet
    name : in the registry
    tag : that was asked for, None where none was
    ecr : account and region, where it is in ECR and known; None at any other registry
    """

    host: str | None
    name: str
    tag: str | None = None
    ecr: EcrRegistry | None = None

    @property
    def is_ecr(self) -> bool:
        """Whether AWS keeps it."""
        return self.host is None or self.ecr is not None

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine, where docker speaks HTTP without TLS."""
        return self.host is not None and _LOOPBACK.fullmatch(self.host) is not None

    def tagged(self, tag: str) -> str:
        """Return the address of an image in it, as docker takes it."""
        return f"{self.host}/{self.name}:{tag}"

    def at(self, host: str) -> Repository:
        """Return the repository of the same name in another registry."""
        return replace(self, host=host)

    def of_account(self, account: str, region: str) -> Repository:
        """Return the repository of that name in the ECR of an account."""
        ecr = EcrRegistry(account, region)
        return replace(self, host=ecr.host, ecr=ecr)


def parse_repository(address: str) -> Repository:
    """Take the address of a repository apart: HOST[:PORT]/NAME[:TAG], or NAME[:TAG] in the account's own ECR.

    Raises
    ------
    SettingError
        It is not one: the message says what was expected in the place that is wrong.

    Examples
    --------
    >>> parse_repository("434418615032.dkr.ecr.us-east-2.amazonaws.com/cards:1").ecr.region
    'us-east-2'
    >>> parse_repository("127.0.0.1:5000/team/cards").name, parse_repository("team/cards:1").host
    ('team/cards', None)
    """
    if "@" in address:
        raise _misfit(address, "a tag, no digest: that comes from what is pushed")
    host, rest = _split(address.removeprefix("https://"))
    name, colon, tag = rest.partition(":")
    if not _NAME.fullmatch(name):
        raise _misfit(address, "a name of small letters and digits, in between one of . _ - and /")
    if colon and not _TAG.fullmatch(tag):
        raise _misfit(address, "a tag of at most 128 letters, digits, dots, hyphens and underscores")
    if host is None:
        return Repository(None, name, tag or None)
    ecr = ecr_of(host)
    if ecr is None and "amazonaws.com" in host:
        raise _misfit(
            address, "a registry such as 434418615032.dkr.ecr.us-east-2.amazonaws.com, its account of 12 digits"
        )
    return Repository(host, name, tag or None, ecr)


def check_host(text: str) -> str:
    """Return a registry's host; SettingError where it can't be one."""
    if not _HOST.fullmatch(text):
        raise SettingError(
            f"--registry {text}: expected a host, with a port where it needs one, such as 127.0.0.1:5000"
        )
    return text


def _split(address: str) -> tuple[str | None, str]:
    """Return the host, where the first part is one by docker's rule, and the rest."""
    first, slash, rest = address.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first):
        if not _HOST.fullmatch(first):
            raise _misfit(address, f"a host in front of the name, '{first}' is none")
        return first, rest
    return None, address


def _misfit(address: str, expected: str) -> SettingError:
    return SettingError(f"--repository {address}: expected {expected}; for example {_EXAMPLE}")
