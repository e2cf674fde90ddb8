"""The `score` verb on Spark: records read, joined to their feature rows, scored and written where they are.

Nothing comes to the driver but counts. What scores is shipped to the machines: `bundle.py`; what runs there:
`executor.py`.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from scoreline.app.declaration import App
from scoreline.app.heads import RulesHead
from scoreline.app.load import load_app
from scoreline.app.moments import now_us
from scoreline.app.reply import Decision
from scoreline.distributed.addresses import address_of
from scoreline.distributed.hadoop import HadoopFolder, is_there
from scoreline.distributed.session import open_session, take_session
from scoreline.distributed.trouble import translated
from scoreline.errors import ScoringError, SettingError
from scoreline.features.plan import Plan, make_plan
from scoreline.features.stamp import PARQUET_FILE, check_plan, read_stamp
from scoreline.files import sha256_of, write_atomically
from scoreline.generations.ingest import ingestable_tables
from scoreline.generations.manifest import app_digest
from scoreline.generations.state import StateFolder
from scoreline.model.artifact import check_belongs, load_artifact
from scoreline.scoring.cluster import executor
from scoreline.scoring.cluster.bundle import Told, pack
from scoreline.scoring.cluster.executor import FEATURE, FOUND, IS_ERROR, KEY, Writing
from scoreline.scoring.cluster.inputs import Input, files_of, open_input
from scoreline.scoring.cluster.parts import Output
from scoreline.scoring.cluster.progress import job_progress
from scoreline.scoring.manifest import Scored
from scoreline.scoring.run import Asked, ScoreReport, check_top
from scoreline.scoring.score import PartReport
from scoreline.scoring.source import FORMATS, Format
from scoreline.scoring.writing import Layout
from scoreline.serving.service import OWN_PREDICTOR, Service
from scoreline.serving.start import open_generation
from scoreline.settings import Settings
from scoreline.tables import parquet

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_STAMP, _FEATURES = "stamp", "feature"  # folders of what `feature --output` writes
# A part is some whole files: large enough for a cluster, and of a large batch so few that what each costs is small.
_LEAST_BYTES, _MOST_PARTS = 1 << 30, 32
_NO_ESCAPE = {"header": "true", "escape": '"', "emptyValue": "", "ignoreLeadingWhiteSpace": "false",
              "ignoreTrailingWhiteSpace": "false"}  # fmt: skip


def run_on_spark(
    settings: Settings,
    asked: Asked,
    session: SparkSession | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> ScoreReport:
    """Score a batch on a cluster.

    Parameters
    ----------
    session : an existing one, as on EMR or Databricks; None: `open_session` of the settings

    Raises
    ------
    ScorelineError
        Input, model or features can't be used, the output is of something else, or the work failed. Parts that are
        done are kept.
    """
    if asked.part_records is not None:
        raise SettingError("--part-records: is for one machine; on Spark a part is some whole files of the input")
    app = load_app(settings.app)
    check_top(app, asked.top)
    if session is None:
        session = open_session(settings.master, name=f"scoreline score {app.name}")
    else:
        session = take_session(session)
    there = None if asked.features is None else address_of(session, asked.features)
    asked = replace(
        asked, input=address_of(session, asked.input), output=address_of(session, asked.output), features=there
    )
    with translated("scoring"), tempfile.TemporaryDirectory(prefix="scoreline-") as work:
        shipped = _ship(session, settings, app, Path(work))
        found = open_input(session, app, asked.input, shipped.archive, say)
        writing = _writing(app, asked, found.kinds)
        batch = _Batch(session, settings, asked, app, found, writing)
        features = _features(batch) if batch.is_joined else None
        output = Output(HadoopFolder(session, asked.output))
        output.begin(_content(batch, shipped), anew=asked.anew)
        return _score(batch, features, output)


@dataclass(frozen=True)
class _Shipped:
    """What every machine was sent.

    Attributes
    ----------
    archive : the name that it has there
    model : digest of the artifact
    tables : digest of each reference table
    """

    archive: str
    model: str
    tables: dict[str, str]


def _ship(session: SparkSession, settings: Settings, app: App, work: Path) -> _Shipped:
    """Send every machine what scores."""
    from pyspark.errors import PySparkException

    artifact = load_artifact(settings.model)
    check_belongs(artifact, app)
    tables: list[Path] = []
    if app.declared_request is None:
        told = Told(list(make_plan(app).columns), _stale_by_stamp(settings, app), settings.runtime)
    else:
        state = work / "state"
        open_generation(replace(settings, state=state), lambda line: None, verb="score")
        service = Service(app, settings, StateFolder(state))
        folder = StateFolder(state).folder_of(StateFolder(state).number)
        tables = sorted((folder / "tables").glob("*.msgpack"))
        told = Told([], service.stale(), settings.runtime)
    name, content = pack(settings.app, settings.model, tables, told)
    shipped = _kept() / name
    write_atomically(shipped, content)
    try:
        session.addArtifacts(str(shipped), archive=True)
    except PySparkException as error:  # a run before this one has sent it; its name tells its content
        if error.getCondition() != "DUPLICATED_ARTIFACT":
            raise
    return _Shipped(name, artifact.digest, {path.stem: sha256_of(path) for path in tables})


@functools.cache
def _kept() -> Path:
    """Return a folder that stays for as long as this process: a machine may join, and fetch, at any time."""
    folder = tempfile.mkdtemp(prefix="scoreline-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def drop_shipped() -> None:
    """Remove what is kept for the machines: for a process that scores no more, and may end without exit handlers."""
    if _kept.cache_info().currsize:
        shutil.rmtree(_kept(), ignore_errors=True)
        _kept.cache_clear()


def _stale_by_stamp(settings: Settings, app: App) -> list[str]:
    """Return the joined tables whose newest row is older than declared, by the stamp of the feature table."""
    limits = {n: spec.stale_after_s for n, spec in ingestable_tables(app).items() if spec.stale_after_s is not None}
    if not limits:
        return []
    newest = {name: table["newest_us"] for name, table in read_stamp(settings.results, verify=False).tables.items()}
    ages = {name: None if newest.get(name) is None else (now_us() - newest[name]) / 1_000_000 for name in limits}
    return [name for name, limit in limits.items() if (age := ages[name]) is None or age > limit]


def _writing(app: App, asked: Asked, kinds: frozenset[str]) -> Writing:
    format = asked.format or FORMATS.get(Path(asked.output.rstrip("/")).suffix.lower(), "parquet")
    top = asked.top
    if top is None and format == "csv" and app.csv_columns and app.declared_request is not None:
        top = 1  # as over HTTP: a line shows no more than the first entry
    return Writing(format, "request" in kinds, "inputs" in kinds, top)


@dataclass(frozen=True)
class _Batch:
    """What is scored, with what, and as what it is written."""

    session: SparkSession
    settings: Settings
    asked: Asked
    app: App
    found: Input
    writing: Writing

    @property
    def is_joined(self) -> bool:
        """Whether records are looked up in the feature table."""
        return self.app.declared_request is None and self.writing.request


def _content(batch: _Batch, shipped: _Shipped) -> Scored:
    """Return what the replies depend on. Files at an address are told by size and time: none is read for it."""
    own = batch.settings.app / OWN_PREDICTOR
    return Scored(
        app=app_digest(batch.app),
        predictor=sha256_of(own) if own.is_file() else None,
        model=shipped.model,
        features=_digest_of_features(batch) if batch.is_joined else None,
        tables=shipped.tables,
        inputs={file.path: file.stamp for file in batch.found.files},
        options={"format": batch.writing.format} | ({} if batch.writing.top is None else {"top": batch.writing.top}),
    )


def _digest_of_features(batch: _Batch) -> str:
    if batch.asked.features is None:
        return read_stamp(batch.settings.results, verify=False).digest
    where = _built_at(batch.session, batch.asked.features, make_plan(batch.app))
    return hashlib.sha256(msgspec.json.encode(files_of(batch.session, where))).hexdigest()


def _score(batch: _Batch, features: DataFrame | None, output: Output) -> ScoreReport:
    """Score the parts that are not done yet, one after another: the cluster works on each with all it has."""
    groups = batch.found.groups(_LEAST_BYTES, _MOST_PARTS)
    reports = {number: output.report(number) for number in range(len(groups))}
    todo = [number for number, report in reports.items() if report is None]
    told = ScoreReport(batch.asked.output, parts=len(groups), parts_before=len(groups) - len(todo))
    started = time.monotonic()
    if todo:
        replies = _replies_of(batch, features, is_kept=len(todo) > 1)
        with job_progress(batch.session, "score"):
            for number in todo:
                scored = replies(batch.found.rows(groups[number]))
                write = functools.partial(_write, batch.app, scored, batch.writing.format)
                report = reports[number] = output.write(number, write)
                told.scored_now += report.records
    output.finish(list(reports))
    told.seconds = time.monotonic() - started
    for done in reports.values():
        assert done is not None
        told.total.add(done)
    return told


def _replies_of(batch: _Batch, features: DataFrame | None, *, is_kept: bool) -> Callable[[DataFrame], DataFrame]:
    """Return a function that makes of records their replies, with what is counted of each beside it.

    Parameters
    ----------
    is_kept : the feature table is joined more than once; keep it on the machines as it is joined
    """
    from pyspark import StorageLevel
    from pyspark.sql.pandas.types import from_arrow_schema

    app, reading, writing = batch.app, batch.found.reading, batch.writing
    layout = Layout(app, request=writing.request, inputs=writing.inputs)
    out = from_arrow_schema(executor.reply_schema(app, layout, writing.format))
    if features is None:
        score = functools.partial(executor.score_requests, reading, writing)
        return lambda rows: rows.mapInArrow(score, out)
    on = [executor.SALT, *(f"{KEY}{name}" for name in app.spine.spec.key)]
    joined = features.repartition(*on).persist(StorageLevel.DISK_ONLY) if is_kept else features
    keys = from_arrow_schema(executor.key_schema(app))
    read = functools.partial(executor.read_keys, reading)
    score = functools.partial(executor.score_keys, reading.archive, writing)
    return lambda rows: rows.mapInArrow(read, keys).join(joined, on, "left").mapInArrow(score, out)


def _features(batch: _Batch) -> DataFrame:
    """Return the feature table as it is joined: keys, columns by number, and that the row is there."""
    from pyspark.sql.functions import col, lit

    session, results, app = batch.session, batch.settings.results, batch.app
    plan = make_plan(app)
    where = batch.asked.features
    if where is None:
        check_plan(read_stamp(results), plan, results)
        where = address_of(session, results / PARQUET_FILE)
    else:
        where = _built_at(session, where, plan)
    table = session.read.parquet(where)
    _check_features(table, plan.columns, where)
    keys = [col(name).alias(f"{KEY}{name}") for name in app.spine.spec.key]
    columns = [col(name).alias(f"{FEATURE}{number:04d}") for number, name in enumerate(plan.columns)]
    return table.select(lit(0).alias(executor.SALT), *keys, *columns, lit(True).alias(FOUND))


def _built_at(session: SparkSession, address: str, plan: Plan) -> str:
    """Return where the rows are: in `feature/` beside the stamp of `feature --output`, else at the address itself."""
    if not is_there(session, f"{address}/{_STAMP}"):  # a table that something else wrote
        return address
    line = session.read.text(f"{address}/{_STAMP}").first()
    if line is None or msgspec.json.decode(line[0]).get("plan") != plan.digest:
        raise ScoringError(f"{address}: was built by another app.py. Run `scoreline feature` again.")
    return f"{address}/{_FEATURES}"


def _check_features(table: DataFrame, columns: Mapping[str, Any], where: str) -> None:
    from pyspark.sql.pandas.types import to_arrow_schema

    held = to_arrow_schema(table.schema)
    for name, kind in columns.items():
        if name not in held.names:
            raise ScoringError(
                f"{where}: has no column '{name}', which app.py declares. Run `scoreline feature` again."
            )
        parquet.check_type(f"{where}, column '{name}'", held.field(name).type, kind)


def _write(app: App, scored: DataFrame, format: Format, address: str) -> PartReport:
    """Have replies written; return what is counted of them on the way."""
    from pyspark.sql import Observation
    from pyspark.sql.functions import col, count, count_if, lit

    observation = Observation()
    counted = _counted(app)
    decided = [count_if(col(f"{executor.DECISION}{n}") == lit(v)).alias(f"d{i}") for i, (n, v) in enumerate(counted)]
    seen = scored.observe(
        observation, count(lit(1)).alias("records"), count_if(col(IS_ERROR)).alias("errors"), *decided
    )
    helpers = [IS_ERROR, *(f"{executor.DECISION}{name}" for name in executor.decisions_of(app))]
    writer = seen.drop(*helpers).write.mode("overwrite")
    if format == "csv":
        writer.options(**_NO_ESCAPE).csv(address)
    elif format == "jsonl":
        writer.option("lineSep", "\n").text(address)
    else:
        writer.parquet(address)
    got = observation.get
    decisions: dict[str, dict[str, int]] = {}
    for number, (name, value) in enumerate(counted):
        if got[f"d{number}"]:
            decisions.setdefault(name, {})[value] = got[f"d{number}"]
    return PartReport(got["records"], got["errors"], decisions=decisions)


def _counted(app: App) -> list[tuple[str, str]]:
    """Return each reply field with a decision beside each value that it can have."""
    found = []
    for name, kind in app.reply_fields.items():
        if isinstance(kind, Decision):
            head = app.heads[kind.head]
            values = [rule.then for rule in head.rules] if isinstance(head, RulesHead) else list(head.classes)
            found += [(name, value) for value in dict.fromkeys(values)]
    return found
