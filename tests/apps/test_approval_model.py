"""The model of approval odds, trained on its sample: which way its odds go, what issuers turn away, how good it is."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from lines import Recording
from offers import plain_columns

from scoreline.app.load import load_app
from scoreline.features.build import build_features
from scoreline.model.artifact import load_artifact
from scoreline.model.inputs import inputs_of
from scoreline.model.train import train
from scoreline.predictor import LiveScorer, Options, Predictor, ReferenceData, Sent

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "apps/approval_odds"
HEAD = "approval_odds"


def read(name):
    with (FOLDER / f"data/{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


CARDS = {card["card_id"]: card for card in read("card_variables")}
RULES = {rule["issuer"]: rule for rule in read("issuer_rules")}
TYPES = {"credit_score": int, "open_accounts": int, "derogatory_marks": int, "recent_inquiries": int,
         "months_at_address": int, "annual_income": float, "monthly_debt": float, "years_employed": float}  # fmt: skip


def typed(row):
    """Give a row of applicants or applications as a person would send it."""
    return {name: None if row[name] == "" else TYPES.get(name, str)(row[name]) for name in FIELDS}


FIELDS = tuple(read("applicants")[0])
APPLICANTS = [typed(row) for row in read("applicants")]
ORDINARY, EXTREME = APPLICANTS[:3], APPLICANTS[9:60:10]


@dataclass
class Model:
    """The app with its trained model, in a folder of its own."""

    folder: Path
    app: object
    scorer: LiveScorer
    predictor: Recording
    metrics: object

    def score(self, *people, **options):
        """Give the reply to each person, and the odds before rounding: a row each, in the order of the cards' keys."""
        self.predictor.seen.clear()
        replies = self.scorer.score([sent(person) for person in people], Options(**options))
        return replies, [outputs[HEAD] for _, outputs in self.predictor.seen]


def sent(person):
    return Sent(tuple(person.values()))


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """Train once, in a copy of the app."""
    folder = tmp_path_factory.mktemp("approval-model")
    shutil.copy(FOLDER / "app.py", folder)
    app = load_app(folder)
    assert tuple(app.declared_request.table.spec.columns) == FIELDS
    given = {"threads": 1, "max_bad_percent": 1.0, "max_bad_rows": 20}
    build_features(app, FOLDER / "data", folder / "results", **given)
    report = train(app, folder / "results", folder / "model", Predictor)
    artifact = load_artifact(folder / "model")
    specs = [table.spec for table in app.reference_tables.values()]
    tables = {spec.name: ReferenceData(spec, plain_columns(spec, FOLDER / "data")) for spec in specs}
    predictor = Recording(app, artifact)
    return Model(folder, app, LiveScorer(app, artifact, predictor, tables), predictor, report.metrics[HEAD])


def rounded(reply):
    """Give a reply's odds by card."""
    return {card["card_id"]: card["approval_odds"] for card in reply["cards"]}


SWEEPS = {  # steps of an uneven number, so that they come to lie on either side of round ones
    "credit_score": [*range(300, 851, 13), 619, 620, 719, 720, 850],
    "annual_income": [*range(0, 150_001, 4_700), 60_000, 200_000, 1_000_000, 10_000_000],
    "derogatory_marks": [*range(26), 100],
}


@pytest.mark.parametrize(
    ("field", "sign"), [("credit_score", 1), ("annual_income", 1), ("derogatory_marks", -1)], ids=SWEEPS
)
@pytest.mark.parametrize("person", [*ORDINARY[:2], *EXTREME[:3]], ids=lambda person: person["applicant_id"])
def test_the_odds_of_every_card_go_one_way(model, person, field, sign):
    values = sorted(SWEEPS[field])
    people = [{**person, field: float(value) if field == "annual_income" else value} for value in values]
    replies, odds = model.score(*people)
    steps = np.diff(odds, axis=0) * sign
    assert steps.shape[1] > 300
    assert steps.min() >= 0
    assert steps.max() > 0
    for before, after in pairwise(rounded(reply) for reply in replies):
        assert before.keys() == after.keys()
        assert min(sign * (after[card] - before[card]) for card in before) >= 0


def test_at_every_single_score_the_odds_do_not_fall(model):
    people = [{**ORDINARY[0], "credit_score": score} for score in range(300, 851)]
    _, odds = model.score(*people, keys=tuple(CARDS)[::16])
    assert np.diff(odds, axis=0).min() >= 0
    assert np.shape(odds) > (551, 20)


def plain_rule(person, card):
    """Tell which rule of the issuer turns a person away, by the tables as they are on disk; None for none."""
    rule = RULES[card["issuer"]]
    if rule["minimum_income"] and person["annual_income"] < float(rule["minimum_income"]):
        return "income_below_minimum"
    if rule["maximum_inquiries"] and person["recent_inquiries"] > int(rule["maximum_inquiries"]):
        return "too_many_inquiries"
    return "state_excluded" if person["state"] in rule["excluded_states"].split() else None


@pytest.mark.parametrize("person", [*APPLICANTS[:100:11], *EXTREME], ids=lambda person: person["applicant_id"])
def test_every_card_is_offered_where_it_is_and_turned_away_where_its_issuer_says_so(model, person):
    (reply,), (odds,) = model.score(person)
    offered = {
        name: plain_rule(person, card)
        for name, card in CARDS.items()
        if not card["states"] or person["state"] in card["states"].split()
    }
    assert {card["card_id"]: card["reason"] and card["reason"]["rule"] for card in reply["cards"]} == offered
    assert (reply["offered"], reply["not_offered"]) == (len(offered), len(CARDS) - len(offered))
    assert {name: float(chance) == 0.0 for name, chance in zip(sorted(offered), odds, strict=True)} == {
        name: rule is not None for name, rule in offered.items()
    }
    assert ((odds >= 0) & (odds < 1)).all()
    turned_away = [card["reason"] is not None for card in reply["cards"]]
    assert turned_away == sorted(turned_away)
    assert not any(card["outside_support"] for card in reply["cards"] if card["reason"])


def test_every_kind_of_rule_turns_somebody_away():
    rules = {plain_rule(person, card) for person in APPLICANTS for card in CARDS.values()}
    assert rules == {"income_below_minimum", "too_many_inquiries", "state_excluded", None}


def test_cards_come_best_first_and_among_equals_by_their_key(model):
    for person in (*ORDINARY, *EXTREME):
        (reply,), _ = model.score(person)
        order = [(-card["approval_odds"], card["card_id"]) for card in reply["cards"]]
        assert order == sorted(order)
        assert all(card["name"] == CARDS[card["card_id"]]["name"] for card in reply["cards"])


def test_the_bands_are_those_of_the_rounded_odds(model):
    floors = {"very likely": 0.8, "likely": 0.6, "even": 0.4, "unlikely": 0.2, "very unlikely": 0.0}
    seen = set()
    for person in (*ORDINARY, *EXTREME):
        (reply,), _ = model.score(person)
        for card in reply["cards"]:
            assert card["odds_band"] == next(n for n, floor in floors.items() if card["approval_odds"] >= floor)
            seen.add(card["odds_band"])
    assert seen == set(floors)


def test_odds_beyond_what_the_calibrating_applications_reached_are_marked(model):
    low, high = load_artifact(model.folder / "model").learnt[HEAD].support
    assert 0 < low < 0.1 < 0.9 < high < 1
    best = {"credit_score": 850, "annual_income": 1e7, "monthly_debt": 0.0, "years_employed": 40.0, "housing": "own"}
    worst = {"credit_score": 300, "annual_income": 0.0, "monthly_debt": 1e6, "years_employed": 0.0, "housing": "other"}
    best |= {"derogatory_marks": 0, "recent_inquiries": 0, "open_accounts": 7}
    worst |= {"derogatory_marks": 100, "recent_inquiries": 100, "open_accounts": 200}
    marked = []
    for person in (*ORDINARY, ORDINARY[0] | best, ORDINARY[0] | worst):
        (reply,), (odds,) = model.score(person)
        marked.append({card["card_id"] for card in reply["cards"] if card["outside_support"]})
        assert marked[-1] == {
            name
            for name, chance in zip(sorted(rounded(reply)), odds, strict=True)
            if chance != 0 and not low - 1e-9 <= chance <= high + 1e-9
        }
    assert [len(cards) > 0 for cards in marked[-2:]] == [True, True]


def test_features_and_odds_made_live_are_to_the_bit_those_of_the_feature_table(model):
    """Every thirtieth application of the history, sent as a record."""
    inputs = inputs_of(model.app)
    table = pq.read_table(model.folder / "results/feature.parquet")
    matrix = inputs.encode([table.column(name).to_pylist() for name in inputs.names])
    outputs = Predictor(model.app, load_artifact(model.folder / "model")).predict(matrix)
    history = read("applications")
    rows = np.arange(0, len(history), 30)
    for row in rows.tolist():
        (reply,), _ = model.score(typed(history[row]), keys=(history[row]["card_id"],))
        ((live, said),) = model.predictor.seen
        assert np.array_equal(live, matrix[[row]], equal_nan=True)
        assert {name: values.tolist() for name, values in said.items()} == {n: [v[row]] for n, v in outputs.items()}
        assert reply["cards"][0]["approval_odds"] == round(float(outputs[HEAD][row]), 4)


def test_the_odds_beat_the_base_rate_overall_and_for_every_tier(model):
    assert list(model.metrics.by) == ["300", "620", "720"]
    for metrics in (model.metrics, *model.metrics.by.values()):
        assert metrics.brier < metrics.brier_base
        assert metrics.auc > 0.8
        assert metrics.rows > 300
    assert sum(metrics.rows for metrics in model.metrics.by.values()) == model.metrics.rows


def test_what_is_predicted_by_band_is_near_what_happened(model):
    for band in model.metrics.reliability:
        error = (band["observed"] * (1 - band["observed"]) / band["rows"]) ** 0.5
        assert abs(band["predicted"] - band["observed"]) < 4 * error + 0.03


def test_no_input_gives_the_answer_away_and_the_turned_away_are_not_learnt_from(model):
    head = load_artifact(model.folder / "model").manifest["heads"][HEAD]
    turned_away = sum(plain_rule(typed(row), CARDS[row["card_id"]]) is not None for row in read("applications"))
    assert (head["leaks"], head["blank"], head["knocked_out"]) == ({}, [], turned_away)
    assert sum(head["rows"].values()) == 12_000 - turned_away


def test_the_app_file_is_about_a_hundred_lines():
    text = (FOLDER / "app.py").read_text()
    imports = text[text.index("from scoreline import (") : text.index(")  # fmt: skip")]
    lines = [line for line in text.replace(imports, "").splitlines() if line.strip() and "import " not in line]
    assert len(lines) <= 150
