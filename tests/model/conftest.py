"""A small app with data of its own, from tables to model artifact."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from scoreline.app.declaration import App
from scoreline.app.load import load_app
from scoreline.features.build import build_features
from scoreline.model.artifact import Artifact, load_artifact
from scoreline.model.train import TrainReport, train
from scoreline.predictor import Predictor

VISITS_APP = """\
from scoreline import App, Boolean, Category, Integer, Number, Rule, Text, Time, decision, probability, reason

LONG = 1.0
app = App("visits")
visits = app.table(
    "visits", key="visit_id", time="at",
    columns={
        "visit_id": Text, "at": Time, "minutes": Number, "spent": Number,
        "colour": Category("RED", "BLUE"), "paid": Boolean(optional=True),
    },
)

def is_long(minutes):
    return minutes > LONG

app.features(spine=visits, minutes=visits.minutes, spent=visits.spent, colour=visits.colour, is_long=is_long)
app.head(
    "action",
    rules=[
        Rule("unknown", when=[("minutes", "is null")], then="Ask"),
        Rule("long", when=[("is_long", "==", True), ("spent", ">=", 1.5)], then="Call"),
        Rule("rest", then="Wait"),
    ],
)

def make_estimator():
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=15, random_state=0, early_stopping=False)

app.head("odds", target=visits.paid, inputs=["spent", "colour", "minutes"], estimator=make_estimator)
app.reply(visit_id=visits.visit_id, action=decision("action"), why=reason("action"), odds=probability("odds", digits=3))
"""


@dataclass(frozen=True)
class Workshop:
    """A folder with an app, its data, its results and its model."""

    folder: Path

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def load(self, *changes: tuple[str, str], folder: str = "app") -> App:
        """Load the app; each change is what to replace in its file, and by what."""
        text = VISITS_APP
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (self.folder / folder).mkdir(exist_ok=True)
        (self.folder / folder / "app.py").write_text(text)
        return load_app(self.folder / folder)

    def write_visits(self, rows: int, *, paid: str | None = "by-spent", seed: int = 0) -> None:
        """Write the table: whether a visit is paid follows what was spent, or is always the same, or is not known."""
        rng = np.random.default_rng(seed)
        spent, minutes = rng.normal(size=rows), rng.normal(size=rows)
        colour = rng.choice(["RED", "BLUE", "GREEN", ""], rows)
        chance = 1 / (1 + np.exp(-2 * spent - (colour == "RED")))
        said = {"by-spent": rng.random(rows) < chance, "always": np.ones(rows, bool), "never": np.zeros(rows, bool)}
        times = np.datetime64("2021-07-04T00:00", "s") + 60 * rng.permutation(rows)
        lines = ["visit_id,at,minutes,spent,colour" + (",paid" if paid else "")]
        for n in range(rows):
            long = "" if n % 9 == 4 else f"{minutes[n]:.3f}"
            lines.append(
                f"V{n:05d},{times[n]},{long},{spent[n]:.3f},{colour[n]}" + (f",{said[paid][n]}" if paid else "")
            )
        (self.folder / "data").mkdir(exist_ok=True)
        (self.folder / "data/visits.csv").write_text("\n".join(lines) + "\n")

    def build(self, app: App) -> None:
        """Build the feature table."""
        build_features(app, self.folder / "data", self.results, threads=1, max_bad_percent=1.0, max_bad_rows=20)

    def train(self, app: App) -> TrainReport:
        """Train into the model folder."""
        return train(app, self.results, self.model, Predictor)

    def artifact(self) -> Artifact:
        """Read the model artifact."""
        return load_artifact(self.model)


@pytest.fixture
def workshop(tmp_path):
    """Give an empty workshop."""
    return Workshop(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Build and train once, on 300 visits."""
    made = Workshop(tmp_path_factory.mktemp("finished"))
    app = made.load()
    made.write_visits(300)
    made.build(app)
    made.train(app)
    return made


@pytest.fixture
def trained(finished, tmp_path):
    """Give a workshop of its own that is built and trained."""
    shutil.copytree(finished.folder, tmp_path, dirs_exist_ok=True)
    return Workshop(tmp_path)
