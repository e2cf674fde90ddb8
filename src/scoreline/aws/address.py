"""Addresses in ECR: which account and region a registry's host names."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ECR = re.compile(
    r"(?P<account>[0-9]{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)"
)


@dataclass(frozen=True)
class EcrRegistry:
    """The registry of an account in a region."""

    account: str
    region: str

    @property
    def host(self) -> str:
        """Its host.

        Examples
        --------
        >>> EcrRegistry("434418615032", "cn-north-1").host
        '434418615032.dkr.ecr.cn-north-1.amazonaws.com.cn'
        """
        china = ".cn" if self.region.startswith("cn-") else ""
        return f"{self.account}.dkr.ecr.{self.region}.amazonaws.com{china}"


def ecr_of(host: str) -> EcrRegistry | None:
    """Return what a host says of account and region; None where it is not ECR's.

    Examples
    --------
    >>> ecr_of("434418615032.dkr.ecr.us-east-2.amazonaws.com").region
    'us-east-2'
    >>> ecr_of("ghcr.io")
    """
    found = _ECR.fullmatch(host)
    return None if found is None else EcrRegistry(found["account"], found["region"])
