"""Records that are sent whole: scored against every row of a reference table, or each as a row of its own."""

from __future__ import annotations

import math

import numpy as np
import pyarrow.parquet as pq
import pytest
from lines import Recording, artifact_of
from offers import AS_ROWS, PERSON, Workshop, made_up_tables, person, plain_features, plain_word

from scoreline.errors import FeatureError
from scoreline.model.inputs import inputs_of
from scoreline.predictor import LiveScorer, Options, Predictor, Sent

LENDERS = [["Red", 10, "true", "US"], ["Blue", 100, None, "US"], ["Far", 0, None, "MX"]]
OFFERS = [  # the fee stands for the odds in these tests
    ["O3", "Red", "Three", 0.9, 50, "card", "false", "2019-05-06T07:08:09.000001Z", None],
    ["O1", "Red", "One", 0.301, 50, "loan", "false", None, None],
    ["O5", "Blue", "Five", 0.99, 50, "card", "false", None, None],
    ["O2", "Red", "Two", 0.304, 50, "lease", "false", None, "north south"],
    ["O4", None, "Four", 0.62, None, None, None, "2021-01-01", "south"],
]


class ByFee(Predictor):
    """An app's own predictor, whose odds are the offer's fee."""

    def predict(self, matrix):
        outputs = super().predict(matrix)
        odds = matrix[:, self.inputs.position("fee")]
        return {**outputs, "odds": np.where(outputs["lenders_word"] < 3, 0.0, odds)}


@pytest.fixture
def workshop(tmp_path):
    """Give an empty workshop."""
    return Workshop(tmp_path)


@pytest.fixture
def scorer(workshop):
    """Give a function that makes a scorer of the tables above, or of others."""

    def make(*changes, predictor=ByFee, offers=OFFERS, lenders=LENDERS, artifact=None):
        app = workshop.load(*changes)
        workshop.write(offers=offers, lenders=lenders)
        artifact = artifact or artifact_of({"odds": None})
        return LiveScorer(app, artifact, predictor(app, artifact), workshop.tables(app))

    return make


@pytest.fixture
def score(scorer):
    """Give a function from a record to its reply."""
    made = scorer()
    return lambda record, **options: made.score([record], Options(**options))[0]


def listed(reply):
    return [entry["offer_id"] for entry in reply["offers"]]


def test_a_reply_has_the_declared_fields_and_an_entry_for_each_offer(score):
    reply = score(person(region="north"))
    assert list(reply) == ["person_id", "years", "offered", "elsewhere", "offers"]
    assert (reply["person_id"], reply["years"], reply["offered"], reply["elsewhere"]) == ("P1", 3.0, 4, 1)
    assert reply["offers"][0] == {
        "offer_id": "O3", "title": "Three", "since": "2019-05-06T07:08:09.000001Z", "odds": 0.9, "band": "good",
        "word": "Maybe", "why": None, "unsure": False,
    }  # fmt: skip
    assert list(reply["offers"][0]) == ["offer_id", "title", "since", "odds", "band", "word", "why", "unsure"]


def test_offers_come_by_their_rounded_odds_and_among_equals_by_their_key(score):
    """0.301 and 0.304 are both 0.30; the table has O3, O1, O5, O2, O4."""
    reply = score(person(region="south"))
    assert [(entry["offer_id"], entry["odds"]) for entry in reply["offers"]] == [
        ("O3", 0.9), ("O4", 0.62), ("O1", 0.3), ("O2", 0.3), ("O5", 0.0),
    ]  # fmt: skip
    assert [entry["band"] for entry in reply["offers"]] == ["good", "good", "bad", "bad", "bad"]


def test_with_more_digits_equals_are_told_apart(scorer):
    made = scorer(('odds=probability("odds", digits=2)', 'odds=probability("odds", digits=3)'))
    assert listed(made.score([person(region="south")])[0]) == ["O3", "O4", "O2", "O1", "O5"]


def test_a_knocked_out_offer_has_odds_of_0_the_rule_as_its_reason_and_is_the_last(score):
    entry = score(person(income=50_000.0))["offers"][-1]
    assert (entry["offer_id"], entry["odds"], entry["band"], entry["word"]) == ("O5", 0.0, "bad", "No")
    assert entry["why"] == {"rule": "too_poor", "income": 50.0, "least_income": 100.0}
    assert entry["unsure"] is False


def test_knocked_out_offers_are_among_equals_by_their_key_too(score):
    reply = score(person(income=5_000.0, region="south"))
    assert [(entry["offer_id"], entry["odds"]) for entry in reply["offers"]] == [
        ("O4", 0.62), ("O1", 0.0), ("O2", 0.0), ("O3", 0.0), ("O5", 0.0),
    ]  # fmt: skip


def test_the_reason_is_the_first_rule_that_holds_with_what_it_looked_at(scorer):
    far = [
        ["O1", "Far", "One", 0.9, 90, "card", "true", None, None],
        ["O2", "Red", "Two", 0.9, 90, "card", None, None, None],
    ]
    entries = scorer(offers=far).score([person(score=30)])[0]["offers"]
    assert [entry["why"] for entry in entries] == [
        {"rule": "far_below", "margin": -60, "strict": None, "secured": True},
        {"rule": "far_below", "margin": -60, "strict": True, "secured": None},
    ]
    entries = scorer(offers=far).score([person(score=90)])[0]["offers"]
    assert [entry["why"] for entry in entries] == [None, {"rule": "abroad", "country": "MX"}]
    assert [entry["offer_id"] for entry in entries] == ["O2", "O1"]


def test_offers_that_are_not_open_to_a_person_are_left_out_and_counted(score):
    north, south, east = (score(person(region=region)) for region in ("north", "south", "east"))
    assert (listed(north), north["offered"], north["elsewhere"]) == (["O3", "O1", "O2", "O5"], 4, 1)
    assert (south["offered"], south["elsewhere"]) == (5, 0)
    assert (sorted(listed(east)), east["elsewhere"]) == (["O1", "O3", "O5"], 2)


def test_with_nothing_on_offer_the_list_is_empty(scorer):
    offers = [[*offer[:-1], "west"] for offer in OFFERS]
    reply = scorer(offers=offers).score([person()])[0]
    assert (reply["offered"], reply["elsewhere"], reply["offers"]) == (0, 5, [])


def test_where_may_be_about_the_person_alone_and_a_null_leaves_out_too(scorer):
    settled = ('where="open_here"', 'where="is_settled"')
    made = scorer(settled)
    known, young, unknown = made.score([person(years=3.0), person(years=1.0), person(years=None)])
    assert [(reply["offered"], reply["elsewhere"]) for reply in (known, young, unknown)] == [(5, 0), (0, 5), (0, 5)]


def test_where_may_be_about_the_offer_alone_and_a_null_leaves_out_too(scorer):
    offers = [[*OFFERS[0][:6], secured, *OFFERS[0][7:]] for secured in ("true", "false", None)]
    for number, offer in enumerate(offers):
        offer[0] = f"O{number}"
    reply = scorer(('where="open_here"', 'where="secured"'), offers=offers).score([person()])[0]
    assert (listed(reply), reply["elsewhere"]) == (["O0"], 2)


def test_without_where_every_offer_is_there(scorer):
    reply = scorer((', where="open_here"', "")).score([person(region="nowhere")])[0]
    assert (reply["offered"], reply["elsewhere"]) == (5, 0)


def test_top_gives_the_first_and_counts_all(score):
    reply = score(person(), top=2)
    assert (listed(reply), reply["offered"]) == (["O3", "O1"], 4)
    assert listed(score(person(), top=1)) == ["O3"]
    assert len(score(person(), top=1_000)["offers"]) == 4


def test_keys_pick_the_offers_and_change_neither_their_order_nor_their_odds(score):
    all_of_them = {entry["offer_id"]: entry for entry in score(person(region="south"))["offers"]}
    reply = score(person(region="south"), keys=("O2", "O5", "O1", "O2"))
    assert reply["offers"] == [all_of_them[name] for name in ("O1", "O2", "O5")]
    assert reply["offered"] == 3
    assert "unknown_offer_ids" not in reply


def test_what_is_left_out_is_counted_among_the_keys_asked_for(score):
    reply = score(person(region="north"), keys=("O4", "O1"))
    assert (listed(reply), reply["offered"], reply["elsewhere"]) == (["O1"], 1, 1)


def test_unknown_keys_are_named_once_in_the_order_in_which_they_were_asked_for(score):
    reply = score(person(), keys=("Z", "O1", "A", "Z", "o1"))
    assert (listed(reply), reply["unknown_offer_ids"]) == (["O1"], ["Z", "A", "o1"])
    assert score(person(), keys=("Z",))["offers"] == []
    assert score(person(), keys=())["offers"] == []


def test_top_and_keys_together_give_the_first_of_the_keys(score):
    assert listed(score(person(), keys=("O5", "O2", "O1"), top=2)) == ["O1", "O2"]


def test_a_records_own_options_come_before_those_of_the_request(scorer):
    own = Sent(person().values, Options(top=1))
    picky = Sent(person().values, Options(keys=("O1",)))
    replies = scorer().score([own, person(), picky], Options(top=2, keys=("O1", "O3", "O5")))
    assert [listed(reply) for reply in replies] == [["O3"], ["O3", "O1"], ["O1"]]


def test_an_offer_without_odds_comes_last_with_nulls(scorer):
    offers = [["O0", "Red", "Zero", None, 50, "card", "false", None, None], *OFFERS]
    entries = scorer(offers=offers).score([person()])[0]["offers"]
    assert [entry["offer_id"] for entry in entries] == ["O3", "O1", "O2", "O5", "O0"]
    assert {name: entries[-1][name] for name in ("odds", "band", "unsure", "word")} == {
        "odds": None, "band": None, "unsure": None, "word": "Maybe",
    }  # fmt: skip


def test_where_the_head_was_not_learnt_offers_come_by_key_without_odds(scorer):
    entries = scorer(predictor=Predictor).score([person()])[0]["offers"]
    assert [entry["offer_id"] for entry in entries] == ["O1", "O2", "O3", "O5"]
    assert {(entry["odds"], entry["band"], entry["unsure"]) for entry in entries} == {(None, None, None)}
    assert entries[3]["why"]["rule"] == "too_poor"


PEOPLE = [
    person("P1"),
    person("P2", score=0, income=0.0, years=None, home=None, region="south"),
    person("P3", score=100, income=1e7, years=0.5, home="rent", region="east"),
    person("P1"),
]


def test_several_people_are_answered_as_one_by_one(finished):
    app = finished.load()
    artifact = finished.artifact()
    made = LiveScorer(app, artifact, Predictor(app, artifact), finished.tables(app))
    together = made.score(PEOPLE)
    assert together == [made.score([one])[0] for one in PEOPLE]
    assert together[0] == together[3] != together[2]
    assert [reply["person_id"] for reply in together] == ["P1", "P2", "P3", "P1"]
    assert made.score([]) == []


def test_an_offer_alone_is_scored_as_among_others(finished):
    app = finished.load()
    artifact = finished.artifact()
    made = LiveScorer(app, artifact, Predictor(app, artifact), finished.tables(app))
    for one in PEOPLE:
        entries = made.score([one])[0]["offers"]
        assert len(entries) > 3
        assert [made.score([one], Options(keys=(e["offer_id"],)))[0]["offers"] for e in entries] == [
            [e] for e in entries
        ]


def as_sent(row, *more):
    """Give an application of the history as the person would send it."""
    values = dict(zip(("person_id", "score", "income", "years", "home", "region", "offer_id"), row, strict=False))
    return Sent(tuple(float(values[n]) if n == "income" else values[n] for n in (*PERSON, *more)))


def offline(app, workshop):
    """Give the matrix of the feature table, and what the heads say of it."""
    table, inputs = pq.read_table(workshop.results / "feature.parquet"), inputs_of(app)
    matrix = inputs.encode([table.column(name).to_pylist() for name in inputs.names])
    return matrix, Predictor(app, workshop.artifact()).predict(matrix)


@pytest.mark.parametrize("as_rows", [False, True], ids=["each-offer", "rows"])
def test_features_and_odds_made_live_are_to_the_bit_those_of_the_feature_table(finished, tmp_path, as_rows):
    """Every application of the history whose offer is in the catalogue, sent as a record."""
    history = made_up_tables(0, applications=400)["applied"]
    matrix, outputs = offline(finished.load(), finished)
    app = Workshop(tmp_path).load(*[AS_ROWS] if as_rows else [(', where="open_here"', "")])
    predictor = Recording(app, finished.artifact())
    made = LiveScorer(app, finished.artifact(), predictor, finished.tables(app))
    if as_rows:
        made.score([as_sent(row, "offer_id") for row in history])
        ((live, said),) = predictor.seen
        rows = np.arange(len(history))
    else:
        rows = np.array([n for n, row in enumerate(history) if row[6] != "O99"])
        for row in rows.tolist():
            made.score([as_sent(history[row])], Options(keys=(history[row][6],)))
        live = np.concatenate([seen for seen, _ in predictor.seen])
        said = {name: np.concatenate([given[name] for _, given in predictor.seen]) for name in outputs}
    assert len(rows) > 300
    assert np.array_equal(live, matrix[rows], equal_nan=True)
    for name, values in outputs.items():
        assert np.array_equal(said[name], values[rows], equal_nan=True)


def test_features_made_live_agree_with_plain_loops_over_the_tables(finished):
    tables = made_up_tables(0, applications=400)
    app = finished.load((', where="open_here"', ""))
    predictor = Recording(app, finished.artifact())
    made = LiveScorer(app, finished.artifact(), predictor, finished.tables(app))
    row = tables["applied"][7]
    made.score([as_sent(row)])
    ((matrix, outputs),) = predictor.seen
    assert len(matrix) == 20
    codes = {"home": ("own", "rent"), "kind": ("card", "loan"), "country": ("US", "CA")}
    for position, offer_id in enumerate(sorted(offer[0] for offer in tables["offers"])):
        told = plain_features([*row[:6], offer_id, *row[7:]], tables["offers"], tables["lenders"])
        assert outputs["lenders_word"][position] == plain_word(told)
        for name, value in told.items():
            if name in codes and value is not None:
                told[name] = codes[name].index(value) if value in codes[name] else len(codes[name])
        expected = [math.nan if told[name] is None else told[name] for name in predictor.inputs.names]
        assert np.array_equal(matrix[position], expected, equal_nan=True)


def test_a_record_that_is_a_row_of_its_own_is_answered_without_a_list(scorer):
    made = scorer(AS_ROWS)
    first, second, third = made.score([as_sent(["P1", 60, 50_000, 3.0, "own", "north", name], "offer_id")
                                       for name in ("O3", "O5", "unheard-of")])  # fmt: skip
    assert first == {
        "person_id": "P1",
        "years": 3.0,
        "odds": 0.9,
        "band": "good",
        "word": "Maybe",
        "why": None,
        "unsure": False,
    }
    assert second["why"] == {"rule": "too_poor", "income": 50.0, "least_income": 100.0}
    assert (second["odds"], second["word"]) == (0.0, "No")
    assert (third["odds"], third["band"], third["unsure"]) == (None, None, None)
    assert made.score([]) == []


def test_rows_are_answered_together_as_one_by_one(finished, tmp_path):
    app = Workshop(tmp_path).load(AS_ROWS)
    made = LiveScorer(app, finished.artifact(), Predictor(app, finished.artifact()), finished.tables(app))
    records = [as_sent(row, "offer_id") for row in made_up_tables(0, applications=400)["applied"][:50]]
    assert made.score(records) == [made.score([record])[0] for record in records]


@pytest.mark.parametrize("changes", [[], [AS_ROWS]], ids=["each-offer", "rows"])
@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        pytest.param("def margin(score, least_score):\n", "score, least_score", id="of-the-person-and-of-the-offer"),
        pytest.param("def is_settled(years):\n", "years", id="of-the-person-alone"),
        pytest.param("def is_old(since):\n", "since", id="of-the-offer-alone"),
        pytest.param("def open_here(region, regions):\n", "region, regions", id="text"),
        pytest.param("def fee_share(fee, income):\n", "fee, income", id="of-another-function"),
    ],
)
def test_functions_are_given_arrays_that_they_can_not_write_into(scorer, changes, function, arguments):
    check = f"    assert not any(array.flags.writeable for array in ({arguments},))\n"
    made = scorer((function, function + check), *changes)
    more = ["offer_id"] if changes else []
    assert made.score([as_sent(["P1", 60, 50_000, 3.0, "own", "north", "O3"], *more)])


def test_a_function_that_fails_on_a_record_is_named(scorer):
    body = "    return score - least_score\n"
    made = scorer((body, "    if (score == 13).any():\n        raise ValueError('unlucky')\n" + body))
    assert made.score([person(score=12)])
    with pytest.raises(FeatureError, match=r"feature 'margin': its function failed: ValueError: unlucky"):
        made.score([person(score=13)])


def test_a_function_that_gives_another_number_of_values_is_named(scorer):
    body = "    return score - least_score\n"
    made = scorer((body, "    if (score == 13).any():\n        return score[:2]\n" + body))
    with pytest.raises(FeatureError, match=r"feature 'margin': its function must give one value for each of 5 rows"):
        made.score([person(score=13)])


def test_dividing_by_nothing_warns_nobody(scorer):
    made = scorer(("fee / np.maximum(income, 0.001)", "fee / income"))
    assert made.score([person(income=0.0)])[0]["offered"] == 4


def test_the_spines_own_column_matches_a_table_also_where_a_feature_has_its_name(scorer):
    """The person says a lender; the feature `lender` is the offer's. So it is offline too."""
    own = ('"region": Text,\n}', '"region": Text,\n    "lender": Text,\n}')
    made = scorer(own)
    sent = Sent((*person(income=50_000.0).values, "Blue"))
    whys = {entry["offer_id"]: entry["why"] for entry in made.score([sent])[0]["offers"]}
    assert {why["rule"] for why in whys.values()} == {"too_poor"}
    unknown = Sent((*person(income=50_000.0).values, "unheard-of"))
    assert {entry["why"] for entry in made.score([unknown])[0]["offers"]} == {None}


def test_a_catalogue_of_a_single_row(scorer):
    made = scorer(offers=OFFERS[3:4])
    near, far = made.score([person(region="north"), person(region="east")])
    assert (listed(near), near["elsewhere"]) == (["O2"], 0)
    assert (listed(far), far["elsewhere"]) == ([], 1)


def test_keys_that_are_whole_numbers_are_listed_by_their_size(scorer):
    whole = [
        ('"offer_id": Text, "at"', '"offer_id": Integer, "at"'),
        ('"offer_id": Text, "lender"', '"offer_id": Integer, "lender"'),
    ]
    offers = [[number, *OFFERS[0][1:]] for number in (10, 9, 2**53 + 1)]
    reply = scorer(*whole, offers=offers).score([person()], Options(keys=(2**53 + 1, 10, 9, 2**53)))[0]
    assert (listed(reply), reply["unknown_offer_ids"]) == ([9, 10, 2**53 + 1], [2**53])
    assert [entry["odds"] for entry in reply["offers"][:2]] == [0.9, 0.9]


def test_replies_are_made_of_plain_values(finished):
    app, artifact = finished.load(), finished.artifact()
    made = LiveScorer(app, artifact, Predictor(app, artifact), finished.tables(app))
    for reply in made.score(PEOPLE):
        assert [type(reply[name]) for name in ("offered", "elsewhere")] == [int, int]
        for entry in reply["offers"]:
            assert [type(entry[name]) for name in ("odds", "band", "word", "unsure")] == [float, str, str, bool]
            for value in (entry["why"] or {}).values():
                assert type(value) in (str, int, float, bool, type(None))


def test_a_reply_may_give_back_any_column_of_the_record(scorer):
    made = scorer(("years=people.years", "home=people.home"))
    assert [reply["home"] for reply in made.score([person(home="rent"), person(home=None)])] == ["rent", None]
