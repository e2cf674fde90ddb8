"""`scoreline score`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from scoreline.cli.options import FOLDERS, options, say
from scoreline.cli.signals import interrupted_as_terminated
from scoreline.errors import ScoringError
from scoreline.settings import Settings


@click.command(short_help="Files of records -> files of replies, without a server.")
@options(*FOLDERS, "data_url", "state", "workers", "engine", "master")
@click.option(
    "--input", required=True,
    help="Records: a file, a folder of files, a pattern, or s3://bucket/prefix; CSV, Parquet or JSON Lines by ending.",
)  # fmt: skip
@click.option(
    "--output", required=True,
    help="Replies: a file by its ending, or a folder that gets a part for each partition of the input.",
)  # fmt: skip
@click.option(
    "--format", type=click.Choice(["parquet", "csv", "jsonl"]), default=None,
    help="What replies are written as. Default: by the output's ending; parquet in a folder.",
)  # fmt: skip
@click.option("--top", type=click.IntRange(1), default=None, help="Of a ranked list the first so many. Default: all.")
@click.option(
    "--part-records", type=click.IntRange(1), default=None,
    help="Records of a partition, at the most. Default: 100,000; 2,000 where each is scored against a table.",
)  # fmt: skip
@click.option(
    "--features", default=None,
    help="On Spark: the feature table as Parquet, at an address that all machines can read. Default: in the results.",
)  # fmt: skip
@click.option("--anew", is_flag=True, help="Drop the parts that an earlier run left, and score all of it again.")
def score(settings: Settings, **asked: Any) -> None:
    """Score files of records with the model and the features that a server started now would answer from.

    A record is what a client would send, a row or a line each; its reply is the one that it gets over HTTP. Run again
    after an end in the middle, it scores what is missing. Exits 1 if any record could not be scored; those rows hold
    an `error`.
    """
    from scoreline.cli.report import score_lines
    from scoreline.scoring.run import Asked, run_score

    if settings.store is not None:  # a lookup there is a round trip, and a batch brings its features along
        say(f"score: from the features in {settings.results}, not from the networked store")
        settings = replace(settings, store=None)
    if settings.engine == "spark":
        from scoreline.scoring.cluster.run import drop_shipped, run_on_spark

        with interrupted_as_terminated():
            try:
                report = run_on_spark(settings, Asked(**asked), say=say)
            finally:  # a command that a signal ends runs no exit handlers
                drop_shipped()
    else:
        report = run_score(settings, Asked(**asked), say)
    click.echo("\n".join(score_lines(report)))
    total = report.total
    if total.errors:
        raise ScoringError(f"{total.errors:,} of {total.records:,} records could not be scored; see {report.path}")
