"""The survey of credit card terms is cleaned as make_cards.py says, trap by trap."""

from __future__ import annotations

import csv
import random
import re
from pathlib import Path

import pytest

from scoreline.app.load import load_module

APP = Path(__file__).parents[2] / "apps/approval_odds"
make_cards = load_module(APP / "make_cards.py")

# The columns that are read, in the survey's order, and the blocks after them that repeat names of purchase APRs.
HEADER = (
    "Provider", "Product Name", "State", "State (Multiple)", "Secured Card", "Targeted Credit Tiers",
    "Poor or Fair Credit", "Good Credit", "Great Credit", "Minimum APR", "Median APR", "Maximum APR",
    "Introductory APR Offered?",
    "Poor or Fair Credit", "Good Credit", "Great Credit", "Minimum APR", "Median APR", "Maximum APR",
    "Annual Fee", "Monthly Fee", "Weekly Fee", "Other Periodic Fee Name", "Other Periodic Fee Amount",
    "Foreign Transaction Fees?", "Rewards",
)  # fmt: skip
POOR, GOOD, GREAT = (
    "Poor or fair credit (credit score 619 or less)",
    "Good credit (credit scores from 620 to 719)",
    "Great Credit (credit score of 720 or greater)",
)
PLAIN = {
    "Provider": "ACME BANK",
    "Product Name": "Visa",
    "Secured Card": "No",
    "Targeted Credit Tiers": GOOD,
    "Minimum APR": "17.49%",
    "Maximum APR": "18.00%",
    "Introductory APR Offered?": "No",
    "Foreign Transaction Fees?": "No",
}


def write_raw(path, *changes):
    """Write a survey with one row for each of the changes to `PLAIN`; the later of two columns of a name gets 1.99%."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for change in changes:
            row = PLAIN | change
            later = [name in HEADER[:place] for place, name in enumerate(HEADER)]
            writer.writerow(
                "1.99%" if repeats else row.get(name, "") for name, repeats in zip(HEADER, later, strict=True)
            )
    return path


def read_cards(out):
    with (out / "card_variables.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def cards(tmp_path):
    """Give a function that cleans a survey made of changes and gives the cards."""

    def cleaned(*changes):
        make_cards.write_cards(write_raw(tmp_path / "raw.csv", *changes), tmp_path)
        return read_cards(tmp_path)

    return cleaned


def test_a_plain_row_becomes_a_card(cards):
    assert cards({}) == [{
        "card_id": "acme-bank-visa", "issuer": "ACME BANK", "name": "Visa", "annual_fee": "0", "min_score": "620",
        "apr_min": "17.49", "apr_max": "18", "secured": "false", "reward": "none", "intro_apr": "false",
        "foreign_fee": "false", "states": "",
    }]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"Annual Fee": "$95.00 "}, {"annual_fee": "95"}, id="fee-with-sign-and-space"),
        pytest.param({"Annual Fee": "$5,000.00 "}, {"annual_fee": "5000"}, id="fee-with-comma"),
        pytest.param({"Monthly Fee": "$8.25 "}, {"annual_fee": "99"}, id="fee-a-month"),
        pytest.param({"Weekly Fee": "$1.00 "}, {"annual_fee": "52"}, id="fee-a-week"),
        pytest.param({"Annual Fee": "$125.00 ", "Monthly Fee": "$10.40 "}, {"annual_fee": "249.8"}, id="fees-add-up"),
        pytest.param(
            {"Other Periodic Fee Name": "Annual Fee", "Other Periodic Fee Amount": "$50.00 "},
            {"annual_fee": "50"},
            id="annual-fee-as-free-text",
        ),
        pytest.param(
            {"Other Periodic Fee Name": "Additional Card Fee", "Other Periodic Fee Amount": "$95.00 "},
            {"annual_fee": "0"},
            id="fee-of-a-second-card",
        ),
        pytest.param({"Targeted Credit Tiers": f"{GREAT}"}, {"min_score": "720"}, id="great-tier"),
        pytest.param({"Targeted Credit Tiers": f"{POOR}; {GREAT}"}, {"min_score": "300"}, id="lowest-of-the-tiers"),
        pytest.param({"Good Credit": "9.90%"}, {"apr_min": "9.9", "apr_max": "18"}, id="apr-of-its-tier"),
        pytest.param({"Poor or Fair Credit": "29.90%"}, {"apr_max": "18"}, id="apr-of-a-tier-not-meant"),
        pytest.param(
            {"Minimum APR": "999.00%", "Median APR": "26.99%", "Maximum APR": "999.00%"},
            {"apr_min": "26.99", "apr_max": "26.99"},
            id="only-the-median-is-an-apr",
        ),
        pytest.param(
            {"Minimum APR": "999.00%", "Maximum APR": "0.00%", "Good Credit": "999.00%"},
            {"apr_min": "", "apr_max": ""},
            id="no-apr-at-all",
        ),
        pytest.param({"Secured Card": "Yes"}, {"secured": "true"}, id="secured"),
        pytest.param({"Introductory APR Offered?": "Yes"}, {"intro_apr": "true"}, id="introductory-apr"),
        pytest.param({"Foreign Transaction Fees?": "Yes"}, {"foreign_fee": "true"}, id="foreign-fee"),
        pytest.param({"Rewards": "Cashback rewards"}, {"reward": "cash_back"}, id="cash-back"),
        pytest.param({"Rewards": "Cashback rewards; Other rewards"}, {"reward": "several"}, id="several-rewards"),
        pytest.param({"State": "NY"}, {"states": "NY"}, id="one-state"),
        pytest.param({"State (Multiple)": "WY; WA; UT; MT; CO; AZ"}, {"states": "AZ CO MT UT WA WY"}, id="some-states"),
        pytest.param({"Product Name": "Visa\nGold "}, {"name": "Visa Gold"}, id="newline-in-a-quoted-field"),
        pytest.param(
            {"Product Name": "\u00a0Señor’s™\u00a0Visa®"},
            {"card_id": "acme-bank-senors-visa", "name": "Señor’s™ Visa®"},
            id="id-in-ascii",
        ),
    ],
)
def test_a_change_of_the_raw_row_changes_the_card_so(cards, change, expected):
    (card,) = cards(change)
    assert {name: card[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("other", "ids"),
    [
        pytest.param({}, ["acme-bank-visa"], id="equal-in-all-columns"),
        pytest.param({"Provider": "Acme Bank"}, ["acme-bank-visa"], id="spelt-otherwise"),
        pytest.param({"Minimum APR": "", "Maximum APR": ""}, ["acme-bank-visa"], id="without-apr"),
        pytest.param(
            {"Targeted Credit Tiers": GREAT}, ["acme-bank-visa-score-620", "acme-bank-visa-score-720"], id="by-tier"
        ),
        pytest.param({"Annual Fee": "$59.00 "}, ["acme-bank-visa-fee-0", "acme-bank-visa-fee-59"], id="by-fee"),
        pytest.param({"State": "NE"}, ["acme-bank-visa-in-ne", "acme-bank-visa-in-none"], id="by-state"),
        pytest.param({"Maximum APR": "19%"}, ["acme-bank-visa-apr-to-18", "acme-bank-visa-apr-to-19"], id="by-apr"),
    ],
)
def test_a_product_listed_twice_is_merged_or_told_apart(cards, other, ids):
    assert [card["card_id"] for card in cards({}, other)] == ids
    assert cards({}, other) == cards(other, {})


def test_cards_that_nothing_tells_apart_are_an_error(cards):
    with pytest.raises(SystemExit, match="acme-bank-visa: 2 cards"):
        cards({}, {"Rewards": "Other rewards"})


def test_rows_are_counted(tmp_path):
    raw = write_raw(tmp_path / "raw.csv", {}, {}, {"Product Name": ""}, {"Targeted Credit Tiers": ""}, {"State": "NE"})
    assert make_cards.write_cards(raw, tmp_path) == {
        "read": 5,
        "dropped: no issuer, product or credit tier": 2,
        "dropped: repeats": 1,
        "kept": 2,
    }


def test_the_bytes_do_not_depend_on_the_order_of_the_rows(tmp_path):
    changes = [{"Product Name": f"Visa {number % 7}", "Annual Fee": f"${number % 3}.00 "} for number in range(40)]
    make_cards.write_cards(write_raw(tmp_path / "raw.csv", *changes), tmp_path / "straight")
    random.Random(5).shuffle(changes)
    make_cards.write_cards(write_raw(tmp_path / "raw.csv", *changes), tmp_path / "shuffled")
    written = [(tmp_path / name / "card_variables.csv").read_bytes() for name in ("straight", "shuffled")]
    assert written[0] == written[1]
    assert b"\r" not in written[0]


def test_a_torn_row_is_an_error_that_names_its_line(tmp_path):
    raw = write_raw(tmp_path / "raw.csv", {})
    raw.write_text(raw.read_text() + "ACME BANK,Visa\n")
    with pytest.raises(SystemExit, match=r"raw\.csv, line 3: expected 26 fields, got 2"):
        make_cards.write_cards(raw, tmp_path)


def test_the_catalogue_is_as_described():
    data = (APP / "data/card_variables.csv").read_bytes()
    cards = read_cards(APP / "data")
    ids = [card["card_id"] for card in cards]
    assert tuple(cards[0]) == make_cards.COLUMNS
    assert data.endswith(b"\n")
    assert b"\r" not in data
    assert data.count(b"\n") == len(cards) + 1
    assert ids == sorted(set(ids))
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", card_id) for card_id in ids)
    assert f"Of its 648 rows {len(cards)} are kept. The other {648 - len(cards)} " in (APP / "README.md").read_text()


def test_the_values_of_the_catalogue_are_in_range():
    for card in read_cards(APP / "data"):
        assert card["min_score"] in {"300", "620", "720"}
        assert card["reward"] in {"none", "cash_back", "travel", "other", "several"}
        assert {card["secured"], card["intro_apr"], card["foreign_fee"]} <= {"true", "false"}
        assert 0 <= float(card["annual_fee"]) <= 5000
        assert (card["apr_min"] == "") == (card["apr_max"] == "")
        assert 0 < float(card["apr_min"] or 1) <= float(card["apr_max"] or 1) < 40
        assert all(re.fullmatch("[A-Z]{2}", state) for state in card["states"].split())
