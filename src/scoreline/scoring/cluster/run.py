"""The `score` verb on Spark: records read, joined to their feature rows, scored and written where they are.

Nothing comes to the driver but counts. What scores is shipped to the machines: `bundle.py`; what runs there:
`executor.py`.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from scoreline.app.declaration import App
from scoreline.app.heads import RulesHead
from scoreline.app.load import load_app
from scoreline.app.moments import now_us
from scoreline.app.reply import Decision
from scoreline.distributed.session import open_session, take_session
from scoreline.errors import ScoringError, SparkError
from scoreline.features.plan import Plan, make_plan
from scoreline.features.stamp import PARQUET_FILE, check_plan, read_stamp
from scoreline.files import write_atomically
from scoreline.generations.ingest import ingestable_tables
from scoreline.generations.state import StateFolder
from scoreline.model.artifact import check_belongs, load_artifact
from scoreline.scoring.cluster import executor
from scoreline.scoring.cluster.bundle import Told, pack
from scoreline.scoring.cluster.executor import BLOCK, FEATURE, FILE, FOUND, IS_ERROR, KEY, LINE, PLACE, Reading, Writing
from scoreline.scoring.cluster.progress import job_progress
from scoreline.scoring.reading import Columns
from scoreline.scoring.run import Asked, ScoreReport
from scoreline.scoring.score import PartReport
from scoreline.scoring.source import FORMATS, Format
from scoreline.scoring.writing import Layout
from scoreline.serving.records import schema_of
from scoreline.serving.service import Service
from scoreline.serving.start import open_generation
from scoreline.settings import Settings
from scoreline.tables import parquet
from scoreline.tables.csv_lines import names_in

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_OURS = re.compile(r"^\s*scoreline\.errors\.\w+: (.+)$", re.M)  # of a traceback on a machine of the cluster
_CAUSE = re.compile(r"^(?!\s*at )(?!Traceback).*(Exception|Error)\b.*:")
_SHOWN = 500
_STAMP, _FEATURES = "stamp", "feature"  # folders of what `feature --output` writes
_NO_ESCAPE = {"header": "true", "escape": '"', "emptyValue": "", "ignoreLeadingWhiteSpace": "false",
              "ignoreTrailingWhiteSpace": "false"}  # fmt: skip


@dataclass(frozen=True)
class _Input:
    """Where records are, and how they are read there.

    Attributes
    ----------
    rows : the columns that `executor` reads records from
    kinds : which kinds of record there may be
    """

    rows: DataFrame
    reading: Reading
    kinds: frozenset[str]


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
        Input, model or features can't be used, the output is there already, or the work failed.
    """
    app = load_app(settings.app)
    if session is None:
        session = open_session(settings.master, name=f"scoreline score {app.name}")
    else:
        session = take_session(session)
    asked = replace(asked, input=address_of(asked.input), output=address_of(asked.output))
    with _spoken(), tempfile.TemporaryDirectory(prefix="scoreline-") as work:
        archive = _ship(session, settings, app, Path(work))
        found = _open_input(session, app, asked, archive, say)
        writing = _writing(app, asked, found.kinds)
        layout = Layout(app, request=writing.request, inputs=writing.inputs)
        scored = _scored(session, settings, asked, app, found, writing, layout)
        return _write(session, app, asked, scored, writing.format)


def address_of(text: str) -> str:
    """Return a path as Spark takes it, whatever its own default is; Amazon's `s3://` by the name that Hadoop gives it.

    Examples
    --------
    >>> address_of("/data/orders"), address_of("hdfs://host/orders"), address_of("s3://shop/orders/")
    ('file:///data/orders', 'hdfs://host/orders', 's3a://shop/orders/')
    """
    if "://" not in text:
        return f"file://{Path(text).resolve()}"
    return re.sub("^s3://", "s3a://", text)


def _ship(session: SparkSession, settings: Settings, app: App, work: Path) -> str:
    """Send every machine what scores; return the name that it has there."""
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
    return name


@functools.cache
def _kept() -> Path:
    """Return a folder that stays for as long as this process: a machine may join, and fetch, at any time."""
    folder = tempfile.mkdtemp(prefix="scoreline-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _stale_by_stamp(settings: Settings, app: App) -> list[str]:
    """Return the joined tables whose newest row is older than declared, by the stamp of the feature table."""
    limits = {n: spec.stale_after_s for n, spec in ingestable_tables(app).items() if spec.stale_after_s is not None}
    if not limits:
        return []
    newest = {name: table["newest_us"] for name, table in read_stamp(settings.results, verify=False).tables.items()}
    ages = {name: None if newest.get(name) is None else (now_us() - newest[name]) / 1_000_000 for name in limits}
    return [name for name, limit in limits.items() if (age := ages[name]) is None or age > limit]


def _open_input(session: SparkSession, app: App, asked: Asked, archive: str, say: Callable[[str], None]) -> _Input:
    from pyspark.sql.functions import col

    files = session.read.format("binaryFile").load(asked.input).inputFiles()
    format = _format_of(files, asked.input)
    schema = schema_of(app)
    path, place = col("_metadata.file_path").alias(FILE), col("_metadata.row_index").alias(PLACE)
    if format == "parquet":
        from pyspark.sql.pandas.types import to_arrow_schema

        held = session.read.parquet(asked.input)
        columns = Columns(app, schema, held.columns, asked.input)
        for field, kind in zip(to_arrow_schema(held.select(*columns.names).schema), columns.types, strict=True):
            parquet.check_type(f"{asked.input}, column '{field.name}'", field.type, kind)
        rows = held.select(*columns.names, path, place)
        reading = Reading(archive, format, columns=tuple(columns.names))
    else:
        lines = session.read.option("lineSep", "\n")
        header = b""
        columns_or_none = None
        if format == "csv":
            first = lines.text(files[0]).first()
            header = (first[0] if first else "").encode()
            columns_or_none = Columns(app, schema, names_in(header, files[0]), asked.input)
        block = col("_metadata.file_block_start").alias(BLOCK)
        rows = lines.text(asked.input).select(col("value").cast("binary").alias(LINE), path, block)
        reading = Reading(archive, format, header)
        if columns_or_none is None:
            both = {"request"} if schema.inputs is None else {"request", "inputs"}
            return _Input(rows, reading, frozenset(both))
        columns = columns_or_none
    if columns.unused:
        say(f"score: no record has a column {', '.join(columns.unused)}: passed over")
    return _Input(rows, reading, frozenset({"inputs" if columns.of_inputs else "request"}))


def _format_of(files: Sequence[str], given: str) -> Format:
    endings = {Path(file.removesuffix(".gz")).suffix.lower() for file in files}
    if not files:
        raise ScoringError(f"--input {given}: no file there; expected files that end in {', '.join(FORMATS)}")
    if len(endings) > 1 or not endings <= FORMATS.keys():
        raise ScoringError(
            f"--input {given}: expected files of one ending of {', '.join(FORMATS)}, got {', '.join(sorted(endings))}"
        )
    return FORMATS[endings.pop()]


def _writing(app: App, asked: Asked, kinds: frozenset[str]) -> Writing:
    format = asked.format or FORMATS.get(Path(asked.output.rstrip("/")).suffix.lower(), "parquet")
    top = asked.top
    if top is None and format == "csv" and app.csv_columns and app.declared_request is not None:
        top = 1  # as over HTTP: a line shows no more than the first entry
    return Writing(format, "request" in kinds, "inputs" in kinds, top)


def _scored(
    session: SparkSession,
    settings: Settings,
    asked: Asked,
    app: App,
    found: _Input,
    writing: Writing,
    layout: Layout,
) -> DataFrame:
    """Return the replies, with what is counted of each beside it."""
    from pyspark.sql.pandas.types import from_arrow_schema

    out = from_arrow_schema(executor.reply_schema(app, layout, writing.format))
    archive = found.reading.archive
    if app.declared_request is not None or not writing.request:
        return found.rows.mapInArrow(functools.partial(executor.score_requests, found.reading, writing), out)
    keyed = found.rows.mapInArrow(
        functools.partial(executor.read_keys, found.reading), from_arrow_schema(executor.key_schema(app))
    )
    features = _features(session, settings, asked, app)
    on = [executor.SALT, *(f"{KEY}{name}" for name in app.spine.spec.key)]
    return keyed.join(features, on, "left").mapInArrow(functools.partial(executor.score_keys, archive, writing), out)


def _features(session: SparkSession, settings: Settings, asked: Asked, app: App) -> DataFrame:
    """Return the feature table as it is joined: keys, columns by number, and that the row is there."""
    from pyspark.sql.functions import col, lit

    plan = make_plan(app)
    where = asked.features
    if where is None:
        check_plan(read_stamp(settings.results), plan, settings.results)
        where = address_of(str(settings.results / PARQUET_FILE))
    else:
        where = _built_at(session, address_of(where), plan)
    table = session.read.parquet(where)
    _check_features(table, plan.columns, where)
    keys = [col(name).alias(f"{KEY}{name}") for name in app.spine.spec.key]
    columns = [col(name).alias(f"{FEATURE}{number:04d}") for number, name in enumerate(plan.columns)]
    return table.select(lit(0).alias(executor.SALT), *keys, *columns, lit(True).alias(FOUND))


def _built_at(session: SparkSession, address: str, plan: Plan) -> str:
    """Return where the rows are: in `feature/` beside the stamp of `feature --output`, else at the address itself."""
    from pyspark.errors import AnalysisException

    try:
        line = session.read.text(f"{address}/{_STAMP}").first()
    except AnalysisException:  # a table that something else wrote
        return address
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


def _write(session: SparkSession, app: App, asked: Asked, scored: DataFrame, format: Format) -> ScoreReport:
    from pyspark.errors import AnalysisException
    from pyspark.sql import Observation
    from pyspark.sql.functions import col, count, count_if, lit

    observation = Observation()
    counted = _counted(app)
    decided = [count_if(col(f"{executor.DECISION}{n}") == lit(v)).alias(f"d{i}") for i, (n, v) in enumerate(counted)]
    seen = scored.observe(
        observation, count(lit(1)).alias("records"), count_if(col(IS_ERROR)).alias("errors"), *decided
    )
    helpers = [IS_ERROR, *(f"{executor.DECISION}{name}" for name in executor.decisions_of(app))]
    writer = seen.drop(*helpers).write.mode("overwrite" if asked.anew else "error")
    started = time.monotonic()
    try:
        with job_progress(session, "score"):
            if format == "csv":
                writer.options(**_NO_ESCAPE).csv(asked.output)
            elif format == "jsonl":
                writer.option("lineSep", "\n").text(asked.output)
            else:
                writer.parquet(asked.output)
    except AnalysisException as error:
        if "PATH_ALREADY_EXISTS" not in str(error):
            raise
        raise ScoringError(f"--output {asked.output}: is there already. --anew replaces it.") from error
    got = observation.get
    decisions: dict[str, dict[str, int]] = {}
    for number, (name, value) in enumerate(counted):
        if got[f"d{number}"]:
            decisions.setdefault(name, {})[value] = got[f"d{number}"]
    total = PartReport(got["records"], got["errors"], decisions=decisions)
    return ScoreReport(asked.output, total, got["records"], time.monotonic() - started)


def _counted(app: App) -> list[tuple[str, str]]:
    """Return each reply field with a decision beside each value that it can have."""
    found = []
    for name, kind in app.reply_fields.items():
        if isinstance(kind, Decision):
            head = app.heads[kind.head]
            values = [rule.then for rule in head.rules] if isinstance(head, RulesHead) else list(head.classes)
            found += [(name, value) for value in dict.fromkeys(values)]
    return found


@contextlib.contextmanager
def _spoken() -> Iterator[None]:
    """Say what went wrong on the cluster in one line, where Spark's own errors fill a screen."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError) as error:
        if ours := _OURS.findall(str(error)):
            raise ScoringError(ours[0]) from error
        causes = [line.strip() for line in str(error).splitlines() if _CAUSE.search(line)]
        told = (causes or [type(error).__name__])[-1]
        raise SparkError(f"the work on Spark failed: {told[:_SHOWN]}") from error
