"""What a registry holds, asked over its HTTP API: the manifest of a tag, and the platform of its image."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import urllib3

from scoreline.container.credentials import Login
from scoreline.errors import ContainerError

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_OTHERS = (  # asked for too, so that what is there is shown as it is, and not made into what was asked for
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
)
_HUB, _HUB_API = "docker.io", "registry-1.docker.io"
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_TIMEOUT = urllib3.Timeout(connect=10, read=60)


@dataclass(frozen=True)
class Arrived:
    """An image in a registry.

    Attributes
    ----------
    media_type, digest : of its manifest
    config : digest of its configuration; empty where the manifest is a list of others
    platform : such as linux/amd64; empty where the manifest is a list of others
    """

    media_type: str
    digest: str
    config: str = ""
    platform: str = ""

    def is_image(self, image_id: str) -> bool:
        """Whether it is the engine's image of that id, whatever the engine takes for an id."""
        return image_id in (self.config, self.digest)


class Registry:
    """A registry.

    Parameters
    ----------
    host : with the port where there is one
    login : None for nobody in particular
    is_plain : HTTP without TLS
    """

    def __init__(self, host: str, login: Login | None = None, *, is_plain: bool = False) -> None:
        self.host = host
        self._base = f"{'http' if is_plain else 'https'}://{_HUB_API if host == _HUB else host}/v2"
        self._login, self._authorization = login, ""
        self._pool = urllib3.PoolManager(timeout=_TIMEOUT, retries=urllib3.Retry(3, backoff_factor=0.3))

    def find(self, name: str, tag: str) -> Arrived | None:
        """Return what a tag of a repository names; None where there is nothing.

        Raises
        ------
        ContainerError
            The registry can't be asked, or does not answer as one.
        """
        answer = self._get(f"{name}/manifests/{tag}", name)
        if answer.status == 404:
            return None
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        digest = answer.headers.get("Docker-Content-Digest", "")
        try:
            config = json.loads(answer.data).get("config", {}).get("digest", "")
        except (ValueError, AttributeError) as error:
            raise ContainerError(f"{self.host}/{name}:{tag}: expected a manifest, its registry sent none") from error
        return Arrived(media_type, digest, config, self._platform(name, config) if config else "")

    def _platform(self, name: str, config: str) -> str:
        try:
            content = json.loads(self._get(f"{name}/blobs/{config}", name).data)
            return f"{content['os']}/{content['architecture']}"
        except (ValueError, KeyError, TypeError) as error:
            raise ContainerError(f"{self.host}/{name}: expected the image's configuration, it is not there") from error

    def _get(self, path: str, name: str) -> urllib3.BaseHTTPResponse:
        answer = self._ask(path)
        if answer.status == 401:
            self._authorization = self._answer_to(answer.headers.get("WWW-Authenticate", ""), name)
            answer = self._ask(path)
        if answer.status in (401, 403):
            raise ContainerError(f"{self.host}/{name}: its registry lets nobody of ours look ({answer.status}). Run: "
                                 f"docker login {self.host}")  # fmt: skip
        if answer.status not in (200, 404):
            raise ContainerError(f"{self.host}/{name}: its registry answers {answer.status}, expected 200. Try again.")
        return answer

    def _ask(self, path: str) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": ", ".join((DOCKER_MANIFEST, *_OTHERS))} if "/manifests/" in path else {}
        if self._authorization:
            headers["Authorization"] = self._authorization
        return self._request(f"{self._base}/{path}", headers)

    def _answer_to(self, challenge: str, name: str) -> str:
        """Return the header that a registry asks for: our password, or a token that it has its own place for."""
        kind, _, more = challenge.partition(" ")
        named = dict(_CHALLENGE.findall(more))
        basic = {"Authorization": self._login.basic} if self._login else {}
        if kind.lower() != "bearer" or "realm" not in named:
            return basic.get("Authorization", "")
        fields: dict[str, Any] = {"service": named.get("service", ""), "scope": f"repository:{name}:pull"}
        answer = self._request(named["realm"], basic, fields)
        try:
            given = json.loads(answer.data)
            return f"Bearer {given.get('token') or given['access_token']}"
        except (ValueError, KeyError, AttributeError):
            return ""

    def _request(
        self, url: str, headers: dict[str, str], fields: dict[str, Any] | None = None
    ) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool.request("GET", url, headers=headers, fields=fields)
        except urllib3.exceptions.HTTPError as error:
            reason = getattr(error, "reason", None) or error
            raise ContainerError(
                f"{self.host}: it can't be asked ({type(reason).__name__}). Check the address and the network."
            ) from error
