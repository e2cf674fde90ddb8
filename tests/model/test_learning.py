"""What a head learns from, which way it may go, and how it is told how good it is."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest

from scoreline.cli.report import train_lines
from scoreline.errors import AppError
from scoreline.model.estimator import load_estimator
from scoreline.model.inputs import inputs_of
from scoreline.predictor import Predictor, check_golden

KNOCK_OUTS = ("estimator=make_estimator)", 'estimator=make_estimator, knock_outs="action")')
BY_COLOUR = ("estimator=make_estimator)", 'estimator=make_estimator, report_by="colour")')


def directions(**given):
    return "estimator=make_estimator)", f"estimator=make_estimator, monotonic={given})"


def visits_of(workshop):
    """Give the visits as they were written."""
    with (workshop.folder / "data/visits.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def write_back(workshop, visits):
    with (workshop.folder / "data/visits.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, visits[0])
        writer.writeheader()
        writer.writerows(visits)


def is_knocked_out(visit):
    """Tell whether a rule of the head `action` but the last holds."""
    return not visit["minutes"] or float(visit["minutes"]) > 1.0 or float(visit["spent"]) >= 1.5


def learn(workshop, *changes):
    app = workshop.load(*changes)
    workshop.build(app)
    return app, workshop.train(app)


def odds_of(workshop, app):
    """Give the odds of every visit, in the order of the file."""
    table, inputs = pq.read_table(workshop.results / "feature.parquet"), inputs_of(app)
    matrix = inputs.encode([table.column(name).to_pylist() for name in inputs.names])
    return Predictor(app, workshop.artifact()).predict(matrix)["odds"]


def test_rows_that_a_rule_knocks_out_are_counted_and_not_learnt_from(workshop):
    workshop.write_visits(600)
    _, report = learn(workshop, KNOCK_OUTS)
    visits = visits_of(workshop)
    out = sum(map(is_knocked_out, visits))
    head = workshop.artifact().manifest["heads"]["odds"]
    assert 100 < out < 300
    assert (report.knocked_out, head["knocked_out"]) == ({"odds": out}, out)
    assert sum(head["rows"].values()) == 600 - out
    trees = (workshop.model / "heads/odds.trees").read_bytes()
    for visit in visits:  # what is said of them makes no difference
        if is_knocked_out(visit):
            visit["paid"] = {"True": "False", "False": "True"}[visit["paid"]]
    write_back(workshop, visits)
    learn(workshop, KNOCK_OUTS)
    again = workshop.artifact().manifest["heads"]["odds"]
    assert (workshop.model / "heads/odds.trees").read_bytes() == trees
    assert (again["link"], again["metrics"]) == (head["link"], head["metrics"])


def test_a_row_that_a_rule_knocks_out_has_odds_of_0_and_no_other_has(workshop):
    workshop.write_visits(600)
    app, _ = learn(workshop, KNOCK_OUTS)
    odds = odds_of(workshop, app)
    assert (odds == 0.0).tolist() == [is_knocked_out(visit) for visit in visits_of(workshop)]
    artifact = workshop.artifact()
    golden = artifact.golden.outputs
    assert {o == 0.0 for o, a in zip(golden["odds"], golden["action"], strict=True) if a < 2} == {True}
    assert all(o > 0 for o, a in zip(golden["odds"], golden["action"], strict=True) if a == 2)
    check_golden(Predictor(app, artifact), artifact)


def test_without_knock_outs_every_row_has_odds(workshop):
    workshop.write_visits(300)
    app, report = learn(workshop)
    assert report.knocked_out == {}
    assert (odds_of(workshop, app) > 0).all()


def test_where_every_row_is_knocked_out_the_head_is_absent_and_says_why(workshop):
    workshop.write_visits(300)
    write_back(workshop, [{**visit, "spent": "2"} for visit in visits_of(workshop)])
    _, report = learn(workshop, KNOCK_OUTS)
    assert report.absent == {"odds": "of the rows that no knock-out rule holds for, no row has the target"}


def sweep(workshop, app, name):
    """Give the odds of many visits, a row each, along rising values of one input."""
    inputs, rng = inputs_of(app), np.random.default_rng(0)
    along = np.linspace(-3, 3, 61)
    columns = {"minutes": rng.normal(size=40), "spent": rng.normal(size=40), "is_long": rng.integers(0, 2, 40)}
    columns["colour"] = rng.integers(0, 3, 40)
    matrix = np.column_stack([columns[column].astype(float) for column in inputs.names]).repeat(len(along), axis=0)
    matrix[:, inputs.position(name)] = np.tile(along, 40)
    return Predictor(app, workshop.artifact()).predict(matrix)["odds"].reshape(40, len(along))


@pytest.mark.parametrize(
    ("given", "name", "sign"),
    [
        pytest.param({"spent": 1}, "spent", 1, id="as-the-data-say"),
        pytest.param({"spent": -1}, "spent", -1, id="against-what-the-data-say"),
        pytest.param({"minutes": 1}, "minutes", 1, id="an-input-that-says-nothing"),
        pytest.param({"minutes": -1, "spent": 1}, "minutes", -1, id="two-inputs-named-in-another-order-one"),
        pytest.param({"minutes": -1, "spent": 1}, "spent", 1, id="two-inputs-named-in-another-order-the-other"),
    ],
)
def test_the_odds_go_one_way_along_an_input_with_a_direction(workshop, given, name, sign):
    workshop.write_visits(300)
    app, _ = learn(workshop, directions(**given))
    steps = np.diff(sweep(workshop, app, name)) * sign
    assert steps.min() >= 0
    if sign == 1:
        assert steps.max() > 0
    assert workshop.artifact().manifest["heads"]["odds"]["monotonic"] == given


def test_without_a_direction_the_odds_go_up_and_down(workshop):
    workshop.write_visits(300)
    app, _ = learn(workshop)
    steps = np.diff(sweep(workshop, app, "minutes"))
    assert steps.min() < 0 < steps.max()


def test_an_estimator_that_knows_no_directions_is_a_mistake_of_the_app(workshop):
    workshop.write_visits(300)
    hist = "return HistGradientBoostingClassifier(max_iter=15, random_state=0, early_stopping=False)"
    other = "from sklearn.ensemble import GradientBoostingClassifier\n    return GradientBoostingClassifier()"
    with pytest.raises(AppError, match=r"head 'odds': its estimator failed: ValueError: Invalid parameter 'monotonic"):
        learn(workshop, directions(spent=1), (hist, other))


def plain_metrics(rows, earlier):
    """Tell the metrics of (odds, paid) rows, given what came true of the earlier ones, by plain loops."""
    base = sum(earlier) / len(earlier)
    bands = {}
    for odds, paid in rows:
        bands.setdefault(min(int(odds * 10), 9), []).append((odds, paid))
    return {
        "rows": len(rows),
        "base_rate": base,
        "brier": sum((odds - paid) ** 2 for odds, paid in rows) / len(rows),
        "brier_base": sum((base - paid) ** 2 for _, paid in rows) / len(rows),
        "log_loss": -sum(math.log(odds if paid else 1 - odds) for odds, paid in rows) / len(rows),
        "reliability": [
            {
                "from": band / 10, "to": (band + 1) / 10, "rows": len(of_band),
                "predicted": sum(odds for odds, _ in of_band) / len(of_band),
                "observed": sum(paid for _, paid in of_band) / len(of_band),
            }
            for band, of_band in sorted(bands.items())
        ],
    }  # fmt: skip


def plain_auc(rows):
    pairs = [(a, b) for a, paid in rows if paid for b, other in rows if not other]
    return sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs)


def close_to(expected):
    """Give what equals plain metrics to the last digits."""
    bands = [pytest.approx(band, rel=1e-12) for band in expected["reliability"]]
    numbers = {name: value for name, value in expected.items() if name != "reliability"}
    return {name: pytest.approx(value, rel=1e-12) for name, value in numbers.items()} | {"reliability": bands}


def test_metrics_overall_and_by_group_are_what_plain_loops_come_to(workshop):
    workshop.write_visits(1000)
    visits = visits_of(workshop)
    visits.sort(key=lambda visit: visit["at"])
    for visit in visits[:600]:
        visit["colour"] = visit["colour"].replace("GREEN", "BLUE")  # no GREEN among the earlier rows
    for visit in visits[600:]:
        visit["colour"] = visit["colour"].replace("RED", "")  # no RED among the latest
    write_back(workshop, visits)
    app, report = learn(workshop, BY_COLOUR)
    odds = odds_of(workshop, app).tolist()
    scored = [(chance, visit["paid"] == "True", visit["colour"]) for chance, visit in zip(odds, visits, strict=True)]
    earlier, latest = scored[:800], scored[800:]  # the visits are a minute apart: the latest fifth is the test
    metrics, told = report.metrics["odds"].describe(), {}
    groups = {"BLUE": "BLUE", "GREEN": "GREEN", "None": ""}
    for name, colour in groups.items():
        rows = [(chance, paid) for chance, paid, its in latest if its == colour]
        before = [paid for _, paid, its in earlier if its == colour] or [paid for _, paid, _ in earlier]
        told[name] = plain_metrics(rows, before) | {"auc": plain_auc(rows)}
    everybody = [(chance, paid) for chance, paid, _ in latest]
    told_of_all = plain_metrics(everybody, [paid for _, paid, _ in earlier]) | {"auc": plain_auc(everybody)}
    by = metrics.pop("by")
    assert list(by) == ["BLUE", "GREEN", "None"]
    for name, of_group in by.items():
        assert of_group.pop("beats_base_rate") == (of_group["brier"] < of_group["brier_base"])
        assert of_group == close_to(told[name])
    assert metrics.pop("beats_base_rate")
    assert metrics == close_to(told_of_all)
    assert workshop.artifact().manifest["heads"]["odds"]["metrics"]["by"].keys() == groups.keys()


def test_groups_are_of_the_rows_that_are_learnt_from(workshop):
    """Every fourth visit's answer is not known, and rules knock others out."""
    workshop.write_visits(800)
    visits = [{**v, "paid": "" if n % 4 == 1 else v["paid"]} for n, v in enumerate(visits_of(workshop))]
    write_back(workshop, visits)
    made = "estimator=make_estimator)"
    _, report = learn(workshop, (made, 'estimator=make_estimator, knock_outs="action", report_by="colour")'))
    learnt_from = sorted((v for v in visits if v["paid"] and not is_knocked_out(v)), key=lambda v: v["at"])
    latest = learnt_from[int(len(learnt_from) * 0.8) :]
    by = {name: (m.rows, round(m.base_rate * 1e9)) for name, m in report.metrics["odds"].by.items()}
    expected = {}
    for colour in sorted({v["colour"] for v in latest}):
        before = [v["paid"] == "True" for v in learnt_from[: -len(latest)] if v["colour"] == colour]
        rate = round(sum(before) / len(before) * 1e9)
        expected[colour or "None"] = (sum(v["colour"] == colour for v in latest), rate)
    assert by == expected
    assert report.metrics["odds"].rows == len(latest)


def test_what_is_told_by_group_is_printed_beside_what_is_told_of_all(workshop):
    workshop.write_visits(300)
    _, report = learn(workshop, BY_COLOUR)
    printed = [line.split() for line in train_lines(report, workshop.model)]
    overall, groups = report.metrics["odds"], report.metrics["odds"].by
    assert ["all", *groups] in printed
    assert ["rows", *(str(part.rows) for part in (overall, *groups.values()))] in printed
    assert ["Brier", *(f"{part.brier:.4f}" for part in (overall, *groups.values()))] in printed


def test_an_input_that_gives_the_target_away_is_named_on_the_screen_and_in_the_metrics(workshop):
    workshop.write_visits(300)
    write_back(workshop, [{**visit, "minutes": str(int(visit["paid"] == "True"))} for visit in visits_of(workshop)])
    _, report = learn(workshop)
    assert report.leaks == {"odds": {"minutes": 1.0}}
    assert workshop.artifact().manifest["heads"]["odds"]["leaks"] == {"minutes": 1.0}
    (line,) = [line for line in train_lines(report, workshop.model) if "gives the target away" in line]
    assert "odds: gives the target away: minutes (AUC 1.000 alone); is it known before the decision?" in line


def test_inputs_that_are_merely_good_are_not_named(workshop):
    workshop.write_visits(1000)
    _, report = learn(workshop)
    assert report.metrics["odds"].auc > 0.8
    assert report.leaks == {}
    assert workshop.artifact().manifest["heads"]["odds"]["leaks"] == {}
    assert not any("gives the target away" in line for line in train_lines(report, workshop.model))


def test_the_support_is_what_the_calibrating_rows_reached(workshop):
    workshop.write_visits(500)
    app, _ = learn(workshop)
    visits = visits_of(workshop)
    order = sorted(range(500), key=lambda row: visits[row]["at"])
    odds = odds_of(workshop, app)[order[300:400]]
    artifact = workshop.artifact()
    assert artifact.learnt["odds"].support == (odds.min(), odds.max())
    assert artifact.manifest["heads"]["odds"]["support"] == [odds.min(), odds.max()]
    everything = odds_of(workshop, app)
    assert ((everything < odds.min()) | (everything > odds.max())).any()


def test_a_rules_0_stands_also_where_the_estimator_takes_no_missing_input(workshop):
    workshop.write_visits(300)
    hist = "return HistGradientBoostingClassifier(max_iter=15, random_state=0, early_stopping=False)"
    other = "from sklearn.ensemble import GradientBoostingClassifier\n    return GradientBoostingClassifier()"
    never_null = ('inputs=["spent", "colour", "minutes"]', 'inputs=["spent"]')
    app, _ = learn(workshop, KNOCK_OUTS, (hist, other), never_null)
    assert inputs_of(app).names == ("minutes", "spent", "is_long")
    rows = inputs_of(app).encode([[None, 0.1], [None, None], [False, False]])
    outputs = Predictor(app, workshop.artifact()).predict(rows)
    assert outputs["action"].tolist() == [0, 2]
    assert outputs["odds"][0] == 0.0
    assert np.isnan(outputs["odds"][1])


def test_the_estimator_on_disk_holds_the_directions(workshop):
    workshop.write_visits(300)
    learn(workshop, directions(minutes=-1))
    estimator = load_estimator(workshop.model / "heads/odds.skops")
    assert list(estimator.monotonic_cst) == [0, 0, -1]  # spent, colour, minutes
    assert json.loads((workshop.model / "manifest.json").read_text())["heads"]["odds"]["monotonic"] == {"minutes": -1}
