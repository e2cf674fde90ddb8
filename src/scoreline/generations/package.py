"""A model package as serving finds it: unpacked, and never written to.

package.json              what it holds, and where its reference tables came from
manifest.json, golden.json, heads/    the model artifact
results/                  the stamp and the online store, for an app that has one
data/                     the files of the reference tables
app/                      the app's own files
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from scoreline.errors import ArtifactError
from scoreline.generations.manifest import TableContent
from scoreline.settings import PACKAGE_FILE

FORMAT = 1
MEND_PACKAGE = "Unpack the package again, or make a new one with `scoreline package`."
APP_FOLDER, DATA_FOLDER, RESULTS_FOLDER = "app", "data", "results"


@dataclass(frozen=True)
class Package:
    """An unpacked model package.

    Attributes
    ----------
    tables : reference table -> its file in `data/`, as of when the package was made
    """

    folder: Path
    app_name: str
    tables: Mapping[str, TableContent]

    def holds(self, path: Path) -> bool:
        """Whether a file belongs to the package, so that it stays as it is; what is mounted inside is another's."""
        path, folder = path.resolve(), self.folder.resolve()
        return path.is_relative_to(folder) and path.parent.stat().st_dev == folder.stat().st_dev

    def copy_of(self, table: str) -> tuple[Path, TableContent] | None:
        """Return a reference table's file with what is known of it, None where the package has none."""
        content = self.tables.get(table)
        path = self.folder / DATA_FOLDER / content.file if content is not None else self.folder
        return None if content is None or not path.is_file() else (path, content)


def describe_package(app_name: str, version: str, tables: Mapping[str, TableContent]) -> bytes:
    """Return the bytes of `package.json`; equal content gives equal bytes."""
    described = {"format": FORMAT, "app": app_name, "scoreline": version}
    described |= {"tables": {name: asdict(tables[name]) for name in sorted(tables)}}
    return (json.dumps(described, indent=1, ensure_ascii=False) + "\n").encode()


def read_package(folder: Path) -> Package:
    """Read what a package says of itself.

    Raises
    ------
    ArtifactError
        Its `package.json` can't be read, or is of another format.
    """
    path = folder / PACKAGE_FILE
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != FORMAT:
            raise ValueError(f"it is format {content['format']}, this version reads {FORMAT}")
        tables = {name: TableContent(**table) for name, table in content["tables"].items()}
        return Package(folder, content["app"], tables)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path}: can't be read as a model package ({error}). {MEND_PACKAGE}") from error
