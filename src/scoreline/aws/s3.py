"""Reading the files of a folder in S3.

Credentials come from where every AWS tool takes them: the environment, a profile, the container's role (ECS,
SageMaker), the instance's role. The region comes from `AWS_REGION`, `AWS_DEFAULT_REGION` or the profile; another
endpoint from `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`, which is then asked with the bucket in the path.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import boto3
from botocore import exceptions as aws
from botocore.config import Config

from scoreline.aws.trouble import REFUSED_CREDENTIALS, region_of_environment, shown_endpoint, why_no_answer
from scoreline.errors import SettingError, SourceAwayError, SourceContentError

_CONFIG = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 2, "mode": "standard"})
_CHUNK_BYTES = 1 << 18
_BUCKET = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")

_OPERATIONS = ("GetObject", "ListObjectsV2")
_OTHER_REGION = {"AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"}
_NO_OBJECT = "NoSuchKey"
_UNCHANGED = "304"


@dataclass(frozen=True)
class S3Object:
    """An object whose body is about to be read.

    Attributes
    ----------
    name : which of the names was found
    etag : as S3 gives it, without its quotes
    size : bytes announced; None where the server announces none
    chunks : the body, to be read once; SourceContentError if it is cut off, SourceAwayError if it stalls
    """

    where: str
    name: str
    etag: str
    size: int | None
    chunks: Iterator[bytes]


class S3Folder:
    """The objects of a bucket whose keys start with a prefix that ends with a slash. For one thread at a time.

    Raises
    ------
    SettingError
        The address is not `s3://bucket` or `s3://bucket/prefix/`.
    """

    def __init__(self, url: str) -> None:
        bucket, _, prefix = url.partition("://")[2].partition("/")
        if not _BUCKET.fullmatch(bucket):
            shown = bucket.rpartition("@")[2]  # some put a secret before it
            raise SettingError(
                f"'s3://{shown}' names no S3 bucket: expected s3://bucket/prefix/ where the bucket has 3 to 63 small "
                "letters, digits, dots and hyphens, for example s3://my-tables/cards/"
            )
        self._bucket = bucket
        self._prefix = prefix if prefix.endswith("/") or not prefix else f"{prefix}/"
        self._client: Any = None  # made at the first use; reused for as long as S3 answers

    @property
    def where(self) -> str:
        """Its address, as shown to people."""
        return f"s3://{self._bucket}/{self._prefix}"

    def close(self) -> None:
        """Close the connections. The next use opens new ones, with credentials looked up anew."""
        if self._client is not None:
            self._client.close()
            self._client = None

    @contextlib.contextmanager
    def open(self, names: Sequence[str], *, known_etag: str | None) -> Iterator[S3Object | None]:
        """Give the first of the names that is there, or None if that has the known ETag.

        One GET gives ETag, size and body together, so that they belong to one state of the object.

        Raises
        ------
        SourceAwayError
            S3 could not be asked, or refused to answer. The next use looks up credentials anew.
        SourceContentError
            None of the names is there, or its body is cut off.
        """
        try:
            answer = self._get_first(names, known_etag)
            if answer is None:
                yield None
                return
            name, reply = answer
            with contextlib.closing(reply["Body"]) as body:  # a body that is not read to its end costs its connection
                where = f"{self.where}{name}"
                if not reply.get("ETag"):  # a login page of the network, say
                    raise SourceAwayError(f"{where}: {self._not_s3()}")
                etag = reply["ETag"].strip('"')
                yield S3Object(where, name, etag, reply.get("ContentLength"), self._chunks(where, body))
        except SourceAwayError:
            self.close()  # so that credentials and settings that were put right count at the next use
            raise

    def names(self) -> list[tuple[str, str]]:
        """Return name and ETag of the objects right in the folder, in the order of their names.

        Raises
        ------
        SourceAwayError
            S3 could not be asked, or refused to answer.
        """
        try:
            pages = self._connected().get_paginator("list_objects_v2")
            wanted = {"Bucket": self._bucket, "Prefix": self._prefix, "Delimiter": "/"}
            found = [one for page in pages.paginate(**wanted) for one in page.get("Contents", ())]
        except aws.ClientError as error:
            raise SourceAwayError(f"{self.where}: {self._refusal(error)}") from error
        except (aws.BotoCoreError, ValueError) as error:
            raise SourceAwayError(f"{self.where}: {self._failure(error)}") from error
        named = [(one["Key"][len(self._prefix) :], one["ETag"].strip('"')) for one in found]
        return sorted((name, etag) for name, etag in named if name)

    def _get_first(self, names: Sequence[str], known_etag: str | None) -> tuple[str, Any] | None:
        condition = {"IfNoneMatch": f'"{known_etag}"'} if known_etag else {}
        for name in names:
            try:
                client = self._connected()
                return name, client.get_object(Bucket=self._bucket, Key=f"{self._prefix}{name}", **condition)
            except aws.ClientError as error:
                code = error.response.get("Error", {}).get("Code", "")
                if code == _UNCHANGED:
                    return None
                if code != _NO_OBJECT:  # a bare 404 can come from anything that stands between
                    raise SourceAwayError(f"{self.where}{name}: {self._refusal(error)}") from error
            except (aws.BotoCoreError, ValueError) as error:
                raise SourceAwayError(f"{self.where}{name}: {self._failure(error)}") from error
        raise SourceContentError(
            f"{self.where}: no such object; expected {' or '.join(names)} in that folder. "
            "Put the file there, or name another folder."
        )

    def _connected(self) -> Any:
        if self._client is None:
            self._client = boto3.session.Session(region_name=region_of_environment()).client("s3", config=_CONFIG)
        return self._client

    def _chunks(self, where: str, body: Any) -> Iterator[bytes]:
        try:
            while chunk := body.read(_CHUNK_BYTES):
                yield chunk
        except (aws.IncompleteReadError, aws.ResponseStreamingError, aws.FlexibleChecksumError) as error:
            raise SourceContentError(
                f"{where}: came cut off or damaged ({type(error).__name__}); expected the whole object. Try again."
            ) from error
        except aws.BotoCoreError as error:
            raise SourceAwayError(f"{where}: {self._failure(error)}") from error

    def _refusal(self, refused: aws.ClientError) -> str:
        """Say what S3's answer means. Its own message is left out: it can quote the request and the key."""
        error: Any = refused.response.get("Error", {})
        metadata: Any = refused.response.get("ResponseMetadata", {})
        code, status = error.get("Code", ""), metadata.get("HTTPStatusCode", 0)
        came = f"{refused.operation_name} was answered with {status}{'' if code == str(status) else f' {code}'}"
        if refused.operation_name not in _OPERATIONS:  # a role has to be assumed first
            return f"AWS credentials could not be fetched. Check the role or the profile. ({came})"
        if code == "NoSuchBucket":
            return f"there is no bucket '{self._bucket}' at {self._endpoint()}. Check its name. ({came})"
        if code in REFUSED_CREDENTIALS:
            return f"the credentials were refused: {REFUSED_CREDENTIALS[code]} ({came})"
        if code in _OTHER_REGION:
            region = error.get("Region") or metadata.get("HTTPHeaders", {}).get("x-amz-bucket-region") or "another one"
            asked = self._client.meta.region_name
            return f"the bucket is in region {region}, asked was {asked}. Set AWS_REGION to the bucket's. ({came})"
        if status == 403 and code != "InvalidObjectState":  # that one is in the archive
            return (
                f"access denied. Allow s3:GetObject on it and s3:ListBucket on '{self._bucket}': without the second, "
                f"S3 answers so for what is not there too. ({came})"
            )
        if status >= 500 or status == 429:
            return f"S3 at {self._endpoint()} is in trouble. Try again later. ({came})"
        if code == str(status):
            return f"{self._not_s3()} ({came})"
        return f"expected the object's content. ({came})"

    def _failure(self, error: Exception) -> str:
        asked = None if self._client is None else self._client.meta.endpoint_url
        return why_no_answer(error, asked, "AWS_ENDPOINT_URL_S3")

    def _not_s3(self) -> str:
        return f"{self._endpoint()} doesn't answer as S3 does. Check the network, or AWS_ENDPOINT_URL_S3."

    def _endpoint(self) -> str:
        return shown_endpoint(self._client.meta.endpoint_url)
