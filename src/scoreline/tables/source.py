"""Which file a table is read from."""

from __future__ import annotations

from pathlib import Path

from scoreline.app.table import TableSpec
from scoreline.errors import TableError


def file_names(spec: TableSpec) -> list[str]:
    """Return the names that a table's file may have, in the order in which they are looked for."""
    return list(dict.fromkeys(f"{Path(file).stem}{suffix}" for suffix in (".csv", ".parquet") for file in spec.files))


def find_file(spec: TableSpec, data_dir: Path) -> Path:
    """Return the one file of the table in `data_dir`, CSV or Parquet.

    Raises
    ------
    TableError
        The folder or the file is missing, or more than one of the table's names is present.
    """
    if not data_dir.is_dir():
        raise TableError(f"data folder {data_dir} does not exist. Name it with --data DIR or SCORELINE_DATA.")
    names = file_names(spec)
    present = [data_dir / name for name in names if (data_dir / name).exists()]
    if len(present) > 1:
        both = " and ".join(path.name for path in present)
        raise TableError(
            f"table '{spec.name}': {both} are both in {data_dir}; expected one of them. Remove the others."
        )
    if not present:
        raise TableError(f"table '{spec.name}': no file in {data_dir}; expected {' or '.join(names)}")
    if not present[0].is_file():
        raise TableError(f"table '{spec.name}': {present[0]} is not a file")
    return present[0]
