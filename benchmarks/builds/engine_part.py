"""One engine's build in this process, for `engines.py`: `python builds/engine_part.py ENGINE DATA OUT MASTER`.

ENGINE is `duckdb`, `spark` (results in a folder, store and all) or `spark-parts` (`--output`: in parts, no store).
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parents[1])  # not this folder: the benchmarks'

from harness.child import REPOSITORY

from scoreline.app.load import load_app

THREADS = 2
CONF = {
    "spark.driver.memory": "1g",
    "spark.executor.memory": "2g",
    "spark.executor.cores": "1",
    "spark.cores.max": str(THREADS),
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.log.level": "ERROR",
    "spark.sql.shuffle.partitions": "16",
}


def run(engine: str, data: Path, out: Path, master: str) -> dict[str, Any]:
    """Build; what a session takes to start is told apart."""
    app = load_app(REPOSITORY / "apps/order_triage")
    if engine == "duckdb":
        from scoreline.features.build import build_features

        begin = time.perf_counter()
        report = build_features(app, data, out, threads=THREADS, max_bad_percent=1.0, max_bad_rows=20)
        return {"build_s": round(time.perf_counter() - begin, 2), "start_s": 0.0, "rows": report.rows}
    from scoreline.distributed.session import open_session
    from scoreline.features.spread import Tables, build_features_at, build_features_in

    begin = time.perf_counter()
    session = open_session(master, conf=CONF)
    started = time.perf_counter()
    if engine == "spark":
        report = build_features_in(out, app, session, Tables(data))
    else:
        report = build_features_at(str(out), app, session, Tables(data))
    taken = {"build_s": round(time.perf_counter() - started, 2), "start_s": round(started - begin, 2)}
    session.stop()
    return {**taken, "rows": report.rows}


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])))
