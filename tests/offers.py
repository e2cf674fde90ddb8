"""The app `offers`: a person is scored against every offer of a reference table, whose lenders are in another."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from scoreline.app.declaration import App
from scoreline.app.load import load_app
from scoreline.features.build import FeatureReport, build_features
from scoreline.model.artifact import Artifact, load_artifact
from scoreline.model.train import TrainReport, train
from scoreline.predictor import Predictor, ReferenceData, Sent
from scoreline.tables.reference import read_reference

OFFERS_APP = """\
import numpy as np

from scoreline import App, Boolean, Category, Integer, Number, Rule, Text, Time
from scoreline import band, decision, feature, left_out, lookup, offered, outside_support, probability, ranked, reason

PERSON = {
    "person_id": Text,
    "score": Integer(minimum=0, maximum=100),
    "income": Number(minimum=0),
    "years": Number(optional=True),
    "home": Category("own", "rent", optional=True),
    "region": Text,
}
app = App("offers")
applied = app.table(
    "applied", key=["person_id", "offer_id"], time="at",
    columns=PERSON | {"offer_id": Text, "at": Time, "taken": Boolean},
)
people = app.table("people", key="person_id", columns=PERSON)
offers = app.reference_table(
    "offers", key="offer_id", rows=(1, 1_000),
    columns={
        "offer_id": Text, "lender": Text, "title": Text, "fee": Number(minimum=0), "least_score": Integer,
        "kind": Category("card", "loan"), "secured": Boolean, "since": Time, "regions": Text,
    },
)
lenders = app.reference_table(
    "lenders", key="lender", rows=(1, 100),
    columns={"lender": Text, "least_income": Number, "strict": Boolean, "country": Category("US", "CA")},
)

def margin(score, least_score):
    return score - least_score

def income(income):
    return income / 1_000

def fee_share(fee, income):
    return fee / np.maximum(income, 0.001)

def is_settled(years):
    return years >= 2

def is_old(since):
    return since < np.datetime64("2020-01-01")

def open_here(region, regions):
    return np.array([not names or r in names.split() for r, names in zip(region, regions, strict=True)], dtype=bool)

app.features(
    spine=applied,
    fee_share=fee_share,
    score=applied.score,
    years=applied.years,
    home=applied.home,
    country=lookup(lenders.country),
    least_income=lookup(lenders.least_income),
    income=income,
    is_settled=is_settled,
    is_old=is_old,
    margin=margin,
    open_here=open_here,
    lender=lookup(offers.lender),
    fee=lookup(offers.fee),
    least_score=lookup(offers.least_score),
    kind=lookup(offers.kind),
    secured=lookup(offers.secured),
    since=lookup(offers.since),
    regions=lookup(offers.regions),
    strict=lookup(lenders.strict),
)
app.head(
    "lenders_word",
    rules=[
        Rule("too_poor", when=[("income", "<", feature("least_income"))], then="No"),
        Rule("far_below", when=[("margin", "<", -40), ("strict", "==", feature("secured"))], then="No"),
        Rule("abroad", when=[("country", "!=", "US")], then="No"),
        Rule("none", then="Maybe"),
    ],
)

def make_estimator():
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=20, random_state=0, early_stopping=False)

app.head(
    "odds",
    target=applied.taken,
    inputs=["margin", "income", "fee_share", "years", "home", "is_settled", "fee", "kind", "secured", "is_old"],
    estimator=make_estimator,
    monotonic={"margin": 1},
    knock_outs="lenders_word",
    report_by="kind",
)
app.request(people, each=offers, where="open_here")
app.reply(
    person_id=people.person_id,
    years=people.years,
    offered=offered(),
    elsewhere=left_out(),
    offers=ranked(
        by="odds",
        offer_id=offers.offer_id,
        title=offers.title,
        since=offers.since,
        odds=probability("odds", digits=2),
        band=band("odds", {"good": 0.5, "bad": 0}, digits=2),
        word=decision("lenders_word"),
        why=reason("lenders_word", of_last=False),
        unsure=outside_support("odds"),
    ),
)
app.csv_reply(person_id="person_id", offered="offered", best="offers.offer_id", odds="offers.odds")
"""
LAST_LINE = OFFERS_APP[OFFERS_APP.index("app.csv_reply(") :]
REPLY = OFFERS_APP[OFFERS_APP.index("app.request(") :]
ROWS_REPLY = """\
offer_id = app.tables["applied"].offer_id
app.request(app.table("asked", key=["person_id", "offer_id"], columns=PERSON | {"offer_id": Text}))
app.reply(
    person_id=app.tables["asked"].person_id,
    years=app.tables["asked"].years,
    odds=probability("odds", digits=2),
    band=band("odds", {"good": 0.5, "bad": 0}, digits=2),
    word=decision("lenders_word"),
    why=reason("lenders_word", of_last=False),
    unsure=outside_support("odds"),
)
app.csv_reply(person_id="person_id", odds="odds")
"""
AS_ROWS = (REPLY, ROWS_REPLY)  # the change that makes a record one row: it names its offer itself

PERSON = ("person_id", "score", "income", "years", "home", "region")
HEADS = {
    "applied": (*PERSON, "offer_id", "at", "taken"),
    "people": PERSON,
    "offers": ("offer_id", "lender", "title", "fee", "least_score", "kind", "secured", "since", "regions"),
    "lenders": ("lender", "least_income", "strict", "country"),
}


def person(person_id="P1", score=60, income=50_000.0, years=3.0, home="own", region="north"):
    """Return a record as it is sent."""
    return Sent((person_id, score, income, years, home, region))


@dataclass(frozen=True)
class Workshop:
    """A folder with the app, its data, its results and its model."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def model(self) -> Path:
        return self.folder / "model"

    def load(self, *changes: tuple[str, str]) -> App:
        """Write the app file, load it; each change is what to replace in it, and by what."""
        text = OFFERS_APP
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        self.folder.mkdir(exist_ok=True)
        (self.folder / "app.py").write_text(text)
        return load_app(self.folder)

    def write(self, *, more: Mapping[str, Sequence[str]] = MappingProxyType({}), **tables: Sequence[Any]) -> None:
        """Write tables; None is an empty field. A table has the columns of HEADS, and `more` of its own after them."""
        self.data.mkdir(parents=True, exist_ok=True)
        for name, rows in tables.items():
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows([(*HEADS[name], *more.get(name, ())), *rows])
            (self.data / f"{name}.csv").write_text(text.getvalue())

    def build(self, app: App, reference_data: Path | None = None) -> FeatureReport:
        """Build the feature table."""
        given = {"threads": 1, "max_bad_percent": 1.0, "max_bad_rows": 20}
        return build_features(app, self.data, self.results, **given, reference_data=reference_data)

    def train(self, app: App) -> TrainReport:
        """Train into the model folder."""
        return train(app, self.results, self.model, Predictor)

    def artifact(self) -> Artifact:
        """Read the model artifact."""
        return load_artifact(self.model)

    def tables(self, app: App) -> dict[str, ReferenceData]:
        """Read the reference tables from the data folder."""
        specs = {name: table.spec for name, table in app.reference_tables.items()}
        return {name: ReferenceData(spec, plain_columns(spec, self.data)) for name, spec in specs.items()}


def plain_columns(spec, folder):
    """Read a reference table as it is held: plain values, times as microseconds."""
    rows = read_reference(spec, folder)
    times = {name for name, kind in spec.columns.items() if kind.name == "time"}
    return {
        name: (rows.column(name).cast("int64") if name in times else rows.column(name)).to_pylist()
        for name in spec.columns
    }


def made_up_tables(seed: int, applications: int = 60) -> dict[str, list[list[Any]]]:
    """Make tables with whatever may come: unknown keys, nulls, categories outside their list."""
    rng = np.random.default_rng(seed)

    def one_of(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    def maybe(value: Any) -> Any:
        return None if rng.random() < 0.15 else value

    names = [f"L{n}" for n in range(6)]
    lenders = [
        [name, maybe(int(rng.integers(0, 60))), maybe(one_of("true", "false")), maybe(one_of("US", "US", "US", "MX"))]
        for name in names
    ]
    ids = [f"O{n:02d}" for n in rng.permutation(20)]
    offers = [
        [
            name, maybe(one_of(*names, "unheard-of")), f"Title of {name}", maybe(round(float(rng.random()), 2)),
            maybe(int(rng.integers(0, 100))), maybe(one_of("card", "loan", "lease")), maybe(one_of("true", "false")),
            maybe(one_of("2019-05-06 07:08:09.000001", "2021-01-01")), one_of("", "north", "south", "north south"),
        ]
        for name in ids
    ]  # fmt: skip
    applied = []
    for number in range(applications):
        score, name = int(rng.integers(0, 101)), one_of(*ids, "O99")
        offer = next((offer for offer in offers if offer[0] == name), None)
        margin = score - (50 if offer is None or offer[4] is None else offer[4])
        taken = "true" if rng.random() < 1 / (1 + np.exp(-margin / 15)) else "false"
        applied.append(
            [
                f"P{number:03d}", score, int(rng.integers(0, 100_000)), maybe(round(float(rng.random()) * 5, 1)),
                maybe(one_of("own", "rent", "tent")), one_of("north", "south", "east"), name,
                f"2021-07-{1 + number * 27 // applications:02d}", taken,
            ]
        )  # fmt: skip
    return {"applied": applied, "offers": offers, "lenders": lenders}


def plain_features(application, offers, lenders):
    """Tell what an application's features must come to: plain loops over the tables, as they stand in the test."""
    row = dict(zip(HEADS["applied"], application, strict=True))
    offer = dict.fromkeys(HEADS["offers"])
    for other in offers:
        if other[0] == row["offer_id"]:
            offer = dict(zip(HEADS["offers"], other, strict=True))
    lender = dict.fromkeys(HEADS["lenders"])
    for other in lenders:
        if other[0] == offer["lender"]:
            lender = dict(zip(HEADS["lenders"], other, strict=True))
    income = row["income"] / 1_000
    return {
        "fee_share": None if offer["fee"] is None else offer["fee"] / max(income, 0.001),
        "score": row["score"],
        "years": row["years"],
        "home": row["home"],
        "country": lender["country"],
        "least_income": lender["least_income"],
        "income": income,
        "is_settled": row["years"] is not None and row["years"] >= 2,
        "is_old": offer["since"] is not None and offer["since"] < "2020",
        "margin": None if offer["least_score"] is None else row["score"] - offer["least_score"],
        "open_here": not offer["regions"] or row["region"] in offer["regions"].split(),
        "lender": offer["lender"],
        "fee": offer["fee"],
        "least_score": offer["least_score"],
        "kind": offer["kind"],
        "secured": None if offer["secured"] is None else offer["secured"] == "true",
        "since": offer["since"],
        "regions": offer["regions"] or None,
        "strict": None if lender["strict"] is None else lender["strict"] == "true",
    }


def plain_word(features):
    """Tell what the lender's rules say of an application: the position of the first that holds."""
    margin, least_income = features["margin"], features["least_income"]
    if least_income is not None and features["income"] < least_income:
        return 0
    if margin is not None and margin < -40:
        return 1
    if None not in (features["strict"], features["secured"]) and features["strict"] == features["secured"]:
        return 1
    if features["country"] is not None and features["country"] != "US":
        return 2
    return 3
