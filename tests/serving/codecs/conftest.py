"""What tests of codecs share: a schema with both kinds of record, a numeric one, and tables of replies."""

from __future__ import annotations

import pytest

from scoreline.app.columns import Boolean, Category, Integer, Number, Text
from scoreline.serving.codecs.replies import Replies, ReplyTable, ReplyTables
from scoreline.serving.records import RequestSchema

TABLES = ReplyTables(
    ReplyTable({"id": ("id",), "why": ("why",), "odds": ("odds",)}, is_numeric=False),
    ReplyTable({"odds": ("odds",)}, is_numeric=True),
)


@pytest.fixture(scope="session")
def schema():
    """Give a schema of orders (id, count, price, gift, size) or of two inputs (stock, is_open)."""
    types = {
        "id": Text(),
        "count": Integer(minimum=0),
        "price": Number(),
        "gift": Boolean(optional=True),
        "size": Category("S", "L"),
    }
    inputs = {"stock": Number(), "is_open": Boolean()}
    return RequestSchema(types, keys_alone=False, key=("id",), inputs=inputs, known=("placed_at",))


@pytest.fixture(scope="session")
def numeric():
    """Give a schema of numbers: a key and two measures, or the measures alone."""
    measures = {"length": Number(), "wide": Boolean(optional=True)}
    return RequestSchema({"no": Integer(), **measures}, keys_alone=False, key=("no",), inputs=measures)


@pytest.fixture(scope="session")
def replies():
    """Give a function that makes replies of entries."""

    def make(*entries, shape="list", tables=TABLES, of_inputs=(), stale=()):
        return Replies(entries, shape, tables, stale, frozenset(of_inputs))

    return make
