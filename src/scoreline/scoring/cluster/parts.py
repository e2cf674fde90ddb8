"""The output folder of a batch on Spark: in parts, so that a run whose driver died goes on with those that are missing.

Q/_parts/00003/       replies of one group of files, as Spark writes them; with its own _SUCCESS they are whole
Q/_parts/00003.json   what came of them; with both the part is done
Q/_manifest.json      what all of them were scored with, and from
Q/part-00003-00000.*  replies, once all parts are done
Q/_SUCCESS            all of them are here
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from scoreline.distributed.hadoop import HadoopFolder
from scoreline.errors import ScoringError
from scoreline.scoring.manifest import MANIFEST_FILE, REPORTS_FOLDER, SUCCESS_FILE, Scored
from scoreline.scoring.score import PartReport


class Output:
    """The folder, at any address."""

    def __init__(self, folder: HadoopFolder) -> None:
        self._folder = folder
        self.address = folder.address

    def begin(self, scored: Scored, *, anew: bool) -> None:
        """Make the folder ready for parts of this content; those that are here stay if they are of the same.

        Parameters
        ----------
        anew : drop what another run left here, whatever it was scored with

        Raises
        ------
        ScoringError
            There are files of somebody else's, or parts that were scored with something else.
        """
        if not self._folder.has(MANIFEST_FILE) and (others := self._folder.names()):
            raise ScoringError(
                f"--output {self.address}: holds other files ({others[0]}), and no parts of `scoreline score`. "
                "Name another one."
            )
        if anew:
            self._folder.remove("")
        former = self._former()
        if former is None or not any(name.endswith(".json") for name in self._folder.names(REPORTS_FOLDER)):
            self._folder.write(MANIFEST_FILE, scored.encode())
        else:
            scored.refuse_changes(former, f"--output {self.address}")

    def report(self, number: int) -> PartReport | None:
        """Return what came of a part, None where it is not done."""
        part = f"{REPORTS_FOLDER}/{number:05d}"
        if not self._folder.has(f"{part}/{SUCCESS_FILE}") and not self.is_finished:
            return None
        try:
            return msgspec.json.decode(self._folder.read(f"{part}.json") or b"", type=PartReport)
        except msgspec.DecodeError:
            return None

    def write(self, number: int, write: Callable[[str], PartReport]) -> PartReport:
        """Have a part written, and keep what came of it.

        Parameters
        ----------
        write : has Spark write into the folder that it is given, over what is there
        """
        part = f"{REPORTS_FOLDER}/{number:05d}"
        report = write(f"{self.address}/{part}")
        self._folder.write(f"{part}.json", msgspec.json.encode(report))
        return report

    @property
    def is_finished(self) -> bool:
        """Whether all replies are in their place."""
        return self._folder.has(SUCCESS_FILE)

    def finish(self, numbers: Sequence[int]) -> None:
        """Put the replies of all parts in their place, in the order of the input. May be run again after an end."""
        if self.is_finished:
            return
        for number in numbers:
            part = f"{REPORTS_FOLDER}/{number:05d}"
            for name in self._folder.names(part):
                if name.startswith("part-"):
                    self._move(f"{part}/{name}", _name_of(number, name))
        self._folder.write(SUCCESS_FILE, b"")
        for number in numbers:
            self._folder.remove(f"{REPORTS_FOLDER}/{number:05d}")

    def _move(self, name: str, to: str) -> None:
        if not self._folder.move(name, to):
            raise ScoringError(f"{self.address}/{name}: can't be moved to {to}. Is that there, by somebody else?")

    def _former(self) -> Scored | None:
        content = self._folder.read(MANIFEST_FILE)
        if content is None:
            return None
        try:
            return msgspec.json.decode(content, type=Scored)
        except msgspec.DecodeError as error:
            raise ScoringError(
                f"{self.address}/{MANIFEST_FILE}: can't be read ({error}). --anew drops the folder."
            ) from error


def _name_of(number: int, name: str) -> str:
    """Name a file of Spark's (`part-00002-uuid-c000.snappy.parquet`) in the whole output.

    Examples
    --------
    >>> _name_of(3, "part-00002-0d7c8a48-0af1-41c8-9b3c-5b5f3a0e3c11-c000.snappy.parquet")
    'part-00003-00002-c000.snappy.parquet'
    """
    parts = name.split("-")
    return "-".join([parts[0], f"{number:05d}", parts[1], parts[-1]])
