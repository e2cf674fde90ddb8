"""What goes wrong on Spark, as errors of ours: one of ours that a worker raised, else Spark's own words."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from scoreline import errors
from scoreline.errors import ScorelineError, SparkError

_OURS = re.compile(r"scoreline\.errors\.(\w+): (.*)")
# Python's own, Java's, Spark's, Java's without a cause.
_KINDS = (r"^(\w+Error: .*)$", r"Caused by: (.*)", r"(\[[A-Z_.]+\] .*)", r"^: (.*)$")
_LONGEST = 500
_ENDED = ("stopped SparkContext", "Master removed our application")
_WHY_ENDED = (
    "the cluster ended the application, as it does where executors can't start. The workers say why, in "
    "work/app-*/*/stderr and on the master's page; often it is a setting, or no way back to here (spark.driver.host)"
)


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise what Spark raises as an error of ours; `what` says what was being done.

    Raises
    ------
    ScorelineError
        As a worker raised it; SparkError for what Spark itself says.
    """
    try:
        yield
    except (ScorelineError, KeyboardInterrupt):
        raise
    except Exception as error:  # pyspark's own exceptions, py4j's, and of Java whatever it throws
        if type(error).__module__.split(".")[0] not in ("pyspark", "py4j"):
            raise
        raise _ours(str(error)) or SparkError(f"Spark failed, {what}: {_said(str(error))}") from error


def _ours(said: str) -> ScorelineError | None:
    for name, message in _OURS.findall(said):
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, ScorelineError) and kind is not errors.AwsError:
            return kind(message)
    return None


def _said(said: str) -> str:
    if any(words in said for words in _ENDED):
        return _WHY_ENDED
    for pattern in _KINDS:
        if found := re.findall(pattern, said, re.MULTILINE):
            return str(found[-1])[:_LONGEST]
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return (lines or ["it does not say why"])[0][:_LONGEST]
