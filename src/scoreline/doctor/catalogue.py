"""All checks there are, in groups as docs/doctor.md lists them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scoreline.doctor import artifact, container, hosting, image, jail, process
from scoreline.doctor.findings import Check

GROUPS: Mapping[str, list[Check[Any]]] = {
    "An app's files": list(artifact.CHECKS),
    "Its start and its end": [*process.BEGIN, *process.END, *process.CHECKS],
    "On a strict platform": list(jail.CHECKS),
    "A running server": list(hosting.CHECKS),
    "An image": [*image.CHECKS, *container.BEGIN, *container.END, *container.CHECKS],
}
