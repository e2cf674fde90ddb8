"""Progress of the jobs of a Spark session: tasks that are done, of those that are known."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scoreline.progress import Progress

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_LOOK_EVERY_S = 0.5


@contextlib.contextmanager
def job_progress(session: SparkSession, label: str) -> Iterator[None]:
    """Count the tasks of what is run inside; nothing is shown where the session can't tell (Spark Connect)."""
    try:
        tracker: Any = session.sparkContext.statusTracker()
    except Exception:  # a session without a context of its own
        yield
        return
    ended = threading.Event()
    with Progress(label, None, "tasks") as progress:
        watcher = threading.Thread(target=_watch, args=(tracker, progress, ended), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()


def _watch(tracker: Any, progress: Progress, ended: threading.Event) -> None:
    done: dict[int, int] = {}
    while not ended.wait(_LOOK_EVERY_S):
        for stage in tracker.getActiveStageIds():
            info = tracker.getStageInfo(stage)
            if info is not None:
                progress.advance(info.numCompletedTasks - done.get(stage, 0))
                done[stage] = info.numCompletedTasks
