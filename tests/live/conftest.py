"""What the end-to-end tests share: approval odds trained once, its tables in a real S3, and servers."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from approval import ISSUERS, Catalogue, Stock, scoreline_in_process, serving_odds
from botocore.config import Config
from s3_server import S3Server
from servers import copy_app, folders, without_aws, write_sample

ODDS_FOLDER = Path(__file__).parent.parent.parent / "apps/approval_odds"
_prefixes = (f"cards-{number}" for number in itertools.count(1))


@pytest.fixture(scope="module", autouse=True)
def no_aws_settings(tmp_path_factory):
    """Take away what this machine knows of AWS; servers get what a test gives them."""
    nowhere = tmp_path_factory.mktemp("no-aws")
    with pytest.MonkeyPatch.context() as patch:
        without_aws(patch, nowhere)
        yield


@pytest.fixture(scope="session")
def odds(tmp_path_factory):
    """Give a copy of approval odds with its model trained; read only."""
    folder = tmp_path_factory.mktemp("odds")
    shutil.copy(ODDS_FOLDER / "app.py", folder)
    shutil.copytree(ODDS_FOLDER / "data", folder / "data")
    scoreline_in_process("feature", *folders(folder))
    scoreline_in_process("train", *folders(folder))
    return folder


@pytest.fixture(scope="session")
def s3():
    """Give the S3 server; one for all tests of a process. A test that stops it starts it again."""
    with S3Server() as server:
        yield server


@pytest.fixture(scope="session")
def objects(s3):
    """Give a client of the S3 server, which stays."""
    config = Config(connect_timeout=2, read_timeout=30, retries={"total_max_attempts": 3})
    keys = {"aws_access_key_id": s3.environment["AWS_ACCESS_KEY_ID"], "region_name": s3.environment["AWS_REGION"]}
    session = boto3.session.Session(aws_secret_access_key=s3.environment["AWS_SECRET_ACCESS_KEY"], **keys)
    with contextlib.closing(session.client("s3", endpoint_url=s3.url, config=config)) as client:
        yield client


@pytest.fixture(scope="module")
def new_catalogue(s3, objects, odds) -> Callable[[], Catalogue]:
    """Give a function that puts the reference tables into a folder of their own in S3, as edition 0."""

    def make() -> Catalogue:
        catalogue = Catalogue(objects, next(_prefixes), odds / "data")
        catalogue.put(0)
        catalogue.put_file(ISSUERS, catalogue.issuers)
        return catalogue

    return make


@pytest.fixture
def catalogue(new_catalogue):
    """Give the reference tables in S3, for one test."""
    return new_catalogue()


@pytest.fixture
def start(odds, s3, tmp_path):
    """Give a function that starts approval odds; what it starts is stopped."""
    with contextlib.ExitStack() as stack:
        yield lambda *given, **more: stack.enter_context(serving_odds(odds, s3, tmp_path, *given, **more))


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    """Give order triage with 300 orders, features and model, for the tests of one file to change."""
    folder = copy_app(tmp_path_factory.mktemp("triage"))
    write_sample(folder / "data")
    scoreline_in_process("feature", *folders(folder))
    scoreline_in_process("train", *folders(folder))
    return Stock(folder)
