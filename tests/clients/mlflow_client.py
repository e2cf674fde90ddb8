"""Ask a server as MLflow's scoring client does: `python mlflow_client.py URL < cases.json`.

Runs in an environment of its own, where MLflow is installed. A case is {"as": "frame", "array" or "list", "data"}; the
answer to each is the predictions as records.
"""

from __future__ import annotations

import json
import sys
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
from mlflow.deployments import PredictionsResponse
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

MAKE = {"frame": pd.DataFrame, "array": np.array, "list": list}


def ask(url, case):
    """Return the predictions as records."""
    address = urlsplit(url)
    reply = ScoringServerClient(address.hostname, address.port).invoke(MAKE[case["as"]](case["data"]))
    assert isinstance(reply, PredictionsResponse)
    return json.loads(reply.get_predictions().to_json(orient="records"))


if __name__ == "__main__":
    json.dump([ask(sys.argv[1], case) for case in json.load(sys.stdin)], sys.stdout)
