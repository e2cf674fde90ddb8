"""Approval odds: for one applicant, the odds of being approved for every card of the catalogue.

What the owner of the service will want to change stands at the top.
"""

import numpy as np

from scoreline import (
    App, Boolean, Category, Integer, Number, Rule, Text, Time,
    band, feature, left_out, lookup, offered, outside_support, probability, ranked, reason,
)  # fmt: skip

BANDS = {"very likely": 0.8, "likely": 0.6, "even": 0.4, "unlikely": 0.2, "very unlikely": 0}  # from these odds on
CARDS, ISSUERS = (300, 5_000), (50, 1_000)  # a file with fewer or more rows than this is refused
STALE_AFTER_S = 7 * 24 * 3600  # replies say so when the source was last seen longer ago
SEED = 20221231
STATES = (
    "AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO "
    "MT NE NV NH NJ NM NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY"
)
APPLICANT = {
    "applicant_id": Text,
    "credit_score": Integer(minimum=300, maximum=850),
    "annual_income": Number(minimum=0, maximum=10_000_000),  # USD
    "monthly_debt": Number(minimum=0, maximum=1_000_000),  # USD to be paid each month
    "open_accounts": Integer(minimum=0, maximum=200),
    "derogatory_marks": Integer(minimum=0, maximum=100),
    "recent_inquiries": Integer(minimum=0, maximum=100),  # in the last 24 months
    "months_at_address": Integer(minimum=0, maximum=1_200, optional=True),
    "years_employed": Number(minimum=0, maximum=80, optional=True),
    "housing": Category("own", "mortgage", "rent", "other"),
    "state": Category(*STATES.split()),
}

app = App("approval-odds", refresh_route="/updateccdata")
applicants = app.table("applicants", key="applicant_id", columns=APPLICANT)
applications = app.table(
    "applications",
    key=["applicant_id", "card_id"],
    time="decided_at",
    columns=APPLICANT | {"card_id": Text, "decided_at": Time, "approved": Boolean},
)
cards = app.reference_table(
    "card_variables",
    key="card_id",
    rows=CARDS,
    stale_after_s=STALE_AFTER_S,
    columns={
        "card_id": Text,
        "issuer": Text,
        "name": Text,
        "annual_fee": Number(minimum=0),  # USD a year
        "min_score": Integer(minimum=300, maximum=850),
        "apr_min": Number(minimum=0, maximum=100),  # percent
        "apr_max": Number(minimum=0, maximum=100),
        "secured": Boolean,
        "reward": Category("none", "several", "cash_back", "travel", "other"),
        "intro_apr": Boolean,
        "foreign_fee": Boolean,
        "states": Text,  # empty: offered everywhere
    },
)
issuers = app.reference_table(
    "issuer_rules",
    key="issuer",
    rows=ISSUERS,
    stale_after_s=STALE_AFTER_S,
    columns={  # empty: no such rule
        "issuer": Text,
        "minimum_income": Number(minimum=0),  # USD a year
        "maximum_inquiries": Integer(minimum=0),
        "excluded_states": Text,
    },
)


def score_margin(credit_score, min_score):
    return credit_score - min_score


def debt_to_income(monthly_debt, annual_income):
    return 12 * monthly_debt / np.maximum(annual_income, 1)


def is_listed(state, lists, where_none=False):
    return np.array([s in of.split() if of else where_none for s, of in zip(state, lists, strict=True)], dtype=bool)


def offered_in_state(state, states):
    return is_listed(state, states, where_none=True)


def state_excluded(state, excluded_states):
    return is_listed(state, excluded_states)


app.features(
    spine=applications,
    **{name: applications[name] for name in APPLICANT if name not in ("applicant_id", "monthly_debt", "state")},
    **{name: lookup(cards[name]) for name in cards if name not in ("card_id", "name")},
    **{name: lookup(issuers[name]) for name in issuers if name != "issuer"},  # by the card's issuer
    score_margin=score_margin,
    debt_to_income=debt_to_income,
    offered_in_state=offered_in_state,
    state_excluded=state_excluded,
)
app.head(
    "issuer_rule",  # what an issuer turns away whatever the odds; kept apart from what is learnt
    rules=[
        Rule("income_below_minimum", when=[("annual_income", "<", feature("minimum_income"))], then="TurnedAway"),
        Rule("too_many_inquiries", when=[("recent_inquiries", ">", feature("maximum_inquiries"))], then="TurnedAway"),
        Rule("state_excluded", when=[("state_excluded", "==", True)], then="TurnedAway"),
        Rule("none", then="Considered"),
    ],
)


tuning = app.hyperparameters(max_iter=400, learning_rate=0.06, max_leaf_nodes=15, n_iter_no_change=20)


def make_estimator():
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(**tuning, early_stopping=True, random_state=SEED)


app.head(
    "approval_odds",
    target=applications.approved,
    inputs=[
        *("credit_score", "score_margin", "annual_income", "debt_to_income", "derogatory_marks", "recent_inquiries"),
        *("open_accounts", "months_at_address", "years_employed", "housing"),
        *("min_score", "annual_fee", "apr_min", "apr_max", "secured", "reward", "intro_apr", "foreign_fee"),
    ],
    monotonic={"credit_score": 1, "score_margin": 1, "annual_income": 1, "debt_to_income": -1, "derogatory_marks": -1},
    knock_outs="issuer_rule",
    report_by="min_score",
    estimator=make_estimator,
)

app.request(applicants, each=cards, where="offered_in_state")
app.reply(
    applicant_id=applicants.applicant_id,
    offered=offered(),
    not_offered=left_out(),  # in the applicant's state
    cards=ranked(
        by="approval_odds",
        card_id=cards.card_id,
        name=cards.name,
        issuer=cards.issuer,
        approval_odds=probability("approval_odds", digits=4),
        odds_band=band("approval_odds", BANDS),
        reason=reason("issuer_rule", of_last=False),  # null unless the issuer turns the applicant away
        outside_support=outside_support("approval_odds"),
    ),
)
app.csv_reply(
    applicant_id="applicant_id", best_card_id="cards.card_id", best_odds="cards.approval_odds", offered="offered"
)
