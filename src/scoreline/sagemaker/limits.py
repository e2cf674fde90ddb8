"""What CreateModel, CreateEndpointConfig and CreateEndpoint take, held to before they are asked."""

from __future__ import annotations

import re
from collections.abc import Mapping

from scoreline.errors import SettingError

NAME_LENGTH = 63
_NAME = re.compile(r"[a-zA-Z0-9](?:-*[a-zA-Z0-9])*")
_KEY = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/?[a-zA-Z_0-9+=,.@/-]+")
_S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/\S*)?")
_INSTANCE = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9-]+")
_ENTRIES, _ENTRY_BYTES, _ALL_BYTES = 100, 1024, 32 << 10
_IMAGE, _URL, _CAPTURE_URL = 255, 1024, 512
_SERVERLESS_MB = (1024, 2048, 3072, 4096, 5120, 6144)
_SERVERLESS_CONCURRENCY = 200


def check_name(what: str, name: str) -> None:
    """Raise SettingError unless a model, endpoint configuration or endpoint may have this name."""
    if len(name) > NAME_LENGTH or not _NAME.fullmatch(name):
        raise SettingError(
            f"{what} '{name}': expected at most {NAME_LENGTH} letters, digits and hyphens, no hyphen at an end, got "
            f"{len(name)} characters"
        )


def check_environment(variables: Mapping[str, str]) -> None:
    """Raise SettingError unless CreateModel takes these environment variables."""
    if len(variables) > _ENTRIES:
        raise SettingError(f"--env: expected at most {_ENTRIES} variables, got {len(variables)}. Put them into app.py.")
    for key, value in variables.items():
        if not _KEY.fullmatch(key):
            raise SettingError(f"--env {key}: expected a name of letters, digits and underscores, no digit in front")
        for what, text in (("name", key), ("value", value)):
            if len(text.encode()) > _ENTRY_BYTES:
                raise SettingError(
                    f"--env {key[:40]}: expected a {what} of at most {_ENTRY_BYTES} bytes, got {len(text.encode()):,}"
                )
    size = sum(len(key.encode()) + len(value.encode()) for key, value in variables.items())
    if size > _ALL_BYTES:
        raise SettingError(f"--env: expected at most {_ALL_BYTES:,} bytes in all names and values, got {size:,}")


def check_image(image: str) -> None:
    """Raise SettingError unless this can be an image's address."""
    if not image or len(image) > _IMAGE or re.search(r"\s", image):
        raise SettingError(f"--image {image[:80]!r}: expected an address of at most {_IMAGE} characters without spaces")
    registry, slash, _ = image.partition("/")
    if not slash or not set(registry) & set(".:"):
        raise SettingError(f"--image {image}: expected the address in a registry that `scoreline push` prints")


def check_role(role: str) -> None:
    """Raise SettingError unless this is the ARN of a role."""
    if not _ROLE.fullmatch(role):
        raise SettingError(f"--role {role}: expected a role's ARN, such as arn:aws:iam::434418615032:role/SageMaker")


def check_model_data(url: str) -> None:
    """Raise SettingError unless this is the address of a model package in S3."""
    if len(url) > _URL or not _S3.fullmatch(url) or not url.endswith(".tar.gz"):
        raise SettingError(f"--model-data {url[:80]}: expected s3://bucket/key, ending in .tar.gz; scoreline package "
                           "writes that file")  # fmt: skip


def check_instances(kind: str, count: int) -> None:
    """Raise SettingError unless this can be an instance type and so many of them."""
    if not _INSTANCE.fullmatch(kind):
        raise SettingError(f"--instance-type {kind}: expected one of SageMaker's, such as ml.m5.large")
    if count < 1:
        raise SettingError(f"--instances {count}: expected 1 or more")


def check_serverless(memory_mb: int, concurrency: int) -> None:
    """Raise SettingError unless a serverless endpoint can have so much memory, and so many requests at once."""
    if memory_mb not in _SERVERLESS_MB:
        sizes = ", ".join(str(size) for size in _SERVERLESS_MB)
        raise SettingError(f"--serverless-memory {memory_mb}: expected one of {sizes} (MB)")
    if not 1 <= concurrency <= _SERVERLESS_CONCURRENCY:
        raise SettingError(f"--serverless-concurrency {concurrency}: expected 1 to {_SERVERLESS_CONCURRENCY}")


def check_capture(url: str, percent: int) -> None:
    """Raise SettingError unless requests and replies can be captured there."""
    if len(url) > _CAPTURE_URL or not _S3.fullmatch(url):
        raise SettingError(f"--capture {url[:80]}: expected s3://bucket/prefix")
    if not 0 <= percent <= 100:
        raise SettingError(f"--capture-percent {percent}: expected 0 to 100")
