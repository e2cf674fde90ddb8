"""A program that runs a server in namespaces of its own, asks it once, ends it, and prints what it saw as JSON.

`unshare` starts it (see `jail`), with what to do as JSON in its first argument. What it changes, mounts
and the loopback device, is gone with it.
"""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CANNOT = 77  # exit code: this can't be looked at here; stderr says why
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
TMP = "/tmp"  # noqa: S108 (what a platform makes small, or leaves alone to be written to)
_LISTENS = "0A"  # in /proc/net/tcp


def main() -> int:
    """Do what the first argument says; return the exit code."""
    order: dict[str, Any] = json.loads(sys.argv[1])
    try:
        if order["no_network"]:
            raise_loopback()
        if order["small_tmp_mb"]:
            replace_tmp(order["keep"], order["small_tmp_mb"])
        if order["read_only"]:
            make_read_only(order["keep"])
    except (OSError, subprocess.CalledProcessError) as error:
        print(getattr(error, "stderr", None) or error, file=sys.stderr)
        return CANNOT
    print(json.dumps(serve_once(order)))
    return 0


def raise_loopback() -> None:
    """Switch on the loopback device of a new network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


def replace_tmp(keep: list[str], megabytes: int) -> None:
    """Put a small file system in the place of /tmp, in which the folders to keep are still seen."""
    stage = tempfile.mkdtemp(dir=TMP)
    _mount("-t", "tmpfs", "-o", f"size={megabytes}m,mode=1777", "none", stage)
    for folder in keep:
        if folder.startswith(f"{TMP}/"):
            place = Path(stage, Path(folder).relative_to(TMP))
            place.mkdir(parents=True, exist_ok=True)
            _mount("--bind", folder, str(place))
    _mount("--rbind", stage, TMP)


def make_read_only(keep: list[str]) -> None:
    """Make everything but /tmp, /dev and /proc read-only."""
    _mount("-o", "remount,bind,ro", "/")
    for folder in keep:
        _mount("--bind", folder, folder)
        _mount("-o", "remount,bind,ro", folder)


def _mount(*arguments: str) -> None:
    program = shutil.which("mount", path=f"{os.environ.get('PATH', '')}:/bin:/usr/bin") or "mount"
    subprocess.run([program, *arguments], check=True, capture_output=True, text=True)


def serve_once(order: dict[str, Any]) -> dict[str, Any]:
    """Start the server, wait for the first 200, send a record, end it; return what was seen."""
    state = tempfile.mkdtemp(prefix="scoreline-doctor-", dir=TMP)
    environment = {**os.environ, **order["environment"], "SCORELINE_STATE": f"{state}/state"}
    log = Path(state, "log")
    with log.open("wb") as out:
        server = subprocess.Popen(
            order["command"], stdout=out, stderr=subprocess.STDOUT, env=environment, cwd=state, start_new_session=True
        )
    try:
        seen = _watch(server, order)
        return {**seen, "said": log.read_text(errors="replace")[-2000:]}
    finally:
        _end(server)
        shutil.rmtree(state, ignore_errors=True)


def _watch(server: subprocess.Popen[bytes], order: dict[str, Any]) -> dict[str, Any]:
    until = time.monotonic() + order["start_s"]
    while (status := _ask(order["port"], "GET", "/ping", b"", "")) != 200:
        if server.poll() is not None:
            return {"ended": server.returncode, "ping": status, "record": 0, "listening": []}
        if time.monotonic() > until:
            break
        time.sleep(0.05)
    record = order["record"].encode()
    asked = _ask(order["port"], "POST", "/invocations", record, order["content_type"]) if record else 0
    return {"ended": None, "ping": status, "record": asked, "listening": listening()}


def _ask(port: int, method: str, path: str, body: bytes, content_type: str) -> int:
    """Return the status of an answer, 0 where none comes."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        client.request(method, path, body or None, {"Content-Type": content_type} if body else {})
        return client.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        client.close()


def listening() -> list[str]:
    """Return the addresses and ports that anybody in this network listens on: IPv4, and IPv6 as `*`."""
    found = set()
    for name, is_new in (("tcp", False), ("tcp6", True)):
        try:
            lines = Path("/proc/net", name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            address, _, port = line.split()[1].partition(":")
            if line.split()[3] == _LISTENS:
                host = "*" if is_new else socket.inet_ntoa(struct.pack("=L", int(address, 16)))
                found.add(f"{host}:{int(port, 16)}")
    return sorted(found)


def _end(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
