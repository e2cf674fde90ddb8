"""Heads learnt from a Category: which class is the likeliest, and the probability of each."""

from __future__ import annotations

import json

import numpy as np
import pytest

from scoreline.app.load import load_app
from scoreline.cli.report import train_lines
from scoreline.errors import AppError, ArtifactError
from scoreline.features.build import build_features
from scoreline.model.artifact import check_belongs, load_artifact
from scoreline.model.classes import ClassLink, evaluate_classes
from scoreline.model.estimator import load_estimator
from scoreline.model.train import train
from scoreline.predictor import LiveScorer, Predictor, Sent, StoredScorer, check_golden
from scoreline.predictor.heads import SingleRow

CLASSES = ("SMALL", "MIDDLE", "LARGE")
HIST = "from sklearn.ensemble import HistGradientBoostingClassifier as Estimator"
FOREST = "from sklearn.ensemble import RandomForestClassifier as Estimator"
GRADIENT = "from sklearn.ensemble import GradientBoostingClassifier as Estimator"
XGBOOST = "from xgboost import XGBClassifier as Estimator"
LIGHTGBM = "from lightgbm import LGBMClassifier as Estimator"
LINEAR = "from sklearn.linear_model import LogisticRegression as Estimator"
PARAMETERS = {
    LINEAR: "",
    HIST: "max_iter=10, early_stopping=False, random_state=0",
    FOREST: "n_estimators=10, max_depth=5, random_state=0",
    GRADIENT: "n_estimators=10, random_state=0",
    XGBOOST: "n_estimators=10, random_state=0, n_jobs=1",
    LIGHTGBM: "n_estimators=10, random_state=0, n_jobs=1, verbose=-1",
}
APP = """\
from scoreline import App, Category, Integer, Number, Text, Time, decision, probabilities, probability

FIELDS = {"length": Number(optional=True), "weight": Number(optional=True)}
app = App("parcels")
parcels = app.table(
    "parcels", key="parcel_id", time="at",
    columns={"parcel_id": Text, "at": Time, **FIELDS, "size": Category("SMALL", "MIDDLE", "LARGE")},
)
asked = app.table("asked", key="number", columns={"number": Integer, **FIELDS})

def make_estimator():
    IMPORT

    return Estimator(PARAMETERS)

app.features(spine=parcels, length=parcels.length, weight=parcels.weight)
app.head("size", target=parcels.size, inputs=["length", "weight"], estimator=make_estimator)
# REQUEST
app.reply(size=decision("size"), each=probabilities("size", digits=6), large=probability("size", of="LARGE", digits=6))
"""
BY_FIELDS = ("# REQUEST", "app.request(asked)")


class Post:
    """A folder with the app above, its parcels and what is made of them."""

    def __init__(self, folder):
        self.folder, self.results, self.model = folder, folder / "results", folder / "model"

    def load(self, *changes, library=HIST):
        text = APP.replace("IMPORT", library).replace("PARAMETERS", PARAMETERS[library])
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (self.folder / "app.py").write_text(text)
        return load_app(self.folder)

    def write(self, rows=600, sizes=CLASSES, missing=0.1):
        """Write parcels whose size follows their length, with noise; some miss a length or a weight."""
        rng = np.random.default_rng(0)
        length, weight = rng.uniform(0, 3, rows), rng.normal(size=rows)
        code = np.where(rng.random(rows) < 0.1, rng.integers(0, 3, rows), length.astype(int))
        size = np.array(sizes)[code % len(sizes)]
        gone = rng.random((rows, 2)) < missing
        lines = ["parcel_id,at,length,weight,size"]
        for n in range(rows):
            cells = ["" if is_gone else f"{x:.4f}" for x, is_gone in zip((length[n], weight[n]), gone[n], strict=True)]
            lines.append(f"P{n:04d},{np.datetime64('2021-07-04T00:00', 's') + 60 * n},{cells[0]},{cells[1]},{size[n]}")
        (self.folder / "data").mkdir(exist_ok=True)
        (self.folder / "data/parcels.csv").write_text("\n".join(lines) + "\n")

    def make(self, app):
        build_features(app, self.folder / "data", self.results, threads=1, max_bad_percent=1.0, max_bad_rows=20)
        report = train(app, self.results, self.model, Predictor)
        return report, load_artifact(self.model)

    def estimator(self):
        return load_estimator(next(path for path in (self.model / "heads").glob("size.*") if path.suffix in SUFFIXES))


SUFFIXES = (".skops", ".ubj", ".txt")


@pytest.fixture
def post(tmp_path):
    post = Post(tmp_path)
    post.write()
    return post


def matrix(rows=50, *, missing=True):
    rows = np.random.default_rng(1).uniform(-1, 4, (rows, 2))
    if missing:
        rows[::7, 0] = np.nan
    return rows


@pytest.mark.parametrize("library", [HIST, FOREST, XGBOOST], ids=["hist", "forest", "xgboost"])
def test_a_head_of_classes_gives_what_its_estimator_gives(post, library):
    app = post.load(library=library)
    _, artifact = post.make(app)
    check_belongs(artifact, app)
    check_golden(Predictor(app, artifact), artifact)
    rows, estimator = matrix(), post.estimator()
    assert np.abs(Predictor(app, artifact).predict(rows)["size"] - estimator.predict_proba(rows)).max() < 1e-6
    assert artifact.learnt["size"].runtime.name == "kernel"


def test_an_estimator_without_trees_serves_itself(post):
    post.write(missing=0)
    app = post.load(library=LINEAR)
    _, artifact = post.make(app)
    assert (artifact.learnt["size"].trees, artifact.learnt["size"].runtime.name) == (None, "estimator")
    rows = matrix(missing=False)
    expected = post.estimator().predict_proba(rows)
    assert np.abs(Predictor(app, artifact).predict(rows)["size"] - expected).max() < 1e-9


def test_lightgbm_gives_what_its_booster_gives(post):
    app = post.load(library=LIGHTGBM)
    _, artifact = post.make(app)
    rows, booster = matrix(), post.estimator().booster_
    assert np.abs(Predictor(app, artifact).predict(rows)["size"] - booster.predict(rows)).max() < 1e-9


def test_an_estimator_that_takes_no_missing_input_leaves_those_rows_without_an_answer(post):
    post.write(missing=0)
    app = post.load(library=GRADIENT)
    _, artifact = post.make(app)
    rows = matrix()
    found = Predictor(app, artifact).predict(rows)["size"]
    gone = np.isnan(rows).any(axis=1)
    assert np.isnan(found[gone]).all()
    assert np.abs(found[~gone] - post.estimator().predict_proba(rows[~gone])).max() < 1e-9
    reply = reply_of(app, artifact, [None, 1.0])
    assert reply == {"size": None, "each": None, "large": None}


def reply_of(app, artifact, inputs):
    columns = [*app.feature_types]
    source = {("P1",): [inputs[columns.index(name)] for name in columns]}
    return StoredScorer(app, artifact, Predictor(app, artifact), source, columns).score([("P1",)])[0]


def test_the_reply_has_the_likeliest_class_and_the_probability_of_each(post):
    app = post.load()
    _, artifact = post.make(app)
    estimator = post.estimator()
    for length in (0.5, 1.5, 2.5):
        expected = estimator.predict_proba([[length, 0.0]])[0]
        assert reply_of(app, artifact, [length, 0.0]) == {
            "size": CLASSES[int(estimator.predict([[length, 0.0]])[0])],
            "each": dict(zip(CLASSES, expected.round(6).tolist(), strict=True)),
            "large": round(expected[2], 6),
        }


@pytest.mark.parametrize("library", [HIST, FOREST, GRADIENT], ids=["hist", "forest", "gradient"])
def test_one_row_is_answered_as_in_a_matrix(post, library):
    post.write(missing=0 if library == GRADIENT else 0.1)
    app = post.load(BY_FIELDS, library=library)
    _, artifact = post.make(app)
    predictor = Predictor(app, artifact)
    rows = matrix()
    one = np.array([SingleRow(predictor).predict(row.tolist())["size"][0] for row in rows])
    assert np.allclose(one, predictor.predict(rows)["size"], rtol=0, atol=1e-15, equal_nan=True)
    scorer = LiveScorer(app, artifact, predictor, {})
    sent = [Sent((n, *(None if x != x else x for x in row))) for n, row in enumerate(rows.tolist())]
    assert [scorer.score([record])[0] for record in sent] == scorer.score(sent)


def test_an_own_predictor_is_asked_for_one_row_too(post):
    class Reversed(Predictor):
        def predict(self, rows):
            return {name: values[:, ::-1] for name, values in super().predict(rows).items()}

    app = post.load(BY_FIELDS)
    _, artifact = post.make(app)
    ours = LiveScorer(app, artifact, Predictor(app, artifact), {}).score([Sent((1, 0.5, 0.0))])[0]
    theirs = LiveScorer(app, artifact, Reversed(app, artifact), {}).score([Sent((1, 0.5, 0.0))])[0]
    assert (ours["size"], theirs["size"]) == ("SMALL", "LARGE")
    assert ours["large"] == theirs["each"]["SMALL"]


def test_training_uses_the_earliest_four_fifths_and_measures_on_the_rest(post):
    report, artifact = post.make(post.load())
    head = artifact.manifest["heads"]["size"]
    assert head["rows"] == {"train": 480, "calibrate": 0, "test": 120}
    assert (head["classes"], head["link"]) == (list(CLASSES), {"kind": "softmax", "seen": [0, 1, 2]})
    metrics = report.metrics["size"]
    assert 0.8 < metrics.accuracy <= 1
    assert metrics.accuracy_base < 0.5
    assert metrics.beats_base_rate
    line = next(line for line in train_lines(report, post.model) if "size: accuracy" in line)
    assert f"accuracy {metrics.accuracy:.3f} (the most frequent class alone: {metrics.accuracy_base:.3f})" in line


def test_the_same_rows_give_the_same_bytes(post):
    app = post.load()
    _, first = post.make(app)
    _, second = post.make(app)
    assert first.digest == second.digest


def test_a_class_that_no_row_has_is_named_and_never_given(post):
    post.write(sizes=("SMALL", "LARGE"))
    app = post.load()
    report, artifact = post.make(app)
    assert artifact.learnt["size"].link == ClassLink("logistic", (0, 2), 3)
    assert "  warning: size never gives MIDDLE: no row that trains has it" in train_lines(report, post.model)
    found = Predictor(app, artifact).predict(matrix())["size"]
    assert (found[:, 1] == 0).all()
    assert np.allclose(found[:, [0, 2]], post.estimator().predict_proba(matrix()), rtol=0, atol=1e-12)
    check_golden(Predictor(app, artifact), artifact)


def test_a_row_whose_class_is_not_listed_is_not_learnt_from(post):
    post.write(sizes=("SMALL", "HUGE", "LARGE"))
    report, artifact = post.make(post.load())
    rows = artifact.manifest["heads"]["size"]["rows"]
    assert 300 < rows["train"] + rows["test"] < 500
    assert report.metrics["size"].unseen == ("MIDDLE",)


@pytest.mark.parametrize(
    ("rows", "sizes", "why"),
    [
        (150, CLASSES, "only 150 rows have the target, at least 200 are needed"),
        (400, ("SMALL",), "fewer than two classes have 20 rows in the train part"),
        (400, ("HUGE",), "no row has the target"),
    ],
)
def test_a_head_that_can_not_be_learnt_says_why_and_is_null(post, rows, sizes, why):
    post.write(rows, sizes)
    app = post.load()
    report, artifact = post.make(app)
    assert why in report.absent["size"]
    assert reply_of(app, artifact, [1.0, 1.0]) == {"size": None, "each": None, "large": None}


def test_golden_rows_of_classes_that_differ_are_named(post):
    app = post.load()
    _, artifact = post.make(app)
    golden = json.loads((post.model / "golden.json").read_bytes())
    golden["outputs"]["size"][3][1] += 1e-6
    artifact.golden.outputs["size"][3][1] = golden["outputs"]["size"][3][1]
    with pytest.raises(ArtifactError, match=r"head 'size' gives .* for row 3"):
        check_golden(Predictor(app, artifact), artifact)


def test_an_artifact_of_other_classes_is_refused(post):
    _, artifact = post.make(post.load())
    other = post.load(('Category("SMALL", "MIDDLE", "LARGE")', 'Category("SMALL", "LARGE", "MIDDLE")'))
    with pytest.raises(ArtifactError, match="train"):
        check_belongs(artifact, other)


def test_an_input_that_tells_all_classes_apart_is_named(post):
    lines = (post.folder / "data/parcels.csv").read_text().splitlines()
    told = [lines[0], *(f"{line.rsplit(',', 2)[0]},{CLASSES.index(line.rsplit(',', 1)[1])},{line.rsplit(',', 1)[1]}"
                        for line in lines[1:])]  # fmt: skip
    (post.folder / "data/parcels.csv").write_text("\n".join(told) + "\n")
    report, _ = post.make(post.load())
    assert list(report.leaks["size"]) == ["weight"]


def test_an_input_that_tells_one_class_alone_is_no_leak(post):
    lines = (post.folder / "data/parcels.csv").read_text().splitlines()
    told = [lines[0], *(f"{line.rsplit(',', 2)[0]},{line.endswith('SMALL'):d},{line.rsplit(',', 1)[1]}"
                        for line in lines[1:])]  # fmt: skip
    (post.folder / "data/parcels.csv").write_text("\n".join(told) + "\n")
    report, _ = post.make(post.load())
    assert report.leaks == {}


def test_metrics_of_classes():
    chances = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.5, 0.3, 0.2], [0.2, 0.5, 0.3]])
    metrics = evaluate_classes(chances, np.array([0, 1, 1, 1]), np.array([1, 1, 1, 0]), ("A", "B", "C"))
    assert (metrics.accuracy, metrics.accuracy_base, metrics.rows) == (0.75, 0.75, 4)
    assert metrics.recall == {"A": 1.0, "B": pytest.approx(2 / 3), "C": None}
    assert metrics.log_loss == pytest.approx(-np.log([0.7, 0.6, 0.3, 0.5]).mean())
    assert metrics.log_loss_base == pytest.approx(-np.log([0.25, 0.75, 0.75, 0.75]).mean())
    assert metrics.unseen == ("C",)


def test_softmax_of_large_scores_does_not_overflow():
    link = ClassLink("softmax", (0, 1, 2), 3)
    raw = np.array([[800.0, 799.0, -800.0]])
    assert link.apply(raw)[0].tolist() == pytest.approx(link.apply_one(raw[0]))
    assert link.apply(raw).sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('decision("size")', 'reason("size")', r"reason\('size'\) needs a rules head"),
        ('of="LARGE"', 'of="LARG"', "expected of= one of SMALL, MIDDLE, LARGE, got 'LARG'. Did you mean 'LARGE'"),
        ('of="LARGE", ', "", "expected of= one of SMALL, MIDDLE, LARGE, got None"),
        ('Category("SMALL", "MIDDLE", "LARGE")', 'Category("SMALL")', "has one category; expected at least two"),
        ("estimator=make_estimator", "estimator=make_estimator, monotonic={'length': 1}", "monotonic= is for Boolean"),
        ("estimator=make_estimator", "estimator=make_estimator, report_by='length'", "report_by= is for Boolean"),
        ('decision("size")', 'band("size", {"all": 0})', "needs a head learnt from a Boolean"),
        ('decision("size")', 'outside_support("size")', "needs a head learnt from a Boolean"),
    ],
)
def test_a_mistake_in_a_head_of_classes_is_refused(post, old, new, says):
    imports = ("import App, ", "import App, band, outside_support, reason, ")
    with pytest.raises(AppError, match=says):
        post.load(imports, (old, new))


def test_probabilities_are_no_single_value_of_a_csv_cell(post):
    app = post.load()
    with pytest.raises(AppError, match="'each' is a list or an object"):
        app.csv_reply(each="each")
