"""The self-check's own numbering of keys: as far apart as the keys are."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from scoreline.features.selfcheck import _coder

PARTS = st.sampled_from(["a", "b", "ab", "", "1", "01"])


@settings(max_examples=150, deadline=None)
@given(st.data(), st.integers(1, 12))
def test_keys_have_one_number_exactly_if_they_are_equal_and_wanted(data, width):
    keys = st.lists(st.tuples(*[PARTS] * width), min_size=1, max_size=8)
    wanted, others = data.draw(keys), data.draw(keys)
    code = _coder([pa.array(part) for part in zip(*wanted, strict=True)])
    numbers = dict(zip(wanted, code([pa.array(part) for part in zip(*wanted, strict=True)]).tolist(), strict=True))
    assert len(set(numbers.values())) == len(numbers)
    got = code([pa.array(part) for part in zip(*others, strict=True)]).tolist()
    assert got == [numbers.get(key, len(numbers)) for key in others]


def test_the_newest_event_is_found_whatever_batch_it_comes_in(features, monkeypatch):
    monkeypatch.setattr("scoreline.features.engines.embedded.BATCH_ROWS", 2048)
    minutes = [f"2021-07-04 {n % 24:02}:{n * 7 % 60:02}:00" for n in range(9000)]
    inventory = [f"00{n % 2},{minute},{n}" for n, minute in enumerate(minutes)]
    rows = features(orders=[f"O{n},C1,{minutes[n]},00{n % 3},1,z" for n in range(50)], inventory=inventory)
    assert len({row["inventory"] for row in rows}) > 20
