"""Whether a side answers right: a corpus of records, each with what the estimator itself says."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.sides import Body, Reply, Side

TOLERANCE = 5.01e-5  # a probability given with 4 decimal places may be off by half of the last
TIMEOUT_S = 30


class AnswerError(RuntimeError):
    """A side does not answer, or what it says can't be read."""


@dataclass(frozen=True)
class Corpus:
    """Records as lines of a body, each with its right answer.

    Attributes
    ----------
    lines : form -> one line a record, as in the records' file
    listed : form -> the first line of the file of lists
    """

    lines: dict[str, list[str]]
    answers: list[Any]
    listed: dict[str, str]
    list_answers: list[Any]


@dataclass(frozen=True)
class Difference:
    """How far a side's replies are from the estimator's.

    Attributes
    ----------
    labels : replies with another class (or, in order triage, another reply)
    probabilities : replies with a probability that is off by more than rounding to 4 digits explains
    largest : the largest such distance
    """

    records: int
    labels: int
    probabilities: int
    largest: float
    lengths: tuple[int, int]


def compare(replies: Sequence[Reply], answers: Sequence[Any]) -> tuple[int, int, float]:
    """Count the replies with another label and with other probabilities; return these and the largest distance.

    Examples
    --------
    >>> right = {"label": "Deliver", "probabilities": [0.25, 0.75]}
    >>> compare([Reply("Deliver", (0.25, 0.75)), Reply("Decline", (0.5, 0.5))], [right, right])
    (1, 1, 0.25)
    """
    if len(replies) != len(answers):
        raise AnswerError(f"expected {len(answers)} replies, got {len(replies)}")
    labels = probabilities = 0
    largest = 0.0
    for reply, answer in zip(replies, answers, strict=True):
        if reply.label is None:
            labels += reply.content != answer
            continue
        labels += reply.label != answer["label"]
        assert reply.probabilities is not None
        distance = max(abs(a - b) for a, b in zip(reply.probabilities, answer["probabilities"], strict=True))
        probabilities += not distance <= TOLERANCE
        largest = max(largest, distance)
    return labels, probabilities, largest


def ask(port: int, body: Body, line: str) -> bytes:
    """Send one body over a connection of its own; AnswerError with what came where that is not a 200."""
    text = body.before + (line.replace("|", "\n") if body.content_type == "text/csv" else line) + body.after
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("POST", body.path, text.encode(), {"Content-Type": body.content_type, "Accept": "*/*"})
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise AnswerError(f"no answer: {type(error).__name__}: {error}") from error
    finally:
        connection.close()
    if response.status != 200:
        raise AnswerError(f"answered {response.status}: {content[:200].decode(errors='replace')}")
    return content


def check(port: int, side: Side, corpus: Corpus) -> Difference:
    """Ask for every record of the corpus, and, where lists are measured, for the first list."""
    replies, sizes = [], []
    for line in corpus.lines[side.single.form]:
        body = ask(port, side.single, line)
        sizes.append(len(body))
        replies += _read(side, body)
    if side.corpus is None:
        return Difference(len(replies), sum(reply.content != {} for reply in replies), 0, 0.0, (min(sizes), max(sizes)))
    answers = list(corpus.answers)
    if side.listed is not None:
        replies += _read(side, ask(port, side.listed, corpus.listed[side.listed.form]))
        answers += corpus.list_answers
    labels, probabilities, largest = compare(replies, answers)
    return Difference(len(replies), labels, probabilities, largest, (min(sizes), max(sizes)))


def wait_until_right(
    port: int, side: Side, corpus: Corpus, why_ended: Callable[[], str | None], within_s: float
) -> None:
    """Return at the first 200; AnswerError if the side ends, or gives none in time."""
    until = time.monotonic() + within_s
    line = corpus.lines[side.single.form][0]
    while True:
        try:
            ask(port, side.single, line)
            return
        except AnswerError as error:
            if ended := why_ended():
                raise AnswerError(ended) from error
            if time.monotonic() > until:
                raise AnswerError(f"no 200 within {within_s:.0f} s: {error}") from error
        time.sleep(0.005)


def _read(side: Side, body: bytes) -> list[Reply]:
    try:
        return side.read(body)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise AnswerError(f"a reply can't be read ({type(error).__name__}): {body[:200]!r}") from error


def read_plain_corpus(folder: Path) -> Corpus:
    """Read the corpus that `plain/train.py` wrote."""
    content = json.loads((folder / "corpus.json").read_text())
    records = content["records"]
    values = [
        ",".join(json.dumps(int(value) if isinstance(value, bool) else value) for value in record.values())
        for record in records
    ]
    lines = {
        "json": [json.dumps(record) for record in records],
        "keyed": [json.dumps({"record_id": number, **record}) for number, record in enumerate(records)],
        "values": values,
        "csv": [line.replace("null", "") for line in values],
    }
    return Corpus(lines, content["answers"], _first_lists(folder, lines), content["list"])


def read_triage_corpus(folder: Path) -> Corpus:
    """Read the corpus that `harness/prepare.py` wrote."""
    content = json.loads((folder / "corpus.json").read_text())
    lines = {"keys": [json.dumps(key) for key in content["keys"]]}
    return Corpus(lines, content["answers"], _first_lists(folder, lines), content["list"])


def _first_lists(folder: Path, forms: dict[str, list[str]]) -> dict[str, str]:
    first = {}
    for form in forms:
        with (folder / f"lists.{form}").open() as file:
            first[form] = file.readline().rstrip("\n")
    return first
