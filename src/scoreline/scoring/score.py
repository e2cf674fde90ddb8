"""Scoring pieces of a batch with what answers requests: a bad record costs its own row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from scoreline.app.reply import Decision
from scoreline.errors import FeatureError, ScorelineError
from scoreline.generations.parts import Parts
from scoreline.predictor import LiveScorer, Options
from scoreline.scoring.reading import Piece
from scoreline.serving.answer import Scene, score_records
from scoreline.serving.problems import Problem
from scoreline.serving.records import Records

_RECORDS_AT_ONCE, _ROWS_AT_ONCE = 2_000, 20_000  # the second where a record is scored against each row of a table
_FAILED = "a feature function of the app failed, or its predictor; the first failure is told on the screen"


class Failed(msgspec.Struct, frozen=True):
    """A record that could not be scored.

    Attributes
    ----------
    error : the problem as JSON-able data; `index` is the record's place in its file, from 0
    given : what could be read of the record
    """

    error: dict[str, Any]
    given: Mapping[str, Any]


Entry = dict[str, Any] | Failed


class PartReport(msgspec.Struct):
    """What came of a partition.

    Attributes
    ----------
    first_error : place and problem of its first bad record, for a person
    failure : what the app's own code said as it failed, if it did
    decisions : reply field with a decision -> decision -> how many
    """

    records: int = 0
    errors: int = 0
    first_error: str = ""
    failure: str = ""
    decisions: dict[str, dict[str, int]] = {}

    def add(self, other: PartReport) -> None:
        """Count another partition too."""
        self.records += other.records
        self.errors += other.errors
        self.first_error = self.first_error or other.first_error
        self.failure = self.failure or other.failure
        for name, decisions in other.decisions.items():
            counted = Counter(self.decisions.get(name, {}))
            counted.update(decisions)
            self.decisions[name] = dict(counted)


class Scorer:
    """Scores pieces, and keeps count.

    Parameters
    ----------
    top : of a ranked list the first so many; None: all
    file : where the records come from, as it is shown

    Attributes
    ----------
    report : what came of all pieces so far
    """

    def __init__(self, service: Scene, parts: Parts, file: str, top: int | None = None) -> None:
        self._service, self._parts, self._file = service, parts, file
        self._options = Options(top=top)
        self._decisions = {
            name: Counter[str]() for name, kind in service.app.reply_fields.items() if isinstance(kind, Decision)
        }
        self.report = PartReport()

    def score(self, piece: Piece) -> list[Entry]:
        """Return one entry for each record, in order.

        Raises
        ------
        ScorelineError
            It is not the records' fault: the online store can't be read, say.
        """
        scored: list[Entry] = []
        for number, entry in enumerate(self._entries(piece.records)):
            self.report.records += 1
            if type(entry) is Problem:
                scored.append(self._failed(entry, piece.places[number], piece.given(number)))
                continue
            for name, counter in self._decisions.items():
                if name in entry:
                    counter[str(entry[name])] += 1
            scored.append(entry)
        return scored

    def finish(self) -> PartReport:
        """Return what came of all pieces."""
        self.report.decisions = {name: dict(counter) for name, counter in self._decisions.items()}
        return self.report

    def _failed(self, problem: Problem, place: int | None, given: Mapping[str, Any]) -> Failed:
        error = {**replace(problem, index=place).describe(), "file": self._file}
        self.report.errors += 1
        self.report.first_error = self.report.first_error or f"{self._file}, record {place}: {problem.detail}"
        return Failed(error, given)

    def _entries(self, records: Records) -> Sequence[Any]:
        """Score records at once; where the app's own code fails, by halves, until those are alone on which it does."""
        try:
            replies = score_records(self._service, self._parts, records, self._options)
        except Exception as error:  # whatever the app's own code raises; what is ours and no record's fault goes on
            if isinstance(error, ScorelineError) and not isinstance(error, FeatureError):
                raise
            if len(records.records) > 1:
                middle = len(records.records) // 2
                halves = (records.records[:middle], records.records[middle:])
                return [entry for half in halves for entry in self._entries(replace(records, records=half))]
            self.report.failure = self.report.failure or f"{type(error).__name__}: {error}"
            return [Problem(500, "internal", _FAILED)]
        if not replies.stale:
            return replies.entries
        return [e if isinstance(e, Problem) else {**e, "stale": replies.stale} for e in replies.entries]


def at_once(parts: Parts) -> int:
    """Return how many records are scored at once: fewer where each has a long list as its reply."""
    scorer = parts.scorer
    rows = scorer.rows_each if isinstance(scorer, LiveScorer) else 0
    return max(1, min(_RECORDS_AT_ONCE, _ROWS_AT_ONCE // rows)) if rows else _RECORDS_AT_ONCE
