"""From records to replies: features, heads, reply. No HTTP, no files; pure over what it is given."""

from scoreline.predictor.direct import InputRow, InputScorer
from scoreline.predictor.explain import Level
from scoreline.predictor.heads import Outputs, Predictor, check_golden
from scoreline.predictor.live import LiveScorer, Options, Sent
from scoreline.predictor.new_rows import NewRow, NewRows, StateSource
from scoreline.predictor.reference import ReferenceData
from scoreline.predictor.stored import Key, Missing, RowSource, StoredScorer
from scoreline.store.states import Trail

__all__ = [
    "InputRow",
    "InputScorer",
    "Key",
    "Level",
    "LiveScorer",
    "Missing",
    "NewRow",
    "NewRows",
    "Options",
    "Outputs",
    "Predictor",
    "ReferenceData",
    "RowSource",
    "Sent",
    "StateSource",
    "StoredScorer",
    "Trail",
    "check_golden",
]
