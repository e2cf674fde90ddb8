"""A training job as a platform lays it out: `input/config`, `input/data/<channel>`, `output`, `model`.

Any of the configuration files may be missing. Where a platform's own rules are meant, they are those
of SageMaker: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo.html
"""

from __future__ import annotations

import json
import shutil
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoreline.app.declaration import App
from scoreline.app.table import TableSpec
from scoreline.errors import ScorelineError, SettingError, TableError
from scoreline.features.stamp import STAMP_FILE
from scoreline.files import write_atomically
from scoreline.settings import INPUT_FOLDER
from scoreline.tables.source import find_parts, folder_names

ALL_TABLES = ("training", "train")  # channels that may hold the files of all tables
FAILURE_BYTES = 1024  # of the reason; a platform shows so many characters
_FAILURE = "output/failure"


@dataclass(frozen=True)
class Job:
    """One training job.

    Attributes
    ----------
    root : /opt/ml, most often
    channels : folders with input files, by name
    hosts : all hosts of the job, in order; `host` is this one
    """

    root: Path
    channels: Mapping[str, Path]
    hosts: Sequence[str]
    host: str | None

    @property
    def is_first(self) -> bool:
        """Whether this host is the one that trains."""
        return len(self.hosts) < 2 or self.host == self.hosts[0]


@dataclass(frozen=True)
class JobInputs:
    """Where a job's input is.

    Attributes
    ----------
    data : folder of the raw tables, None where features were brought
    features : a channel with features that were built before
    references : channel folders of reference tables that have one of their own
    unused : channels that nothing is read from
    """

    data: Path | None
    features: Path | None
    references: Mapping[str, Path]
    unused: Sequence[str]


def read_job(root: Path) -> Job:
    """Read a job's configuration.

    Raises
    ------
    SettingError
        A file can't be read, or asks for what is not done here: a channel that is a pipe, or one whose files
        are spread over several hosts.
    """
    resources = read_object(root / INPUT_FOLDER / "config/resourceconfig.json")
    hosts = sorted(str(host) for host in resources.get("hosts") or [])
    configured = read_object(root / INPUT_FOLDER / "config/inputdataconfig.json")
    for name, channel in configured.items():
        _refuse_channel(name, channel if isinstance(channel, dict) else {}, hosts)
    data = root / INPUT_FOLDER / "data"
    names = configured or [path.name for path in sorted(data.glob("*")) if path.is_dir() and path.name[0] not in "._"]
    return Job(root, {name: data / name for name in names}, hosts, resources.get("current_host"))


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, empty where there is no file; SettingError where it is none."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingError(f"{path}: expected a JSON object, can't be read ({error})") from error
    if not isinstance(content, dict):
        raise SettingError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content


def find_inputs(job: Job, app: App) -> JobInputs:
    """Find the tables of an app among the channels of a job.

    Each table has a channel of its name; or one channel, `training`, `train` or the only one, has all
    tables' files; or a channel holds features that `scoreline feature` built.
    """
    own = {name: _channel_of(table.spec, job) for name, table in app.tables.items()}
    named = {name: channel for name, channel in own.items() if channel is not None}
    brought = [name for name, folder in job.channels.items() if (folder / STAMP_FILE).is_file()]
    references = {name: job.channels[channel] for name, channel in named.items() if name in app.reference_tables}
    if brought:
        used = [brought[0], *(named[name] for name in references)]
        return JobInputs(None, job.channels[brought[0]], references, _but(job, used))
    if named:
        return JobInputs(job.root / INPUT_FOLDER / "data", None, references, _but(job, named.values()))
    shared = [name for name in ALL_TABLES if name in job.channels] or list(job.channels)
    if len(shared) != 1 and shared[:1] != ["training"]:
        tables = ", ".join(app.tables)
        raise TableError(
            f"no channel has the name of a table: expected channels {tables}, or one channel 'training' with all "
            f"their files, got {', '.join(job.channels) or 'none'}"
        )
    return JobInputs(job.channels[shared[0]], None, {}, _but(job, shared[:1]))


def bring_references(inputs: JobInputs, app: App, into: Path) -> None:
    """Copy the file of each reference table that has a channel of its own into a folder, under the table's name.

    Raises
    ------
    TableError
        A channel holds no file or several, or another reference table has no channel.
    """
    for name, table in app.reference_tables.items():
        if name not in inputs.references:
            raise TableError(f"reference table '{name}': expected a channel of its name, as others have")
        files = find_parts(table.spec, inputs.references[name])
        if len(files) > 1:
            raise TableError(
                f"reference table '{name}': expected one file in {inputs.references[name]}, got {len(files)}"
            )
        suffix = files[0].suffix or ".csv"
        shutil.copyfile(files[0], into / f"{folder_names(table.spec)[0]}{suffix}")


def skipped(inputs: JobInputs, job: Job) -> list[str]:
    """Say what is in the channels and is not read: whole channels, and folders inside those that are."""
    lines = [f"channel '{name}' is not used: no table has its name" for name in inputs.unused]
    for name, folder in job.channels.items():
        if name not in inputs.unused and folder != inputs.features and folder.is_dir():
            inside = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._")
            lines += [f"channel '{name}': its folder '{deeper}' is not read" for deeper in inside]
    return lines


def clear_failure(root: Path) -> None:
    """Remove what a former run said."""
    (root / _FAILURE).unlink(missing_ok=True)


def write_failure(root: Path, error: BaseException) -> None:
    """Write why a job failed, where the platform looks for it."""
    path = root / _FAILURE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, cut(reason_of(error)))


def reason_of(error: BaseException) -> str:
    """Say in a sentence what went wrong; of a mistake of ours with its place."""
    if isinstance(error, ScorelineError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    if not isinstance(error, Exception) or "interrupted" in str(error):
        return "stopped before the end; nothing was left half-written"
    frames = traceback.extract_tb(error.__traceback__)
    where = f", {Path(frames[-1].filename).name} line {frames[-1].lineno}" if frames else ""
    return f"an unexpected error: {type(error).__name__}: {error}{where}; the job's log has the rest"


def cut(text: str, most_bytes: int = FAILURE_BYTES) -> bytes:
    """Return a text as UTF-8 of so many bytes at the most, cut between characters.

    Examples
    --------
    >>> cut("größer", 5), cut("größer", 4)
    (b'gr\\xc3\\xb6', b'gr\\xc3\\xb6')
    """
    return text.encode(errors="replace")[:most_bytes].decode(errors="ignore").encode()


def _refuse_channel(name: str, channel: Mapping[str, Any], hosts: Sequence[str]) -> None:
    mode = str(channel.get("TrainingInputMode") or "File")
    if mode not in ("File", "FastFile"):
        raise SettingError(f"channel '{name}' is in {mode} mode; expected File or FastFile")
    if channel.get("S3DistributionType") == "ShardedByS3Key" and len(hosts) > 1:
        raise SettingError(
            f"channel '{name}' is spread over {len(hosts)} hosts (ShardedByS3Key), and one of them trains; expected "
            "FullyReplicated, or one host"
        )


def _channel_of(spec: TableSpec, job: Job) -> str | None:
    return next((name for name in (spec.name, *folder_names(spec)) if name in job.channels), None)


def _but(job: Job, used: Any) -> list[str]:
    taken = set(used)
    return [name for name in job.channels if name not in taken]
