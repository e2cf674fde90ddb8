"""Make the synthetic tables of approval odds: seeded, of any size, for the cards of card_variables.csv.

    python make_sample.py --applications 12000 --applicants 100 --seed 11 --out data [--cards data/card_variables.csv]

- issuer_rules.csv: whom an issuer turns away whatever the score. Most cells are empty: no such rule.
- applications.csv: two years of applications, each by another person, and how they were decided, in order of time.
- applicants.csv: people who want to know their odds; every tenth has something extreme (`EXTREMES`).

A person has a hidden standing that moves score, income, debt, derogatory marks and inquiries together. Most apply for
cards of their credit tier, some reach higher or lower (`TIER_CHOICE`), and only for cards offered in their state.

An application that meets a rule of the issuer is declined. Any other is approved with probability
1 / (1 + exp(-score)), where

    score = BASE
          + MARGIN * tanh((credit_score - max(min_score, LOWEST_ASKED)) / MARGIN_SCALE)
          + INCOME * log(annual_income / TYPICAL_INCOME)
          + DEBT * (12 * monthly_debt / annual_income - TYPICAL_DEBT), the ratio held at MAX_DEBT
          + MARK * derogatory_marks (held at MAX_MARKS) + INQUIRY * recent_inquiries
          + ACCOUNTS * |open_accounts - BEST_ACCOUNTS|, held at MAX_ACCOUNTS_OFF: too few and too many both hurt
          + JOB_YEAR * years_employed (held at MAX_JOB_YEARS) + ADDRESS_YEAR * years at the address (likewise)
          + HOUSING of the person's
          + SECURED for a secured card + FEE * log(1 + annual_fee / 100) + APR * (apr_max - TYPICAL_APR) / 10
          + the issuer's strictness, normal with deviation STRICTNESS, in no table

from the true months and years, also where they are left empty as not stated.

The same arguments and cards give the same bytes. Each file has random numbers of its own: more applications change
neither the rules nor the applicants.
"""

import argparse
import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Table: TypeAlias = dict[str, Array]

START, END = np.datetime64("2021-01-01", "s"), np.datetime64("2023-01-01", "s")  # of the decisions
SCORES = (300, 850)
TIERS = (300, 620, 720)  # lowest scores of the credit tiers
TIER_CHOICE = ((0.60, 0.25, 0.15), (0.30, 0.42, 0.28), (0.20, 0.32, 0.48))  # by the person's tier: the card's tier
NOT_STATED = 0.03  # share of the empty months_at_address, and of the empty years_employed
HOUSES = np.array(["own", "mortgage", "rent", "other"])
STATE_WEIGHTS = {  # residents in 2020, in 100,000
    "AL": 50, "AK": 7, "AZ": 72, "AR": 30, "CA": 395, "CO": 58, "CT": 36, "DE": 10, "DC": 7, "FL": 215, "GA": 107,
    "HI": 15, "ID": 18, "IL": 128, "IN": 68, "IA": 32, "KS": 29, "KY": 45, "LA": 47, "ME": 14, "MD": 62, "MA": 70,
    "MI": 101, "MN": 57, "MS": 30, "MO": 62, "MT": 11, "NE": 20, "NV": 31, "NH": 14, "NJ": 93, "NM": 21, "NY": 202,
    "NC": 104, "ND": 8, "OH": 118, "OK": 40, "OR": 42, "PA": 130, "RI": 11, "SC": 51, "SD": 9, "TN": 69, "TX": 291,
    "UT": 33, "VT": 6, "VA": 86, "WA": 77, "WV": 18, "WI": 59, "WY": 6,
}  # fmt: skip
STATES = np.array(list(STATE_WEIGHTS))

INCOME_RULE, INCOME_STEPS = 0.30, (3, 12, 5_000)  # share of the issuers; from and to, in steps of so many USD a year
INQUIRY_RULE, INQUIRIES_ALLOWED = 0.20, (4, 8)
STATE_RULE, STATES_EXCLUDED = 0.08, (1, 4)  # how many

BASE, STRICTNESS = 0.15, 0.5
MARGIN, MARGIN_SCALE, LOWEST_ASKED = 2.2, 100, 570  # a card for poor credit still asks for some
INCOME, TYPICAL_INCOME = 0.6, 55_000
DEBT, TYPICAL_DEBT, MAX_DEBT = -2.5, 0.25, 1.0
MARK, MAX_MARKS, INQUIRY = -0.3, 6, -0.18
ACCOUNTS, BEST_ACCOUNTS, MAX_ACCOUNTS_OFF = -0.06, 7, 8
JOB_YEAR, ADDRESS_YEAR, MAX_JOB_YEARS, MAX_ADDRESS_YEARS = 0.05, 0.04, 10, 10
HOUSING = np.array([0.3, 0.2, 0.0, -0.3])  # as HOUSES
SECURED, FEE, APR, TYPICAL_APR = 1.2, -0.15, 0.3, 25.0

EXTREMES: tuple[Mapping[str, Any], ...] = (
    {"credit_score": 300, "derogatory_marks": 25, "recent_inquiries": 30},
    {"credit_score": 850, "derogatory_marks": 0},
    {"annual_income": 0, "monthly_debt": 0, "years_employed": "0"},
    {"annual_income": 1_200, "monthly_debt": 900},
    {"annual_income": 2_500_000, "monthly_debt": 48_000},
    {"credit_score": 850, "annual_income": 9_000_000, "housing": "own"},
    {"open_accounts": 0, "months_at_address": "0", "years_employed": "0"},
    {"open_accounts": 60, "recent_inquiries": 0},
    {"months_at_address": "", "years_employed": "", "housing": "other"},
    {"months_at_address": "780", "years_employed": "48.5"},
)


def write_sample(out: Path, *, applications: int, applicants: int, seed: int, cards: Path | None = None) -> None:
    """Write the three tables into the folder `out`, for the cards of `cards` or else of card_variables.csv in `out`."""
    if applications < 1 or applicants < 1 or seed < 0:
        raise ValueError("expected at least one application and one applicant, and a seed of 0 or more")
    catalogue = read_cards(cards or out / "card_variables.csv")
    rules_rng, history_rng, people_rng = (np.random.default_rng((seed, table)) for table in range(3))
    rules, strictness = make_rules(rules_rng, np.unique(catalogue["issuer"]))
    out.mkdir(parents=True, exist_ok=True)
    write_csv(out / "issuer_rules.csv", rules)
    write_csv(out / "applications.csv", make_applications(history_rng, applications, catalogue, rules, strictness))
    people, _ = make_people(people_rng, "P", 5, applicants)
    write_csv(out / "applicants.csv", with_extremes(people))


def read_cards(path: Path) -> Table:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    cards: Table = {name: np.array([row[name] for row in rows]) for name in ("card_id", "issuer", "states")}
    for name in ("annual_fee", "min_score", "apr_max"):
        cards[name] = np.array([float(row[name] or "nan") for row in rows])
    cards["secured"] = np.array([row["secured"] == "true" for row in rows])
    return cards


def make_rules(rng: Generator, issuers: Array) -> tuple[Table, Array]:
    """Give the knock-out rules and the strictness of each issuer. An empty cell is no rule."""
    count = len(issuers)
    low, high, step = INCOME_STEPS
    income = step * rng.integers(low, high + 1, count)
    inquiries = rng.integers(INQUIRIES_ALLOWED[0], INQUIRIES_ALLOWED[1] + 1, count)
    excluded = [" ".join(sorted(set(STATES[pick(rng, list(STATE_WEIGHTS.values()), number)])))
                for number in rng.integers(STATES_EXCLUDED[0], STATES_EXCLUDED[1] + 1, count)]  # fmt: skip
    rules = {
        "issuer": issuers,
        "minimum_income": np.where(rng.random(count) < INCOME_RULE, income.astype("U"), ""),
        "maximum_inquiries": np.where(rng.random(count) < INQUIRY_RULE, inquiries.astype("U"), ""),
        "excluded_states": np.where(rng.random(count) < STATE_RULE, excluded, ""),
    }
    return rules, STRICTNESS * rng.standard_normal(count)


def make_applications(rng: Generator, count: int, cards: Table, rules: Table, strictness: Array) -> Table:
    people, true_years = make_people(rng, "A", 6, count)
    card = choose_cards(rng, people, cards)
    issuer = np.searchsorted(rules["issuer"], cards["issuer"][card])
    terms = {name: values[card] for name, values in cards.items()}
    score = latent_score(people, true_years, terms) + strictness[issuer]
    approved = rng.random(count) < 1 / (1 + np.exp(-score))
    approved &= ~knocked_out(people, {name: values[issuer] for name, values in rules.items()})
    decided = START + np.sort(rng.integers(0, (END - START).astype(int), count)).astype("m8[s]")
    return {
        **people,
        "card_id": terms["card_id"],
        "decided_at": np.char.add(decided.astype("U"), "Z"),
        "approved": np.where(approved, "true", "false"),
    }


def make_people(rng: Generator, prefix: str, width: int, count: int) -> tuple[Table, Table]:
    """Give the people as stated, and their true years at address and job: some state none."""
    standing, wealth = rng.standard_normal((2, count))
    low, high = SCORES
    score = low + (high - low) * logistic(0.75 + 0.75 * standing)  # skewed to the left, as scores are
    income = np.exp(10.9 + 0.3 * standing + 0.55 * wealth)
    debt = income / 12 * logistic(-1.3 - 0.3 * standing + 0.6 * rng.standard_normal(count))
    comfort = 0.5 * standing + 0.5 * wealth + rng.standard_normal(count)
    house = 2 - np.searchsorted([0.2, 1.1], comfort)  # rent, mortgage, own
    house[rng.random(count) < 0.06] = 3
    months = np.floor(rng.exponential(np.array([110, 80, 36, 20])[house]))
    years = np.floor(2 * rng.exponential(5 + 1.5 * logistic(standing), count)) / 2
    people = {
        "applicant_id": np.array([f"{prefix}{number:0{width}d}" for number in range(1, count + 1)]),
        "credit_score": np.rint(score).astype(int),
        "annual_income": (100 * np.rint(np.clip(income, 6_000, 900_000) / 100)).astype(int),
        "monthly_debt": (10 * np.rint(debt / 10)).astype(int),
        "open_accounts": rng.poisson(np.exp(1.75 + 0.2 * standing + 0.35 * rng.standard_normal(count))),
        "derogatory_marks": rng.poisson(np.exp(-1.2 - 1.0 * standing)),
        "recent_inquiries": rng.poisson(np.exp(0.5 - 0.35 * standing + 0.5 * rng.standard_normal(count))),
        "months_at_address": or_not_stated(rng, np.minimum(months, 720)),
        "years_employed": or_not_stated(rng, np.minimum(years, 50)),
        "housing": HOUSES[house],
        "state": STATES[pick(rng, list(STATE_WEIGHTS.values()), count)],
    }
    return people, {"address": months / 12, "job": years}


def choose_cards(rng: Generator, people: Table, cards: Table) -> Array:
    """Draw the tier of the card by the tier of the person, then one of the tier's cards that his state has."""
    count = len(people["credit_score"])
    tier = np.searchsorted(TIERS, people["credit_score"], side="right") - 1
    wanted = (rng.random((count, 1)) > np.cumsum(TIER_CHOICE, axis=1)[tier, :-1]).sum(axis=1)
    popularity = rng.exponential(size=len(cards["card_id"]))
    chosen = np.zeros(count, int)
    for state in STATES:
        offered = [not states or state in states.split() for states in cards["states"]]
        for number, min_score in enumerate(TIERS):
            pool = np.flatnonzero(offered & (cards["min_score"] == min_score))
            if not len(pool):
                raise ValueError(f"no card with min_score {min_score} is offered in {state}: nothing to apply for")
            who = np.flatnonzero((people["state"] == state) & (wanted == number))
            chosen[who] = pool[pick(rng, popularity[pool], len(who))]
    return chosen


def latent_score(people: Table, true_years: Table, terms: Table) -> Array:
    """Give the score of the docstring above, without the issuer's strictness."""
    margin = people["credit_score"] - np.maximum(terms["min_score"], LOWEST_ASKED)
    debt = np.minimum(12 * people["monthly_debt"] / people["annual_income"], MAX_DEBT)
    accounts_off = np.minimum(np.abs(people["open_accounts"] - BEST_ACCOUNTS), MAX_ACCOUNTS_OFF)
    house = (people["housing"][:, None] == HOUSES).argmax(axis=1)
    apr = np.nan_to_num(terms["apr_max"], nan=TYPICAL_APR)
    score = BASE + MARGIN * np.tanh(margin / MARGIN_SCALE) + INCOME * np.log(people["annual_income"] / TYPICAL_INCOME)
    score += DEBT * (debt - TYPICAL_DEBT) + ACCOUNTS * accounts_off + INQUIRY * people["recent_inquiries"]
    score += MARK * np.minimum(people["derogatory_marks"], MAX_MARKS) + HOUSING[house]
    score += JOB_YEAR * np.minimum(true_years["job"], MAX_JOB_YEARS)
    score += ADDRESS_YEAR * np.minimum(true_years["address"], MAX_ADDRESS_YEARS)
    score += SECURED * terms["secured"] + FEE * np.log1p(terms["annual_fee"] / 100) + APR * (apr - TYPICAL_APR) / 10
    return np.asarray(score)


def knocked_out(people: Table, rules: Table) -> Array:
    """Say who meets a rule; `rules` has a row for each person."""
    poor = people["annual_income"] < numbers_or(rules["minimum_income"], -np.inf)
    busy = people["recent_inquiries"] > numbers_or(rules["maximum_inquiries"], np.inf)
    pairs = zip(people["state"], rules["excluded_states"], strict=True)
    return np.asarray(poor | busy | np.array([state in excluded.split() for state, excluded in pairs], bool))


def with_extremes(people: Table) -> Table:
    """Give every tenth person one of `EXTREMES`, in turn."""
    columns = {name: values.astype(object) for name, values in people.items()}
    for number, row in enumerate(range(9, len(columns["applicant_id"]), 10)):
        for name, value in EXTREMES[number % len(EXTREMES)].items():
            columns[name][row] = value
    return columns


def or_not_stated(rng: Generator, values: Array) -> Array:
    """Write numbers as text, some of them empty."""
    text = np.array([f"{value:g}" for value in values], dtype="U8")
    return np.asarray(np.where(rng.random(len(values)) < NOT_STATED, "", text))


def numbers_or(text: Array, empty: float) -> Array:
    return np.array([float(value) if value else empty for value in text])


def logistic(values: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-values)))


def pick(rng: Generator, weights: Sequence[float] | Array, count: int) -> Array:
    """Draw positions in `weights`, each as often as it weighs."""
    upto = np.cumsum(weights)
    return np.searchsorted(upto / upto[-1], rng.random(count), side="right")


def write_csv(path: Path, table: Table) -> None:
    rows: Iterable[Sequence[Any]] = zip(*(values.tolist() for values in table.values()), strict=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table)
        writer.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the synthetic tables of approval odds.")
    parser.add_argument("--applications", type=int, required=True, help="rows of applications.csv")
    parser.add_argument("--applicants", type=int, required=True, help="rows of applicants.csv")
    parser.add_argument("--seed", type=int, required=True, help="another seed, another sample")
    parser.add_argument("--out", type=Path, default=Path("data"), help="folder to write into; default: data")
    parser.add_argument("--cards", type=Path, help="the catalogue; default: card_variables.csv in the folder of --out")
    try:
        write_sample(**vars(parser.parse_args()))
    except (OSError, ValueError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
