"""The `score` verb on one machine: a batch in, replies out, restartable part by part."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scoreline.app.declaration import App
from scoreline.app.load import load_app, shown
from scoreline.errors import SettingError
from scoreline.files import sha256_of
from scoreline.generations.state import StateFolder
from scoreline.progress import Progress
from scoreline.scoring.manifest import Output, Scored
from scoreline.scoring.partitions import Partition, cut_input
from scoreline.scoring.pool import Done, score_all
from scoreline.scoring.reading import columns_of
from scoreline.scoring.score import PartReport
from scoreline.scoring.source import FORMATS, Format, InputFile, find_input
from scoreline.scoring.worker import Setup
from scoreline.scoring.writing import Layout, assemble
from scoreline.serving.plan import plan_workers
from scoreline.serving.records import schema_of
from scoreline.serving.service import OWN_PREDICTOR
from scoreline.serving.start import open_generation
from scoreline.settings import Settings

PART_RECORDS, PART_RECORDS_EACH = 100_000, 2_000  # the second where a record is scored against each row of a table
_STATE = "state"


@dataclass(frozen=True)
class Asked:
    """What a batch is asked for.

    Attributes
    ----------
    input, output : files, folders, patterns, addresses, as they were given
    format : of the output; None: by the output's ending, Parquet for a folder
    top : of a ranked list the first so many; None: all, in CSV the first
    part_records : records of a partition, at the most; None: as many as fit the app
    anew : drop what an earlier run left
    features : on Spark, where the feature table is as Parquet; None: in the results folder
    """

    input: str
    output: str
    format: Format | None = None
    top: int | None = None
    part_records: int | None = None
    anew: bool = False
    features: str | None = None


@dataclass
class ScoreReport:
    """What a run came to.

    Attributes
    ----------
    path : where the replies are, as it is shown
    total : of all parts, those of earlier runs too
    scored_now : records of this run; `seconds` are its own
    parts, parts_before : how many there are; how many an earlier run had done
    workers : processes; 0 on Spark
    """

    path: str
    total: PartReport = field(default_factory=PartReport)
    scored_now: int = 0
    seconds: float = 0.0
    parts: int = 0
    parts_before: int = 0
    workers: int = 0

    @property
    def per_second(self) -> float:
        """Records a second, of this run."""
        return self.scored_now / self.seconds if self.seconds else 0.0


def run_score(settings: Settings, asked: Asked, say: Callable[[str], None] = lambda line: None) -> ScoreReport:
    """Score a batch with the model and the features that a server started now would answer from.

    Parameters
    ----------
    say : told what a person should know

    Raises
    ------
    ScorelineError
        The input, the model or the features can't be used, or the output holds parts of something else. Parts that are
        done are kept.
    """
    if asked.features is not None:
        raise SettingError("--features: is for --engine spark; on one machine rows are looked up in the results folder")
    app = load_app(settings.app)
    output = output_of(asked)
    files = find_input(asked.input)
    _refuse_output_in_input(output, files)
    kinds = _look(app, files, say)
    layout, setup = _layout(app, asked, output, kinds)
    partitions, digests = _cut(app, asked, files)
    options = {"format": output.format, "top": asked.top, "part-records": asked.part_records}
    with output.held() as work:
        state = work / _STATE
        open_generation(replace(settings, state=state), say, verb="score")
        output.begin(_scored(settings, StateFolder(state), digests, options), anew=asked.anew)
        report = _score(settings, setup(str(state)), output, partitions, work)
        _finish(output, partitions, layout, work)
    return report


def output_of(asked: Asked) -> Output:
    """Return where the replies go, and as what.

    Raises
    ------
    SettingError
        The ending is none of ours, or is another format's than that which is asked for.
    """
    if "://" in asked.output:
        raise SettingError(f"--output {asked.output}: expected a file or a folder of this machine")
    path = Path(asked.output)
    suffix = path.suffix.lower()
    is_folder = path.is_dir() or not suffix or asked.output.endswith("/")
    if is_folder:
        return Output(path, asked.format or "parquet", single=False)
    if suffix not in FORMATS and asked.format is None:
        raise SettingError(f"--output {asked.output}: expected an ending of {', '.join(FORMATS)}, or --format")
    if asked.format is not None and FORMATS.get(suffix, asked.format) != asked.format:
        raise SettingError(f"--output {asked.output} --format {asked.format}: expected the ending of that format")
    return Output(path, asked.format or FORMATS[suffix], single=True)


def _refuse_output_in_input(output: Output, files: Sequence[InputFile]) -> None:
    """Refuse an output that the next run would take for input."""
    for file in files:
        if file.is_here and (
            Path(file.path) == output.path.resolve() or Path(file.path).parent == output.path.resolve()
        ):
            raise SettingError(f"--output {output.path}: is where the input {file.path} is; expected another place")


def _look(app: App, files: Sequence[InputFile], say: Callable[[str], None]) -> set[str]:
    """Look at the heads of all files; return which kinds of record there may be: `request`, `inputs` or both."""
    schema, kinds = schema_of(app), set[str]()
    unused: dict[str, None] = {}
    for file in files:
        columns = None
        if file.is_here:
            columns = columns_of(app, schema, file.format, Path(file.path), file.name)
        if columns is None:  # each record says itself what it is
            kinds |= {"request"} if schema.inputs is None else {"request", "inputs"}
        else:
            kinds.add("inputs" if columns.of_inputs else "request")
            unused |= dict.fromkeys(columns.unused)
    if unused:
        say(f"score: no record has a column {', '.join(unused)}: passed over")
    return kinds


def _layout(app: App, asked: Asked, output: Output, kinds: set[str]) -> tuple[Layout, Callable[[str], Setup]]:
    request, inputs = "request" in kinds, "inputs" in kinds
    layout = Layout(app, request=request, inputs=inputs)
    top = asked.top
    check_top(app, top)
    if top is None and output.format == "csv" and layout.tables.first_alone:
        top = 1  # as over HTTP: a line shows no more than the first entry
    return layout, lambda state: Setup(state, output.format, request, inputs, top)


def check_top(app: App, top: int | None) -> None:
    """Raise SettingError where so many of a ranked list are asked for, and the app gives none."""
    if top is not None and schema_of(app).select is None:
        raise SettingError(f"--top {top}: app '{app.name}' gives no ranked list")


def _cut(app: App, asked: Asked, files: Sequence[InputFile]) -> tuple[list[Partition], dict[str, str]]:
    request = app.declared_request
    each = request is not None and request.each is not None
    multiline = (app.spine if request is None else request.table).spec.multiline
    records = asked.part_records or (PART_RECORDS_EACH if each else PART_RECORDS)
    return cut_input(files, records, multiline=multiline)


def _scored(settings: Settings, state: StateFolder, inputs: dict[str, str], options: dict[str, Any]) -> Scored:
    generation = state.current()
    assert generation is not None
    own = settings.app / OWN_PREDICTOR
    return Scored(
        app=generation.app,
        predictor=sha256_of(own) if own.is_file() else None,
        model=generation.model,
        features=generation.store,
        tables={name: table.digest for name, table in generation.tables.items()},
        inputs=inputs,
        options={name: value for name, value in options.items() if value is not None},
    )


def _score(
    settings: Settings, setup: Setup, output: Output, partitions: Sequence[Partition], work: Path
) -> ScoreReport:
    """Score the partitions that are not done yet."""
    reports = {partition.name: output.report(partition) for partition in partitions}
    todo = [partition for partition in partitions if reports[partition.name] is None]
    report = ScoreReport(shown(output.path), parts=len(partitions), parts_before=len(partitions) - len(todo))
    if todo:
        report.workers = min(plan_workers(settings.workers).workers, len(todo))
        counts = [partition.records for partition in partitions]
        total = None if None in counts else sum(count or 0 for count in counts)
        started = time.monotonic()
        with Progress("score", total, "records") as progress:
            progress.advance(sum(done.records for done in reports.values() if done is not None))
            for told in score_all(settings, setup, todo, output.format, work, report.workers):
                if isinstance(told, Done):
                    output.keep(told.partition, told.built, told.report)
                    reports[told.partition.name] = told.report
                    report.scored_now += told.report.records
                else:
                    progress.advance(told)
        report.seconds = time.monotonic() - started
    for one in reports.values():  # in the order of the input, whichever came first
        assert one is not None
        report.total.add(one)
    return report


def _finish(output: Output, partitions: Sequence[Partition], layout: Layout, work: Path) -> None:
    if output.is_assembled:
        return
    built = None
    if output.single:
        built = work / f"whole.{output.format}"
        assemble([output.part(partition) for partition in partitions], built, output.format, layout)
    output.finish(partitions, built)
