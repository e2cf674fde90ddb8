"""One side's build in this process; `benchmarks/feature_build.py` runs `python builds/part.py SIDE DATA OUT THREADS`.

What a side did is printed as JSON in the last line. SIDE `values` prints a digest of the feature table in OUT instead.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parents[1])  # not this folder: the benchmarks'


def run(side: str, data: Path, out: Path, threads: int) -> dict[str, Any]:
    """Run a side; it alone is imported, since not all are installed together."""
    if side == "ours":
        from builds.ours import build_ours

        return build_ours(data, out, threads)
    if side == "pandas":
        from builds.with_pandas import build_with_pandas

        return build_with_pandas(data, out, threads)
    if side == "values":
        from builds.tables import digest

        return {"values": digest(out / "feature.parquet")}
    from builds.plain_sql import TIME, build_with_sql

    return build_with_sql(data, out, threads, moment={"sql": TIME, "sql-no-zones": "TIMESTAMP"}[side])


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))))
