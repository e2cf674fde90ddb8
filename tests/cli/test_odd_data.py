"""Tables and apps that are odd but right: one odd thing never costs the whole run."""

from __future__ import annotations

import json

import pytest
from servers import copy_app, folders, serving, write_sample

APP_WITH_ODD_NAMES = """\
from scoreline import App, Integer, Rule, Text, Time, decision, reason
app = App("odd")
visits = app.table("visits", key=["visit-id", "no"], time="at", columns={
    "visit-id": Text, "no": Integer, "at": Time, "pieces": Integer})
def many(pieces):
    return pieces > 10
app.features(spine=visits, many=many)
app.head("size", rules=[Rule("big", when=[("many", "==", True)], then="Big"), Rule("small", then="Small")])
app.reply(**{"visit-id": visits["visit-id"], "size": decision("size"), "why": reason("size")})
def is_summed(size, pieces):
    SUMMARY
app.summary("summed", is_summed)
"""
BIG = 2**53 + 1


@pytest.fixture
def odd(tmp_path):
    """Give a function that makes an app whose key is no Python name, with a summary of our choice."""

    def make(summary="return pieces > 1"):
        (tmp_path / "data").mkdir()
        (tmp_path / "app.py").write_text(APP_WITH_ODD_NAMES.replace("SUMMARY", summary))
        rows = f"visit-id,no,at,pieces\n007,1,2024-01-01,{BIG}\n007,123456789012345678,2024-01-01,3\n"
        (tmp_path / "data/visits.csv").write_text(rows)
        return tmp_path

    return make


@pytest.fixture
def scored(cli, tmp_path):
    """Give a function that runs all verbs over an app and returns the lines of the results and the summary."""

    def score(app):
        for verb in ("feature", "train"):
            ran = cli(verb, *folders(app))
            assert ran.code == 0, ran.err
        with serving(app, app, tmp_path / "run") as server:
            ran = cli("inference", *folders(app), "--url", server.url)
        assert ran.code == 0, ran.err
        return [json.loads(line) for line in (app / "results/results.json").read_text().splitlines()], ran.out

    return score


@pytest.mark.slow
def test_keys_of_any_name_and_numbers_of_eighteen_digits_are_scored(odd, scored):
    lines, out = scored(odd())
    assert [(line["visit-id"], line["size"]) for line in lines] == [("007", "Big"), ("007", "Small")]
    assert "  summed: 2\n" in out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("summary", "says"),
    [
        pytest.param("raise ValueError('no')", "ValueError: no", id="one-that-raises"),
        pytest.param("return pieces.sum()", "expected an array of bool", id="one-that-gives-a-sum"),
        pytest.param("return pieces", "expected an array of bool", id="one-that-gives-numbers"),
    ],
)
def test_a_summary_that_fails_costs_its_own_line_alone(odd, scored, summary, says):
    lines, out = scored(odd(summary))
    assert len(lines) == 2
    assert "summed: not counted, its function failed" in out
    assert says in out


@pytest.mark.parametrize("table", ["payments.csv", "inventory.csv"])
def test_a_table_with_a_head_alone_leaves_the_learned_head_its_other_inputs(cli, tmp_path, table):
    app = copy_app(tmp_path / "app")
    write_sample(app / "data", orders=300)
    path = app / "data" / table
    path.write_text(path.read_text().splitlines()[0] + "\n")
    assert cli("feature", *folders(app)).code == 0
    trained = cli("train", *folders(app))
    assert trained.code == 0, trained.err
    blank = {"payments.csv": "payment_status, payment_method", "inventory.csv": "inventory"}[table]
    assert f"fulfilment_probability learns nothing of {blank}: null in every row that trains" in trained.out
    assert "AUC" in trained.out


def test_only_some_of_many_unlisted_categories_are_shown(cli, app):
    path = app / "data/payments.csv"
    order = (app / "data/orders.csv").read_text().splitlines()[1].split(",")[:2]
    path.write_text(path.read_text() + "".join(f"{','.join(order)},2021-05-01,CREDIT_CARD,S{i}\n" for i in range(9)))
    assert " more\n" in cli("feature", *folders(app)).out
