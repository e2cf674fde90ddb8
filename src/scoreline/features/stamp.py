"""The stamp: what says that a feature table and its online store are whole and belong together."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scoreline.errors import StampError
from scoreline.features.plan import Plan
from scoreline.files import finish_commit, sha256_of

FORMAT = 1
STAMP_FILE, CSV_FILE, PARQUET_FILE, TARGETS_FILE = (
    "feature.stamp.json",
    "feature.csv",
    "feature.parquet",
    "targets.parquet",
)
_AGAIN = "Run `scoreline feature` again."


@dataclass(frozen=True)
class Stamp:
    """What the last `feature` run made.

    Attributes
    ----------
    digest : of the content; equal on two hosts with equal data and plan
    plan : digest of the plan
    columns : the feature table's columns, name -> type as JSON-able data
    files : path in the results folder -> size in bytes and SHA-256
    store : path of the online store in the results folder; None where requests bring all that features need
    tables : table -> file, rows read, rows set aside, newest event time
    events : number of the last ingested row that was folded in; 0 for none
    """

    digest: str
    plan: str
    rows: int
    columns: dict[str, Any]
    files: dict[str, dict[str, Any]]
    store: str | None
    tables: dict[str, dict[str, Any]]
    events: int = 0
    format: int = FORMAT

    def encode(self) -> bytes:
        """Return the stamp as the bytes of its file."""
        return (json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n").encode()


def describe_file(path: Path) -> dict[str, Any]:
    """Return what a stamp keeps of a file."""
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


def read_stamp(results: Path, *, verify: bool = True) -> Stamp:
    """Read the stamp of a results folder and check every file that it names.

    Raises
    ------
    StampError
        There is no feature table, it is not stamped, or a file is missing or differs (torn).
    """
    if results.is_dir():
        finish_commit(results)
    path = results / STAMP_FILE
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        if (results / PARQUET_FILE).exists() or (results / CSV_FILE).exists():
            raise StampError(f"{results}: its feature table has no stamp ({STAMP_FILE}). {_AGAIN}") from error
        raise StampError(f"{results}: no feature table here. Run `scoreline feature` first.") from error
    except (OSError, ValueError) as error:
        raise StampError(f"{path}: can't be read as a stamp ({error}). {_AGAIN}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise StampError(f"{path}: is not a stamp of format {FORMAT}, the one that this version reads. {_AGAIN}")
    try:
        stamp = Stamp(**content)
    except TypeError as error:
        raise StampError(f"{path}: is not a whole stamp ({error}). {_AGAIN}") from error
    if verify:
        _verify(results, stamp)
    return stamp


def feature_table_of(results: Path) -> str | None:
    """Return the digest of the feature table of a results folder, None where there is none with a store."""
    try:
        stamp = read_stamp(results, verify=False)
    except StampError:
        return None
    return None if stamp.store is None else stamp.digest


def check_plan(stamp: Stamp, plan: Plan, results: Path) -> None:
    """Raise StampError, naming the column where one differs, if the feature table is of another `app.py`."""
    if stamp.plan == plan.digest:
        return
    now = {name: kind.describe() for name, kind in plan.columns.items()}
    for name in [*now, *stamp.columns]:
        if stamp.columns.get(name) != now.get(name):
            raise StampError(
                f"{results}: column '{name}' of the feature table is {stamp.columns.get(name, 'missing')}, app.py "
                f"declares {now.get(name, 'none')}. Run `scoreline feature` again."
            )
    raise StampError(
        f"{results}: the feature table was built by another app.py (a table or a feature function differs). "
        "Run `scoreline feature` again."
    )


def _verify(results: Path, stamp: Stamp) -> None:
    for name, expected in stamp.files.items():
        path = results / name
        if not path.is_file():
            raise StampError(f"{path}: is missing, the feature table is torn. {_AGAIN}")
        size = path.stat().st_size
        if size != expected["bytes"]:
            raise StampError(f"{path}: has {size:,} bytes, its stamp says {expected['bytes']:,}: it is torn. {_AGAIN}")
        if sha256_of(path) != expected["sha256"]:
            raise StampError(f"{path}: its content is not what its stamp says: it was changed or torn. {_AGAIN}")
