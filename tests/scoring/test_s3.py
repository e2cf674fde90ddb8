"""A batch in S3: objects are partitions, fetched in their turn, and known by their ETag."""

from __future__ import annotations

import contextlib

import boto3
import pytest
from s3_server import BUCKET, S3Server
from scored import lines_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def s3():
    """Give the S3 server."""
    with S3Server() as server:
        yield server


@pytest.fixture
def put(s3, monkeypatch):
    """Give a function that puts an object; commands find the server by the environment."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    with contextlib.closing(boto3.client("s3")) as client:
        yield lambda key, text: client.put_object(Bucket=BUCKET, Key=key, Body=text.encode())


def test_the_objects_of_a_folder_a_pattern_and_an_address(triage, score, put, tmp_path):
    head, *lines = (triage / "data/orders.csv").read_text().splitlines(keepends=True)
    put("in/b.csv", head + "".join(lines[100:]))
    put("in/a.csv", head + "".join(lines[:100]))
    put("in/_SUCCESS", "")
    put("in/below/c.csv", "no,table\n")
    score(triage, triage / "data/orders.csv", tmp_path / "here.jsonl")
    whole = lines_of(tmp_path / "here.jsonl")
    for number, (address, expected) in enumerate(
        [("in/", whole), ("in", whole), ("in/*.csv", whole), ("in/b.csv", whole[100:])]
    ):
        assert score(triage, f"s3://{BUCKET}/{address}", tmp_path / f"{number}.jsonl", "--workers", 2).code == 0
        assert lines_of(tmp_path / f"{number}.jsonl") == expected


def test_an_object_that_was_replaced_is_a_change(triage, score, put, tmp_path):
    text = (triage / "data/orders.csv").read_text()
    put("change/a.csv", text)
    out = (f"s3://{BUCKET}/change/", tmp_path / "out", "--format", "jsonl")
    assert score(triage, *out).code == 0
    put("change/a.csv", text.replace("\n", "\r\n"))
    ran = score(triage, *out)
    assert (ran.code, f"changed since: input s3://{BUCKET}/change/a.csv." in ran.err) == (1, True)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("nothing-here/", "no object there"),
        ("odd/", "expected an object that ends in"),
        ("*/a.csv", "in the last part"),
    ],
)
def test_an_address_that_gives_no_batch_is_told(triage, score, put, tmp_path, address, says):
    put("odd/a.xlsx", "x")
    ran = score(triage, f"s3://{BUCKET}/{address}", tmp_path / "out.jsonl")
    assert (ran.code in (1, 2), says in ran.err) == (True, True)
