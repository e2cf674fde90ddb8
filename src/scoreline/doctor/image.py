"""An image at rest: what `docker image inspect` tells, the manifest that was pushed, and its files."""

from __future__ import annotations

import json
from typing import Any

from scoreline.doctor.docker import Image, docker, last_line
from scoreline.doctor.findings import Checks, Failed, Grade, NotChecked

BIND_LABEL = "com.amazonaws.sagemaker.capabilities.accept-bind-to-port"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_SHELLS = ("sh", "bash", "dash")
_INITS = ("tini", "docker-init", "dumb-init")
_LARGE_GIB = 2.0
_BUILD = "docker build --provenance=false --output type=docker --platform linux/amd64 ..."

CHECKS: Checks[Image] = Checks()


@CHECKS.add(
    "image-platform", "H20", Grade.MUST, "it is for linux on amd64 or arm64",
    fix=f"Build for the platform of the instance, also on a Mac: {_BUILD}",
)  # fmt: skip
def _platform(image: Image) -> str:
    system, processor = image.inspected.get("Os"), image.inspected.get("Architecture")
    if system != "linux" or processor not in ("amd64", "arm64"):
        raise Failed(f"{system}/{processor}")
    return f"{system}/{processor}"


@CHECKS.add(
    "image-entrypoint", "H1", Grade.MUST, "`docker run IMAGE serve` starts the server: ENTRYPOINT in exec form",
    fix='Write ENTRYPOINT ["scoreline"] (a JSON list), so that SageMaker\'s `serve` and `train` become its arguments '
    "and signals reach it; a shell in front swallows both. Without an ENTRYPOINT, put `serve` and `train` on PATH.",
)  # fmt: skip
def _entrypoint(image: Image) -> str:
    entry = _entry_of(image)
    if not entry:
        return _programs_on_path(image)
    if entry[0].rsplit("/", 1)[-1] in _SHELLS and entry[1:2] == ["-c"]:
        raise Failed(f"shell form: {' '.join(entry)}")
    return json.dumps(entry)


def _programs_on_path(image: Image) -> str:
    look = "command -v serve && command -v train"
    done = docker("run", "--rm", "--network", "none", "--entrypoint", "sh", image.name, "-c", look)
    if done.returncode != 0:
        raise Failed("there is none, and no `serve` and `train` on PATH")
    return ", ".join(done.stdout.split())


@CHECKS.add(
    "image-init", "H1", Grade.MUST, "its entry point is no init such as tini",
    fix="Take tini (dumb-init, --init) out of ENTRYPOINT and start the server itself: SageMaker starts containers with "
    "an init of its own, and tini as the entry point fails there.",
)  # fmt: skip
def _init(image: Image) -> str:
    entry = _entry_of(image)
    found = [part for part in entry if part.rsplit("/", 1)[-1].startswith(_INITS)]
    if found:
        raise Failed(" ".join(entry))
    return "none"


@CHECKS.add(
    "image-label", "H2", Grade.SHOULD, f"LABEL {BIND_LABEL}=true",
    fix=f"Write LABEL {BIND_LABEL}=true into the Dockerfile: without it no other port can be given, and it can't be "
    "part of an inference pipeline.",
)  # fmt: skip
def _label(image: Image) -> str:
    value = (image.config.get("Labels") or {}).get(BIND_LABEL)
    if value != "true":
        raise Failed("there is none" if value is None else f"it is {value}")
    return "it is there"


@CHECKS.add(
    "image-manifest", "H20", Grade.MUST, "it is pushed as one Docker v2 manifest, no OCI manifest or index",
    fix=f"Build and push anew as one image in Docker's own format: {_BUILD} "
    "SageMaker refuses OCI: `Unsupported manifest media type`.",
)  # fmt: skip
def _manifest(image: Image) -> str:
    kind = _manifest_type(image)
    if kind != DOCKER_MANIFEST:
        raise Failed(kind)
    return kind


def _manifest_type(image: Image) -> str:
    described: dict[str, Any] = image.inspected.get("Descriptor") or {}
    if "mediaType" in described:
        return str(described["mediaType"])
    if not image.inspected.get("RepoDigests"):
        raise NotChecked("it is not pushed yet; look again after `docker push`")
    insecure = ["--insecure"] if image.name.startswith(("127.0.0.1:", "localhost:")) else []
    done = docker("manifest", "inspect", *insecure, image.name)
    if done.returncode != 0:
        raise NotChecked(f"its registry does not say: {last_line(done.stderr)}")
    return str(json.loads(done.stdout).get("mediaType", "a manifest without a media type"))


@CHECKS.add(
    "image-opt-ml", "H9", Grade.SHOULD, "no file is baked in under /opt/ml",
    fix="COPY the app and any baked copy of the model elsewhere, /app say: SageMaker mounts over /opt/ml, and what the "
    "image has there is hidden.",
)  # fmt: skip
def _opt_ml(image: Image) -> str:
    find = "find /opt/ml ! -type d 2>/dev/null | head -3"
    done = docker("run", "--rm", "--network", "none", "--entrypoint", "sh", image.name, "-c", find)
    if done.returncode != 0:
        raise NotChecked(f"it has no shell to look with: {last_line(done.stderr)}")
    if done.stdout.strip():
        raise Failed(", ".join(done.stdout.split()))
    return "none"


@CHECKS.add(
    "image-size", "H20", Grade.SHOULD, f"it has at most {_LARGE_GIB:g} GiB",
    fix="Install what serves alone: a slim base image, no compilers, no caches (--no-cache-dir, rm -rf "
    "/var/lib/apt/lists/*), training libraries in an image of their own. Each new instance pulls all of it first.",
)  # fmt: skip
def _size(image: Image) -> str:
    size = image.inspected.get("Size", 0) / (1 << 30)
    if size > _LARGE_GIB:
        raise Failed(f"{size:.1f} GiB")
    return f"{size:.2f} GiB"


def _entry_of(image: Image) -> list[str]:
    return list(image.config.get("Entrypoint") or [])
