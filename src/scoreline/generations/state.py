"""The state folder: generations, which of them is published, and what is known of their sources.

published             8 bytes: the published number, little-endian; every request reads it first
generations/8-3fa9c1/ one generation, never changed once it is here
sources/<table>.json  when the source was last seen, with which ETag, and what went wrong since
pin.json              the generation that a rollback holds on to
servers/<pid>.json    the servers that answer from here; each holds a lock on its file
.lock                 held by whoever builds or publishes
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scoreline.app.moments import now_us
from scoreline.errors import GenerationError
from scoreline.files import flush, write_atomically
from scoreline.generations.manifest import Generation, read_manifest
from scoreline.settings import TEMPORARY_STATE, Settings
from scoreline.store.merged import Events

KEPT = 4  # generations besides the published one, to roll back to
_BYTES = 8
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
_BUILDING = ".building-"


class StateFolder:
    """Where the generations of one app on this machine live.

    Parameters
    ----------
    read_only : only look; the folder must be there

    Raises
    ------
    GenerationError
        The folder can't be made or written; read-only, it is not there.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path.resolve()
        if not read_only:
            self._prepare(path)
        self._map(path)

    def _prepare(self, path: Path) -> None:
        try:
            for name in ("generations", "sources", "servers"):
                (self.path / name).mkdir(parents=True, exist_ok=True)
            with (self.path / "published").open("ab") as file:
                if file.tell() < _BYTES:
                    file.truncate(_BYTES)
        except OSError as error:
            raise GenerationError(
                f"{path}: the state folder can't be written ({error.strerror}). Name another with SCORELINE_STATE."
            ) from error

    def _map(self, path: Path) -> None:
        try:
            with (self.path / "published").open("rb") as file:
                self._published = mmap.mmap(file.fileno(), _BYTES, prot=mmap.PROT_READ)
                self._inode = os.fstat(file.fileno()).st_ino
        except (OSError, ValueError) as error:
            raise GenerationError(f"{path}: nothing is published here yet. Run `scoreline refresh`.") from error

    @property
    def is_whole(self) -> bool:
        """Whether the folder is still the one that was opened, and was not removed since."""
        try:
            return (self.path / "published").stat().st_ino == self._inode
        except OSError:
            return False

    @property
    def number(self) -> int:
        """The published number, from shared memory; 0 before the first publish."""
        return int.from_bytes(self._published[:_BYTES], "little")

    def current(self) -> Generation | None:
        """Return the published generation; None before the first, or where its folder is gone."""
        try:
            return read_manifest(self.folder_of(self.number))
        except GenerationError:
            return None

    def folder_of(self, number: int) -> Path:
        """Return a generation's folder; GenerationError where there is none."""
        for folder in (self.path / "generations").glob(f"{number}-*"):
            return folder
        raise GenerationError(f"{self.path}: there is no generation {number} here")

    def generations(self) -> list[Generation]:
        """Return the generations that are kept, oldest first; folders that can't be read are passed over."""
        found = []
        for folder in (self.path / "generations").iterdir():
            with contextlib.suppress(GenerationError):
                found.append(read_manifest(folder))
        return sorted(found, key=lambda generation: generation.number)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the builder's lock; waits while another process builds, and clears what a killed one left."""
        with (self.path / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in self.path.glob(f"{_BUILDING}*"):
                shutil.rmtree(left, ignore_errors=True)
            yield

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """Give an empty folder to build in, beside the generations; gone at the end unless it was published."""
        folder = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=self.path))
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, staging: Path, generation: Generation) -> Generation:
        """Put a built folder in place under the next number and make that the published one.

        The rename comes first, then the number: a crash between them leaves a folder that nobody is
        answered from. Numbers never go back.
        """
        self._refuse_other_apps(generation.app)
        kept = [number_of(folder) for folder in (self.path / "generations").iterdir()]
        published = generation.numbered(max([self.number, *kept]) + 1)
        published.write(staging)
        for path in [*staging.rglob("*"), staging]:
            flush(path)
        os.replace(staging, self.path / "generations" / published.name)
        flush(self.path / "generations")
        with (self.path / "published").open("r+b") as file, mmap.mmap(file.fileno(), _BYTES) as shared:
            shared[:_BYTES] = published.number.to_bytes(_BYTES, "little")
            shared.flush()
        self._prune()
        return published

    @property
    def pinned(self) -> int | None:
        """The number that a rollback holds on to, None if none."""
        try:
            return int(json.loads((self.path / "pin.json").read_bytes())["number"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def pin(self, number: int) -> None:
        """Hold on to a generation: nothing else is published until `unpin`."""
        write_atomically(self.path / "pin.json", json.dumps({"number": number, "since": utc_now()}).encode())

    def unpin(self) -> None:
        """Let new content be published again."""
        (self.path / "pin.json").unlink(missing_ok=True)

    def note_source(self, table: str, **known: Any) -> None:
        """Keep what was just learnt of a table's source, beside what was known before."""
        write_atomically(self._source(table), json.dumps({**self.source(table), **known}).encode())

    def source(self, table: str) -> dict[str, Any]:
        """Return what is known of a table's source: `seen_at`, `etag`, `digest`, `where`, `error`."""
        try:
            known: dict[str, Any] = json.loads(self._source(table).read_bytes())
        except (OSError, ValueError):
            return {}
        return known

    @contextlib.contextmanager
    def serving(self, app: str, source: str = "") -> Iterator[None]:
        """Be known as a server that answers from here, for the app of this digest, with tables of this source."""
        path = self.path / "servers" / f"{os.getpid()}.json"
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.write(json.dumps({"app": app, "source": source}))
            file.flush()
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def servers(self) -> dict[int, str]:
        """Return the servers that answer from here: pid -> digest of their app."""
        return {pid: told["app"] for pid, told in self._servers().items()}

    def refuse_other_source(self, source: str) -> None:
        """Raise GenerationError where a server that answers from here takes its tables from another source."""
        for pid, told in self._servers().items():
            if told.get("source") not in (None, "", source):
                raise GenerationError(
                    f"the server with pid {pid} takes reference tables from {told['source']}, this command from "
                    f"{source}. Set SCORELINE_DATA_URL, or --data, as the server has it."
                )

    def _servers(self) -> dict[int, dict[str, str]]:
        alive = {}
        for path in (self.path / "servers").glob("*.json"):
            with contextlib.suppress(OSError, ValueError, KeyError), path.open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink(missing_ok=True)  # nobody holds it: its server was killed
                except BlockingIOError:
                    alive[int(path.stem)] = json.loads(file.read())
        return alive

    def _refuse_other_apps(self, app: str) -> None:
        for pid, other in self.servers().items():
            if other != app:
                raise GenerationError(
                    f"the server with pid {pid} runs app.py as it was before; it can't answer from what the new one "
                    "makes. Restart it."
                )

    def _prune(self) -> None:
        folders = sorted((self.path / "generations").iterdir(), key=number_of)
        spared = {self.number, self.pinned}
        for folder in folders[: -1 - KEPT]:
            if number_of(folder) not in spared:
                shutil.rmtree(folder, ignore_errors=True)

    def _source(self, table: str) -> Path:
        return self.path / "sources" / f"{table}.json"


def age_s(state: StateFolder, table: str) -> float | None:
    """Return the seconds since a table's source was last seen, None if it never was."""
    seen = state.source(table).get("seen_at")
    if seen is None:
        return None
    return (datetime.now(UTC) - datetime.strptime(seen, _TIME_FORMAT).replace(tzinfo=UTC)).total_seconds()


def newest_age_s(generation: Generation, events: Events | None, table: str) -> float | None:
    """Return the seconds since a table's newest row happened, built in or ingested since; None without one."""
    moments = [generation.newest.get(table), None if events is None else events.newest_us(table)]
    known = [moment for moment in moments if moment is not None]
    return (now_us() - max(known)) / 1_000_000 if known else None


def refuse_passed_over(settings: Settings) -> None:
    """Raise GenerationError where the app has a state folder that can't be written, so that another was taken.

    What is ingested there no server would see, and `feature` would not find what is in the log.
    """
    own = settings.app / "state"
    if settings.state == TEMPORARY_STATE and own.exists() and not os.access(own, os.W_OK):
        raise GenerationError(
            f"{own}: this app's state folder can't be written, and no server sees what goes into another. Name the "
            "server's own with --state or SCORELINE_STATE."
        )


def number_of(folder: Path) -> int:
    """Return the number in a generation folder's name, 0 for a folder of another name."""
    number = folder.name.partition("-")[0]
    return int(number) if number.isdigit() else 0


def utc_now() -> str:
    """Return this moment as times are written everywhere."""
    return datetime.now(UTC).strftime(_TIME_FORMAT)
