"""Ask a server as SageMaker's Python SDK does: `python sagemaker_client.py URL < cases.json`.

Runs in an environment of its own, where the SDK is installed. A case is {"serializer", "deserializer", "accept",
"frame", "data"}; the answer to each is what the SDK makes of the reply, as JSON. Headers are those that its `Predictor`
sends.
"""

from __future__ import annotations

import json
import sys
import urllib.request

import numpy as np
import pandas as pd

try:
    from sagemaker.core import deserializers, serializers  # version 3
except ImportError:
    from sagemaker import deserializers, serializers


def ask(url, case):
    """Return what the deserializer makes of the reply."""
    serializer = getattr(serializers, case["serializer"])()
    accept = {"accept": case["accept"]} if case.get("accept") else {}
    deserializer = getattr(deserializers, case["deserializer"])(**accept)
    data = case["data"]
    if case["serializer"] == "NumpySerializer":
        data = np.array(data)
    if case.get("frame"):
        data = pd.DataFrame(data)
    body = serializer.serialize(data)
    headers = {"Content-Type": serializer.CONTENT_TYPE, "Accept": ", ".join(deserializer.ACCEPT)}
    request = urllib.request.Request(
        f"{url}/invocations", body if isinstance(body, bytes) else body.encode(), headers=headers
    )
    with urllib.request.urlopen(request) as response:
        return deserializer.deserialize(response, response.headers["Content-Type"])


def plain(value):
    """Return a result as JSON has it."""
    if isinstance(value, pd.DataFrame):
        return json.loads(value.to_json(orient="records"))
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.decode() if isinstance(value, bytes) else value


if __name__ == "__main__":
    json.dump([plain(ask(sys.argv[1], case)) for case in json.load(sys.stdin)], sys.stdout)
