"""Which user a container runs as: started as root, it becomes another one before it reads anything.

Who writes becomes the owner of the folder that it writes into, so that a person's files belong to that
person. Who only serves becomes the owner of the mounted results, else the image's own user.
"""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

OWN_USER = "scoreline"  # made by the Dockerfile
MOUNTS = Path("/proc/self/mountinfo")
_MOUNT_POINT = 4  # the field of a line of mountinfo, by proc(5)
_HOME = "/tmp"  # noqa: S108 (the app's folder belongs to root; libraries look for their settings here)


@dataclass(frozen=True)
class User:
    """Whom to become.

    Attributes
    ----------
    why : for the person who wonders about the owner of a file
    """

    uid: int
    gid: int
    why: str


def choose_user(written: Iterable[Path], read: Iterable[Path], *, writes: bool, mounts: set[Path]) -> User | None:
    """Choose whom root becomes; None: it stays, since nobody else could do the work.

    Parameters
    ----------
    written : folders that results go to, the most telling one first
    read : folders that must be readable
    writes : this command writes into `written`; one that does not needs no rights there
    mounts : where something is mounted; a folder of the image itself says nothing of the person
    """
    folder = next((path for path in written if path.is_dir() and _is_mounted(path, mounts)), None)
    if folder is not None:
        owner = folder.stat()
        if owner.st_uid != 0:
            return User(owner.st_uid, owner.st_gid, f"the owner of {folder}")
        if writes:
            return None
    if any(path.is_dir() and path.stat().st_mode & 0o005 != 0o005 for path in read):
        return None
    own = pwd.getpwnam(OWN_USER)
    return User(own.pw_uid, own.pw_gid, "the image's own user")


def become(user: User) -> None:
    """Become that user, for good: root's groups and rights are gone."""
    for stream in (0, 1, 2):  # nginx opens what these are by name; docker gives them to who was started
        with contextlib.suppress(OSError):
            os.fchown(stream, user.uid, user.gid)
    os.setgroups([])
    os.setgid(user.gid)
    os.setuid(user.uid)
    os.environ["HOME"] = _HOME


def mount_points(mountinfo: str) -> set[Path]:
    """Return where something is mounted, but for the root.

    Examples
    --------
    >>> mount_points("36 35 98:0 /mnt1 /app/results rw - ext4 /dev/root rw")
    {PosixPath('/app/results')}
    """
    points = {line.split()[_MOUNT_POINT] for line in mountinfo.splitlines()}
    return {Path(point.replace("\\040", " ")) for point in points} - {Path("/")}


def _is_mounted(path: Path, mounts: set[Path]) -> bool:
    return any(place in mounts for place in (path, *path.parents))
