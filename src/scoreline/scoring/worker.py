"""A process that scores partitions: it reads them from stdin, a JSON line each, and tells what it does on stdout.

A process of its own, started by command rather than forked: numeric libraries are held to one thread before they load,
and stores are opened where they are read.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import msgspec

from scoreline.app.load import load_app
from scoreline.errors import ScorelineError, ScoringError
from scoreline.generations.state import StateFolder
from scoreline.scoring.partitions import Partition
from scoreline.scoring.reading import read_pieces
from scoreline.scoring.score import PartReport, Scorer, at_once
from scoreline.scoring.source import Format, fetch_object
from scoreline.scoring.writing import Layout, open_writer
from scoreline.serving.process import end_with_parent
from scoreline.serving.service import Service
from scoreline.settings import resolve_settings
from scoreline.store.events import EVENTS_FILE

_TELL_EVERY_S = 0.2


class Setup(msgspec.Struct, frozen=True):
    """What all partitions of a run have in common.

    Attributes
    ----------
    state : the state folder with the generation that is answered from
    request, inputs : which kinds of record there may be, as `Layout` takes them
    """

    state: str
    format: Format
    request: bool
    inputs: bool
    top: int | None


class Task(msgspec.Struct, frozen=True):
    """A partition, and the file to build its part in."""

    partition: Partition
    out: str


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a worker tells: records that it has scored since; at the end of a partition its report, or an error."""

    scored: int = 0
    report: PartReport | None = None
    error: str | None = None


def main() -> None:
    """Work until stdin ends."""
    end_with_parent()
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the app's own code prints is no message of ours

    def tell(told: Told) -> None:
        out.write(msgspec.json.encode(told) + b"\n")
        out.flush()

    try:
        _work(sys.stdin.buffer, tell)
    except ScorelineError as error:
        tell(Told(error=str(error)))


def _work(lines: IO[bytes], tell: Callable[[Told], None]) -> None:
    setup = msgspec.json.decode(lines.readline(), type=Setup)
    settings = replace(resolve_settings(), store=None)  # its generation lies beside the output
    app = load_app(settings.app)
    events = settings.state if (settings.state / EVENTS_FILE).exists() else None
    service = Service(app, settings, StateFolder(Path(setup.state)), events)
    layout = Layout(app, request=setup.request, inputs=setup.inputs)
    gc.collect()
    gc.freeze()
    for line in lines:
        task = msgspec.json.decode(line, type=Task)
        tell(Told(report=score_partition(service, setup, layout, task, lambda n: tell(Told(scored=n)))))


def score_partition(
    service: Service, setup: Setup, layout: Layout, task: Task, advance: Callable[[int], None]
) -> PartReport:
    """Score one partition into a file.

    Parameters
    ----------
    advance : told now and then how many more records were scored

    Raises
    ------
    ScorelineError
        The partition can't be read, or what is answered from can't be.
    """
    part, parts = task.partition, service.current()
    scorer = Scorer(service, parts, part.file, setup.top)
    writer = open_writer(Path(task.out), setup.format, layout)
    waiting, tell_at = 0, time.monotonic() + _TELL_EVERY_S
    try:
        with _local(part, Path(task.out).parent) as path:
            for piece in read_pieces(service.app, service.schema, part, path, at_once(parts)):
                writer.write(scorer.score(piece))
                waiting += len(piece.places)
                if time.monotonic() >= tell_at:
                    advance(waiting)
                    waiting, tell_at = 0, time.monotonic() + _TELL_EVERY_S
        advance(waiting)
    except OSError as error:
        raise ScoringError(f"{error.filename or task.out}: {error.strerror}") from error
    finally:
        writer.close()
    return scorer.finish()


@contextmanager
def _local(part: Partition, folder: Path) -> Iterator[Path]:
    """Give the partition's file: where it is, or a copy of the object for as long as it is read."""
    if part.etag is None:
        path = Path(part.path)
        before = _stamp(path)
        yield path
        if _stamp(path) != before:
            raise ScoringError(f"{part.path}: was written to while it was read. Run `scoreline score` again.")
        return
    with tempfile.TemporaryDirectory(prefix="input-", dir=folder) as into:
        yield fetch_object(part.path, part.etag, Path(into))


def _stamp(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns


if __name__ == "__main__":
    main()
