"""The Spark session: one that is made here, or one that is there already, with the settings that right answers need."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from scoreline.distributed.java import find_java
from scoreline.errors import SettingError, SparkError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_CONNECT_WITHIN_S = 5
_MASTERS = re.compile(r"spark://.+|k8s://.+|yarn|local|local\[.+\]|local-cluster\[.+\]")
# What answers depend on; set in a session of our own, whatever the cluster's defaults say.
CORRECT = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",  # what overflows is an error, and never silently null
    "spark.sql.caseSensitive": "true",  # as column names are in an app
    "spark.sql.files.ignoreCorruptFiles": "false",  # lost rows would revive older values
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",  # zip=03779 stays text
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "65536",
}
_KEPT = (
    "spark.sql.shuffle.partitions",
    "spark.sql.files.maxPartitionBytes",
)  # what is a matter of size, not of answers
# What a session that is made here gets unless the caller says otherwise.
_MADE_WITH = {"spark.ui.showConsoleProgress": str(sys.stderr.isatty()).lower()}
# The same, unless spark-defaults.conf or spark-submit do: a broadcast of a few rows, and the buffer of a window, take a
# page at least; of its own, Spark makes it of 64 MB in an executor of one core with 2 GB. Below 4 MB by the head of a
# Java array: Java's heap is in pieces of a power of two, and an array that is larger by its head takes one more.
_PAGES = {"spark.buffer.pageSize": str((4 << 20) - 16)}


def open_session(
    master: str | None = None, *, name: str = "scoreline", conf: Mapping[str, str] | None = None
) -> SparkSession:
    """Return a Spark session with the settings of `CORRECT`: over the one that is active, else over a new one.

    Parameters
    ----------
    master : `spark://host:port`, `local[2]`, `yarn`, ...; None: the active session's, else what `spark-submit` or
        spark-defaults.conf say, else this machine's cores
    conf : settings of Spark for a session that is made here

    Raises
    ------
    SparkError
        pyspark or Java is missing or too old, or the master can't be reached.
    SettingError
        The master is no address, or a session with another master is active in this process.
    """
    addresses = _addresses(master)
    require_pyspark()
    from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None:
        _refuse_other_master(active, master)
        return take_session(active)
    if "PYSPARK_GATEWAY_PORT" not in os.environ:  # spark-submit has started Java already
        find_java()
    if addresses:
        _reach(addresses)
    return take_session(_make(master, name, conf or {}))


def take_session(session: SparkSession) -> SparkSession:
    """Return a session beside a given one, as on EMR or Databricks: on the same cluster, with our settings alone.

    The given one keeps its own settings, and its temporary views are not seen.
    """
    from pyspark.errors import PySparkException

    try:
        own = session.newSession()
    except PySparkException:  # over Spark Connect there may be no second session
        own = session
    for setting in _KEPT:
        own.conf.set(setting, session.conf.get(setting) or "")
    for setting, value in CORRECT.items():
        own.conf.set(setting, value)
    return own


@contextlib.contextmanager
def stopped_after(session: SparkSession) -> Iterator[SparkSession]:
    """Stop a session at the end of what is done with it, but for a signal: Java then ends with this process.

    A signal may come in the middle of an answer of Java's. What is asked next would be told the rest of that answer,
    and fail in the place of what the signal raised.
    """
    try:
        yield session
    except Exception:  # whatever the work raised; what a signal raises is none of these
        session.stop()
        raise
    session.stop()


def require_pyspark() -> None:
    """Raise SparkError, saying what to install, unless pyspark and what it needs for Arrow are there."""
    for package in ("pyspark", "pandas", "pyarrow"):
        try:
            __import__(package)
        except ImportError as error:
            raise SparkError(
                f"the engine spark needs {package}, which can't be imported ({error}). "
                "Install it: pip install 'scoreline[spark]'"
            ) from error


def is_local(session: SparkSession) -> bool:
    """Whether a session's work is done in this process's own Java, on this machine."""
    return _master_of(session).startswith("local")


def _make(master: str | None, name: str, conf: Mapping[str, str]) -> SparkSession:
    from pyspark import SparkConf, SparkContext
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    # Workers start the Python that this process runs, unless told otherwise: where each machine has the same image.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    try:
        settings = {"spark.app.name": name, **_MADE_WITH, **_told(conf), **conf}
        if master is not None:
            settings["spark.master"] = master
        with _interrupts_as_before():  # as briefly as can be: the session takes seconds more
            SparkContext.getOrCreate(SparkConf().setAll(list(settings.items())))
        return SparkSession.builder.getOrCreate()
    except PySparkException as error:
        raise SparkError(f"Spark could not be started ({_first_line(error)}). Its own words are above.") from error
    except Exception as error:  # what Java raises comes as errors of py4j, of many kinds
        where = f" on {master}" if master else ""
        raise SparkError(f"Spark could not be started{where}: {_first_line(error)}") from error


@contextlib.contextmanager
def _interrupts_as_before() -> Iterator[None]:
    """Put back what a command does at Ctrl-C: pyspark would ask Java to cancel, in the midst of an answer.

    Where Ctrl-C is Python's own, as in a notebook, pyspark keeps it: the process goes on, and its jobs should not.
    """
    before = signal.getsignal(signal.SIGINT)
    yield
    if before is not signal.default_int_handler and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, before)


def _told(conf: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of `_PAGES`, by what spark-defaults.conf and spark-submit say of them."""
    from pyspark import SparkConf, SparkContext

    SparkContext._ensure_initialized(conf=SparkConf(loadDefaults=False).setAll(list(conf.items())))
    said = SparkConf()  # Java, which was started with `conf`, has read them
    return {setting: said.get(setting, value) for setting, value in _PAGES.items()}


def _refuse_other_master(active: SparkSession, master: str | None) -> None:
    running = _master_of(active)
    if master is not None and running and running != master:
        raise SettingError(
            f"--master {master}: a session on {running} is active in this process, and there can be only one. "
            "Leave the master out to use it, or stop it first."
        )


def _master_of(session: SparkSession) -> str:
    return session.conf.get("spark.master", "") or ""


def _addresses(master: str | None) -> list[tuple[str, int]]:
    """Return host and port of each standalone master; none where the master is of another kind."""
    if master is not None and not _MASTERS.fullmatch(master):
        raise SettingError(f"--master {master}: expected spark://host:port, yarn, k8s://https://host:port or local[4]")
    if master is None or not master.startswith("spark://"):
        return []
    parts = [address.rpartition(":") for address in master.removeprefix("spark://").split(",")]
    if any(not host or not port.isdecimal() for host, _, port in parts):
        raise SettingError(f"--master {master}: expected spark://host:port, for example spark://10.0.0.5:7077")
    return [(host.strip("[]"), int(port)) for host, _, port in parts]


def _reach(addresses: Sequence[tuple[str, int]]) -> None:
    """Knock at a standalone master: Spark itself would try for a minute and then tell little."""
    failures = []
    for host, port in addresses:
        try:
            with contextlib.closing(socket.create_connection((host, port), _CONNECT_WITHIN_S)):
                return
        except (OSError, OverflowError) as error:
            failures.append(f"{host}:{port}: {error}")
    raise SparkError(
        f"the Spark master can't be reached ({'; '.join(failures)}). Is it started, and is this its address?"
    )


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if not line.startswith(("at ", "An error occurred", ":"))]
    of_java = [line.removeprefix(": ") for line in lines if line.startswith(": ")]
    return (causes or of_java or lines or [type(error).__name__])[0][:300]
