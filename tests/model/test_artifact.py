"""The model artifact: found whole or refused, and held against the app."""

from __future__ import annotations

import json

import pytest

from scoreline.errors import ArtifactError
from scoreline.model.artifact import check_belongs, load_artifact
from scoreline.model.trees import FlatTrees


def test_an_artifact_is_read_with_its_heads_golden_rows_and_digest(trained):
    artifact = trained.artifact()
    assert artifact.manifest["app"] == "visits"
    assert isinstance(artifact.learnt["odds"].trees, FlatTrees)
    assert list(artifact.golden.outputs) == ["action", "odds"]
    assert artifact.digest == trained.artifact().digest


def test_the_digest_is_another_as_soon_as_a_file_is_another(trained):
    before = trained.artifact().digest
    app = trained.load()
    trained.write_visits(300, seed=1)
    trained.build(app)
    trained.train(app)
    assert trained.artifact().digest != before


def test_a_folder_without_an_artifact_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"no model artifact here. Run `scoreline train` first"):
        load_artifact(tmp_path)
    with pytest.raises(ArtifactError, match=r"no model artifact here"):
        load_artifact(tmp_path / "never")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(b"", "manifest.json: can't be read", id="empty"),
        pytest.param(b'{"format": 2, "files"', "manifest.json: can't be read", id="cut"),
        pytest.param(b"\xff\xfe", "manifest.json: can't be read", id="no-text"),
        pytest.param(b"[1]", "is format None; this version reads 2", id="a-list"),
        pytest.param(b"{}", "is format None; this version reads 2", id="no-format"),
        pytest.param(b'{"format": 1}', "is format 1; this version reads 2", id="a-former-format"),
        pytest.param(b'{"format": 3}', "is format 3; this version reads 2", id="a-later-format"),
        pytest.param(b'{"format": 2}', "it has no app, features, files, heads, schemas", id="nothing-but-a-format"),
    ],
)
def test_a_manifest_that_can_not_be_used_is_refused(trained, content, says):
    (trained.model / "manifest.json").write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"{says}.*Run `scoreline train` again"):
        trained.artifact()


FILES = ["golden.json", "heads/odds.skops", "heads/odds.trees", "heads/odds.parity.npz"]


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(trained, name):
    (trained.model / name).unlink()
    with pytest.raises(ArtifactError, match=rf"{name}: is missing from the model artifact"):
        trained.artifact()


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_named(trained, name):
    content = bytearray((trained.model / name).read_bytes())
    content[len(content) // 2] ^= 1
    (trained.model / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"{name}: is not the file that the manifest names: changed or torn"):
        trained.artifact()


def test_trees_of_another_width_than_the_manifest_says_are_refused(trained):
    path = trained.model / "manifest.json"
    manifest = json.loads(path.read_bytes())
    manifest["heads"]["odds"]["inputs"] = ["spent", "colour"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match=r"head 'odds' has 3 columns in its trees, its manifest says 2"):
        trained.artifact()


MADE = "estimator=make_estimator"
HEAD = 'Rule("long", when=[("is_long", "==", True), ("spent", ">=", 1.5)], then="Call")'


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(('App("visits")', 'App("calls")'), "is the model of 'visits', app.py declares 'calls'", id="app"),
        pytest.param(
            ('"visit_id": Text', '"visit_id": Integer'), "request schema, column 'visit_id'", id="the-type-of-a-key",
        ),
        pytest.param(
            ('"spent": Number', '"spent": Integer'), "inputs schema, column 'spent': .*number.*integer",
            id="the-type-of-an-input",
        ),
        pytest.param(
            ('"RED", "BLUE"', '"BLUE", "RED"'), "inputs schema, column 'colour'", id="the-order-of-a-category",
        ),
        pytest.param(
            ('"RED", "BLUE"', '"RED", "BLUE", "GREEN"'), "inputs schema, column 'colour': .*GREEN",
            id="one-more-value-of-a-category",
        ),
        pytest.param(
            ("minutes=visits.minutes, spent=visits.spent", "spent=visits.spent, minutes=visits.minutes"),
            "inputs schema, columns were minutes, spent, colour, is_long, app.py declares spent, minutes",
            id="the-order-of-the-inputs",
        ),
        pytest.param(
            ("action=decision(", "outcome=decision("), "reply schema, column 'outcome': .*none of that name",
            id="a-reply-field-renamed",
        ),
        pytest.param(("digits=3", "digits=4"), "reply schema, column 'odds'", id="the-rounding-of-a-reply-field"),
        pytest.param(
            ("spent=visits.spent", "spent=visits.minutes"), "feature 'spent': .*visits.spent.*visits.minutes",
            id="a-feature-from-another-column",
        ),
        pytest.param(
            ("LONG = 1.0", "LONG = 2.0"), "feature 'is_long': .*a function of minutes that reads otherwise",
            id="a-constant-that-a-feature-function-reads",
        ),
        pytest.param(("minutes > LONG", "minutes < LONG"), "feature 'is_long'", id="a-feature-function"),
        pytest.param(('">=", 1.5', '">=", 2.5'), "head 'action', 'rule long': .*1.5.*2.5", id="the-value-of-a-rule"),
        pytest.param(('then="Call"', 'then="Phone"'), "head 'action', 'rule long'", id="the-decision-of-a-rule"),
        pytest.param((HEAD, HEAD.replace('"long"', '"lengthy"')), "head 'action', 'rules'", id="the-name-of-a-rule"),
        pytest.param((HEAD + ",", ""), "head 'action', 'rules'|inputs schema", id="a-rule-left-out"),
        pytest.param(
            ('inputs=["spent", "colour", "minutes"]', 'inputs=["spent", "minutes", "colour"]'), "head 'odds', 'inputs'",
            id="the-order-of-a-heads-inputs",
        ),
        pytest.param((MADE, MADE + ', monotonic={"spent": 1}'), "head 'odds', 'monotonic'", id="a-direction"),
        pytest.param((MADE, MADE + ', knock_outs="action"'), "head 'odds', 'knock_outs'", id="knock-outs"),
        pytest.param(
            ("app.reply(", 'app.head("second", target=visits.paid, inputs=["spent"], estimator=print)\napp.reply('),
            "has no head 'second'", id="a-new-head",
        ),
    ],
)  # fmt: skip
def test_an_app_that_has_changed_since_is_refused_and_the_change_is_named(trained, change, says):
    app = trained.load(change, folder="changed")
    with pytest.raises(ArtifactError, match=says):
        check_belongs(trained.artifact(), app)


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        pytest.param(
            'monotonic={"spent": 1}', r"head 'odds', 'monotonic': .*\{\"spent\": 1\}, app.py declares none", id="way"
        ),
        pytest.param(
            'knock_outs="action"', r"head 'odds', 'knock_outs': .*\"action\", app.py declares none", id="rules"
        ),
    ],
)
def test_a_model_with_what_the_app_has_no_more_is_refused(trained, declared, says):
    trained.train(trained.load((MADE, f"{MADE}, {declared}")))
    with pytest.raises(ArtifactError, match=says):
        check_belongs(trained.artifact(), trained.load(folder="changed"))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param((MADE, MADE + ', report_by="colour"'), id="by-what-training-reports"),
        pytest.param(("return minutes > LONG", '"""Tell."""\n    return minutes > LONG  # minutes'), id="a-comment"),
        pytest.param(("LONG = 1.0", "LONG = 2 / 2"), id="how-a-constant-is-written"),
        pytest.param(("max_iter=15", "max_iter=20"), id="the-estimator-which-only-training-calls"),
        pytest.param(('"visits", key', '"visits", file="calls.csv", key'), id="the-name-of-a-file"),
    ],
)
def test_an_app_that_answers_as_before_still_owns_its_model(trained, change):
    check_belongs(trained.artifact(), trained.load(change, folder="changed"))


@pytest.mark.parametrize("name", ["link", "support", "takes_missing", "inputs"])
def test_a_manifest_whose_head_lacks_a_field_is_refused(trained, name):
    path = trained.artifact().folder / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["heads"]["odds"][name]
    path.write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match=rf"is not a whole manifest \('{name}' is missing or wrong\)"):
        trained.artifact()
