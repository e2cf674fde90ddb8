"""`docker build` for an app: the exact command, and its run."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scoreline.container.context import Context, clear, find_context, lay_out
from scoreline.container.engine import has_buildx, inspect_image, require_engine, run
from scoreline.errors import ContainerError

DIRTY = "-dirty"
OWN_DOCKERFILE = "Dockerfile"  # in the app's folder it replaces ours


@dataclass(frozen=True)
class Build:
    """One build of an app's image.

    Attributes
    ----------
    folder : the app's
    tag : of the image, NAME or NAME:TAG
    base : image to build on; None: the Dockerfile's own
    platform : such as linux/amd64; None: the engine's
    more : further arguments of `docker build`
    """

    folder: Path
    tag: str
    base: str | None = None
    platform: str | None = None
    more: Sequence[str] = ()

    @property
    def context(self) -> Context:
        """What docker is given."""
        return find_context(self.folder)

    def command(self, *, is_buildkit: bool) -> list[str]:
        """Return the docker command. What it makes is one manifest of one platform, as SageMaker takes it."""
        context = self.context
        arguments = {"APP": context.app, "VERSION": importlib.metadata.version("scoreline")}
        arguments |= {"REVISION": revision_of(self.folder) or "unknown"}
        if self.base is not None:
            arguments["BASE"] = self.base
        command = ["docker", "build", "--tag", self.tag]
        if (self.folder / OWN_DOCKERFILE).is_file():
            command += ["--file", str(context.folder / context.app / OWN_DOCKERFILE)]
        for name, value in arguments.items():
            command += ["--build-arg", f"{name}={value}"]
        if self.platform is not None:
            command += ["--platform", self.platform]
        if is_buildkit:  # else it adds a second manifest, and the platform refuses an index of two
            command += ["--provenance=false", "--output=type=docker"]
        return [*command, *self.more, str(context.folder)]


def image_name(app: str) -> str:
    """Return the name of an app's image: its own, in the letters that images may have.

    Examples
    --------
    >>> image_name("order-triage"), image_name("My Visits")
    ('order-triage', 'my-visits')
    """
    return re.sub(r"[^a-z0-9]+", "-", app.lower()).strip("-") or "app"


def build_image(build: Build) -> int:
    """Build the image; return its size in bytes.

    Raises
    ------
    ContainerError
        There is no engine, or the build failed.
    """
    require_engine()
    context = build.context
    try:
        lay_out(context, build.folder)
        run(build.command(is_buildkit=has_buildx()), "the build")
    finally:
        clear(context)
    inspected = inspect_image(build.tag)
    if inspected is None:
        raise ContainerError(f"the engine has no image {build.tag} after the build")
    return int(inspected["Size"])


def revision_of(folder: Path) -> str | None:
    """Return the git commit of a folder, short, with `-dirty` where files differ from it; None outside of git."""
    git = ["git", "-C", str(folder)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False)
        if head.returncode != 0:
            return None
        changed = subprocess.run([*git, "status", "--porcelain", "."], capture_output=True, text=True, check=False)
    except FileNotFoundError:  # no git here
        return None
    return head.stdout.strip() + (DIRTY if changed.stdout.strip() else "")
