"""The ASGI shell: it carries `answer`, and holds no behaviour of its own but where the work runs."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from scoreline.serving.answer import Answer, answer
from scoreline.serving.problems import MEDIA_TYPE, Problem
from scoreline.serving.service import Service

INLINE_BYTES = 32 << 10  # a larger body is worked on beside the loop, so that the small ones need not wait for it
# After a request past its deadline /ping is 503 until the worker is replaced. Long enough for its 504 to get out;
# what else it has in flight, nginx asks another worker for.
REPLACE_S = 1.0
_THREADS = 2
Busy = Callable[[float | None], None]


class HeaderFields:
    """Headers as ASGI gives them, found whatever their case: their names come in lower case."""

    __slots__ = ("_fields",)

    def __init__(self, fields: list[tuple[bytes, bytes]]) -> None:
        self._fields = fields

    def get(self, name: str, /) -> str | None:
        """Return a header's first value, None where there is none."""
        wanted = name.lower().encode()
        for given, value in self._fields:
            if given == wanted:
                return value.decode("latin-1")
        return None


class AsgiShell:
    """An ASGI application over a service. Small bodies are answered inline, large ones in a few threads.

    Parameters
    ----------
    timeout_s : a request's deadline; what runs in a thread past it is answered 504
    inline : answer small bodies on the loop; False where scoring may take long (an app's own predictor)
    """

    def __init__(self, service: Service, timeout_s: float, *, inline: bool = True) -> None:
        self._service, self._timeout_s = service, timeout_s
        self.busy: Busy = lambda _: None  # told since when the oldest request in flight is there, None for none
        self.replace: Callable[[float], None] = end_after  # ends this worker in so many seconds
        self._inline_bytes = INLINE_BYTES if inline else 0
        self._threads: ThreadPoolExecutor | None = None  # made at first use: no thread before the fork
        self._begun: dict[int, float] = {}  # request in flight -> when it began
        self._numbers = itertools.count()

    async def __call__(
        self, scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            return
        message = await receive()
        body = message.get("body", b"")
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
        number = next(self._numbers)
        self._begun[number] = time.monotonic()
        if len(self._begun) == 1:
            self.busy(self._begun[number])
        given = await self._answer(scope, bytes(body), number)
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in given.headers.items()]
        headers.append((b"content-length", b"%d" % len(given.body)))
        await send({"type": "http.response.start", "status": given.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else given.body})

    def _ended(self, number: int) -> None:
        del self._begun[number]
        self.busy(min(self._begun.values()) if self._begun else None)

    async def _answer(self, scope: dict[str, Any], body: bytes, number: int) -> Answer:
        request = (
            self._service,
            scope["method"],
            scope["path"],
            HeaderFields(scope["headers"]),
            body,
            scope["query_string"].decode("latin-1"),
        )
        if len(body) <= self._inline_bytes:
            given = answer(*request)
            self._ended(number)
            return given
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, "answer")
        try:
            work = asyncio.get_running_loop().run_in_executor(self._threads, lambda: answer(*request))
            given = await asyncio.wait_for(work, self._timeout_s)
            self._ended(number)
            return given
        except (
            TimeoutError
        ):  # its thread goes on, and would be missing: the worker stays marked as late, and is replaced
            self.replace(REPLACE_S)
            detail = f"expected an answer within {self._timeout_s:g} seconds (MODEL_SERVER_TIMEOUT)"
            return Answer(504, Problem(504, "deadline", detail).encode(), {"Content-Type": MEDIA_TYPE})


def end_after(seconds: float) -> None:
    """End this worker once its answers are out; the others and its successor go on."""
    asyncio.get_running_loop().call_later(seconds, os._exit, 1)


def end_soon() -> None:
    """End this worker, which can't adopt a generation, once it has said so."""
    end_after(0.2)
