"""Scoreline: a tabular model from raw tables to a production scoring service.

These names are what an `app.py` and its neighbours may use. Importing them loads neither an engine
nor a model library nor Flask.
"""

from scoreline.app.clock import hour_of_day
from scoreline.app.columns import Boolean, Category, Integer, Number, Text, Time
from scoreline.app.declaration import App
from scoreline.app.features import latest, lookup
from scoreline.app.heads import Rule, feature
from scoreline.app.reply import (
    band,
    decision,
    features_from,
    left_out,
    offered,
    outside_support,
    probabilities,
    probability,
    ranked,
    reason,
)

__all__ = [
    "App",
    "Boolean",
    "Category",
    "Integer",
    "Number",
    "Rule",
    "Text",
    "Time",
    "band",
    "decision",
    "feature",
    "features_from",
    "hour_of_day",
    "latest",
    "left_out",
    "lookup",
    "offered",
    "outside_support",
    "probabilities",
    "probability",
    "ranked",
    "reason",
]
