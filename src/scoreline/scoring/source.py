"""Which files a batch is read from, and what kind each is."""

from __future__ import annotations

import fnmatch
import glob
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scoreline.errors import ScoringError, SettingError
from scoreline.tables.fetch import open_source

Format = Literal["csv", "parquet", "jsonl"]
FORMATS: dict[str, Format] = {
    ".csv": "csv", ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
}  # fmt: skip
ENDINGS = ", ".join(FORMATS)
_WILD = "*?["
_S3 = "s3://"
_LARGEST = 1 << 50  # bytes of an object: the disk says when it is too large


@dataclass(frozen=True)
class InputFile:
    """One file of a batch.

    Attributes
    ----------
    name : as it is shown and remembered: the same wherever the batch is started from
    path : where it is on this machine, or its s3:// address
    etag : of an object; None for a file
    """

    name: str
    path: str
    format: Format
    etag: str | None = None

    @property
    def is_here(self) -> bool:
        """Whether it is a file of this machine."""
        return self.etag is None


def find_input(given: str) -> list[InputFile]:
    """Return the files of a batch: one file, the files of a folder, those of a pattern, or objects at s3://.

    In a folder, sub-folders are passed over, and so are files that begin with a dot or an underscore.

    Raises
    ------
    ScoringError
        There is none, or one is neither CSV nor Parquet nor JSON Lines by its ending.
    """
    if given.startswith(_S3):
        return _objects(given)
    if "://" in given:
        raise SettingError(f"--input {given}: expected a file, a folder, a pattern or s3://bucket/prefix")
    path = Path(given)
    if path.is_file():
        found = [path]
    elif path.is_dir():
        found = sorted(part for part in path.iterdir() if part.is_file() and part.name[0] not in "._")
    elif any(sign in given for sign in _WILD):
        found = sorted(Path(part) for part in glob.glob(given) if Path(part).is_file())
    else:
        raise ScoringError(f"--input {given}: no such file or folder")
    if not found:
        raise ScoringError(f"--input {given}: no file there; expected files that end in {ENDINGS}")
    names = [part.name for part in found]
    alone = len(set(names)) == len(names)
    return [InputFile(part.name if alone else str(part), str(part.resolve()), _format_of(part)) for part in found]


def _format_of(path: Path) -> Format:
    """Return a file's kind: by its ending, or where engines give it none, by its first bytes."""
    if path.suffix.lower() in FORMATS:
        return FORMATS[path.suffix.lower()]
    if path.suffix:
        raise ScoringError(f"{path}: expected a file that ends in {ENDINGS}")
    with path.open("rb") as file:
        first = file.read(4)
    return "parquet" if first == b"PAR1" else "jsonl" if first.lstrip()[:1] == b"{" else "csv"


def _objects(url: str) -> list[InputFile]:
    from scoreline.aws.s3 import S3Folder  # boto3, which files of this machine need not

    folder, _, last = url.rpartition("/")
    if any(sign in folder for sign in _WILD):
        raise SettingError(f"--input {url}: expected * in the last part of the address alone")
    inside = S3Folder(f"{folder}/") if folder != "s3:/" else S3Folder(url)
    found = [(inside, name, etag) for name, etag in inside.names() if not last or fnmatch.fnmatchcase(name, last)]
    if not found and last and not any(sign in last for sign in _WILD):
        inside = S3Folder(f"{url}/")
        found = [(inside, name, etag) for name, etag in inside.names()]
    found = [one for one in found if one[1][0] not in "._"]
    if not found:
        raise ScoringError(f"--input {url}: no object there; expected objects that end in {ENDINGS}")
    files = []
    for where, name, etag in found:
        address, suffix = f"{where.where}{name}", Path(name).suffix.lower()
        if suffix not in FORMATS:
            raise ScoringError(f"{address}: expected an object that ends in {ENDINGS}")
        files.append(InputFile(address, address, FORMATS[suffix], etag))
    return files


def fetch_object(address: str, etag: str, into: Path) -> Path:
    """Copy an object into a folder; ScoringError where it is no longer the one that was looked at."""
    folder, _, name = address.rpartition("/")
    source = open_source(f"{folder}/", into)
    fetched = source.fetch([name], into, known_etag=None, max_bytes=_LARGEST)
    if fetched is None or fetched.etag != etag:
        raise ScoringError(f"{address}: was replaced since the run began. Run `scoreline score` again.")
    return fetched.path
