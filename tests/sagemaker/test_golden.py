"""Golden rows over HTTP: a server of the model answers them as the model in this process does."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from flowers import made_flowers
from servers import serving

from scoreline.app.load import load_app
from scoreline.errors import ArtifactError
from scoreline.model.artifact import load_artifact
from scoreline.predictor import Predictor
from scoreline.sagemaker.golden import GoldenRows, golden_rows

EXPECTED = {"decision": "Deliver", "chance": 0.5, "reason": {"rule": "all", "n": 3, "ok": True}, "none": None}
ROWS = GoldenRows([[1]], [EXPECTED])


def answer(**changes):
    return json.dumps([{**EXPECTED, "key": "more is no difference", **changes}]).encode()


@pytest.mark.slow
@pytest.mark.parametrize("made", ["triage", "cards", "flowers"])
def test_a_server_of_the_model_answers_them_alike(request, tmp_path, tmp_path_factory, made):
    app = made_flowers(tmp_path_factory) if made == "flowers" else request.getfixturevalue(made)
    rows = golden_rows(app, app / "model")
    assert len(rows.records) > 10
    with serving(app, app, tmp_path / "server") as server:
        came = server.post(rows.request["Body"].encode(), Accept="application/json")
    assert came.status == 200
    assert rows.difference(came.body) is None


def test_equal_replies_do_not_differ():
    assert ROWS.difference(answer()) is None
    assert ROWS.difference(answer(chance=0.5001)) is None  # rounded the other way


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (answer(decision="Decline"), 'row 0, decision: expected "Deliver", got "Decline"'),
        (answer(chance=0.5003), "row 0, chance: expected 0.5, got 0.5003"),
        (answer(chance=None), "row 0, chance: expected 0.5, got null"),
        (answer(chance="0.5"), 'row 0, chance: expected 0.5, got "0.5"'),
        (answer(reason={"rule": "all", "n": 4, "ok": True}), "row 0, reason: expected"),
        (answer(reason={"rule": "all", "n": 3, "ok": 1}), "row 0, reason: expected"),
        (answer(none=0), "row 0, none: expected null, got 0"),
        (
            b'[{"status": 400, "detail": "no"}]',
            'row 0, decision: expected "Deliver", got {"status": 400, "detail": "no"}',
        ),
        (b'["Deliver"]', 'row 0, decision: expected "Deliver", got "Deliver"'),
        (b"[]", "expected a list of 1 replies, got []"),
        (b"{}", "expected a list of 1 replies, got {}"),
        (b"<html>", "expected a JSON list, got b'<html>'"),
    ],
)
def test_the_first_difference_is_named_with_row_and_field(body, says):
    assert ROWS.difference(body).startswith(says)


def test_without_a_model_here_it_says_what_to_run(triage):
    with pytest.raises(ArtifactError, match="Run `scoreline train` first"):
        golden_rows(triage, triage / "elsewhere")


def test_a_row_that_clients_may_not_send_is_left_out(triage):
    app, model = load_app(triage), triage / "model"
    before = golden_rows(triage, model)
    predictor = Predictor(app, load_artifact(model))
    strange = [13.0] * len(predictor.inputs.names)  # no boolean, and a category that its list does not have
    content = json.loads((model / "golden.json").read_text())
    content["rows"].insert(0, strange)
    for head, values in predictor.predict(np.array([strange])).items():
        content["outputs"][head].insert(0, values[0].item())
    (model / "golden.json").write_text(json.dumps(content))
    manifest = json.loads((model / "manifest.json").read_text())
    manifest["files"]["golden.json"] = hashlib.sha256((model / "golden.json").read_bytes()).hexdigest()
    (model / "manifest.json").write_text(json.dumps(manifest))
    assert golden_rows(triage, model) == before
