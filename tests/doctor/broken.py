"""A server that keeps the contract, and as many ways to break it as one names.

Run as a program it is what process checks start: `python broken.py FAULT ...`, the port from the environment.
Its records are {"x": number, "y": number}; what it scores is x + 2 y.
"""

from __future__ import annotations

import contextlib
import csv
import importlib
import io
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

JSON, CSV, LINES, NPY = "application/json", "text/csv", "application/jsonlines", "application/x-npy"
PROBLEM = "application/problem+json"
LIMIT = 6_291_456
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


OPENAPI = {
    "paths": {
        "/invocations": {
            "post": {
                "requestBody": {
                    "content": {
                        JSON: {
                            "examples": {
                                "one": {"value": {"x": 1.5, "y": 2.0}},
                                "two": {"value": [{"x": 1.5, "y": 2.0}, {"x": 2.5, "y": 4.0}]},
                            }
                        }
                    }
                }
            }
        }
    }
}


def numpy():
    """Import numpy where it is needed: a plain Python can run the rest."""
    try:
        return importlib.import_module("numpy")
    except ImportError:
        raise Refused(415, "there is no numpy here") from None


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, detail: str = "") -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


class Server(ThreadingHTTPServer):
    """The server; `faults` says what is wrong with it.

    Attributes
    ----------
    busy : requests that are being answered
    """

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, port: int, *faults: str, host: str = "127.0.0.1") -> None:
        super().__init__((host, port), Handler)
        self.faults, self.busy, self.lock = frozenset(faults), 0, threading.Lock()
        self.line = threading.Lock()  # that everybody stands in, where all is done by one thread
        self.held = [2.5]  # seconds that the first large request keeps that line
        self.seats = threading.Semaphore(10)  # of connections, where each takes one

    def process_request(self, request, client_address) -> None:
        if "few-threads" in self.faults:
            self.seats.acquire(timeout=30)
        super().process_request(request, client_address)

    def shutdown_request(self, request) -> None:
        super().shutdown_request(request)
        if "few-threads" in self.faults:
            self.seats.release()

    def handle_error(self, request, client_address) -> None:
        """Say nothing: clients go away on purpose."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def has(self, fault: str) -> bool:
        return fault in self.server.faults

    def log_message(self, *_) -> None:
        pass

    def send_error(self, code, message=None, explain=None) -> None:
        """Answer what is no request: the one error that the library makes itself."""
        self.close_connection = True
        self.request_version = "HTTP/1.1"
        self.refuse(int(code), message or "")

    def do_GET(self) -> None:
        self.answer(self.get)

    def do_POST(self) -> None:
        self.answer(self.post)

    do_DELETE = do_PUT = do_GET

    def handle_expect_100(self) -> bool:
        return True if self.has("no-continue") else super().handle_expect_100()

    def answer(self, how) -> None:
        with self.server.lock:
            self.server.busy += 1
        try:
            with self.server.line if self.has("one-thread") else contextlib.nullcontext():
                how()
        except Refused as refused:
            self.refuse(refused.status, refused.detail)
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        finally:
            with self.server.lock:
                self.server.busy -= 1

    def get(self) -> None:
        self.body()
        if self.path == "/ping" and (self.command == "GET" or self.has("lax-methods")):
            return self.ping()
        if self.path == "/execution-parameters":
            return self.parameters()
        if self.path == "/openapi.json" and self.has("openapi"):
            return self.give(200, JSON, json.dumps(OPENAPI).encode())
        if self.path in ("/ping", "/invocations"):
            raise Refused(405)
        if self.has("serves-any-path"):
            return self.give(200, JSON, b"{}")
        raise Refused(404)

    def ping(self) -> None:
        if self.has("ping-slow"):
            time.sleep(2.2)
        if self.has("ping-stands-in-line"):
            with self.server.line:
                pass
        if self.has("ping-ill"):
            raise Refused(503, "no model")
        self.give(200, "", b"pong" if self.has("ping-body") else b"")

    def parameters(self) -> None:
        concurrent = "4" if self.has("parameters-text") else 64 if self.has("parameters-too-much") else 2
        more = {"BatchStrategy": "MULTI_RECORD"} if self.has("strategy") else {}
        self.give(200, JSON, json.dumps({"MaxConcurrentTransforms": concurrent, "MaxPayloadInMB": 6, **more}).encode())

    def post(self) -> None:
        body = self.body()
        if self.path == "/ping":
            raise Refused(405)
        if self.path != "/invocations":
            raise Refused(404)
        if self.has("long-head-refused") and len(self.headers.get(ATTRIBUTES, "")) > 512:
            raise Refused(400, "the head is too long")
        accept = self.accept()
        content_type = self.headers.get("Content-Type", "")
        kind = content_type if self.has("exact-type-in") else content_type.split(";")[0].strip().lower()
        if kind not in (JSON, CSV, LINES, NPY):
            if self.has("takes-any-type"):
                kind = JSON
            elif self.has("unpickles") and "pickle" in kind:
                pickle.loads(body)
                raise Refused(400)
            else:
                raise Refused(415, "expected JSON, CSV, JSON Lines or npy")
        if kind in {CSV: "no-csv", LINES: "no-lines", NPY: "no-npy"} and self.has(
            {CSV: "no-csv", LINES: "no-lines", NPY: "no-npy"}[kind]
        ):
            raise Refused(415)
        if self.has("slow-to-load"):  # the first request comes too early
            self.server.faults -= {"slow-to-load"}
            raise Refused(503, "not loaded yet")
        if self.has("empty-body-500") and not body:
            raise Refused(500, "failed")
        if self.has("ping-stands-in-line"):
            with self.server.line:
                time.sleep(self.server.held.pop() if body.count(b"x") > 100 and self.server.held else 0)
        self.reply(*self.scored(kind, body), accept or kind)

    def scored(self, kind: str, body: bytes):
        try:
            records, is_list = self.decode(kind, body)
        except (ValueError, TypeError, KeyError, RecursionError, IndexError, EOFError, MemoryError) as error:
            if self.has("traceback"):
                raise Refused(
                    400, f'Traceback (most recent call last):\n  File "/app/predictor.py": {error}'
                ) from error
            if self.has("bad-json-500"):
                raise Refused(500, "failed") from error
            raise Refused(400, "expected records of x and y") from error
        if not records:
            raise Refused(400, "no records")
        replies = [self.score(record) for record in records]
        bad = [reply for reply in replies if "error" in reply]
        if bad and (len(bad) == len(replies) or self.has("one-bad-costs-all")):
            raise Refused(400, bad[0]["error"])
        return self.spoilt(replies, is_list)

    def spoilt(self, replies, is_list):
        if self.has("reordered") and not any("error" in reply for reply in replies):
            replies = sorted(replies, key=lambda reply: reply.get("score", 0.0))
        if self.has("one-missing") and len(replies) > 2:
            replies = replies[:-1]
        if self.has("list-of-one-swallowed") and len(replies) == 1:
            is_list = False
        return replies, is_list

    def decode(self, kind: str, body: bytes):
        if kind == NPY:
            rows = numpy().load(io.BytesIO(body), allow_pickle=self.has("unpickles")).astype(float)
            return [dict(zip("xy", row, strict=True)) for row in rows.tolist()], True
        if kind == CSV:
            rows = list(csv.reader(io.StringIO(body.decode(), newline=""), strict=True))
            return [dict(zip("xy", [float(c) if c else None for c in row], strict=True)) for row in rows], True
        if kind == LINES:
            return [json.loads(line) for line in body.decode().splitlines()], True
        content = json.loads(body)
        if content is None or isinstance(content, (int, str)):
            raise ValueError
        return (content, True) if isinstance(content, list) else ([content], False)

    def score(self, record):
        if not isinstance(record, dict) or not {"x", "y"} <= record.keys():
            return {"error": "expected x and y"}
        if record["x"] is None or record["y"] is None:
            return {"score": float("nan")} if self.has("bare-nan") else {"score": None}
        return {"score": record["x"] + 2 * record["y"]}

    def accept(self) -> str | None:
        given = self.headers.get("Accept")
        if given is None or self.has("accept-ignored"):
            return None
        if self.has("accept-whole"):
            if given not in (JSON, CSV, LINES, NPY, "*/*"):
                raise Refused(406)
            return None if given == "*/*" else given
        ranges = [part.split(";")[0].strip().lower() for part in given.split(",")]
        for name in ranges:
            if name in (JSON, CSV, LINES, NPY):
                return name
        if "*/*" in ranges:
            return None
        raise Refused(406, "expected an Accept with JSON, CSV, JSON Lines or npy")

    def reply(self, replies, is_list: bool, accept: str) -> None:
        charset = "; charset=utf-8" if self.has("charset") else ""
        scores = [reply.get("score") for reply in replies]
        if accept == CSV:
            body = "".join(f"{'' if score is None else score}\n" for score in scores).encode()
        elif accept == LINES:
            body = "".join(json.dumps(reply) + "\n" for reply in replies).encode()
        elif accept == NPY:
            out = io.BytesIO()
            numpy().save(out, numpy().array([[float("nan") if score is None else score] for score in scores]))
            body = out.getvalue()
        else:
            body = json.dumps(replies if is_list else replies[0]).encode()
        self.give(200, accept + charset, body)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked" and not self.has("no-chunks"):
            return b"".join(iter(self.chunk, b""))
        length = int(self.headers.get("Content-Length") or 0)
        if length > (5 << 20 if self.has("5-mib") else LIMIT) and not self.has("no-limit"):
            if not self.has("reset"):
                for _ in range(length >> 16):
                    self.rfile.read(1 << 16)
                self.rfile.read(length % (1 << 16))
            else:
                self.close_connection = True
            raise Refused(413, "too large")
        return self.rfile.read(length)

    def chunk(self) -> bytes:
        content = self.rfile.read(int(self.rfile.readline(), 16))
        self.rfile.readline()
        return content

    def refuse(self, status: int, detail: str) -> None:
        if self.has("html"):
            return self.give(status, "text/html", f"<html><body><h1>{status}</h1></body></html>".encode())
        if self.has("plain-errors"):
            return self.give(status, "text/plain", b"no")
        body = json.dumps({"type": "about:blank", "title": "no", "status": status, "detail": detail})
        return self.give(status, PROBLEM, body.encode())

    def give(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        if content_type:
            self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        given = self.headers.get(ATTRIBUTES) if getattr(self, "headers", None) else None
        if given is not None and not self.has("no-echo"):
            if self.has("echo-decodes"):
                self.send_header(ATTRIBUTES, urllib.parse.unquote(given))
            elif given.isascii() and given.isprintable() and len(given) <= 1024:
                self.send_header(ATTRIBUTES, given)
        if self.has("closes"):
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Program:
    """The server as a process: it takes its port and folders from the environment, as a container does."""

    def __init__(self, *faults: str) -> None:
        self.faults, self.parts = frozenset(faults), []
        self.server: Server | None = None

    def run(self) -> int:
        """Serve until SIGTERM; return the exit code."""
        timeout = os.environ.get("MODEL_SERVER_TIMEOUT", "60")
        if not timeout.isdigit() and "any-setting" not in self.faults:
            print("" if "unnamed-setting" in self.faults else f"MODEL_SERVER_TIMEOUT={timeout}:", "expected seconds")
            return 2
        self.touch_things()
        if self.read_model() != "good" and "any-model" not in self.faults:
            print("the model can't be loaded")
            return 1
        return self.serve()

    def read_model(self) -> str:
        path = Path(os.environ["SCORELINE_MODEL_DIR"], "model.txt")
        return path.read_text() if path.exists() else ""

    def touch_things(self) -> None:
        """Do what a careful server does not."""
        if "writes-to-model" in self.faults:
            Path(os.environ["SCORELINE_MODEL_DIR"], "cache").write_text("x")
        if "writes-to-app" in self.faults:
            Path(__file__).with_name("broken.log").write_text("x")
        if "writes-to-disk" in self.faults:
            Path("/var/broken/pid").write_text("1")
        if "needs-device" in self.faults and len(socket.if_nameindex()) < 2:
            raise OSError("Network is unreachable")
        if "large-tmp" in self.faults:
            path = Path("/tmp", f"doctor-large-{os.getpid()}")
            try:
                path.write_bytes(bytes(48 << 20))
            finally:
                path.unlink(missing_ok=True)
        if "needs-network" in self.faults:
            socket.create_connection(("127.0.0.1", int(os.environ["NEEDED_PORT"])), timeout=5).close()
        if "needs-root" in self.faults and os.geteuid() != 0:
            raise PermissionError("only root may bind the port")
        if "many-workers" in self.faults or "has-parts" in self.faults or "lingers" in self.faults:
            self.start_parts()

    def start_parts(self) -> None:
        """Start processes that look like gunicorn, whose workers are its children."""
        workers = 40 if "many-workers" in self.faults else 1
        script = (
            f"import subprocess, time\nfor _ in range({workers}): subprocess.Popen(['sleep', '60'])\n"
            "print('up', flush=True)\ntime.sleep(60)"
        )
        self.parts = [subprocess.Popen([sys.executable, "-c", script, "gunicorn"], stdout=subprocess.PIPE)]
        self.parts[0].stdout.readline()

    def serve(self) -> int:
        faults = self.faults
        port = 8089 if "own-port" in faults else int(os.environ["SAGEMAKER_BIND_TO_PORT"])
        host = "127.0.0.1" if "loopback" in faults else os.environ.get("SCORELINE_HOST", "0.0.0.0")
        if "silent" not in faults:
            print(f"listening on {port}", flush=True)
        self.server = server = Server(port, *faults, host=host)
        if "second-port" in faults:
            self.second = socket.create_server(("127.0.0.1", 0))
        if "ignores-sigterm" in faults:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        else:
            signal.signal(signal.SIGTERM, self.stop)
        threading.Thread(target=self.watch, daemon=True).start()
        server.serve_forever(0.02)
        while server.busy and "drops-in-flight" not in faults:
            time.sleep(0.01)
        for part in self.parts:
            part.kill()
        return 3 if "bad-exit" in faults else 0

    def stop(self, *_) -> None:
        threading.Thread(target=self.server.shutdown).start()

    def watch(self) -> None:
        """End with a part that dies."""
        while not any(part.poll() is not None for part in self.parts):
            time.sleep(0.05)
        if "lingers" in self.faults:
            self.server.faults |= {"ping-ill"}
            return
        os._exit(1)


if __name__ == "__main__":
    sys.exit(Program(*sys.argv[1:]).run())
