"""The synthetic tables of approval odds are what make_sample.py says, and the committed ones are what it writes."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from scoreline.app.load import load_module

APP = Path(__file__).parents[2] / "apps/approval_odds"
CARDS = APP / "data/card_variables.csv"
TABLES = ("issuer_rules", "applications", "applicants")
make_sample = load_module(APP / "make_sample.py")


def read(name, folder=APP / "data"):
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def written(out, applications=300, applicants=30, seed=3):
    """Write a sample and give the bytes of its tables."""
    make_sample.write_sample(out, applications=applications, applicants=applicants, seed=seed, cards=CARDS)
    return {name: (out / f"{name}.csv").read_bytes() for name in TABLES}


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """Give the folder of a sample made now, so that what the tests find is the script's doing."""
    folder = tmp_path_factory.mktemp("sample")
    written(folder, applications=6000, applicants=100, seed=11)
    return folder


@pytest.fixture(scope="module")
def applications(sample):
    """Give each application with its card and its issuer's rules."""
    cards = {card["card_id"]: card for card in read("card_variables")}
    rules = {rule["issuer"]: rule for rule in read("issuer_rules", sample)}
    return [
        application | {"card": cards[application["card_id"]], "rule": rules[cards[application["card_id"]]["issuer"]]}
        for application in read("applications", sample)
    ]


def test_the_committed_sample_is_what_the_documented_command_writes(tmp_path):
    command = r"make_sample\.py --applications (\d+) --applicants (\d+) --seed (\d+) --out data"
    documented = {re.search(command, (APP / page).read_text()).groups() for page in ("README.md", "make_sample.py")}
    assert len(documented) == 1
    committed = {name: (APP / f"data/{name}.csv").read_bytes() for name in TABLES}
    assert written(tmp_path, *map(int, documented.pop())) == committed


def test_the_same_arguments_give_the_same_bytes_and_another_seed_does_not(tmp_path):
    first, again, other = written(tmp_path / "1"), written(tmp_path / "2"), written(tmp_path / "3", seed=4)
    assert first == again
    assert all(first[name] != other[name] for name in TABLES)


def test_each_table_has_random_numbers_of_its_own(tmp_path):
    few, many = written(tmp_path / "1"), written(tmp_path / "2", applications=500, applicants=40)
    assert few["issuer_rules"] == many["issuer_rules"]
    assert few["applications"] == written(tmp_path / "3", applicants=1)["applications"]
    assert few["applicants"] == written(tmp_path / "4", applications=1)["applicants"]


@pytest.mark.parametrize("bad", [{"applications": 0}, {"applicants": 0}, {"seed": -1}])
def test_numbers_that_make_no_sample_are_refused(tmp_path, bad):
    with pytest.raises(ValueError, match="at least one application"):
        written(tmp_path, **bad)


def test_a_catalogue_without_a_tier_is_refused(tmp_path):
    header, *cards = CARDS.read_text().splitlines(keepends=True)
    catalogue = tmp_path / "cards.csv"
    catalogue.write_text(header + "".join(card for card in cards if ",720," not in card))
    with pytest.raises(ValueError, match="no card with min_score 720 is offered in AL"):
        make_sample.write_sample(tmp_path, applications=9, applicants=1, seed=1, cards=catalogue)


def test_every_issuer_has_one_row_of_rules(sample):
    issuers = {card["issuer"] for card in read("card_variables")}
    assert [rule["issuer"] for rule in read("issuer_rules", sample)] == sorted(issuers)


def test_the_rules_are_few_and_in_range(sample):
    rules = read("issuer_rules", sample)
    incomes = [int(rule["minimum_income"]) for rule in rules if rule["minimum_income"]]
    inquiries = [int(rule["maximum_inquiries"]) for rule in rules if rule["maximum_inquiries"]]
    states = [rule["excluded_states"].split() for rule in rules if rule["excluded_states"]]
    assert set(incomes) <= set(range(15_000, 65_000, 5_000))
    assert set(inquiries) <= {4, 5, 6, 7, 8}
    assert {state for some in states for state in some} <= set(make_sample.STATES)
    shares = [len(cells) / len(rules) for cells in (incomes, inquiries, states)]
    assert shares == pytest.approx([0.30, 0.20, 0.08], abs=0.06)


def test_every_card_is_offered_where_the_applicant_lives(applications):
    for row in applications:
        assert not row["card"]["states"] or row["state"] in row["card"]["states"].split()


def test_whoever_meets_a_rule_is_declined(applications):
    def meets(row):
        rule = row["rule"]
        return (
            int(row["annual_income"]) < int(rule["minimum_income"] or 0)
            or int(row["recent_inquiries"]) > int(rule["maximum_inquiries"] or 10**6)
            or row["state"] in rule["excluded_states"].split()
        )

    declined = [row["approved"] for row in applications if meets(row)]
    assert len(declined) > 200
    assert set(declined) == {"false"}


@pytest.mark.parametrize(
    ("person", "rule", "expected"),
    [
        pytest.param({"annual_income": 14_999}, {"minimum_income": "15000"}, True, id="less-than-the-least-income"),
        pytest.param({"annual_income": 15_000}, {"minimum_income": "15000"}, False, id="just-the-least-income"),
        pytest.param({"recent_inquiries": 6}, {"maximum_inquiries": "5"}, True, id="one-inquiry-too-many"),
        pytest.param({"recent_inquiries": 5}, {"maximum_inquiries": "5"}, False, id="as-many-as-allowed"),
        pytest.param({"state": "NY"}, {"excluded_states": "CA NY"}, True, id="state-excluded"),
        pytest.param({"state": "NJ"}, {"excluded_states": "CA NY"}, False, id="other-states-excluded"),
        pytest.param({"annual_income": 0, "recent_inquiries": 99}, {}, False, id="no-rule"),
    ],
)
def test_rules_knock_out(person, rule, expected):
    people = {"annual_income": 50_000, "recent_inquiries": 0, "state": "TX"} | person
    rules = {"minimum_income": "", "maximum_inquiries": "", "excluded_states": ""} | rule
    columns = [{name: np.array([value]) for name, value in row.items()} for row in (people, rules)]
    assert make_sample.knocked_out(*columns).tolist() == [expected]


@pytest.mark.parametrize("table", ["applications", "applicants"])
def test_applicants_are_in_range(sample, table):
    rows = read(table, sample)
    letter, width = {"applications": ("A", 6), "applicants": ("P", 5)}[table]
    assert [row["applicant_id"] for row in rows] == [f"{letter}{n:0{width}d}" for n in range(1, len(rows) + 1)]
    for row in rows:
        assert 300 <= int(row["credit_score"]) <= 850
        assert min(int(row[name]) for name in ("annual_income", "monthly_debt", "open_accounts")) >= 0
        assert min(int(row[name]) for name in ("derogatory_marks", "recent_inquiries")) >= 0
        assert 0 <= int(row["months_at_address"] or 0) <= 780
        assert (2 * float(row["years_employed"] or 0)).is_integer()
        assert row["housing"] in {"own", "mortgage", "rent", "other"}
        assert row["state"] in make_sample.STATE_WEIGHTS


def test_some_months_and_years_are_not_stated(applications):
    for name in ("months_at_address", "years_employed"):
        assert sum(row[name] == "" for row in applications) / len(applications) == pytest.approx(0.03, abs=0.01)


def test_applications_come_in_order_of_time(applications):
    times = [row["decided_at"] for row in applications]
    assert all(re.fullmatch(r"202[12]-\d\d-\d\dT\d\d:\d\d:\d\dZ", time) for time in times)
    assert times == sorted(times)


def test_every_tier_sees_every_score_and_both_decisions(applications):
    assert sum(row["approved"] == "true" for row in applications) / len(applications) == pytest.approx(0.55, abs=0.05)
    for tier in ("300", "620", "720"):
        rows = [row for row in applications if row["card"]["min_score"] == tier]
        scores = [int(row["credit_score"]) for row in rows]
        bands = [sum(low <= score < high for score in scores) for low, high in ((300, 620), (620, 720), (720, 851))]
        assert min(bands) / len(rows) > 0.1
        assert 0.4 < sum(row["approved"] == "true" for row in rows) / len(rows) < 0.7


def test_the_readme_counts_what_is_there():
    page = (APP / "README.md").read_text()
    for name in (*TABLES, "card_variables"):
        assert f"| `data/{name}.csv` | {len(read(name)):,} |" in page


def test_some_applicants_are_extreme(sample):
    rows = read("applicants", sample)
    scores, incomes = ({int(row[name]) for row in rows} for name in ("credit_score", "annual_income"))
    assert {300, 850} <= scores
    assert {0, 9_000_000} <= incomes
    assert max(int(row["derogatory_marks"]) for row in rows) == 25
