"""The plain model behind LitServe: one device, which is the CPU, with as many workers as every side has."""

import os
import sys

import joblib
import litserve
import numpy as np


class Plain(litserve.LitAPI):
    def setup(self, device):
        self.model = joblib.load(os.environ["PLAIN_MODEL"])

    def decode_request(self, request):
        return np.array([list(record.values()) for record in request["records"]], dtype=float)

    def predict(self, rows):
        return self.model.predict_proba(rows)

    def encode_response(self, probabilities):
        return {"probabilities": probabilities.tolist()}


if __name__ == "__main__":
    port, workers = map(int, sys.argv[1:])
    server = litserve.LitServer(Plain(), accelerator="cpu", devices=1, workers_per_device=workers)
    server.run(host="127.0.0.1", port=port, log_level="warning", generate_client_file=False)
