"""What end-to-end tests share: approval odds from S3 in editions that an answer can be told by, and steady load."""

from __future__ import annotations

import contextlib
import csv
import http.client
import io
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ports import free_port
from s3_server import BUCKET, S3Server
from servers import Answered, Server, ask, ask_over, keys_of, plain_environment

from scoreline.cli.main import run

REFRESH = "/updateccdata"
PROBLEM = "application/problem+json"
CARDS, ISSUERS = "card_variables.csv", "issuer_rules.csv"
EDITION = "the-edition"  # a card whose name is "Edition <number>"
PARITY = ("even-edition", "odd-edition")  # cards that come and go: an edition has the one that its number says


@contextlib.contextmanager
def serving_odds(
    odds: Path, s3: S3Server, folder: Path, catalogue: Catalogue | None, *, name: str = "server", **environment: str
) -> Iterator[Server]:
    """Serve approval odds, from S3 if there is a catalogue; with a state folder of its own, in `folder`."""
    source = {} if catalogue is None else {**s3.environment, "SCORELINE_DATA_URL": catalogue.url}
    with starting(odds, folder / name, "--workers", "4", **{**source, **environment}) as server:
        wait_until_ready(server)
        yield server


@contextlib.contextmanager
def starting(app: Path, folder: Path, *options: str, **environment: str) -> Iterator[Server]:
    """Start a server whose state folder is `folder`/state; it need not come up."""
    folder.mkdir(exist_ok=True)
    server = Server(app, folder, "--state", str(folder / "state"), *options, environment=environment)
    server.state = folder / "state"
    try:
        yield server
    finally:
        server.stop()


class Stock:
    """Order triage whose stock is counted anew: in edition k all inventories are 1,000 k more, and answers tell."""

    def __init__(self, app: Path) -> None:
        self.app, self._path = app, app / "data/inventory.csv"
        head, *self._rows = list(csv.reader(self._path.read_text().splitlines()))
        assert head == ["sku_code", "timestamp", "inventory"]
        assert max(int(row[2]) for row in self._rows) < 1000
        self.bodies = [json.dumps(key).encode() for key in keys_of(app)]

    def count(self, edition: int) -> None:
        """Write the raw table."""
        rows = "".join(f"{sku},{at},{int(stock) + 1000 * edition}\n" for sku, at, stock in self._rows)
        self._path.write_text(f"sku_code,timestamp,inventory\n{rows}")

    @staticmethod
    def read(answer: Answered) -> int | None:
        """Return the edition that an answer comes from; None where the reason is another than stock."""
        inventory = answer.json()["reason"].get("inventory")
        return None if inventory is None else int(inventory) // 1000


def scoreline_in_process(*arguments: str) -> str:
    """Run a command of scoreline that must do well; return what it printed."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        for name in os.environ.keys() - plain_environment().keys():
            patch.delenv(name)
        assert run(list(arguments)) == 0
    return printed.getvalue()


def scoreline(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of scoreline in a process of its own."""
    command = [sys.executable, "-m", "scoreline", *arguments]
    return subprocess.run(
        command, env=plain_environment(**environment), capture_output=True, text=True, timeout=100, check=False
    )


def wait_until_ready(server: Server) -> None:
    """Return when the server says that it is ready: the builder is up too."""
    server.wait_until_ready()


class Catalogue:
    """Reference tables of approval odds in a folder of S3. Each edition of the cards can be told by one request.

    Attributes
    ----------
    url : what SCORELINE_DATA_URL is set to
    issuers : a good issuer_rules.csv
    """

    def __init__(self, objects: Any, prefix: str, data: Path) -> None:
        self.url = f"s3://{BUCKET}/{prefix}/"
        self._objects, self._prefix = objects, prefix
        self.issuers = (data / ISSUERS).read_bytes()
        self._cards = (data / CARDS).read_text()
        assert self._cards.endswith("\n")

    def edition(self, number: int) -> bytes:
        """Return card_variables.csv of an edition: one card is renamed, and one of two comes, the other goes."""
        terms = "ACHIEVA CREDIT UNION,Edition {},0,300,10,20,false,none,false,false,\n"
        rows = "".join(f"{card},{terms.format(number)}" for card in (EDITION, PARITY[number % 2]))
        return (self._cards + rows).encode()

    def put(self, number: int) -> None:
        """Put an edition of the cards into S3."""
        self.put_file(CARDS, self.edition(number))

    def put_file(self, name: str, content: bytes) -> None:
        """Put a file into S3."""
        self._objects.put_object(Bucket=BUCKET, Key=f"{self._prefix}/{name}", Body=content)

    def remove(self, name: str) -> None:
        """Remove a file from S3."""
        self._objects.delete_object(Bucket=BUCKET, Key=f"{self._prefix}/{name}")


def applicant(**options: Any) -> dict[str, Any]:
    """Return somebody who wants to know the odds, with options for the reply."""
    person = {
        "applicant_id": "P1",
        "credit_score": 700,
        "annual_income": 50_000,
        "monthly_debt": 300,
        "open_accounts": 3,
        "derogatory_marks": 0,
        "recent_inquiries": 1,
        "months_at_address": 20,
        "years_employed": 3,
        "housing": "rent",
        "state": "NY",
    }
    return {**person, **options}


WHICH_EDITION = json.dumps(applicant(card_ids=[EDITION, *PARITY])).encode()


def read_edition(answer: Answered) -> int:
    """Return the edition that an answer to WHICH_EDITION comes from; fail if it mixes two."""
    reply = answer.json()
    names = {card["card_id"]: card["name"] for card in reply["cards"]}
    number = int(names[EDITION].removeprefix("Edition "))
    there, gone = PARITY[number % 2], PARITY[1 - number % 2]
    assert names == {EDITION: f"Edition {number}", there: f"Edition {number}"}
    assert (reply["unknown_card_ids"], reply["offered"]) == ([gone], 2)
    return number


def refresh(server: Server, query: str = "") -> Answered:
    """Do what `curl localhost:8080/updateccdata` does."""
    return ask(server.port, "GET", REFRESH + query, headers={"User-Agent": "curl/8.5.0", "Accept": "*/*"})


def ask_afresh(port: int, body: bytes = WHICH_EDITION) -> Answered:
    """Ask for predictions over a connection of its own, as cheaply as it can be done."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(
            b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        pieces = []
        while piece := connection.recv(65536):
            pieces.append(piece)
    head, _, content = b"".join(pieces).partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    missing = int(headers["Content-Length"]) - len(content)
    if missing:
        raise http.client.IncompleteRead(content, missing)
    return Answered(int(first.split()[1]), headers, content)


def generation_of(answer: Answered) -> str:
    """Return the name of the generation that an answer comes from."""
    return answer.headers["X-Scoreline-Generation"]


def number_of(answer: Answered) -> int:
    """Return the number of the generation that an answer comes from."""
    return int(generation_of(answer).split("-")[0])


def seen_by_fresh_connections(port: int, count: int) -> Counter[tuple[int, str, int]]:
    """Ask over so many fresh connections, four at a time; count (status, generation, edition)."""

    def look(_: int) -> tuple[int, str, int]:
        answer = ask_afresh(port)
        return answer.status, generation_of(answer), read_edition(answer)

    with ThreadPoolExecutor(4) as pool:
        return Counter(pool.map(look, range(count)))


class Load:
    """Steady requests by a few threads, half of them over connections that stay, half over new ones.

    Attributes
    ----------
    answers : how often each (generation, `read` of the answer) came
    failures : what went wrong: no answer, another status than 200, a number that went back
    """

    def __init__(
        self, port: int, bodies: Sequence[bytes], read: Callable[[Answered], Hashable], threads: int = 4
    ) -> None:
        self.answers: Counter[tuple[str, Hashable]] = Counter()
        self.failures: list[str] = []
        self._port, self._bodies, self._read = port, bodies, read
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(n, n % 2 == 0)) for n in range(threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def answered(self) -> int:
        """How many requests were answered as they should."""
        return sum(self.answers.values())

    def _ask(self, first: int, stays: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        number = 0
        with contextlib.closing(connection):
            for turn in itertools.count(first):
                if self._stop.wait(0.02):
                    return
                body = self._bodies[turn % len(self._bodies)]
                try:
                    if stays:
                        answer = ask_over(connection, "POST", "/invocations", body)
                    else:
                        answer = ask_afresh(self._port, body)
                    assert answer.status == 200, f"{answer.status} {answer.body!r}"
                    assert number_of(answer) >= number, f"{generation_of(answer)} after {number}"
                    number = number_of(answer)
                    seen = (generation_of(answer), self._read(answer))
                except Exception as error:
                    connection.close()
                    self.failures.append(repr(error))
                else:
                    with self._lock:
                        self.answers[seen] += 1


def nowhere() -> dict[str, str]:
    """Return the settings of an S3 that is away: nobody listens at its endpoint."""
    return {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{free_port()}"}
