"""The app `lines`: order lines, found by key; one head of rules, and one learnt head that is a single stump."""

from __future__ import annotations

import math
from pathlib import Path

from scoreline import App, Boolean, Category, Integer, Number, Rule, Text, Time, decision, probability, reason
from scoreline.model.artifact import Artifact, Golden
from scoreline.model.packing import Tree, pack_trees
from scoreline.predictor import Predictor

COLUMNS = ["order_id", "line", "at", "note", "stock", "status", "served", "price"]
NOW = 1_625_430_662_000_000
ROWS = {
    ("A", 1): ["A", 1, NOW, "x", 5, "OK", True, 9.5],
    ("A", 2): ["A", 2, NOW, "x", 0, "OK", True, 9.5],
    ("B", 1): ["B", 1, NOW, "x", None, "OK", True, 9.5],
    ("C", 1): ["C", 1, NOW, None, 5, "STOLEN", False, 120.0],
    ("D", 1): ["D", 1, NOW, None, 5, None, None, None],
}


def make_app(**reply):
    """Declare the app; in the reply, a text stands for the column of that name."""
    app = App("lines")
    lines = app.table(
        "lines", key=["order_id", "line"], time="at",
        columns={
            "order_id": Text, "line": Integer, "at": Time, "note": Text, "stock": Integer,
            "status": Category("OK", "FAILED"), "served": Boolean, "price": Number, "kept": Boolean,
        },
    )  # fmt: skip
    names = ("note", "stock", "status", "served", "price")
    app.features(spine=lines, **{name: lines[name] for name in names})
    app.head(
        "action",
        rules=[
            Rule("no_stock", when=[("stock", "is null"), ("stock", "<", 1)], then="Hold"),
            Rule("not_ok", when=[("status", "!=", "OK"), ("served", "==", False)], then="Check"),
            Rule("clear", then="Ship"),
        ],
    )
    app.head("odds", target=lines.kept, inputs=["price", "stock"], estimator=print)
    fields = {"line": lines.line, "action": decision("action"), "why": reason("action"), "odds": probability("odds")}
    app.reply(**{name: lines[given] if isinstance(given, str) else given for name, given in (reply or fields).items()})
    return app


def price_stump():
    """A tree that gives -2 for a price of at most 100, else 3; a missing price counts as low."""
    stump = Tree([1, -1, -1], [2, -1, -1], [0, 0, 0], [100.0, 0, 0], [True, False, False], [0, -2.0, 3.0])
    return pack_trees([stump], base=[0.0], features=2)


LOW, HIGH = 1 / (1 + math.exp(1.5)), 1 / (1 + math.exp(-3.5))  # 0.5 is added to -2 and 3


def artifact_of(learnt, golden=None):
    return Artifact(Path("model"), {}, learnt, golden or Golden([], {}), "")


class Recording(Predictor):
    """Keeps the matrices that it is given, and what it answers."""

    def __init__(self, app, artifact):
        super().__init__(app, artifact)
        self.seen = []

    def predict(self, matrix):
        outputs = super().predict(matrix)
        self.seen.append((matrix.copy(), outputs))
        return outputs
