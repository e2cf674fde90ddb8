"""An app whose records are numbers alone: flowers by their measures, as an array of numbers can hold them.

A client sends five columns, of which the first is the key; the heads take four, so that a client may send those.
"""

from __future__ import annotations

import random
from pathlib import Path

from cards import as_csv, make_once, put

APP = """\
from scoreline import App, Boolean, Integer, Number, Time, probability, outside_support

MEASURES = {name: Number for name in ("sepal_length", "sepal_width", "petal_length", "petal_width")}  # cm

app = App("flowers")
history = app.table(
    "history", key="flower_id", time="at", columns={"flower_id": Integer, **MEASURES, "at": Time, "is_tall": Boolean}
)
flowers = app.table("flowers", key="flower_id", columns={"flower_id": Integer, **MEASURES})
app.features(spine=history, **{name: history[name] for name in MEASURES})


def make_estimator():
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=7, random_state=1)


app.head("tall", target=history.is_tall, inputs=list(MEASURES), estimator=make_estimator)
app.request(flowers)
app.reply(flower_id=flowers.flower_id, tall=probability("tall"), unlike=outside_support("tall"))
"""
MEASURES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
COLUMNS = ("flower_id", *MEASURES)


def made_flowers(tmp_path_factory) -> Path:
    """Return the folder of the app with features and model; once a session, read only."""
    return make_once("flowers", lambda: write_flowers_app(tmp_path_factory.mktemp("flowers")))


def write_flowers_app(folder: Path, rows: int = 400) -> Path:
    """Write app.py, the history and twenty flowers to score."""
    folder.mkdir(exist_ok=True)
    (folder / "app.py").write_text(APP)
    (folder / "data").mkdir(exist_ok=True)
    chance = random.Random(7)
    history = [[*COLUMNS, "at", "is_tall"]]
    flowers = [list(COLUMNS)]
    for number in range(rows + 20):
        measures = [round(chance.uniform(low, high), 2) for low, high in ((4, 8), (2, 4), (1, 7), (0, 2.5))]
        if number >= rows:
            flowers.append([number, *measures])
            continue
        is_tall = measures[0] + chance.gauss(0, 0.8) > 6
        at = f"2021-{1 + number * 12 // rows:02}-{1 + number % 28:02}"
        history.append([number, *measures, at, "true" if is_tall else "false"])
    put(folder / "data/history.csv", as_csv(history))
    put(folder / "data/flowers.csv", as_csv(flowers))
    return folder
