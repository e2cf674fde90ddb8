"""What the online store keeps for orders to come: as a plain loop over the tables has it, as far back as it says."""

from __future__ import annotations

import pytest

from scoreline.errors import FeatureError
from scoreline.features.build import build_features
from scoreline.features.stamp import read_stamp
from scoreline.store.embedded import EmbeddedStore
from scoreline.store.states import Wanted
from scoreline.store.writer import StoreWriter

TABLES = {
    "orders": ["O1,C1,2021-07-04T12:00:00Z,007,2,z"],
    "inventory": [
        "007,2021-07-04T12:00:00Z,2", "007,2021-07-03,5", "007,2021-07-04T14:00:00+02:00,", "007,2021-07-01,9",
        "008,2021-06-01,1", "008,2021-06-02,2", "bad", "007,2021-07-05,4",
    ],
    "payments": ["O1,C1,2021-07-04,CREDIT_CARD,OK"],
    "zip_codes": ["z,2021-01-01", "z,2022-01-01", "y,"],
}  # fmt: skip
DAY = 86_400_000_000
NOON = 1_625_400_000_000_000  # 2021-07-04T12:00:00Z


@pytest.fixture
def keep(order_triage, write, data, results):
    """Give a function that builds the tables and opens the store."""
    opened = []

    def build(days=None, **tables):
        write(**{**TABLES, **tables})
        build_features(order_triage, data, results, threads=1, max_bad_percent=1.0, max_bad_rows=20, history_days=days)
        opened.append(EmbeddedStore(results / read_stamp(results).store))
        return opened[-1]

    yield build
    for store in opened:
        store.close()


def stock_of(store, *moments, sku="007"):
    """Return the inventory at each moment, with the line that it stood in."""
    states = store.newest([Wanted("inventory", (sku,), moment) for moment in moments])
    return [state and (list(state.values), store.tables["inventory"].place_of(state.order)[1]) for state in states]


def test_the_newest_row_by_then_counts_inclusive_and_of_several_at_once_the_last_in_the_file(keep):
    store = keep()
    assert stock_of(store, NOON - 20 * DAY, NOON - DAY, NOON - 1, NOON, NOON + DAY) == [
        None, ([5], 3), ([5], 3), ([None], 4), ([4], 9),
    ]  # fmt: skip
    assert store.tables["inventory"].files == {"inventory.csv": 0}


def test_of_a_table_without_time_the_first_row_of_a_key_is_kept(keep):
    store = keep()
    [zone, other] = store.newest([Wanted("zip_codes", ("z",), 0), Wanted("zip_codes", ("y",), 0)])
    assert (zone.values, zone.order, other.values) == ([1_609_459_200_000_000], 2, [None])


def test_within_the_days_that_are_kept_nothing_is_missing_and_what_is_older_is_gone(keep):
    store = keep(days=1)
    since = NOON - DAY // 2  # a day before the newest row of all, that of 2021-07-05
    assert store.history_from_us == since
    assert stock_of(store, since, NOON, NOON + DAY) == [([5], 3), ([None], 4), ([4], 9)]
    assert stock_of(store, since, sku="008") == [([2], 7)]  # older, but the newest there was
    assert stock_of(store, since - 3 * DAY) == [None]
    assert keep().history_from_us is None


def test_another_bound_is_other_content(keep, results):
    digests = {read_stamp(results).digest for days in (None, 100, 200) if keep(days=days)}
    assert len(digests) == 3


def test_rows_that_were_kept_wrongly_fail_the_build_and_the_last_good_results_stay(keep, results, monkeypatch):
    keep()
    digest = read_stamp(results).digest
    add = StoreWriter.add_states
    monkeypatch.setattr(StoreWriter, "add_states", lambda store, batch, *rest: add(store, batch[:1], *rest))
    with pytest.raises(FeatureError, match=r"failed its own check.*'inventory' of .*O1.* is None, the store's rows"):
        keep()
    assert read_stamp(results).digest == digest
