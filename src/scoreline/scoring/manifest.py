"""What an output folder was scored with, so that a second run goes on with it, or refuses.

Q/part-00000.parquet   replies of one partition, whole once it is here
Q/_parts/*.json        what came of each
Q/_manifest.json       what all of them were scored with, and from
Q/_SUCCESS             all are here
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from scoreline.errors import ScoringError
from scoreline.files import flush, write_atomically
from scoreline.scoring.partitions import Partition
from scoreline.scoring.score import PartReport
from scoreline.scoring.source import Format

FORMAT = 1
MANIFEST_FILE, REPORTS_FOLDER, SUCCESS_FILE = "_manifest.json", "_parts", "_SUCCESS"
WORK_PREFIX = ".work-"
_LOCK = ".lock"


class Scored(msgspec.Struct, frozen=True):
    """What replies depend on: equal for two runs whose replies are.

    Attributes
    ----------
    app, predictor, model, features : digests of app.py's declaration, of the app's own predictor.py, of the artifact
        and of the feature table; None where there is none
    tables : digest of each reference table
    inputs : digest of each file of the batch, in its order
    options : what was asked for
    """

    app: str
    predictor: str | None
    model: str
    features: str | None
    tables: dict[str, str]
    inputs: dict[str, str]
    options: dict[str, Any]
    format: int = FORMAT

    def changes(self, former: Scored) -> list[str]:
        """Return what is not as it was, each as a person would say it."""
        said = {
            "app.py": self.app == former.app,
            "predictor.py": self.predictor == former.predictor,
            "the model": self.model == former.model,
            "the features": self.features == former.features,
            **{f"reference table {name}": self.tables.get(name) == former.tables.get(name)
               for name in self.tables | former.tables},
            **{f"input {name}": self.inputs.get(name) == former.inputs.get(name)
               for name in self.inputs | former.inputs},
            "the order of the input's files": list(self.inputs) == list(former.inputs),
            **{f"--{name}": self.options.get(name) == former.options.get(name)
               for name in self.options | former.options},
            "this version of Scoreline": self.format == former.format,
        }  # fmt: skip
        return [name for name, is_same in said.items() if not is_same]

    def refuse_changes(self, former: Scored, where: str) -> None:
        """Raise ScoringError, naming what changed, where the parts at `where` were scored with something else."""
        if changes := self.changes(former):
            raise ScoringError(
                f"{where}: its parts were scored with something else; changed since: {', '.join(changes)}. "
                "--anew drops them and scores all of it again."
            )

    def encode(self) -> bytes:
        """Return it as the bytes of its file."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)


class Output:
    """The folder with the parts of an output; held by one run at a time.

    Parameters
    ----------
    path : what was asked for: a folder, or one file
    single : it is one file; its parts are in a hidden folder beside it until it is whole
    """

    def __init__(self, path: Path, format: Format, *, single: bool) -> None:
        self.path, self.format, self.single = path, format, single
        self.folder = path.parent / f".{path.name}.parts" if single else path

    @contextlib.contextmanager
    def held(self) -> Iterator[Path]:
        """Hold the folder; give a folder in it to work in, gone at the end.

        Raises
        ------
        ScoringError
            Another run holds it, it can't be written, or it has other files.
        """
        self._refuse_others()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / _LOCK).open("a")
        except OSError as error:
            raise ScoringError(f"{self.folder}: can't be written ({error.strerror}). Name another --output.") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ScoringError(f"{self.path}: another `scoreline score` writes here; wait for its end") from error
            for left in self.folder.glob(f"{WORK_PREFIX}*"):  # by a run that was killed: we hold the lock
                shutil.rmtree(left, ignore_errors=True)
            work = self.folder / f"{WORK_PREFIX}{os.getpid()}"
            work.mkdir()
            try:
                yield work
            finally:
                shutil.rmtree(work, ignore_errors=True)
                if not (self.folder / MANIFEST_FILE).exists():  # nothing was begun: leave nothing
                    (self.folder / _LOCK).unlink(missing_ok=True)
                    with contextlib.suppress(OSError):  # it was there before
                        self.folder.rmdir()

    def begin(self, scored: Scored, *, anew: bool) -> None:
        """Make the folder ready for parts of this content; those that are here stay if they are of the same.

        Parameters
        ----------
        anew : drop what another run left here, whatever it was scored with

        Raises
        ------
        ScoringError
            Its parts were scored with something else.
        """
        former = self._former()
        if former is not None:
            if not anew:
                scored.refuse_changes(former, str(self.path))
                return
            self._drop()
        (self.folder / REPORTS_FOLDER).mkdir(exist_ok=True)
        write_atomically(self.folder / MANIFEST_FILE, scored.encode())

    def part(self, partition: Partition) -> Path:
        """Return where a partition's replies are, or will be."""
        return self.folder / f"{partition.name}.{self.format}"

    def report(self, partition: Partition) -> PartReport | None:
        """Return what came of a partition, None where its part is not here."""
        if not self.part(partition).is_file() and not self.is_assembled:
            return None
        try:
            return msgspec.json.decode(self._report(partition).read_bytes(), type=PartReport)
        except (OSError, msgspec.DecodeError):
            return None

    def keep(self, partition: Partition, built: Path, report: PartReport) -> None:
        """Put a part that was built aside in its place; what came of it first, so that a part is never without."""
        write_atomically(self._report(partition), msgspec.json.encode(report))
        flush(built)
        os.replace(built, self.part(partition))
        flush(self.folder)

    @property
    def is_assembled(self) -> bool:
        """Whether the one file is there as it was put together."""
        try:
            size = int((self.folder / SUCCESS_FILE).read_text())
            return self.single and self.path.stat().st_size == size
        except (OSError, ValueError):
            return False

    def finish(self, partitions: Sequence[Partition], built: Path | None) -> None:
        """Say that all parts are here; put the one file in place, and drop the parts that it was made of."""
        size = ""
        if built is not None:
            flush(built)
            os.replace(built, self.path)
            flush(self.path.parent)
            size = str(self.path.stat().st_size)
        write_atomically(self.folder / SUCCESS_FILE, size.encode())
        if built is not None:
            for partition in partitions:
                self.part(partition).unlink(missing_ok=True)

    def _refuse_others(self) -> None:
        """Refuse a folder with files of somebody else's, before anything is put into it."""
        if self.single or not self.folder.is_dir() or (self.folder / MANIFEST_FILE).exists():
            return
        others = [
            path.name for path in self.folder.iterdir() if path.name != _LOCK and not path.name.startswith(WORK_PREFIX)
        ]
        if others:
            raise ScoringError(
                f"{self.path}: holds other files ({others[0]}), and no parts of `scoreline score`. "
                "Name another folder with --output."
            )

    def _former(self) -> Scored | None:
        path = self.folder / MANIFEST_FILE
        try:
            return msgspec.json.decode(path.read_bytes(), type=Scored)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise ScoringError(
                f"{path}: can't be read ({error}). Remove {self.folder}, or name another one."
            ) from error

    def _drop(self) -> None:
        """Remove what an earlier run made, the manifest last."""
        (self.folder / SUCCESS_FILE).unlink(missing_ok=True)
        for part in self.folder.glob("part-*.*"):
            part.unlink()
        shutil.rmtree(self.folder / REPORTS_FOLDER, ignore_errors=True)
        (self.folder / MANIFEST_FILE).unlink(missing_ok=True)

    def _report(self, partition: Partition) -> Path:
        return self.folder / REPORTS_FOLDER / f"{partition.name}.json"
