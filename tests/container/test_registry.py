"""Who we are at a registry, and what it holds: logins that docker has kept, passwords, tokens."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from scoreline.container.credentials import Login, find_login
from scoreline.container.registry import DOCKER_MANIFEST, Arrived, Registry
from scoreline.errors import ContainerError

MANIFEST = {"mediaType": DOCKER_MANIFEST, "config": {"digest": "sha256:c"}}
CONFIG = {"os": "linux", "architecture": "arm64"}
ASKED = {"service": ["s"], "scope": ["repository:a/b:pull"]}
HELPER = """#!/bin/sh
read key
[ "$1 $key" = "get ghcr.io" ] || { echo "credentials not found in native keychain"; exit 1; }
echo '{"ServerURL": "ghcr.io", "Username": "me", "Secret": "of the helper"}'
"""


@pytest.fixture
def docker_config(tmp_path, monkeypatch):
    """Give a function that writes docker's configuration."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return lambda **content: (tmp_path / "config.json").write_text(json.dumps(content))


@pytest.fixture
def helper(tmp_path, monkeypatch):
    """Put a credential helper on the path; it knows one registry."""
    path = tmp_path / "docker-credential-tests"
    path.write_text(HELPER)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def auth(text):
    return {"auth": base64.b64encode(text.encode()).decode()}


def test_a_login_is_found_where_docker_login_has_put_it(docker_config):
    docker_config(auths={"ghcr.io": auth("me:a:b"), "https://index.docker.io/v1/": auth("hub:c")})
    assert find_login("ghcr.io") == Login("me", "a:b")
    assert find_login("docker.io") == Login("hub", "c")
    assert find_login("example.com") is None


def test_a_login_is_found_in_a_credential_helper(docker_config, helper):
    docker_config(credHelpers={"ghcr.io": "tests"}, auths={"example.com": auth("me:kept")})
    assert find_login("ghcr.io") == Login("me", "of the helper")
    docker_config(credsStore="tests", auths={"example.com": auth("me:kept")})
    assert find_login("ghcr.io") == Login("me", "of the helper")
    assert find_login("example.com") == Login("me", "kept")  # of which the helper knows nothing


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"auths": {"ghcr.io": {"auth": "?"}}}',
        '{"credsStore": "none-such"}',
        '{"auths": {"ghcr.io": null}}',
    ],
)
def test_a_configuration_without_a_login_gives_none(tmp_path, docker_config, content):
    (tmp_path / "config.json").write_text(content)
    assert find_login("ghcr.io") is None


def test_a_password_is_never_shown():
    assert "hush" not in repr(Login("me", "hush"))


class FakeRegistry:
    """A registry that wants a token, which it gives for a password: what the large ones do, and Debian's does not."""

    def __init__(self, content=MANIFEST):
        self.content, self.asked = content, []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                fake.asked.append(self.path)
                status, content, headers = fake.answer(self.path, self.headers.get("Authorization"))
                body = json.dumps(content).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_port}"

    def answer(self, path, authorization):
        """Return status, content and headers."""
        url = urlsplit(path)
        if url.path == "/token":
            is_good = authorization == Login("me", "good").basic and parse_qs(url.query) == ASKED
            return (200, {"token": "t"}, {}) if is_good else (401, {}, {})
        if authorization != "Bearer t":
            return 401, {}, {"WWW-Authenticate": f'Bearer realm="http://{self.host}/token",service="s"'}
        if url.path == "/v2/a/b/blobs/sha256:c":
            return 200, CONFIG, {}
        if url.path != "/v2/a/b/manifests/1":
            return 404, {}, {}
        return 200, self.content, {"Content-Type": self.content["mediaType"], "Docker-Content-Digest": "sha256:m"}

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def find(fake, login, tag="1"):
    return Registry(fake.host, login, is_plain=True).find("a/b", tag)


def test_a_token_is_fetched_where_the_registry_says_to():
    with FakeRegistry() as fake:
        assert find(fake, Login("me", "good")) == Arrived(DOCKER_MANIFEST, "sha256:m", "sha256:c", "linux/arm64")
        assert [path.partition("?")[0] for path in fake.asked] == [
            "/v2/a/b/manifests/1", "/token", "/v2/a/b/manifests/1", "/v2/a/b/blobs/sha256:c",
        ]  # fmt: skip
        assert find(fake, Login("me", "good"), "2") is None


@pytest.mark.parametrize("login", [None, Login("me", "bad")])
def test_without_the_right_password_it_says_to_log_in(login):
    with FakeRegistry() as fake, pytest.raises(ContainerError, match=f"Run: docker login {fake.host}"):
        find(fake, login)


def test_a_list_of_manifests_is_shown_as_what_it_is():
    index = {"mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}
    with FakeRegistry(index) as fake:
        assert find(fake, Login("me", "good")) == Arrived(index["mediaType"], "sha256:m")


def test_an_image_is_known_by_either_id_that_an_engine_has_for_it():
    arrived = Arrived(DOCKER_MANIFEST, "sha256:m", "sha256:c", "linux/amd64")
    assert [arrived.is_image(name) for name in ("sha256:m", "sha256:c", "sha256:x", "")] == [True, True, False, False]
