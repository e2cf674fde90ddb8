"""The model's golden rows, as records that an endpoint answers, and the replies that they must get.

Golden rows are inputs of the heads: no store, no reference table and no key has a part in them, so that the
same model answers them alike everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoreline.app.columns import Boolean, Category, ColumnType, Integer
from scoreline.app.load import load_app, shown
from scoreline.app.reply import of_heads
from scoreline.errors import DeployError
from scoreline.model.artifact import Golden, check_belongs, load_artifact
from scoreline.predictor import InputRow, InputScorer
from scoreline.serving.kinds import RecordKind
from scoreline.serving.problems import Problem
from scoreline.serving.records import schema_of
from scoreline.serving.service import make_predictor

JSON = "application/json"
_CLOSE = 1.01e-4  # replies round to four digits: a value on the edge between two may be rounded either way
_SHOWN = 200  # characters of an answer that is none
_OUTSIDE = "\0"  # a category outside its list, which clients may not send: no list has it


@dataclass(frozen=True)
class GoldenRows:
    """Golden rows as an endpoint is asked them.

    Attributes
    ----------
    records : objects, or lists of values where their names would be taken for something else
    replies : what the model in this process says to each
    """

    records: Sequence[Any]
    replies: Sequence[dict[str, Any]]

    @property
    def request(self) -> dict[str, str]:
        """What InvokeEndpoint is given."""
        return {"ContentType": JSON, "Accept": JSON, "Body": json.dumps(self.records)}

    def difference(self, answer: bytes) -> str | None:
        """Say in what an answer differs from the replies; None where it does not."""
        try:
            got = json.loads(answer)
        except ValueError:
            return f"expected a JSON list, got {answer[:_SHOWN]!r}"
        if not isinstance(got, list) or len(got) != len(self.replies):
            return f"expected a list of {len(self.replies)} replies, got {json.dumps(got)[:_SHOWN]}"
        for row, (reply, expected) in enumerate(zip(got, self.replies, strict=True)):
            for name, value in expected.items():
                if not isinstance(reply, dict) or not _alike(reply.get(name), value):
                    came = reply.get(name) if isinstance(reply, dict) and name in reply else reply
                    return f"row {row}, {name}: expected {json.dumps(value)}, got {json.dumps(came)[:_SHOWN]}"
        return None


def golden_rows(folder: Path, model: Path) -> GoldenRows:
    """Make records of a model's golden rows, and score them here.

    Raises
    ------
    ScorelineError
        The model is missing, damaged, or not the app's; or its reply has nothing that inputs alone tell.
    """
    app = load_app(folder)
    artifact = load_artifact(model)
    check_belongs(artifact, app)
    schema = schema_of(app)
    kind = schema.inputs
    rows = [] if kind is None or not of_heads(app.reply_fields) else _rows(kind, artifact.golden)
    if kind is None or not rows:
        raise DeployError(
            f"{shown(model)}: has no golden row that an endpoint could be asked. Deploy without: --unchecked"
        )
    replies = InputScorer(app, artifact, make_predictor(folder, app, artifact)).score([InputRow(row) for row in rows])
    return GoldenRows([_record(kind, schema.request, row) for row in rows], replies)


def _rows(kind: RecordKind, golden: Golden) -> list[tuple[Any, ...]]:
    """Return the rows that clients may send as plain values: not those with a category outside its list, say."""
    taken = []
    for row in golden.rows:
        values = tuple(_plain(field.kind, value) for field, value in zip(kind.fields, row, strict=True))
        fits = [field.take(value) for field, value in zip(kind.fields, values, strict=True)]
        if not any(isinstance(value, Problem) for value in fits):
            taken.append(values)
    return taken


def _plain(kind: ColumnType, value: float | None) -> Any:
    """Return what a number of the inputs' matrix stands for."""
    if value is None:
        return None
    if isinstance(kind, Category):
        return kind.values[int(value)] if value < len(kind.values) else _OUTSIDE
    if isinstance(kind, Boolean):
        return value == 1
    return int(value) if isinstance(kind, Integer) and value.is_integer() else value


def _record(inputs: RecordKind, request: RecordKind, row: tuple[Any, ...]) -> Any:
    """Return a record by its names; by its values alone where the names would make it a request."""
    is_request = not request.lacks(inputs.names)
    if is_request and len(inputs.names) != len(request.names):
        return list(row)
    return dict(zip(inputs.names, row, strict=True))


def _alike(got: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        return isinstance(got, dict) and all(_alike(got.get(name), value) for name, value in expected.items())
    if isinstance(expected, float) and type(got) in (int, float):
        return abs(got - expected) <= _CLOSE * max(1.0, abs(expected))
    return type(got) is type(expected) and bool(got == expected)
