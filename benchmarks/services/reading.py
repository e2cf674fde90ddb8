"""Having rows read: lists of keys sent over several connections, each reply looked at."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.answers import TIMEOUT_S, AnswerError

KEY = '"order_id"'  # stands once in a key, and once in the reply to it
GENERATION = "X-Scoreline-Generation"


def read_rows(port: int, lists: Path, *, connections: int, generation: str, most: int | None = None) -> int:
    """Send lists of keys over so many connections; return how many rows were answered.

    Parameters
    ----------
    lists : a file with the keys of a list in each line
    generation : what all must be answered from
    most : so many lists; None: all of the file

    Raises
    ------
    AnswerError
        A reply is not 200, is of another generation, or has not a record for each key.
    """
    with lists.open() as file:
        lines = _InTurns(itertools.islice(file, most))
        with ThreadPoolExecutor(connections) as pool:
            parts = [pool.submit(_read, port, lines, generation) for _ in range(connections)]
            return sum(part.result() for part in parts)


def _read(port: int, lines: Iterator[str], generation: str) -> int:
    rows = 0
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)) as connection:
        for line in lines:
            rows += _ask(connection, line, generation)
    return rows


def _ask(connection: http.client.HTTPConnection, line: str, generation: str) -> int:
    try:
        connection.request("POST", "/invocations", f"[{line}]".encode(), {"Content-Type": "application/json"})
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise AnswerError(f"no answer to a list: {type(error).__name__}: {error}") from error
    if response.status != 200:
        raise AnswerError(f"a list was answered {response.status}: {body[:200].decode(errors='replace')}")
    if response.headers[GENERATION] != generation:
        raise AnswerError(f"a list was answered from {response.headers[GENERATION]}, published is {generation}")
    expected, got = line.count(KEY), body.count(KEY.encode())
    if got != expected:
        raise AnswerError(f"a list of {expected} keys was answered with {got} records")
    return got


class _InTurns:
    """Let several threads take turns at one iterator."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines, self._lock = lines, threading.Lock()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        with self._lock:
            return next(self._lines)
