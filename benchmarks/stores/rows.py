"""Rows like those of order triage's feature table: a key of four texts, a time, seven features; in no order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from harness.child import REPOSITORY

from scoreline.app.load import load_module

BATCH_ROWS = 1 << 17
KEY_PARTS = 4
STATUSES = ["OK", "FAILED", "VERIFY_ADDRESS", "VERIFY_BANK_DETAILS", None]
METHODS = ["CREDIT_CARD", "ONLINE_PAYMENT", "ON_DELIVERY", None]


def feature_batches(rows: int) -> Iterator[pa.RecordBatch]:
    """Make so many rows in batches; the same each time."""
    sample = load_module(REPOSITORY / "apps/order_triage/make_sample.py")
    rng = np.random.default_rng(7)
    order = rng.permutation(rows)
    width = max(7, len(str(rows - 1)))
    for first in range(0, rows, BATCH_ROWS):
        some = order[first : first + BATCH_ROWS]
        texts = [
            sample.ids(b"O", some, width),
            sample.ids(b"C", rng.integers(0, max(1, rows * 2 // 5), len(some)), width),
            sample.digits(rng.integers(0, max(50, rows // 40), len(some)), 6),
            sample.digits(rng.integers(0, 99_999, len(some)), 5),
        ]
        key = {f"key_{part}": pa.array(text).cast(pa.string()) for part, text in enumerate(texts)}
        yield pa.record_batch({**key, **_features(rng, len(some))})


def _features(rng: np.random.Generator, count: int) -> dict[str, pa.Array]:
    time_us = 1_620_000_000_000_000 + rng.integers(0, 90 * 86_400, count) * 1_000_000
    available_us = 1_600_000_000_000_000 + rng.integers(0, 400, count) * 86_400_000_000
    stock = rng.integers(0, 500, count)
    return {
        "time": pa.array(time_us).cast(pa.timestamp("us")),
        "hour": pa.array(time_us // 3_600_000_000 % 24),
        "stock": pa.array(stock, mask=stock > 450),
        "status": pa.array(STATUSES).take(pa.array(rng.integers(0, len(STATUSES), count))),
        "served": pa.array(stock % 2 == 0),
        "quantity": pa.array(rng.integers(1, 11, count)),
        "method": pa.array(METHODS).take(pa.array(rng.integers(0, len(METHODS), count))),
        "available": pa.array(available_us, mask=stock % 7 == 0).cast(pa.timestamp("us")),
    }
