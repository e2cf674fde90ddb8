"""Features from reference tables: matched by the spine, or by what another reference table says."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow.parquet as pq
import pytest
from offers import Workshop, made_up_tables, plain_features

from scoreline.errors import FeatureError, TableError
from scoreline.features.engines.embedded import EmbeddedEngine
from scoreline.features.plan import make_plan
from scoreline.features.stamp import read_stamp


@pytest.fixture
def workshop(tmp_path):
    """Give an empty workshop."""
    return Workshop(tmp_path)


@pytest.fixture
def features(workshop):
    """Give a function from tables to feature rows, each a dict without key and time."""

    def feature_rows(*changes, **tables):
        workshop.write(**tables)
        app = workshop.load(*changes)
        workshop.build(app)
        rows = pq.read_table(workshop.results / "feature.parquet").to_pylist()
        return [{name: row[name] for name in app.feature_types} for row in rows]

    return feature_rows


def as_told(row):
    """Give plain features as the feature table has them."""
    since = row["since"]
    return {**row, "since": None if since is None else datetime.fromisoformat(since)}


OFFERS = [
    ["O1", "Blue", "One", 0.5, 10, "card", "true", "2019-01-01", ""],
    ["O2", "Red", "Two", 0.5, 20, "card", "true", "2021-01-01", ""],
    ["O3", None, "Of nobody", 0.5, 30, "loan", "true", None, ""],
    ["O4", "Green", "Of one unheard of", 0.5, 40, "loan", "true", None, ""],
]
LENDERS = [["Red", 20, "true", "US"], ["Blue", 10, None, "CA"], ["Unused", 99, "true", "US"]]


def application(number, offer, region="north"):
    return [f"P{number}", 50, 40_000, 3, "own", region, offer, "2021-07-04", "true"]


def test_a_lender_is_found_through_the_offer_that_names_it(features):
    rows = features(
        applied=[application(n, offer) for n, offer in enumerate(["O2", "O1", "O3", "O4", "O9", "O2"])],
        offers=OFFERS, lenders=LENDERS,
    )  # fmt: skip
    assert [row["lender"] for row in rows] == ["Red", "Blue", None, "Green", None, "Red"]
    assert [row["least_income"] for row in rows] == [20, 10, None, None, None, 20]
    assert [row["country"] for row in rows] == ["US", "CA", None, None, None, "US"]
    assert [row["strict"] for row in rows] == [True, None, None, None, None, True]


@pytest.mark.parametrize("seed", range(4))
def test_features_agree_with_plain_loops_over_the_tables(features, seed):
    tables = made_up_tables(seed)
    expected = [as_told(plain_features(row, tables["offers"], tables["lenders"])) for row in tables["applied"]]
    assert features(**tables) == expected


def test_a_table_may_be_matched_by_the_spine_and_by_a_looked_up_feature_together(features):
    key = (
        '"lenders", key="lender", rows=(1, 100),\n    columns={"lender": Text,',
        '"lenders", key=["lender", "region"], rows=(1, 100),\n    columns={"lender": Text, "region": Text,',
    )
    lenders = [
        ["Red", 20, "true", "US", "north"],
        ["Red", 30, "true", "US", "south"],
        ["Blue", 1, "true", "US", "north"],
    ]
    applied = [application(1, "O2"), application(2, "O2", "south"), application(3, "O1", "south")]
    rows = features(key, applied=applied, offers=OFFERS, lenders=lenders, more={"lenders": ["region"]})
    assert [row["least_income"] for row in rows] == [20, 30, None]


def test_the_spines_own_column_matches_a_table_also_where_a_feature_has_its_name(features):
    """The application says a lender itself; the feature `lender` is the offer's."""
    own = ('"region": Text,\n}', '"region": Text,\n    "lender": Text,\n}')
    applied = [[*application(1, "O1"), "Red"], [*application(2, "O2"), "Blue"], [*application(3, "O2"), None]]
    rows = features(own, applied=applied, offers=OFFERS, lenders=LENDERS, more={"applied": ["lender"]})
    assert [row["lender"] for row in rows] == ["Blue", "Red", "Red"]
    assert [row["least_income"] for row in rows] == [20, 10, None]


def test_the_plan_joins_a_table_after_the_one_that_it_is_matched_by(workshop):
    """The app names features of the lenders first."""
    assert [join.table.name for join in make_plan(workshop.load()).joins] == ["offers", "lenders"]


def test_an_app_whose_requests_bring_all_that_features_need_has_no_online_store(workshop):
    workshop.write(applied=[application(1, "O1")], offers=OFFERS, lenders=LENDERS)
    report = workshop.build(workshop.load())
    stamp = read_stamp(workshop.results)
    assert (report.rows, report.checked, stamp.store) == (1, 1, None)
    assert set(stamp.files) == {"feature.csv", "feature.parquet", "targets.parquet"}
    assert not (workshop.results / "store").exists()


def test_the_self_check_looks_at_features_of_reference_tables_too(workshop, monkeypatch):
    workshop.write(applied=[application(1, "O2")], offers=OFFERS, lenders=LENDERS)
    real = EmbeddedEngine.joined

    def wrong(engine, plan):
        for batch in real(engine, plan):
            position = batch.schema.get_field_index("least_income")
            yield batch.set_column(position, "least_income", np.array([21.0]))

    monkeypatch.setattr(EmbeddedEngine, "joined", wrong)
    with pytest.raises(FeatureError, match=r"line 2, 'least_income' is 21\.0, a plain loop gives 20\.0"):
        workshop.build(workshop.load())


def test_reference_tables_may_lie_in_a_folder_of_their_own(workshop, tmp_path):
    app = workshop.load()
    workshop.write(applied=[application(1, "O2")], offers=OFFERS, lenders=LENDERS)
    elsewhere = Workshop(tmp_path / "elsewhere")
    elsewhere.write(offers=OFFERS, lenders=[["Red", 77, "true", "US"]])
    for name in ("offers", "lenders"):
        (workshop.data / f"{name}.csv").write_text("not these\n")
    workshop.build(app, reference_data=elsewhere.data)
    (row,) = pq.read_table(workshop.results / "feature.parquet").to_pylist()
    assert row["least_income"] == 77


@pytest.mark.parametrize(
    ("lenders", "says"),
    [
        pytest.param([*LENDERS, ["Gold", "much", "true", "US"]], "line 5, column 'least_income'", id="a-bad-row"),
        pytest.param([*LENDERS, LENDERS[0]], r"line 5, column 'lender': the key \(lender\) was there", id="a-double"),
        pytest.param([], "has 0 rows; app.py declares from 1 to 100", id="no-row"),
    ],
)
def test_a_reference_table_with_anything_wrong_stops_the_build_and_leaves_the_old_features(workshop, lenders, says):
    app = workshop.load()
    workshop.write(applied=[application(1, "O2")], offers=OFFERS, lenders=LENDERS)
    digest = workshop.build(app).digest
    workshop.write(lenders=lenders)
    with pytest.raises(TableError, match=rf"reference table 'lenders', lenders\.csv: .*{says}"):
        workshop.build(app)
    assert read_stamp(workshop.results).digest == digest


def test_another_row_of_a_reference_table_gives_another_digest_where_it_reaches_a_feature(workshop):
    app = workshop.load()
    workshop.write(applied=[application(1, "O2")], offers=OFFERS, lenders=LENDERS)
    digest = workshop.build(app).digest
    workshop.write(lenders=[LENDERS[0], ["Blue", 11, None, "CA"]])  # of no offer applied for
    assert workshop.build(app).digest == digest
    workshop.write(lenders=[["Red", 21, "true", "US"]])
    assert workshop.build(app).digest != digest


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        pytest.param(("rows=(1, 1_000)", "rows=(2, 500)"), True, id="how-many-rows-are-good"),
        pytest.param(("rows=(1, 1_000)", "rows=(1, 1_000), stale_after_s=60"), True, id="when-it-is-old"),
        pytest.param(('band("odds", {"good": 0.5', 'band("odds", {"good": 0.6'), True, id="the-reply"),
        pytest.param(('"fee": Number(minimum=0)', '"fee": Number(minimum=1)'), False, id="a-range"),
        pytest.param(("lookup(lenders.least_income)", "lookup(offers.fee)"), False, id="where-a-feature-comes-from"),
    ],
)
def test_the_digest_of_the_plan_is_of_what_features_are_made_from(workshop, change, is_same):
    before = make_plan(workshop.load()).digest
    assert (make_plan(workshop.load(change)).digest == before) is is_same
