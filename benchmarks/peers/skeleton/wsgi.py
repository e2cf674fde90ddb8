"""Flask as the copied skeletons have it: a CSV body becomes a data frame, the estimator scores it, CSV goes back."""

import io
import os

import joblib
import pandas as pd
from flask import Flask, Response, request

LABELS = ["Decline", "Deliver", "HoldCheckAvailability", "HoldCheckDelivery", "HoldCheckPayment"]


class ScoringService:
    model = None  # loaded by the first request of each worker

    @classmethod
    def get_model(cls):
        if cls.model is None:
            cls.model = joblib.load(os.environ["PLAIN_MODEL_NAMED"])
        return cls.model

    @classmethod
    def predict(cls, data):
        probabilities = cls.get_model().predict_proba(data)
        result = pd.DataFrame(probabilities)
        result.insert(0, "label", [LABELS[position] for position in probabilities.argmax(axis=1)])
        return result


app = Flask(__name__)


@app.route("/ping", methods=["GET"])
def ping():
    status = 200 if ScoringService.get_model() is not None else 404
    return Response("\n", status=status, mimetype="application/json")


@app.route("/invocations", methods=["POST"])
def transformation():
    if request.content_type != "text/csv":
        return Response("This predictor only supports CSV data", status=415, mimetype="text/plain")
    data = pd.read_csv(io.StringIO(request.data.decode("utf-8")), header=None)
    data.columns = ["order_hour_of_day", "inventory", "payment_status", "zip_code_available"]
    predictions = ScoringService.predict(data)
    out = io.StringIO()
    predictions.to_csv(out, header=False, index=False)
    return Response(out.getvalue(), status=200, mimetype="text/csv")
