"""The embedded engine: DuckDB runs a plan over the tables of one machine.

Rows go into DuckDB as they are read, so memory stays bounded (DuckDB spills to its work folder).
The as-of join is DuckDB's ASOF JOIN, linear in the rows of a key. Of tied rows it would take the
first, so it is given an order without ties: by time, then by line in the file, both in one number.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from scoreline.app.columns import Category
from scoreline.app.features import Feature, Latest, Lookup
from scoreline.app.table import Column, TableSpec
from scoreline.errors import FeatureError
from scoreline.features.engines.loads import TableLoad
from scoreline.features.plan import Join, Plan
from scoreline.progress import Progress
from scoreline.store.states import UNTIMED_US
from scoreline.tables.read import LINE, TableFile
from scoreline.tables.rejected import Rejected, double
from scoreline.tables.typed import arrow_type

BATCH_ROWS = 1 << 17
_MEMORY_MB = 1920  # of DuckDB, which takes most of the machine otherwise; beyond it, it spills
_LINES = 1 << 40  # more than a file has; times a moment in microseconds is what a HUGEINT holds
_BAD = "__bad"  # names of our own begin with two underscores, so that they never meet an app's


class EmbeddedEngine:
    """DuckDB over tables loaded once. A context manager; `work_dir` takes what does not fit in memory.

    Parameters
    ----------
    threads : int
        How many threads DuckDB may use.
    """

    def __init__(self, work_dir: Path, threads: int) -> None:
        self._db = duckdb.connect(str(work_dir / "tables.duckdb"))
        self._db.execute(f"SET threads = {int(threads)}")
        self._db.execute(f"SET memory_limit = '{_MEMORY_MB}MiB'")
        self._db.execute(f"SET temp_directory = {_text(str(work_dir / 'spill'))}")
        self._db.execute("SET enable_progress_bar = false")

    def __enter__(self) -> EmbeddedEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def load(self, file: TableFile, *, unique_key: bool) -> TableLoad:
        """Read a table into the engine.

        Parameters
        ----------
        unique_key : bool
            Of rows with one key the first stays and the others are set aside (the spine, tables
            without time).
        """
        spec = file.spec
        load = TableLoad(spec, file.path)
        columns = ", ".join(f"{_name(name)} {_SQL_TYPES[arrow_type(kind)]}" for name, kind in spec.columns.items())
        self._db.execute(f"CREATE OR REPLACE TABLE {_name(spec.name)} ({columns}, {LINE} BIGINT)")
        with Progress(f"reading {file.path.name}", None, "rows") as progress:
            for chunk in file.chunks():
                self._insert(spec.name, chunk.rows)
                load.rejected += chunk.rejected
                load.rows_read += chunk.rows_read
                progress.advance(chunk.rows_read)
        load.files = file.files
        if unique_key:
            load.rejected += self._set_duplicates_aside(spec, file)
        for name, kind in spec.columns.items():
            if isinstance(kind, Category) and (unknown := self._unknown(spec.name, name, kind)):
                load.unknown[name] = unknown
        return load

    def add(self, spec: TableSpec, batches: Iterator[pa.Table]) -> int:
        """Add rows to a loaded table, `LINE` among their columns; return how many.

        In a table without time each replaces the row of its key; of several of one key the last stays.
        """
        added, keys = 0, ", ".join(_name(name) for name in spec.key)
        for rows in batches:
            added += rows.num_rows
            self._insert(spec.name, rows)
        if added and spec.time is None:
            last = f"SELECT max({LINE}) FROM {_name(spec.name)} GROUP BY {keys}"
            self._db.execute(f"DELETE FROM {_name(spec.name)} WHERE {LINE} NOT IN ({last})")
        return added

    def joined(self, plan: Plan) -> Iterator[pa.RecordBatch]:
        """Run the plan's joins.

        Yields
        ------
        pa.RecordBatch
            The spine's columns, the features that are no functions (hiding a spine column of their
            name) and `LINE`; one row for each spine row, in the order of the file.
        """
        direct = {f.name: f for f in plan.features if not f.is_function}
        own = [f"s.{_name(name)}" for name in plan.spine.columns if name not in direct]
        features = [f"{_feature_sql(plan, f)} AS {_name(f.name)}" for f in direct.values()]
        joins = " ".join(_join_sql(plan, join, index) for index, join in enumerate(plan.joins))
        query = (
            f"SELECT {', '.join([*own, *features, f's.{LINE}'])} FROM {_name(plan.spine.name)} AS s {joins} "
            f"ORDER BY s.{LINE}"
        )
        with _translated():
            yield from self._db.sql(query).to_arrow_reader(BATCH_ROWS)

    def states(self, join: Join, since_us: int | None) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a joined table as the online store keeps them, in any order.

        Parameters
        ----------
        since_us : keep what happened after this moment in microseconds, and of each key the newest row at or
            before it; None: keep all

        Yields
        ------
        pa.RecordBatch
            The key, the columns that features take, then time in microseconds and line (int64).
        """
        spec = join.table
        wanted = [_name(name) for name in (*spec.key, *join.taken)]
        moment = str(UNTIMED_US) if spec.time is None else f"epoch_us({_name(spec.time)})"
        columns = [f"{name} AS __{place}" for place, name in enumerate(wanted)]
        query = f"SELECT {', '.join(columns)}, {moment}::BIGINT AS __time, {LINE} FROM {_name(spec.name)}"
        if spec.time is not None and since_us is not None:
            keys, last = ", ".join(_name(name) for name in spec.key), f"{_moment_sql(_name(spec.time))} + {LINE}"
            before = (
                f"SELECT arg_max({LINE}, {last}) FROM {_name(spec.name)} WHERE {moment} <= {since_us} GROUP BY {keys}"
            )
            query += f" WHERE {moment} > {since_us} OR {LINE} IN ({before})"
        with _translated():
            yield from self._db.sql(query).to_arrow_reader(BATCH_ROWS)

    def spine_rows(self, spec: TableSpec, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield columns of a loaded table in the order of the file."""
        names = ", ".join(_name(name) for name in columns)
        query = f"SELECT {names} FROM {_name(spec.name)} ORDER BY {LINE}"
        with _translated():
            yield from self._db.sql(query).to_arrow_reader(BATCH_ROWS)

    def count(self, spec: TableSpec) -> int:
        """Return how many good rows a loaded table has."""
        return int(self._one(f"SELECT count(*) FROM {_name(spec.name)}"))

    def newest(self, spec: TableSpec, until_us: int) -> int | None:
        """Return the newest event time of a loaded table by a moment in microseconds, None without rows or time."""
        if spec.time is None:
            return None
        moment = f"epoch_us({_name(spec.time)})"
        value = self._one(f"SELECT max({moment}) FROM {_name(spec.name)} WHERE {moment} <= {until_us:d}")
        return None if value is None else int(value)

    def rows_at(self, spec: TableSpec, lines: Sequence[int]) -> list[dict[str, Any]]:
        """Return the loaded rows at some lines, ordered by line."""
        self._register("__wanted", pa.table({LINE: pa.array(lines, pa.int64())}))
        return self._list(f"SELECT t.* FROM {_name(spec.name)} t SEMI JOIN __wanted USING ({LINE}) ORDER BY {LINE}")

    def rows_of(self, spec: TableSpec, rows: Sequence[dict[str, Any]]) -> Iterator[pa.RecordBatch]:
        """Yield the loaded rows of a table whose key is that of one of `rows`, in any order."""
        keys = {name: pa.array([r[name] for r in rows], arrow_type(spec.columns[name])) for name in spec.key}
        self._register("__wanted", pa.table(keys))
        using = ", ".join(_name(name) for name in spec.key)
        with _translated():
            query = f"SELECT t.* FROM {_name(spec.name)} t SEMI JOIN __wanted USING ({using})"
            yield from self._db.sql(query).to_arrow_reader(BATCH_ROWS)

    def all_rows(self, spec: TableSpec) -> Iterator[pa.RecordBatch]:
        """Yield all rows of a loaded table, in any order."""
        with _translated():
            yield from self._db.sql(f"SELECT * FROM {_name(spec.name)}").to_arrow_reader(BATCH_ROWS)

    def reached(self, plan: Plan, join: Join, rejected: Sequence[Rejected]) -> list[dict[str, Any]]:
        """List the spine rows that rows set aside would have reached.

        Parameters
        ----------
        rejected : unreadable rows of the join's table; those without a readable key can't be told

        Returns
        -------
        list of dict
            `LINE` (of the row set aside) and the spine row's key columns, in the spine's order.
        """
        known = [row for row in rejected if row.key is not None]
        if not known:
            return []
        spec = join.table
        keys = {
            name: pa.array([row.key[i] for row in known if row.key], arrow_type(spec.columns[name]))
            for i, name in enumerate(spec.key)
        }
        times = pa.array([row.time_us for row in known], pa.int64()).cast(pa.timestamp("us"))
        self._register("__bad_rows", pa.table({**keys, "__time": times, LINE: pa.array([r.place for r in known])}))
        return self._list(_reached_sql(plan, spec))

    def _list(self, query: str) -> list[dict[str, Any]]:
        with _translated():
            return self._db.sql(query).to_arrow_table().to_pylist()

    def _insert(self, table: str, rows: pa.Table) -> None:
        self._register("__chunk", rows)
        with _translated():
            self._db.execute(f"INSERT INTO {_name(table)} SELECT * FROM __chunk")
        self._db.unregister("__chunk")

    def _register(self, name: str, rows: pa.Table) -> None:
        self._db.register(name, rows)

    def _set_duplicates_aside(self, spec: TableSpec, file: TableFile) -> list[Rejected]:
        table, keys = _name(spec.name), ", ".join(_name(name) for name in spec.key)
        distinct = self._one(f"SELECT count(*) FROM (SELECT 1 FROM {table} GROUP BY {keys})")
        if distinct == self.count(spec):
            return []
        first = f"first_value({LINE}) OVER (PARTITION BY {keys} ORDER BY {LINE}) AS __first"
        ranked = f"SELECT {LINE}, {keys}, {first} FROM {table}"
        rows = self._db.execute(f"SELECT * FROM ({ranked}) WHERE {LINE} <> __first ORDER BY {LINE}").fetchall()
        self._register("__doubles", pa.table({LINE: pa.array([row[0] for row in rows], pa.int64())}))
        self._db.execute(f"DELETE FROM {table} WHERE {LINE} IN (SELECT {LINE} FROM __doubles)")
        return [double(spec.key, file, row[0], row[-1], tuple(row[1:-1])) for row in rows]

    def _unknown(self, table: str, column: str, kind: Category) -> dict[str, int]:
        known = ", ".join(_text(value) for value in kind.values)
        query = (
            f"SELECT {_name(column)}, count(*) FROM {_name(table)} WHERE {_name(column)} NOT IN ({known}) "
            "GROUP BY 1 ORDER BY 2 DESC, 1"
        )
        return dict(self._db.execute(query).fetchall())

    def _one(self, query: str) -> Any:
        rows = self._db.execute(query).fetchall()  # all: DuckDB 2 refuses the next query before the last row is fetched
        return rows[0][0] if rows else None


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Raise what DuckDB raises (a full disk, most likely) as an error of ours."""
    try:
        yield
    except duckdb.InterruptException as error:
        raise KeyboardInterrupt from error
    except duckdb.Error as error:
        raise FeatureError(f"the feature engine failed: {error}") from error


_SQL_TYPES = {
    pa.string(): "VARCHAR",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    pa.timestamp("us"): "TIMESTAMP",
}


def _join_sql(plan: Plan, join: Join, index: int) -> str:
    spine, spec, alias = plan.spine, join.table, f"j{index}"
    on = " AND ".join(f"{_key_sql(plan, part)} = {alias}.{_name(part)}" for part in spec.key)
    if spec.time is None:
        return f"LEFT JOIN {_name(spec.name)} AS {alias} ON {on}"
    assert spine.time is not None
    wanted = ", ".join(sorted(_name(column) for column in {*spec.key, *join.columns.values()}))
    events = f"(SELECT {wanted}, {_moment_sql(_name(spec.time))} + {LINE} AS __at FROM {_name(spec.name)})"
    until = f"{_moment_sql('s.' + _name(spine.time))} + {_LINES - 1}"
    return f"ASOF LEFT JOIN {events} AS {alias} ON {on} AND {until} >= {alias}.__at"


def _moment_sql(time: str) -> str:
    return f"epoch_us({time})::HUGEINT * {_LINES}"


def _key_sql(plan: Plan, part: str) -> str:
    """Return where a joined table's key column comes from: the spine, else a feature of an earlier join."""
    if part in plan.spine.columns:
        return f"s.{_name(part)}"
    return _feature_sql(plan, next(feature for feature in plan.features if feature.name == part))


def _feature_sql(plan: Plan, feature: Feature) -> str:
    if isinstance(feature.source, Column):
        return f"s.{_name(feature.source.name)}"
    assert isinstance(feature.source, (Latest, Lookup))
    column = feature.source.column
    index = next(i for i, join in enumerate(plan.joins) if join.table.name == column.table.spec.name)
    return f"j{index}.{_name(column.name)}"


def _reached_sql(plan: Plan, spec: TableSpec) -> str:
    spine = plan.spine
    own = ", ".join(f"s.{_name(name)}" for name in spine.key)
    on = " AND ".join(f"s.{_name(part)} = e.{_name(part)}" for part in spec.key)
    keys = ", ".join(_name(name) for name in spec.key)
    near = f"(SELECT s.* FROM {_name(spine.name)} s SEMI JOIN __bad_rows e ON {on})"
    untimed = f"SELECT e.{LINE}, {own}, s.{LINE} AS __o FROM {near} s JOIN __bad_rows e ON {on}"
    if spec.time is None:
        return f"SELECT * EXCLUDE (__o) FROM ({untimed}) ORDER BY __o, {LINE}"
    assert spine.time is not None
    events = (
        f"SELECT {keys}, {_name(spec.time)} AS __t, {LINE}, false AS {_BAD} FROM {_name(spec.name)} "
        f"SEMI JOIN __bad_rows USING ({keys}) UNION ALL "
        f"SELECT {keys}, __time, {LINE}, true FROM __bad_rows WHERE __time IS NOT NULL"
    )
    values = f"max({LINE}) AS __l, arg_max({_BAD}, {LINE}) AS {_BAD}"
    last = f"SELECT {keys}, __t, {values} FROM ({events}) GROUP BY {keys}, __t"
    timed = (
        f"SELECT e.__l AS {LINE}, {own}, s.{LINE} AS __o FROM {near} s ASOF JOIN ({last}) e "
        f"ON {on} AND s.{_name(spine.time)} >= e.__t WHERE e.{_BAD}"
    )
    return f"SELECT * EXCLUDE (__o) FROM ({timed} UNION {untimed} WHERE e.__time IS NULL) ORDER BY __o, {LINE}"


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
