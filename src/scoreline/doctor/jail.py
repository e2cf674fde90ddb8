"""A server on a strict platform: no network, a read-only disk, a small /tmp, a user without rights."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoreline.doctor import isolated
from scoreline.doctor.findings import Checks, Failed, Grade, NotChecked
from scoreline.doctor.launch import Launch, free_port, other_user

SMALL_TMP_MB = 32
_PATIENCE_S = 60.0
_MOUNT, _NETWORK = "--mount", "--net"

CHECKS: Checks[Launch] = Checks()


@dataclass(frozen=True)
class Seen:
    """What was seen of a server in there.

    Attributes
    ----------
    ended : its exit code where it ended by itself
    ping, record : statuses, 0 where no answer came
    listening : addresses with their ports
    said : the end of what it printed
    """

    ended: int | None
    ping: int
    record: int
    listening: list[str]
    said: str

    @property
    def last_words(self) -> str:
        """The last line that it printed."""
        lines = [line for line in self.said.splitlines() if line.strip()]
        return lines[-1][-160:] if lines else "it printed nothing"


@CHECKS.add(
    "no-network", "H15", Grade.MUST, "it starts and answers without any network",
    fix="Fetch nothing at start that it can't do without: no package, model or table from elsewhere. Put a copy into "
    "the image or the model package, and let a refresh that fails go on with the copy (EnableNetworkIsolation).",
    needs=("start",),
)  # fmt: skip
def _no_network(launch: Launch) -> str:
    return _must_serve(_look(launch, _NETWORK))


@CHECKS.add(
    "all-addresses", "H2", Grade.MUST, "in a container it listens on all addresses, not on 127.0.0.1 alone",
    fix="Listen on 0.0.0.0 inside a container: unset SCORELINE_HOST, or `listen {{ host }}:{{ port }};` in nginx.conf "
    "instead of 127.0.0.1. Nobody outside the container reaches its loopback.",
    needs=("no-network",),
)  # fmt: skip
def _all_addresses(launch: Launch) -> str:
    # As in a container. There is no network in there, so that nothing is opened to anybody.
    seen = _look(launch, _NETWORK, KUBERNETES_SERVICE_HOST="doctor", SCORELINE_HOST="")
    if not any(address.startswith(("0.0.0.0:", "*:")) for address in seen.listening):
        raise Failed(f"on {', '.join(seen.listening) or 'nothing'} alone")
    return ", ".join(seen.listening)


@CHECKS.add(
    "read-only-disk", "H9", Grade.MUST, "it serves where all but /tmp is read-only",
    fix="Write to /tmp alone: SCORELINE_STATE for generations, TMPDIR for the rest; nginx's pid, logs and temporary "
    "folders too (client_body_temp_path, proxy_temp_path). No __pycache__, no files beside the app or the model.",
    needs=("start",),
)  # fmt: skip
def _read_only_disk(launch: Launch) -> str:
    return _must_serve(_look(launch, _MOUNT, read_only=True, small_tmp_mb=1024))


@CHECKS.add(
    "small-tmp", "H9", Grade.SHOULD, f"it serves with a /tmp of {SMALL_TMP_MB} MiB",
    fix="Keep large files where they are and open them in place; unpack nothing into /tmp. Where generations need the "
    "room, name a larger folder with SCORELINE_STATE.",
    needs=("start",),
)  # fmt: skip
def _small_tmp(launch: Launch) -> str:
    return _must_serve(_look(launch, _MOUNT, small_tmp_mb=SMALL_TMP_MB))


@CHECKS.add(
    "non-root", "", Grade.SHOULD, "it serves as a user without rights",
    fix="Take a port above 1023, write to /tmp alone, make the app and the model readable for all (chmod -R a+rX), and "
    "don't name a `user` in nginx.conf where nginx is not root.",
    needs=("start",),
)  # fmt: skip
def _non_root(launch: Launch) -> str:
    if os.geteuid() != 0:
        return f"as user {os.geteuid()}"
    user = other_user()
    _must_be_readable(launch, user)
    with launch.start(user=user, HOME="/nonexistent") as running:
        running.wait_until_ready(_PATIENCE_S)
        if launch.sample is not None:
            reply = running.site.invoke()
            if reply.status != 200:
                raise Failed(f"as {user}: {reply.status} {reply.says}")
    return f"as {user}"


def _must_be_readable(launch: Launch, user: str) -> None:
    """NotChecked where the user can't even read what the server is made of: on this machine, not in the image."""
    ours = map(Path, filter(None, sys.path)) if launch.command[0] == sys.executable else ()
    for path in (*launch.folders, Path(launch.command[0]), *ours):
        look = ["test", "-r", str(path)]
        if path.exists() and subprocess.run(look, user=user, extra_groups=[], check=False).returncode:
            raise NotChecked(f"{user} can't read {path}")


def _must_serve(seen: Seen) -> str:
    if seen.ended is not None:
        raise Failed(f"it ended with exit code {seen.ended}: {seen.last_words}")
    if seen.ping != 200:
        raise Failed(f"/ping is {seen.ping or 'not answered'}: {seen.last_words}")
    if seen.record not in (0, 200):
        raise Failed(f"a valid record is {seen.record}: {seen.last_words}")
    return "it serves"


def _look(launch: Launch, namespace: str, *, read_only: bool = False, small_tmp_mb: int = 0, **variables: str) -> Seen:
    """Start a server in a namespace of its own and return what is seen of it; NotChecked where there can be none."""
    port = free_port()
    order: dict[str, Any] = {
        "command": launch.command,
        "environment": {
            **launch.environment, "SAGEMAKER_BIND_TO_PORT": str(port), "SCORELINE_HOST": "127.0.0.1", **variables
        },
        "port": port,
        "start_s": min(_PATIENCE_S, launch.start_s),
        "record": launch.sample.one().decode() if launch.sample else "",
        "content_type": launch.sample.media_type if launch.sample else "",
        "no_network": namespace == _NETWORK,
        "read_only": read_only,
        "small_tmp_mb": small_tmp_mb,
        "keep": _kept(launch),
    }  # fmt: skip
    done = subprocess.run(
        [*_unshare(namespace), sys.executable, "-I", isolated.__file__, json.dumps(order)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == isolated.CANNOT:
        raise NotChecked(f"namespaces can't be set up here: {done.stderr.strip()}")
    if done.returncode != 0:
        raise NotChecked(f"unshare {namespace}: {(done.stderr.strip() or 'not permitted').splitlines()[-1]}")
    return Seen(**json.loads(done.stdout.splitlines()[-1]))


def _unshare(namespace: str) -> list[str]:
    program = shutil.which("unshare")
    if program is None:
        raise NotChecked("there is no unshare here (util-linux)")
    if os.geteuid() == 0:
        return [program, namespace]
    if namespace == _MOUNT:
        raise NotChecked("only root may mount; look at the image instead")
    return [program, "--map-current-user", "--keep-caps", namespace]


def _kept(launch: Launch) -> list[str]:
    """Return the folders that the server is made of, the outermost alone."""
    made_of = [*launch.folders, *map(Path, (sys.prefix, sys.base_prefix)), *map(Path, filter(None, sys.path))]
    made_of += [Path(part).parent for part in launch.command if Path(part).is_absolute()]
    folders = sorted({folder.resolve() for folder in made_of if folder.is_dir()} - {Path(isolated.TMP)})
    outermost: list[Path] = []
    for folder in folders:
        if not any(folder.is_relative_to(other) for other in outermost):
            outermost.append(folder)
    return [str(folder) for folder in outermost]
