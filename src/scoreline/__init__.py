"""Scoreline: a tabular model from raw tables to a production scoring service.

These names are what an `app.py` and its neighbours may use. Importing them loads neither an engine
nor a model library nor Flask.
"""

from scoreline.app.clock import hour_of_day
from scoreline.app.columns import Boolean, Category, Integer, Number, Text, Time
from scoreline.app.declaration import App
from scoreline.app.features import latest, lookup
from scoreline.app.heads import Rule
from scoreline.app.reply import decision, probability, reason

__all__ = [
    "App",
    "Boolean",
    "Category",
    "Integer",
    "Number",
    "Rule",
    "Text",
    "Time",
    "decision",
    "hour_of_day",
    "latest",
    "lookup",
    "probability",
    "reason",
]
