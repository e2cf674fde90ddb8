"""Scoreline's side: what `scoreline feature` does."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.child import REPOSITORY

from scoreline.app.load import load_app
from scoreline.features import build
from scoreline.store.writer import StoreWriter

MAX_BAD = {"max_bad_percent": 1.0, "max_bad_rows": 20}


def build_ours(data: Path, out: Path, threads: int) -> dict[str, Any]:
    """Build everything, and say what the store and the self-check took of it: the other sides have neither."""
    apart = {"apart_wall_s": 0.0, "apart_cpu_s": 0.0}

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            begin = time.perf_counter(), time.process_time()
            try:
                return function(*arguments, **named)
            finally:
                apart["apart_wall_s"] += time.perf_counter() - begin[0]
                apart["apart_cpu_s"] += time.process_time() - begin[1]

        return call

    StoreWriter.add_batch = timed(StoreWriter.add_batch)  # type: ignore[method-assign]
    StoreWriter.__exit__ = timed(StoreWriter.__exit__)  # type: ignore[method-assign]
    build.History.write = timed(build.History.write)  # type: ignore[method-assign]
    build.check_features = timed(build.check_features)
    app = load_app(REPOSITORY / "apps/order_triage")
    report = build.build_features(app, data, out, threads=threads, **MAX_BAD)
    return {"rows": report.rows, **{name: round(value, 3) for name, value in apart.items()}}
