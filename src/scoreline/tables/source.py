"""Which file a table is read from."""

from __future__ import annotations

from pathlib import Path

from scoreline.app.table import TableSpec
from scoreline.errors import TableError


def file_names(spec: TableSpec) -> list[str]:
    """Return the names that a table's file may have, in the order in which they are looked for."""
    return list(dict.fromkeys(f"{Path(file).stem}{suffix}" for suffix in (".csv", ".parquet") for file in spec.files))


def find_file(spec: TableSpec, data_dir: Path) -> Path:
    """Return the one file of the table in `data_dir`, CSV or Parquet, or the one folder that holds its files.

    Raises
    ------
    TableError
        The folder or the file is missing, or more than one of the table's names is present.
    """
    if not data_dir.is_dir():
        raise TableError(f"data folder {data_dir} does not exist. Name it with --data DIR or SCORELINE_DATA.")
    names = file_names(spec)
    present = [data_dir / name for name in names if (data_dir / name).exists()]
    present += [data_dir / name for name in folder_names(spec) if (data_dir / name).is_dir()]
    if len(present) > 1:
        both = " and ".join(path.name for path in present)
        raise TableError(
            f"table '{spec.name}': {both} are both in {data_dir}; expected one of them. Remove the others."
        )
    if not present:
        raise TableError(f"table '{spec.name}': no file in {data_dir}; expected {' or '.join(names)}")
    found = present[0]
    if not found.is_file() and (found.name in names or spec.reference is not None):
        raise TableError(f"table '{spec.name}': {found} is not a file")
    return found


def folder_names(spec: TableSpec) -> list[str]:
    """Return the names that a folder with a table's files may have: those of its file, without the suffix."""
    return list(dict.fromkeys(Path(file).stem for file in spec.files))


def find_parts(spec: TableSpec, path: Path) -> list[Path]:
    """Return the files of a table in the order of their names: one file, or all in a folder.

    In a folder, sub-folders are passed over, and so are files that begin with a dot or an underscore:
    `_SUCCESS`, say, which engines leave there.

    Raises
    ------
    TableError
        The folder has no file, or one that is neither CSV nor Parquet by its suffix.
    """
    if path.is_file():
        return [path]
    found = sorted(part for part in path.iterdir() if part.is_file() and part.name[0] not in "._")
    if not found:
        raise TableError(f"table '{spec.name}': no file in {path}; expected CSV or Parquet files")
    for part in found:
        if part.suffix not in ("", ".csv", ".parquet"):
            raise TableError(f"table '{spec.name}': {part}: expected a file with the suffix .csv or .parquet")
    return found


def is_csv(path: Path) -> bool:
    """Whether a table's file is CSV: by its suffix, or where engines give it none, by its first bytes."""
    if path.suffix:
        return path.suffix == ".csv"
    with path.open("rb") as file:
        return file.read(4) != b"PAR1"
