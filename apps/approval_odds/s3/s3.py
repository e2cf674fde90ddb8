"""The S3 server of docker-compose.yml: `serve` starts it with the tables in it, `put` brings them again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

FOLDER = "http://127.0.0.1:8888/buckets/efmldevelopment/data/creditcards"  # SeaweedFS's own way into its buckets
TABLES = ("card_variables.csv", "issuer_rules.csv")
KEYS = {"accessKey": "local-only", "secretKey": "local-only-secret"}  # the same as in docker-compose.yml
READY_WITHIN_S = 60


def serve() -> int:
    """Run the server until it is stopped; return its exit code."""
    Path("/tmp/s3.json").write_text(  # noqa: S108 (a container of its own)
        json.dumps({"identities": [{"name": "local", "credentials": [KEYS], "actions": ["Read", "List"]}]})
    )
    weed = [
        "/opt/s3/bin/weed", "server", "-s3", "-s3.config=/tmp/s3.json", "-dir=/tmp",
        "-ip=127.0.0.1", "-ip.bind=0.0.0.0",
        "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-master.electionTimeout=1s",
        "-master.volumeSizeLimitMB=16", "-volume.max=8",
    ]  # fmt: skip
    with Path("/tmp/s3.log").open("wb") as log:  # noqa: S108 (it says a lot, of which little is of use)
        server = subprocess.Popen(weed, stdout=log, stderr=log)
    signal.signal(signal.SIGTERM, lambda *_: server.kill())  # it keeps nothing
    until = time.monotonic() + READY_WITHIN_S
    while server.poll() is None and time.monotonic() < until:
        try:
            put()
            print("s3: the tables are there", flush=True)
            return server.wait()
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    return 1


def put() -> None:
    """Bring the tables of /data."""
    for name in TABLES:
        content = Path("/data", name).read_bytes()
        request = urllib.request.Request(f"{FOLDER}/{name}", data=content, method="PUT")  # noqa: S310 - an address of this container's own
        request.add_header("Content-Type", "text/csv")
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - an address of this container's own


def check() -> int:
    """Return 0 where all tables are there."""
    for name in TABLES:
        urllib.request.urlopen(f"{FOLDER}/{name}", timeout=4).close()  # noqa: S310 - an address of this container's own
    return 0


if __name__ == "__main__":
    sys.exit({"serve": serve, "put": put, "check": check}[sys.argv[1]]())
