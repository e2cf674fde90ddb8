"""The plain model behind BentoML: one endpoint that answers each request by itself, and one that batches."""

from __future__ import annotations

import os

import bentoml
import joblib
import numpy as np

WORKERS = int(os.environ["PLAIN_WORKERS"])


@bentoml.service(workers=WORKERS, logging={"access": {"enabled": False}})
class Plain:
    def __init__(self) -> None:
        self.model = joblib.load(os.environ["PLAIN_MODEL"])

    @bentoml.api
    def each(self, rows: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(rows.astype(float))

    @bentoml.api(batchable=True, max_batch_size=2_000)
    def batched(self, rows: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(rows.astype(float))
