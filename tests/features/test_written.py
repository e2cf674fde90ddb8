"""Times in feature.csv: as strftime would write them, for every time that there is."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st

from scoreline.features.written import as_written

MOMENTS = st.none() | st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)


@settings(max_examples=100, deadline=None)
@given(st.lists(MOMENTS, max_size=10), st.integers(0, 3))
def test_times_are_written_to_the_microsecond_with_a_zone(moments, first):
    times = pa.array(moments, pa.timestamp("us"))[first:]
    assert as_written(times).equals(pc.strftime(times, format="%Y-%m-%dT%H:%M:%SZ"))
