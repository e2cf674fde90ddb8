"""Pushing an image: tags, the commands, and a look at what arrived."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoreline.container.build import revision_of
from scoreline.container.credentials import Login, find_login, logged_in
from scoreline.container.engine import ask, inspect_image, run
from scoreline.container.registry import DOCKER_MANIFEST, Arrived, Registry
from scoreline.container.repository import Repository
from scoreline.errors import ContainerError

LATEST = "latest"
_LABELS = ("org.opencontainers.image.version", "org.opencontainers.image.revision")  # the Dockerfile's
_NOT_IN_A_TAG = re.compile(r"[^A-Za-z0-9_.-]+")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Push:
    """An image of the engine, and where it goes.

    Attributes
    ----------
    image : its name here
    target : the repository, its host known
    tags : the one that was asked for first
    platform : that it must be for
    """

    image: str
    target: Repository
    tags: tuple[str, ...]
    platform: str

    def commands(self, tag: str, docker: list[str]) -> list[list[str]]:
        """Return what brings one tag to the registry."""
        there = self.target.tagged(tag)
        return [["docker", "tag", self.image, there], [*docker, "push", there]]


@dataclass(frozen=True)
class Pushed:
    """What is in the registry now.

    Attributes
    ----------
    address : of the image by its digest, which no later push changes
    digest : of its manifest
    new : tags that were pushed; the others named this very image already
    """

    address: str
    digest: str
    platform: str
    new: tuple[str, ...]


def tags_of_app(asked: str | None, folder: Path) -> tuple[str, ...]:
    """Return the tags of an image that is about to be built: the one asked for, Scoreline's version, the commit."""
    return _tags(asked, [importlib.metadata.version("scoreline"), revision_of(folder)])


def tags_of_image(asked: str | None, image: str) -> tuple[str, ...]:
    """Return the tags of an image that is there: the one asked for, and what its labels say it was made from.

    Raises
    ------
    ContainerError
        The engine has no such image.
    """
    config = _inspected(image)["Config"] or {}
    labels = config.get("Labels") or {}
    return _tags(asked, [labels.get(name) for name in _LABELS])


def push_image(push: Push, login: Login | None, say: Say) -> Pushed:
    """Push an image under its tags, those that do not name it yet, and hold what arrived against what SageMaker takes.

    Parameters
    ----------
    login : for the registry; None for what docker knows of it
    say : told what goes on

    Raises
    ------
    ContainerError
        The image is for another platform, the registry refuses it, or what arrived is no single Docker manifest.
    """
    inspected = _inspected(push.image)
    platform = f"{inspected['Os']}/{inspected['Architecture']}"
    if platform != push.platform:
        raise ContainerError(f"{push.image}: is for {platform}, expected {push.platform}. Build it for that one "
                             "(scoreline push without --no-build), or name the other with --platform.")  # fmt: skip
    registry = _registry_of(push.target, login)
    with _docker_of(push.target, login) as docker:
        new = [tag for tag in push.tags if not _is_there(registry, push, tag, inspected["Id"])]
        for tag in push.tags:
            if tag not in new:
                say(f"push: {push.target.tagged(tag)} is this image already")
                continue
            for command in push.commands(tag, docker):
                run(command, f"pushing {push.target.tagged(tag)}")
    return _checked(registry, push, inspected["Id"], tuple(new))


def check_arrived(arrived: Arrived, where: str, platform: str) -> None:
    """Raise ContainerError unless what arrived is what SageMaker takes: one Docker manifest, for the platform."""
    if arrived.media_type != DOCKER_MANIFEST:
        raise ContainerError(
            f"{where}: arrived as {arrived.media_type}, SageMaker takes {DOCKER_MANIFEST} alone. Build it with "
            "`scoreline push` or `scoreline build`, which ask for that. Containerd's image store may change it on the "
            'way: {"features": {"containerd-snapshotter": false}} in /etc/docker/daemon.json turns that off.'
        )
    if arrived.platform != platform:
        raise ContainerError(f"{where}: arrived for {arrived.platform}, expected {platform}. Name it with --platform.")


def _registry_of(target: Repository, login: Login | None) -> Registry:
    assert target.host is not None
    is_plain = target.is_loopback or _is_insecure(target.host)
    return Registry(target.host, login or find_login(target.host), is_plain=is_plain)


def _is_insecure(host: str) -> bool:
    """Whether the engine was told that a registry speaks HTTP without TLS."""
    done = ask("info", "--format", "{{json .RegistryConfig.IndexConfigs}}")
    try:
        return json.loads(done.stdout)[host]["Secure"] is False
    except (ValueError, KeyError, TypeError):
        return False


@contextlib.contextmanager
def _docker_of(target: Repository, login: Login | None) -> Iterator[list[str]]:
    if login is None:
        yield ["docker"]
    else:
        assert target.host is not None
        with logged_in(target.host, login) as docker:
            yield docker


def _is_there(registry: Registry, push: Push, tag: str, image_id: str) -> bool:
    found = registry.find(push.target.name, tag)
    return found is not None and found.is_image(image_id)


def _checked(registry: Registry, push: Push, image_id: str, new: tuple[str, ...]) -> Pushed:
    for tag in push.tags:
        arrived = registry.find(push.target.name, tag)
        where = push.target.tagged(tag)
        if arrived is None:
            raise ContainerError(f"{where}: docker says that it was pushed, its registry does not have it. Push again.")
        check_arrived(arrived, where, push.platform)
        if not arrived.is_image(image_id):
            raise ContainerError(f"{where}: is another image than {push.image} is here: somebody else pushed too. Push "
                                 "again, or take a tag of your own.")  # fmt: skip
    assert arrived is not None
    address = f"{push.target.host}/{push.target.name}@{arrived.digest}"
    return Pushed(address, arrived.digest, arrived.platform, new)


def _tags(asked: str | None, others: list[str | None]) -> tuple[str, ...]:
    known = [_NOT_IN_A_TAG.sub("-", other) for other in others if other and other != "unknown"]
    return tuple(dict.fromkeys([asked or LATEST, *known]))


def _inspected(image: str) -> dict[str, Any]:
    inspected = inspect_image(image)
    if inspected is None:
        raise ContainerError(f"{image}: the engine has no such image. Build it: scoreline build, or push without "
                             "--no-build.")  # fmt: skip
    return inspected
