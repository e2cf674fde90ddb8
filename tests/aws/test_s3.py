"""S3 as the source of a file, against a real server over HTTP; and what is said when S3 is not as one would wish."""

from __future__ import annotations

import os
import socket

import pytest
from botocore.config import Config
from ports import free_ports
from s3_server import REGION, SECRET, STRANGER

from scoreline.aws import s3 as s3_module
from scoreline.errors import SettingError, SourceAwayError, SourceContentError

NAMES = ["cards.csv", "cards.parquet"]
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hush"}


@pytest.fixture
def into(tmp_path):
    """Give the folder that downloads are put into."""
    (tmp_path / "into").mkdir()
    return tmp_path / "into"


def get(source, into, known_etag=None, max_bytes=1000):
    return source.fetch(NAMES, into, known_etag=known_etag, max_bytes=max_bytes)


def why_away(source, into):
    """Return what is said when the source is away."""
    with pytest.raises(SourceAwayError) as caught:
        get(source, into)
    assert os.listdir(into) == []
    said = str(caught.value)
    assert not any(secret in said for secret in (SECRET, "hush", STRANGER["AWS_SECRET_ACCESS_KEY"]))
    return said


@pytest.mark.slow
class TestARealServer:
    @pytest.fixture(autouse=True)
    def own_folder(self, s3, request):
        """Give each test a folder of its own."""
        self.folder = f"{request.node.name.replace('[', '/').rstrip(']')}/"
        self.url = f"s3://tables/{self.folder}"

    def put(self, s3, content, name="cards.csv"):
        return s3.put(f"{self.folder}{name}", content)

    @pytest.mark.parametrize("name", NAMES)
    def test_an_object_is_downloaded_under_the_name_that_it_was_found_by(self, s3, source, into, name):
        etag = self.put(s3, b"k\n1\n", name)
        fetched = get(source(self.url), into)
        assert (fetched.path, fetched.name, fetched.etag) == (into / name, name, etag)
        assert fetched.path.read_bytes() == b"k\n1\n"
        assert os.listdir(into) == [name]

    def test_the_first_name_that_is_there_is_taken(self, s3, source, into):
        for name in reversed(NAMES):
            self.put(s3, name.encode(), name)
        assert get(source(self.url), into).name == "cards.csv"
        s3.delete(f"{self.folder}cards.csv")
        assert get(source(self.url), into).path.read_bytes() == b"cards.parquet"

    def test_an_object_of_many_parts_is_downloaded_whole(self, s3, source, into):
        content = os.urandom(9_000_000)
        self.put(s3, content)
        assert get(source(self.url), into, max_bytes=len(content)).path.read_bytes() == content

    def test_an_empty_object_is_an_object(self, s3, source, into):
        self.put(s3, b"")
        assert get(source(self.url), into).path.read_bytes() == b""

    def test_an_object_that_has_not_changed_does_not_travel_again(self, s3, relay, source, into):
        self.put(s3, b"fifteen letters")
        etag = get(source(self.url), into).etag
        (into / "cards.csv").unlink()
        assert get(source(self.url), into, etag) is None
        assert relay.statuses == [200, 304]
        assert relay.back.count(b"fifteen letters") == 1
        assert os.listdir(into) == []

    def test_an_object_that_has_changed_travels_again_over_the_same_client(self, s3, source, into):
        self.put(s3, b"1")
        cards = source(self.url)
        etag = get(cards, into).etag
        assert get(cards, into, etag) is None
        other = self.put(s3, b"2")
        changed = get(cards, into, etag)
        assert (changed.path.read_bytes(), changed.etag) == (b"2", other)

    @pytest.mark.parametrize("spelt", ["s3://tables/{}", "s3://tables/{}/", "S3://tables/{}/"])
    def test_a_prefix_is_a_folder_with_and_without_its_last_slash(self, s3, source, into, spelt):
        self.folder = "spelt/my cards/"
        self.put(s3, b"1")
        opened = source(spelt.format("spelt/my cards"))
        assert opened.where == "s3://tables/spelt/my cards/"
        assert get(opened, into).path.read_bytes() == b"1"

    @pytest.mark.parametrize("url", ["s3://tables", "s3://tables/"])
    def test_a_bucket_alone_is_its_topmost_folder(self, s3, source, into, url):
        s3.put("cards.csv", b"1")
        try:
            assert source(url).where == "s3://tables/"
            assert get(source(url), into).path.read_bytes() == b"1"
        finally:
            s3.delete("cards.csv")

    def test_a_missing_object_is_named_with_all_its_possible_names(self, s3, source, into):
        s3.put(f"{self.folder[:-1]}-cards.csv", b"1")
        with pytest.raises(SourceContentError) as caught:
            get(source(self.url), into)
        assert str(caught.value) == (
            f"{self.url}: no such object; expected cards.csv or cards.parquet in that folder. "
            "Put the file there, or name another folder."
        )

    def test_a_missing_bucket_is_named(self, s3, source, into):
        said = why_away(source("s3://no-such-bucket/cards"), into)
        assert f"there is no bucket 'no-such-bucket' at {s3.url}" in said

    def test_a_wrong_secret_is_told_from_a_wrong_key_and_the_right_one_counts_at_once(
        self, s3, source, into, set_environment
    ):
        self.put(s3, b"1")
        cards = source(self.url)
        set_environment({"AWS_SECRET_ACCESS_KEY": "hush"})
        assert "the secret does not belong to the access key. Check AWS_SECRET_ACCESS_KEY" in why_away(cards, into)
        set_environment({"AWS_ACCESS_KEY_ID": "nobody"})
        assert "the access key is not known there. Check AWS_ACCESS_KEY_ID" in why_away(cards, into)
        set_environment(s3.environment)
        assert get(cards, into)

    def test_who_may_not_read_it_is_told_what_to_allow(self, s3, source, into, set_environment):
        self.put(s3, b"1")
        set_environment(STRANGER)
        said = why_away(source(self.url), into)
        assert said.startswith(f"{self.url}cards.csv: access denied. Allow s3:GetObject on it and s3:ListBucket")

    def test_an_object_is_as_large_as_allowed_or_does_not_travel(self, s3, relay, source, into):
        content = b"0123456789" * 300_000
        self.put(s3, content)
        with pytest.raises(SourceContentError, match="is 3,000,000 bytes, expected at most 2,999,999 bytes"):
            get(source(self.url), into, max_bytes=len(content) - 1)
        assert os.listdir(into) == []
        assert get(source(self.url), into, max_bytes=len(content))

    def test_a_download_that_is_cut_off_leaves_nothing(self, s3, relay, source, into):
        self.put(s3, os.urandom(1_000_000))
        cards = source(self.url)
        relay.limit = 500_000
        with pytest.raises(SourceContentError, match=r"cards\.csv: came cut off or damaged .*Try again"):
            get(cards, into, max_bytes=2_000_000)
        assert os.listdir(into) == []
        relay.limit = None
        assert get(cards, into, max_bytes=2_000_000).path.stat().st_size == 1_000_000

    def test_a_server_that_is_away_is_named_and_used_again_when_it_is_back(self, s3, source, into):
        self.put(s3, b"1")
        cards = source(self.url)
        etag = get(cards, into).etag
        (into / "cards.csv").unlink()
        s3.stop()
        try:
            assert f"{s3.url} can't be reached. Check the network, or AWS_ENDPOINT_URL_S3." in why_away(cards, into)
        finally:
            s3.start()
        assert get(cards, into, etag) is None
        assert get(cards, into).path.read_bytes() == b"1"

    @pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION", None])
    def test_the_region_comes_from_either_variable_or_is_left_open(self, s3, source, into, monkeypatch, variable):
        monkeypatch.delenv("AWS_REGION")
        if variable:
            monkeypatch.setenv(variable, REGION)
        self.put(s3, b"1")
        assert get(source(self.url), into)

    def test_keys_of_a_profile_are_used(self, s3, source, into, monkeypatch, tmp_path):
        (tmp_path / "profiles").write_text(
            f"[cards]\naws_access_key_id = {s3.environment['AWS_ACCESS_KEY_ID']}\naws_secret_access_key = {SECRET}\n"
        )
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "profiles"))
        monkeypatch.setenv("AWS_PROFILE", "cards")
        self.put(s3, b"1")
        assert get(source(self.url), into)


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "ExpiredToken", "the session token has expired. Get new credentials."),
        (403, "RequestTimeTooSkewed", "the clock of this machine is off."),
        (403, "InvalidObjectState", "expected the object's content. (GetObject was answered with 403 InvalidObjectS"),
        (404, "404", "doesn't answer as S3 does."),
        (418, "Teapot", "expected the object's content. (GetObject was answered with 418 Teapot)"),
    ],
)
def test_a_refusal_is_explained(answering, source, into, status, code, said):
    server = answering(status, code)
    assert said in why_away(source("s3://tables/cards"), into)
    assert server.asked[0] == "/tables/cards/cards.csv"


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_in_trouble_is_asked_twice_and_no_more(answering, source, into, status):
    server = answering(status, "InternalError")
    assert f"S3 at {server.url} is in trouble. Try again later." in why_away(source("s3://tables/cards"), into)
    assert server.asked == ["/tables/cards/cards.csv"] * 2


def test_a_bucket_in_another_region_is_said_to_be_there(answering, source, into):
    answering(400, "AuthorizationHeaderMalformed", more="<Region>us-west-2</Region>")
    said = why_away(source("s3://tables/cards"), into)
    assert "the bucket is in region us-west-2, asked was eu-west-1. Set AWS_REGION" in said


def test_a_redirect_to_another_region_names_it(answering, source, into):
    answering(301, "PermanentRedirect", {"x-amz-bucket-region": "us-west-2"})
    assert "the bucket is in region us-west-2" in why_away(source("s3://tables/cards"), into)


def test_a_page_that_is_not_from_s3_is_not_taken_for_an_object(answering, source, into):
    server = answering(200, "x")
    assert f"{server.url} doesn't answer as S3 does" in why_away(source("s3://tables/cards"), into)


def test_an_object_of_unannounced_size_is_refused_while_it_comes(answering, source, into):
    answering(200, "x" * 2000, {"ETag": '"1"', "Content-Length": None, "Connection": "close"})
    with pytest.raises(SourceContentError, match=r"cards\.csv: is larger, expected at most 1,000 bytes"):
        get(source("s3://tables/cards"), into)
    assert os.listdir(into) == []


def test_an_object_with_a_wrong_checksum_is_refused(answering, source, into):
    answering(200, "x", {"ETag": '"1"', "x-amz-checksum-crc32": "AAAAAA=="})
    with pytest.raises(SourceContentError, match=r"cards\.csv: came cut off or damaged \(FlexibleChecksumError\)"):
        get(source("s3://tables/cards"), into)
    assert os.listdir(into) == []


def test_a_server_that_does_not_answer_is_given_up(source, into, set_environment, monkeypatch):
    monkeypatch.setattr(s3_module, "_CONFIG", s3_module._CONFIG.merge(Config(read_timeout=0.1)))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        set_environment({**KEYS, "AWS_ENDPOINT_URL_S3": url})
        assert f"{url} did not answer in time. Check the network" in why_away(source("s3://tables/cards"), into)


def test_the_timeouts_are_short():
    assert (s3_module._CONFIG.connect_timeout, s3_module._CONFIG.read_timeout) == (3, 10)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        pytest.param({}, "no AWS credentials found in the environment, in a profile or in the role", id="none"),
        pytest.param(
            {"AWS_ACCESS_KEY_ID": "key"}, "the AWS credentials lack AWS_SECRET_ACCESS_KEY. Set it as well.", id="half"
        ),
        pytest.param({"AWS_PROFILE": "nobody"}, "there is no AWS profile 'nobody'. Check AWS_PROFILE.", id="profile"),
        pytest.param(
            {**KEYS, "AWS_ENDPOINT_URL_S3": "here"}, "the endpoint is not a URL. Check AWS_ENDPOINT_URL_S3", id="no-url"
        ),
        pytest.param({**KEYS, "AWS_REGION": "north pole"}, "'north pole' is no AWS region.", id="no-region"),
        pytest.param(
            {**KEYS, "AWS_ENDPOINT_URL": "http://me:hush@nowhere.invalid:81"},
            "http://nowhere.invalid:81 can't be reached.",
            id="no-host",
        ),
        pytest.param(
            {
                **KEYS,
                "AWS_ENDPOINT_URL_S3": "http://s3.invalid",
                "HTTP_PROXY": f"http://me:hush@127.0.0.1:{free_ports(1)[0]}",
            },
            "the proxy can't be reached. Check HTTPS_PROXY",
            id="no-proxy",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_named(source, into, set_environment, environment, said):
    set_environment(environment)
    assert said in why_away(source("s3://tables/cards"), into)


@pytest.mark.parametrize(
    "bucket", ["", "ab", "a" * 64, "Tables", "my_tables", "a..b", "-tables", "tables.", "tab les", "täbles"]
)
def test_what_can_not_be_a_bucket_is_refused_before_anybody_is_asked(source, bucket):
    with pytest.raises(SettingError, match=rf"'s3://{bucket}' names no S3 bucket: expected s3://bucket/prefix/ where"):
        source(f"s3://{bucket}/cards")


def test_a_secret_in_the_address_is_not_repeated(source):
    with pytest.raises(SettingError, match="'s3://my_tables' names no") as caught:
        source("s3://KEY:hush@my_tables/cards")
    assert "hush" not in str(caught.value)
