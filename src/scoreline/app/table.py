"""Tables and their columns, as an app declares them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from scoreline.app.columns import ColumnType, Integer, Text, Time, as_column_type
from scoreline.errors import AppError, did_you_mean


@dataclass(frozen=True)
class Column:
    """One column of a table: `orders.quantity` in an app file."""

    table: Table = field(repr=False)
    name: str
    type: ColumnType

    def __str__(self) -> str:
        return f"{self.table.spec.name}.{self.name}"


@dataclass(frozen=True)
class Reference:
    """What makes a table a reference table: held whole in memory, refreshed while serving.

    Attributes
    ----------
    rows : fewest and most rows that a good file has
    stale_after_s : age in seconds past which replies say that the table is old; None for never
    """

    rows: tuple[int, int]
    stale_after_s: int | None


@dataclass(frozen=True)
class TableSpec:
    """What is declared of a table.

    Attributes
    ----------
    files : names that its file may have; the Parquet twin of each (`orders.parquet`) counts too
    key : names of the key columns; never null in a good row
    time : name of the event time column, or None for a table without time
    columns : name -> type, in declared order
    multiline : quoted fields of its CSV file may hold newlines
    reference : what is declared of a reference table; None for any other
    in_request : a client that sends a new row of the spine may bring this table's row of it
    stale_after_s : age in seconds of the newest row past which replies say that the table is old; None: never
    """

    name: str
    files: tuple[str, ...]
    key: tuple[str, ...]
    time: str | None
    columns: Mapping[str, ColumnType]
    multiline: bool = False
    reference: Reference | None = None
    in_request: bool = False
    stale_after_s: int | None = None

    @property
    def required(self) -> tuple[str, ...]:
        """Columns that a good row can't leave empty: the key and the event time."""
        return (*self.key, self.time) if self.time else self.key


class Table:
    """A declared table. Its columns are its attributes (`orders.zip_code`) or items (`orders["zip_code"]`)."""

    __slots__ = ("spec",)
    spec: TableSpec

    def __init__(self, spec: TableSpec) -> None:
        self.spec = spec

    def __getitem__(self, name: str) -> Column:
        columns = self.spec.columns
        if name not in columns:
            raise AppError(
                f"table '{self.spec.name}' has no column '{name}'.{did_you_mean(name, columns)}"
                f" It has: {', '.join(columns)}."
            )
        return Column(self, name, columns[name])

    def __getattr__(self, name: str) -> Column:
        if name.startswith("__"):  # copy, pickle and inspect probe for dunders
            raise AttributeError(name)
        return self[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the columns, in declared order."""
        return iter(self.spec.columns)

    def __repr__(self) -> str:
        return f"Table({self.spec.name!r})"


def declare_table(
    name: str,
    *,
    key: str | Sequence[str],
    columns: Mapping[str, object],
    time: str | None,
    file: str | Sequence[str] | None,
    multiline: bool = False,
    reference: Reference | None = None,
    in_request: bool = False,
    stale_after_s: int | None = None,
) -> Table:
    """Check a table's declaration and make it; AppError says what is wrong."""
    where = f"table '{name}'"
    check_names(where, (name, *columns))
    check_distinct(where, "columns", columns)
    if not columns:
        raise AppError(f"{where}: expected columns={{name: type, ...}}, got none")
    types = {column: as_column_type(declared, f"{where}, column '{column}'") for column, declared in columns.items()}
    keys = (key,) if isinstance(key, str) else tuple(key)
    if not keys:
        raise AppError(f"{where}: expected key= with at least one column name, got none")
    for part in keys:
        _known(part, types, f"{where}, key")
        if not isinstance(types[part], (Text, Integer)) or types[part].optional:
            raise AppError(
                f"{where}, key '{part}': expected a Text or Integer column that is always there, got "
                f"{types[part]!r}. Codes are Text: they keep their leading zeros."
            )
    if len(set(keys)) != len(keys):
        raise AppError(f"{where}: key names a column twice: {', '.join(keys)}")
    if time is not None:
        _known(time, types, f"{where}, time")
        if not isinstance(types[time], Time) or types[time].optional:
            raise AppError(f"{where}: time='{time}' is declared {types[time].name}; expected Time.")
    files = (file,) if isinstance(file, str) else tuple(file or (f"{name}.csv",))
    for given in files:
        if "/" in given or not given.endswith((".csv", ".parquet")):
            raise AppError(f"{where}: file='{given}': expected a bare name that ends in .csv or .parquet")
    if stale_after_s is not None and (time is None or type(stale_after_s) is not int or stale_after_s < 1):
        raise AppError(
            f"{where}: expected stale_after_s= a whole number of seconds above 0, beside time=, got {stale_after_s!r}"
        )
    return Table(TableSpec(name, files, keys, time, types, multiline, reference, in_request, stale_after_s))


def declare_reference(name: str, rows: object, stale_after_s: object) -> Reference:
    """Check what is declared of a reference table alone."""
    where = f"reference table '{name}'"
    is_pair = isinstance(rows, tuple) and len(rows) == 2 and all(type(bound) is int for bound in rows)
    if not isinstance(rows, tuple) or not is_pair or not 1 <= rows[0] <= rows[1]:
        raise AppError(f"{where}: expected rows=(fewest, most), two whole numbers from 1 on, got {rows!r}")
    if stale_after_s is not None and (type(stale_after_s) is not int or stale_after_s < 1):
        raise AppError(f"{where}: expected stale_after_s= a whole number of seconds above 0, got {stale_after_s!r}")
    return Reference((rows[0], rows[1]), stale_after_s)


def check_names(where: str, names: Iterable[str]) -> None:
    """Refuse names that begin with two underscores: they are ours, inside the engines."""
    for name in names:
        if not isinstance(name, str) or not name or name.startswith("__"):
            raise AppError(f"{where}: {name!r} can't be a name; names that begin with __ are Scoreline's own")


def check_distinct(where: str, what: str, names: Iterable[str]) -> None:
    """Refuse names that differ in case alone: SQL engines take them for one."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise AppError(f"{where}: {what} '{other}' and '{name}' differ in case alone; rename one of them")


def _known(name: str, columns: Mapping[str, ColumnType], where: str) -> None:
    if name not in columns:
        raise AppError(
            f"{where}: no column '{name}' is declared.{did_you_mean(name, columns)} Declared: {', '.join(columns)}."
        )
