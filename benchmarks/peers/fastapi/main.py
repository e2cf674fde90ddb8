"""The plain model behind FastAPI, as its tutorial writes it: a typed body, a plain function, one predict a request."""

import os

import joblib
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

model = joblib.load(os.environ["PLAIN_MODEL"])
app = FastAPI()


class Record(BaseModel):
    order_hour_of_day: int
    inventory: float | None
    payment_status: int | None
    zip_code_available: bool


class Answer(BaseModel):
    label: int
    probabilities: list[float]


def answer(records: list[Record]) -> list[Answer]:
    rows = np.array([list(record.model_dump().values()) for record in records], dtype=float)
    probabilities = model.predict_proba(rows)
    labels = probabilities.argmax(axis=1).tolist()
    return [Answer(label=label, probabilities=row) for label, row in zip(labels, probabilities.tolist(), strict=True)]


@app.post("/invocations")
def invoke(record: Record) -> Answer:
    return answer([record])[0]


@app.post("/invocations/list")
def invoke_list(records: list[Record]) -> list[Answer]:
    return answer(records)
