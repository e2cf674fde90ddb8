"""The check at the end of `feature`: schema, nulls, and random rows against a plain Python loop."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scoreline.app.features import Latest, Lookup, live_order
from scoreline.app.table import Column
from scoreline.errors import FeatureError
from scoreline.features.arrays import apply_functions
from scoreline.features.engines.interface import Engine, FindsNewest
from scoreline.features.plan import Join, Plan
from scoreline.store.embedded import EmbeddedStore
from scoreline.store.states import UNTIMED_US, Wanted
from scoreline.tables.read import LINE
from scoreline.tables.typed import arrow_type

ROWS = 200
_MISMATCH = "the feature table failed its own check and nothing was replaced"


def newest_rows(plan: Plan, join: Join, engine: Engine, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any] | None]:
    """Find for each row the newest event of its key by then; of several at one instant the last in the file."""
    spec = join.table
    wanted = [pa.array([row[name] for row in rows], arrow_type(spec.columns[name])) for name in spec.key]
    code = _coder(wanted)
    own = code(wanted)
    until = [np.datetime64(row[plan.spine.time or ""], "us") for row in rows]
    best: list[tuple[np.datetime64, int, dict[str, Any]] | None] = [None] * len(rows)
    for batch in engine.rows_of(spec, rows):
        codes = code([batch.column(name) for name in spec.key])
        times, lines = batch.column(spec.time).to_numpy(), batch.column(LINE).to_numpy()
        order = np.argsort(codes, kind="stable")
        begins, ends = (np.searchsorted(codes[order], own, side=side) for side in ("left", "right"))
        for i, (begin, end) in enumerate(zip(begins, ends, strict=True)):
            events = order[begin:end]
            events = events[times[events] <= until[i]]
            if len(events):
                events = events[times[events] == times[events].max()]
                last = events[lines[events].argmax()]
                found = best[i]
                if found is None or (times[last], lines[last]) > found[:2]:
                    best[i] = times[last], lines[last], batch.slice(last, 1).to_pylist()[0]
    return [None if found is None else found[2] for found in best]


def check_features(
    plan: Plan,
    engine: Engine,
    parquet: Path,
    store: Path | None,
    lines: np.ndarray[Any, Any],
    *,
    since_us: int | None = None,
    newest: FindsNewest = newest_rows,
) -> int:
    """Check a feature table that was just built; return how many rows were compared.

    Parameters
    ----------
    store : its online store; None where the app has none
    lines : int64, for each row of the feature table its line in the spine's file
    since_us : how far back the store keeps rows of the joined tables; None: all of them
    newest : how the events of the rows that are compared are found

    Raises
    ------
    FeatureError
        Anything differs: the message names the feature and the line.
    """
    rng = random.Random(0)  # noqa: S311 (a sample, not a secret)
    positions = sorted(rng.sample(range(len(lines)), min(ROWS, len(lines))))
    with pq.ParquetFile(parquet) as file:
        _check_schema(plan, file, engine.count(plan.spine))
        built = _rows_at(plan, file, positions)
    if not positions:
        return 0
    plain = plain_rows(plan, engine, lines[positions].tolist(), newest)
    reader = None if store is None else EmbeddedStore(store)
    for position, got, expected in zip(positions, built, plain, strict=True):
        for name, value in expected.items():
            if got[name] != value:
                raise FeatureError(
                    f"{_MISMATCH}: line {lines[position]}, '{name}' is {got[name]!r}, a plain loop gives {value!r}"
                )
        if reader is not None and (reader.get(tuple(got[n] for n in plan.spine.key)) or [])[: len(got)] != store_row(
            list(got.values())
        ):
            raise FeatureError(f"{_MISMATCH}: line {lines[position]} is not in the online store as in the table")
    if reader is not None:
        _check_states(plan, reader, built, since_us)
    if reader is not None:
        reader.close()
    return len(positions)


def _check_states(plan: Plan, store: EmbeddedStore, built: Sequence[dict[str, Any]], since_us: int | None) -> None:
    """Check that the rows kept for what comes later give each row of the table what it has."""
    for row in built:
        plain = dict(zip(row, store_row(list(row.values())), strict=True))
        as_of_us = UNTIMED_US if plan.spine.time is None else plain[plan.spine.time]
        joins = [join for join in plan.kept if all(part in plain for part in join.table.key)]
        if since_us is not None and as_of_us < since_us:
            continue
        wanted = [Wanted(join.table.name, tuple(plain[part] for part in join.table.key), as_of_us) for join in joins]
        for join, state in zip(joins, store.newest(wanted), strict=True):
            found = {} if state is None else dict(zip(join.taken, state.values, strict=True))
            for name, column in join.columns.items():
                if found.get(column) != plain[name]:
                    raise FeatureError(
                        f"{_MISMATCH}: '{name}' of {tuple(row[n] for n in plan.spine.key)} is {plain[name]!r}, the "
                        f"store's rows of '{join.table.name}' give {found.get(column)!r}"
                    )


def plain_rows(
    plan: Plan, engine: Engine, lines: Sequence[int], newest: FindsNewest = newest_rows
) -> list[dict[str, Any]]:
    """Compute feature rows one at a time, with plain loops over the loaded tables."""
    rows = engine.rows_at(plan.spine, lines)
    events: dict[str, list[dict[str, Any] | None]] = {}
    others: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = {}
    for join in plan.joins:
        spec = join.table
        if spec.time is not None:
            events[spec.name] = newest(plan, join, engine, rows)
            continue
        by_key = others.setdefault(spec.name, {})
        by_spine = all(part in plan.spine.columns for part in spec.key)
        batches = engine.rows_of(spec, rows) if by_spine else engine.all_rows(spec)
        for other in (row for batch in batches for row in batch.to_pylist()):
            by_key[tuple(other[name] for name in spec.key)] = other
    return [
        _plain_row(plan, row, {name: found[i] for name, found in events.items()}, others) for i, row in enumerate(rows)
    ]


def _coder(wanted: Sequence[pa.Array]) -> Callable[[Sequence[pa.Array]], np.ndarray[Any, Any]]:
    """Make a function from keys to numbers: the same for equal keys, one more than any for keys that are not wanted."""
    steps: list[tuple[pa.Array, np.ndarray[Any, Any]]] = []

    def code(keys: Sequence[pa.Array]) -> np.ndarray[Any, Any]:
        codes = np.zeros(len(keys[0]), np.int64)
        for key, (values, known) in zip(keys, steps, strict=False):
            combined = codes * (len(values) + 1) + _place_in(key, values)
            place = np.minimum(np.searchsorted(known, combined), len(known) - 1)
            codes = np.where(known[place] == combined, place, len(known))
        return codes

    for part, key in enumerate(wanted):
        values = pc.unique(key)
        steps.append((values, np.unique(code(wanted[: part + 1]) * (len(values) + 1) + _place_in(key, values))))
    return code


def _place_in(key: pa.Array, values: pa.Array) -> np.ndarray[Any, Any]:
    return pc.fill_null(pc.index_in(key, value_set=values), len(values)).to_numpy().astype(np.int64)


def store_row(values: Sequence[Any]) -> list[Any]:
    """Return a feature table row as the online store keeps it: times as microseconds."""
    epoch = datetime(1970, 1, 1)
    return [(value - epoch) // _MICROSECOND if isinstance(value, datetime) else value for value in values]


_MICROSECOND = datetime.resolution


def _plain_row(
    plan: Plan,
    row: dict[str, Any],
    newest: dict[str, dict[str, Any] | None],
    others: dict[str, dict[tuple[Any, ...], dict[str, Any]]],
) -> dict[str, Any]:
    known: dict[str, Any] = dict(row)
    for feature in live_order(plan.features):
        if isinstance(feature.source, Column):
            known[feature.name] = row[feature.source.name]
        elif isinstance(feature.source, (Latest, Lookup)):
            column = feature.source.column
            spec = column.table.spec
            key = tuple(row[name] if name in row else known[name] for name in spec.key)
            found = newest[spec.name] if spec.name in newest else others[spec.name].get(key)
            known[feature.name] = None if found is None else found[column.name]
    types = dict(plan.spine.columns) | {f.name: f.type for f in plan.features if not f.is_function}
    arrays = {name: pa.array([known[name]], arrow_type(kind)) for name, kind in types.items()}
    return {name: values[0].as_py() for name, values in apply_functions(plan, arrays, 1).items()}


def _check_schema(plan: Plan, file: pq.ParquetFile, rows: int) -> None:
    expected = pa.schema([(name, arrow_type(kind)) for name, kind in plan.columns.items()])
    if not file.schema_arrow.equals(expected):
        raise FeatureError(f"{_MISMATCH}: its columns are {file.schema_arrow}, expected {expected}")
    if file.metadata.num_rows != rows:
        raise FeatureError(f"{_MISMATCH}: it has {file.metadata.num_rows} rows, expected {rows}")


def _rows_at(plan: Plan, file: pq.ParquetFile, positions: Sequence[int]) -> list[dict[str, Any]]:
    """Read some rows, and on the way make sure that no key and no event time is null."""
    rows: list[dict[str, Any]] = []
    first = 0
    for batch in file.iter_batches():
        for name in plan.spine.required:
            if nulls := batch.column(name).null_count:
                raise FeatureError(f"{_MISMATCH}: '{name}' is null in {nulls} rows")
        here = [position - first for position in positions if first <= position < first + batch.num_rows]
        rows += batch.take(pa.array(here, pa.int64())).to_pylist()
        first += batch.num_rows
    return rows
