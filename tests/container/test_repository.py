"""Addresses of repositories: what is read from them, and what is said of one that is none."""

from __future__ import annotations

import pytest

from scoreline.container.repository import check_host, parse_repository
from scoreline.errors import SettingError

ORIGINAL = "434418615032.dkr.ecr.us-east-2.amazonaws.com/approval-odds-allcards-tmp"


@pytest.mark.parametrize(
    ("address", "name", "tag", "account", "region"),
    [
        (ORIGINAL, "approval-odds-allcards-tmp", None, "434418615032", "us-east-2"),
        (f"{ORIGINAL}:2021-07-04", "approval-odds-allcards-tmp", "2021-07-04", "434418615032", "us-east-2"),
        (f"https://{ORIGINAL}", "approval-odds-allcards-tmp", None, "434418615032", "us-east-2"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/team/cards:1", "team/cards", "1", "123456789012",
         "cn-north-1"),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com/cards", "cards", None, "123456789012", "us-gov-west-1"),
        ("123456789012.dkr-ecr.eu-west-1.on.aws/cards", "cards", None, "123456789012", "eu-west-1"),
    ],
)  # fmt: skip
def test_account_region_and_name_are_read_from_an_ecr_address(address, name, tag, account, region):
    found = parse_repository(address)
    assert (found.name, found.tag, found.ecr.account, found.ecr.region) == (name, tag, account, region)
    assert found.is_ecr
    assert not found.is_loopback
    assert found.tagged("x") == f"{address.removeprefix('https://').split('/')[0]}/{name}:x"


@pytest.mark.parametrize(
    ("address", "host", "name", "tag", "is_loopback"),
    [
        ("127.0.0.1:5000/cards", "127.0.0.1:5000", "cards", None, True),
        ("localhost/team/cards:1", "localhost", "team/cards", "1", True),
        ("localhost:5000/cards", "localhost:5000", "cards", None, True),
        ("[::1]:5000/cards:1", "[::1]:5000", "cards", "1", True),
        ("ghcr.io/team/cards:v1.2_3", "ghcr.io", "team/cards", "v1.2_3", False),
        ("docker.io/team/cards", "docker.io", "team/cards", None, False),
        ("registry:5000/cards", "registry:5000", "cards", None, False),
        ("127.0.0.1.example.com/cards", "127.0.0.1.example.com", "cards", None, False),
    ],
)
def test_any_other_registry_is_one_by_the_rule_of_docker(address, host, name, tag, is_loopback):
    found = parse_repository(address)
    assert (found.host, found.name, found.tag, found.is_loopback) == (host, name, tag, is_loopback)
    assert not found.is_ecr
    assert found.ecr is None


@pytest.mark.parametrize(
    ("region", "address"),
    [
        ("us-east-2", "123456789012.dkr.ecr.us-east-2.amazonaws.com/team/cards:1"),
        ("cn-north-1", "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/team/cards:1"),
    ],
)
def test_a_bare_name_is_in_the_ecr_of_the_configuration(region, address):
    found = parse_repository("team/cards:1")
    assert (found.host, found.is_ecr) == (None, True)
    whole = found.of_account("123456789012", region)
    assert whole.tagged(found.tag) == address
    assert whole == parse_repository(address)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("", "a name of small letters"),
        ("Cards", "a name of small letters"),
        ("cards--", "a name of small letters"),
        ("ghcr.io/", "a name of small letters"),
        ("ghcr.io//cards", "a name of small letters"),
        ("cards:", "a tag of at most 128"),
        ("cards:1:2", "a tag of at most 128"),
        ("cards:-1", "a tag of at most 128"),
        (f"cards:{'1' * 129}", "a tag of at most 128"),
        ("cards@sha256:123", "a tag, no digest"),
        ("43441861503.dkr.ecr.us-east-2.amazonaws.com/cards", "its account of 12 digits"),
        ("434418615032.ecr.us-east-2.amazonaws.com/cards", "its account of 12 digits"),
        ("host:port/cards", "a host in front of the name"),
    ],
)
def test_an_address_that_is_none_is_told_what_was_expected(address, expected):
    with pytest.raises(SettingError) as caught:
        parse_repository(address)
    assert str(caught.value).startswith(f"--repository {address}: expected ")
    assert expected in str(caught.value)


def test_a_registry_is_a_host_with_a_port_where_it_needs_one():
    assert check_host("127.0.0.1:5000") == "127.0.0.1:5000"
    with pytest.raises(SettingError, match="expected a host"):
        check_host("http://127.0.0.1:5000")
