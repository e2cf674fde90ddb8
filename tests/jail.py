"""A process on a read-only disk, with a small /tmp and no network at all: what a strict platform gives a container."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from servers import plain_environment

ROOT = Path(__file__).parent.parent
TMP_SIZE = "16m"
_UNSHARED = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]  # whatever is left there ends with it
# Arguments: the new root, then folders to be seen read-only in it although they are below /tmp, --, a command.
_ENTER = """
set -e
root=$1; shift
mount --rbind / "$root"
mount --make-rslave "$root"
mount -o remount,bind,ro "$root"
mount -t tmpfs -o size=%s none "$root/tmp"
while [ "$1" != -- ]; do
    mkdir -p "$root$1"; mount --bind "$1" "$root$1"; mount -o remount,bind,ro "$root$1"; shift
done
shift
mount -t proc proc "$root/proc"
ip link set lo up
exec chroot "$root" "$@"
"""


def may_have_namespaces() -> bool:
    """Whether we may make namespaces of our own: root may, in most containers too."""
    if not shutil.which("unshare") or not shutil.which("ip"):
        return False
    return subprocess.run([*_UNSHARED, "true"], capture_output=True, check=False).returncode == 0


def in_jail(script: str, arguments: Iterable[object], seen: Iterable[Path], tmp_path: Path, **environment: str) -> Any:
    """Run Python code in there and return what it printed as its last line, which is JSON.

    Parameters
    ----------
    arguments : what it finds in `sys.argv[1:]`
    seen : folders that it needs, wherever they are; it can't write to them
    """
    root = tmp_path / "root"
    root.mkdir()
    needed = [*seen, ROOT, Path(sys.prefix), Path(sys.base_prefix)]
    below_tmp = [str(folder.resolve()) for folder in needed if folder.resolve().is_relative_to("/tmp")]
    enter = [*_UNSHARED, "sh", "-c", _ENTER % TMP_SIZE, "sh", str(root), *below_tmp, "--"]
    command = [sys.executable, "-c", script, *map(str, arguments)]
    paths = [str(ROOT / "tests"), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    variables = plain_environment(**{"PYTHONPATH": os.pathsep.join(filter(None, paths)), **environment})
    done = subprocess.run([*enter, *command], env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])
