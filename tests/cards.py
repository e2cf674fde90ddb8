"""A small app with two reference tables, for tests of generations, refreshes and requests that are scored by card.

Its people and cards are made up. Tables are written as a careful person would: beside their place, then renamed in.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import random
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from servers import folders, plain_environment

from scoreline.cli.main import run

ROUTE = "/updatecards"
APP = """\
from scoreline import (
    App, Boolean, Category, Integer, Number, Rule, Text, Time, feature, left_out, lookup, offered, probability, ranked,
    reason,
)

PERSON = {
    "person_id": Text,
    "score": Integer(minimum=300, maximum=850),
    "income": Number(minimum=0, maximum=1_000_000),
    "years": Number(minimum=0, maximum=80, optional=True),
    "housing": Category("own", "rent"),
    "student": Boolean(optional=True),
}

app = App("cards", refresh_route="/updatecards")
history = app.table(
    "history",
    key=["person_id", "card_id"],
    time="at",
    columns=PERSON | {"card_id": Text, "at": Time, "approved": Boolean},
)
people = app.table("people", key="person_id", columns=PERSON)
cards = app.reference_table(
    "cards",
    key="card_id",
    rows=(2, 20),
    stale_after_s=3600,
    columns={
        "card_id": Text,
        "issuer": Text,
        "name": Text,
        "fee": Number(minimum=0),
        "min_score": Integer(minimum=300, maximum=850),
        "for_students": Boolean,
    },
)
issuers = app.reference_table(
    "issuers", key="issuer", rows=(1, 10), columns={"issuer": Text, "minimum_income": Number(minimum=0)}
)


def margin(score, min_score):
    return score - min_score


def is_open(student, for_students):
    return (student == 1) | (for_students != 1)


app.features(
    spine=history,
    score=history.score,
    income=history.income,
    years=history.years,
    housing=history.housing,
    issuer=lookup(cards.issuer),
    fee=lookup(cards.fee),
    min_score=lookup(cards.min_score),
    for_students=lookup(cards.for_students),
    minimum_income=lookup(issuers.minimum_income),
    margin=margin,
    is_open=is_open,
)
app.head(
    "issuer_rule",
    rules=[Rule("low_income", when=[("income", "<", feature("minimum_income"))], then="No"), Rule("none", then="Yes")],
)


def make_estimator():
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=7, random_state=1)


app.head(
    "odds",
    target=history.approved,
    inputs=["score", "income", "years", "housing", "fee", "margin"],
    knock_outs="issuer_rule",
    estimator=make_estimator,
)
app.request(people, each=cards, where="is_open")
app.reply(
    person_id=people.person_id,
    offered=offered(),
    closed=left_out(),
    cards=ranked(
        by="odds",
        card_id=cards.card_id,
        name=cards.name,
        odds=probability("odds", digits=4),
        reason=reason("issuer_rule", of_last=False),
    ),
)
app.csv_reply(person_id="person_id", best="cards.card_id", odds="cards.odds", offered="offered")
"""
CARDS = [
    ["card_id", "issuer", "name", "fee", "min_score", "for_students"],
    ["alder", "North", "Alder", "0", "300", "false"],
    ["birch", "North", "Birch, the silver one", "95", "720", "false"],
    ["cedar", "South", "Cedar", "25.5", "620", "false"],
    ["dogwood", "South", "Dogwood", "", "300", "true"],
    ["elm", "West", "Elm", "450", "720", "false"],
]
ISSUERS = [["issuer", "minimum_income"], ["North", ""], ["South", "20000"], ["West", "80000"]]
PERSON = {"person_id": "P1", "score": 700, "income": 60000.0, "years": 4.0, "housing": "rent", "student": False}
_made: dict[str, Path] = {}


def made_cards(tmp_path_factory) -> Path:
    """Return the folder of the app with features and model; once a session, read only."""

    def write() -> Path:
        folder = write_cards_app(tmp_path_factory.mktemp("cards"))
        write_history(folder / "data")
        return folder

    return make_once("cards", write)


def make_once(name: str, write: Callable[[], Path]) -> Path:
    """Return an app's folder, in which `feature` and `train` ran; `write` writes the app and its tables."""
    if name not in _made:
        folder = write()
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            for variable in os.environ.keys() - plain_environment().keys():
                patch.delenv(variable)
            for command in ("feature", "train"):
                assert run([command, *folders(folder)]) == 0
        _made[name] = folder
    return _made[name]


def copy_cards(made: Path, folder: Path) -> Path:
    """Return a copy of a made app, with data, features and model of its own."""
    return shutil.copytree(made, folder, ignore=shutil.ignore_patterns("state", "__pycache__"))


def write_cards_app(folder: Path, *changes: tuple[str, str]) -> Path:
    """Write app.py, with changes of its text, and the reference tables."""
    folder.mkdir(exist_ok=True)
    text = APP
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "app.py").write_text(text)
    (folder / "data").mkdir(exist_ok=True)
    put(folder / "data/cards.csv", as_csv(CARDS))
    put(folder / "data/issuers.csv", as_csv(ISSUERS))
    return folder


def write_history(folder: Path, rows: int = 400) -> None:
    """Write who applied for which card, and twenty people to score."""
    chance = random.Random(5)

    def person(number: int) -> list[Any]:
        years = "" if number % 9 == 0 else chance.randint(0, 40)
        return [
            f"H{number:04}", chance.randint(300, 850), chance.randint(0, 150_000), years,
            chance.choice(["own", "rent"]), chance.choice(["true", "false", ""]),
        ]  # fmt: skip

    history = [["person_id", "score", "income", "years", "housing", "student", "card_id", "at", "approved"]]
    for number in range(rows):
        who, card = person(number), chance.choice(CARDS[1:])
        likes = who[1] + chance.gauss(0, 120) > int(card[4]) + 60
        at = f"2021-{1 + number * 12 // rows:02}-{1 + number % 28:02}"
        history.append([*who, card[0], at, "true" if likes else "false"])
    people = [history[0][:6], *(person(rows + number) for number in range(20))]
    put(folder / "history.csv", as_csv(history))
    put(folder / "people.csv", as_csv(people))


def as_csv(rows: Iterable[Sequence[Any]]) -> bytes:
    """Return rows as the bytes of a CSV file."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


def put(path: Path, content: bytes) -> None:
    """Put a file in place, whole, as if it had been lying there for a while: nobody waits for it to be still."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(content)
    os.utime(beside, (1_600_000_000, 1_600_000_000))
    beside.rename(path)


def change(path: Path, edit: Callable[[bytes], bytes]) -> bytes:
    """Replace a file by what `edit` makes of its content; return what it was."""
    before = path.read_bytes()
    put(path, edit(before))
    return before
