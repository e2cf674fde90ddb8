"""What tests of the predictor share."""

from __future__ import annotations

import pytest
from lines import artifact_of, price_stump
from offers import Workshop, made_up_tables

from scoreline.model.artifact import LearntHead
from scoreline.model.evaluate import Link


@pytest.fixture
def artifact():
    """An artifact whose learned head gives LOW or HIGH by the price."""
    return artifact_of({"odds": LearntHead(price_stump(), Link(1.0, 0.5), ("price", "stock"))})


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Give a workshop of the app `offers` with 400 applications, built and trained; read only."""
    made = Workshop(tmp_path_factory.mktemp("offers"))
    app = made.load()
    made.write(**made_up_tables(0, applications=400))
    made.build(app)
    made.train(app)
    return made
