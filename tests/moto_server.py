"""AWS for tests: moto's server over HTTP, and a relay in front of it for what moto does not do.

moto has no UpdateEndpoint, shows no endpoint on its way, refuses nothing, and runs no model: the relay does these, and
writes down what was asked.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
from ports import free_port
from servers import ask, is_listened_on, wait_until

REGION, ACCOUNT = "us-east-2", "123456789012"  # the account that moto plays
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_EC2_METADATA_DISABLED": "true"}
_READY_WITHIN_S = 60
_JSON = {"Content-Type": "application/x-amz-json-1.1"}
Answer = tuple[int, dict[str, Any]]


class MotoServer:
    """moto's server in a process of its own. A context manager."""

    def __enter__(self) -> MotoServer:
        self.port, self._clients = free_port(), dict[str, Any]()
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))}
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=plain)
        try:
            wait_until(lambda: is_listened_on(self.port), _READY_WITHIN_S, "moto's server")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients.values():
            client.close()
        self._process.kill()
        self._process.wait(10)

    def client(self, service: str) -> Any:
        """Return a client of a service."""
        if service not in self._clients:
            session = boto3.session.Session("key", "hush", region_name=REGION)
            self._clients[service] = session.client(service, endpoint_url=f"http://127.0.0.1:{self.port}")
        return self._clients[service]

    def forget(self) -> None:
        """Remove all that was made."""
        assert ask(self.port, "POST", "/moto-api/reset").status == 200


class AwsRelay:
    """What commands take for AWS. A context manager.

    Attributes
    ----------
    asked : each call that came, its operation and its body
    answers : operation -> answers that it is given before moto is asked, one a call, or for good under `ALWAYS`
    model_port : of the server that endpoints are asked over, None where there is none
    """

    def __init__(self, moto: MotoServer) -> None:
        self.moto, self.model_port = moto, None
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, deque[Answer]] = {}
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, headers, content = relay.answer(self.command, self.path, dict(self.headers), body)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_HEAD = _pass

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> AwsRelay:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to ask this AWS."""
        return {**KEYS, "AWS_REGION": REGION, "AWS_ENDPOINT_URL": self.url}

    @property
    def operations(self) -> list[str]:
        """The operations that were asked for, those that only look left out."""
        looks = ("Describe", "List", "Get")
        return [operation for operation, _ in self.asked if not operation.startswith(looks)]

    def client(self, service: str) -> Any:
        """Return a client of moto itself."""
        return self.moto.client(service)

    def refuse(self, operation: str, code: str, message: str, status: int = 400, times: int = 1) -> None:
        """Let calls be refused as AWS does."""
        self.answers.setdefault(operation, deque()).extend([(status, {"__type": code, "message": message})] * times)

    def say(self, operation: str, **content: Any) -> None:
        """Let one more call have a given answer."""
        self.answers.setdefault(operation, deque()).append((200, content))

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Answer a call: as a test wants it, else as moto does."""
        operation = headers.get("X-Amz-Target", "").rpartition(".")[2] or _operation(method, path, body)
        with contextlib.suppress(ValueError):
            body_shown = json.loads(body or b"{}")
            self.asked.append((operation, body_shown if isinstance(body_shown, dict) else {}))
        if self.answers.get(operation):
            status, content = self.answers[operation].popleft()
            return status, _JSON, json.dumps(content).encode()
        if operation == "InvokeEndpoint" and self.model_port is not None:
            kept = {name: headers[name] for name in ("Content-Type", "Accept") if name in headers}
            return _from_container(ask(self.model_port, "POST", "/invocations", body, kept))
        if operation == "UpdateEndpoint":
            return self._move(json.loads(body))
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.moto.port, timeout=30)) as connection:
            connection.request(method, path, body, headers)
            came = connection.getresponse()
            kept = {n: v for n, v in came.headers.items() if n.lower() not in ("content-length", "connection")}
            return came.status, kept, came.read()

    def _move(self, asked: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Do what UpdateEndpoint does, with the calls that moto has."""
        client = self.client("sagemaker")
        found = client.describe_endpoint(EndpointName=asked["EndpointName"])
        client.describe_endpoint_config(EndpointConfigName=asked["EndpointConfigName"])
        tags = client.list_tags(ResourceArn=found["EndpointArn"])["Tags"]
        client.delete_endpoint(EndpointName=asked["EndpointName"])
        made = client.create_endpoint(**asked, Tags=tags)
        return 200, _JSON, json.dumps({"EndpointArn": made["EndpointArn"]}).encode()


def _operation(method: str, path: str, body: bytes) -> str:
    if path.startswith("/endpoints/") and path.endswith("/invocations"):
        return "InvokeEndpoint"
    if body.startswith(b"Action="):
        return body.decode().partition("=")[2].partition("&")[0]
    return {"GET": "GetObject"}.get(method, method)


def _from_container(came: Any) -> tuple[int, dict[str, str], bytes]:
    """Return a container's answer as SageMaker passes it on: whatever is not 200 is its own 424."""
    if came.status == 200:
        return 200, {"Content-Type": came.headers["Content-Type"]}, came.body
    said = f"Received error ({came.status}) from primary with message {came.body.decode()!r}"
    content = {"Message": said, "OriginalStatusCode": came.status, "OriginalMessage": came.body.decode()}
    return 424, {**_JSON, "x-amzn-ErrorType": "ModelError"}, json.dumps(content).encode()
