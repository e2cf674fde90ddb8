"""Where a table is: in a folder of this machine, or at any address that Spark reads (`s3a://`, `hdfs://`, ...)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession

from scoreline.app.table import TableSpec
from scoreline.distributed.addresses import address_of, is_address
from scoreline.distributed.hadoop import is_there
from scoreline.distributed.trouble import translated
from scoreline.errors import TableError
from scoreline.tables.source import file_names, find_file, find_parts, folder_names, is_csv

_CSV = (".csv", ".csv.gz", ".csv.bz2", ".csv.zst")


@dataclass(frozen=True)
class Location:
    """Where a table's rows are.

    Attributes
    ----------
    name : of the file or the folder, as shown
    """

    address: str
    name: str
    is_csv: bool


def find_table(session: SparkSession, spec: TableSpec, root: str | Path) -> Location:
    """Find the one file or folder of a table.

    Raises
    ------
    TableError
        There is none, more than one, or its files are of both kinds.
    """
    if not is_address(str(root)):
        return _find_here(spec, Path(root))
    address = address_of(session, root)
    names = [*file_names(spec), *folder_names(spec)]
    there = {name: files for name in names if (files := files_at(session, f"{address}/{name}"))}
    if not there:
        raise TableError(f"table '{spec.name}': nothing at {address}; expected {' or '.join(names)}")
    if len(there) > 1:
        raise TableError(
            f"table '{spec.name}': {' and '.join(there)} are both at {address}; expected one. Remove the others."
        )
    name, files = next(iter(there.items()))
    if any(not file.endswith((*_CSV, ".parquet")) for file in files):
        raise TableError(f"table '{spec.name}': {address}/{name}: expected files that end in .csv or .parquet")
    return Location(f"{address}/{name}", name, _one_kind(spec, [file.endswith(_CSV) for file in files], name))


def _find_here(spec: TableSpec, folder: Path) -> Location:
    path = find_file(spec, folder)
    kinds = [is_csv(part) for part in (_in_folders(path) or find_parts(spec, path))]
    return Location(f"file://{path.resolve()}", path.name, _one_kind(spec, kinds, path.name))


def _in_folders(path: Path) -> list[Path]:
    """List the files of a folder that is parted by folders named `column=value`."""
    return [part for part in path.glob("*=*/**/*") if part.is_file() and part.name[0] not in "._"]


def _one_kind(spec: TableSpec, are_csv: Sequence[bool], name: str) -> bool:
    if len(set(are_csv)) > 1:
        raise TableError(f"table '{spec.name}': {name} holds CSV and Parquet; expected files of one kind")
    return are_csv[0]


def files_at(session: SparkSession, address: str) -> list[str]:
    """List the files at an address; none where there is nothing."""
    with translated(f"looking at {address}"):
        if not is_there(session, address):
            return []
        try:
            return list(session.read.text(address).inputFiles())
        except AnalysisException as error:  # over Spark Connect, where it could not be asked before
            if "PATH_NOT_FOUND" in (error.getCondition() or "") or "does not exist" in str(error):
                return []
            raise
