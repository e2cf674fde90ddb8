"""The plain model behind vetiver: a typed prototype, and an endpoint of its own for the probabilities."""

import os

import joblib
from pydantic import BaseModel
from vetiver import VetiverAPI, VetiverModel
from vetiver.prototype import vetiver_create_prototype

model = joblib.load(os.environ["PLAIN_MODEL_NAMED"])


class Record(BaseModel):
    order_hour_of_day: int
    inventory: float | None
    payment_status: int | None
    zip_code_available: bool


@vetiver_create_prototype.register
def _(data: type):
    return data  # from an example it would make a prototype that takes no null


def probabilities(rows):
    return model.predict_proba(rows).tolist()


plain = VetiverAPI(VetiverModel(model, "plain", prototype_data=Record), check_prototype=True)
plain.vetiver_post(probabilities, "probabilities")
api = plain.app
