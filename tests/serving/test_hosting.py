"""`serve` as a hosting platform runs it: model mounted read-only, a small /tmp, no network, everything by variables."""

from __future__ import annotations

import json
import shutil

import pytest
from jail import in_jail
from servers import keys_of

pytestmark = [pytest.mark.slow, pytest.mark.needs("namespaces")]

SCRIPT = """
import http.client, json, os, pathlib, signal, sys
from servers import Command, ask, ask_over, ping, wait_until

key, folder = json.loads(sys.argv[1]), pathlib.Path("/tmp")
server = Command([sys.executable, "-m", "scoreline", "serve"], folder, dict(os.environ))
server.wait_until(lambda: ping(8091) == 200)
server.wait_until(lambda: "serve: ready on " in server.printed)
record = json.dumps(key).encode()
headers = {"X-Amzn-SageMaker-Inference-Id": "inference-7", "X-Amzn-SageMaker-Custom-Attributes": "trace=1"}
small = ask(8091, "POST", "/invocations", key, headers)
large = ask(8091, "POST", "/invocations", record + b" " * ((7 << 20) - len(record)))
too_large = ask(8091, "POST", "/invocations", record + b" " * (7 << 20))
parameters = ask(8091, "GET", "/execution-parameters")
wait_until(lambda: server.out.read_text().count(chr(10)) == 4)
idle = http.client.HTTPConnection("127.0.0.1", 8091, timeout=30)
assert ask_over(idle, "POST", "/invocations", key).status == 200
server.process.send_signal(signal.SIGTERM)
code = server.wait(28)
print()
print(json.dumps({
    "code": code, "left": not server.nothing_is_left(), "statuses": [small.status, large.status, too_large.status],
    "attributes": small.headers.get("X-Amzn-SageMaker-Custom-Attributes"), "body": small.json(),
    "parameters": parameters.json(), "out": server.out.read_text(), "err": server.err.read_text(),
}))
"""


@pytest.fixture
def mounted(triage, tmp_path):
    """Give a folder with the model as a platform mounts it."""
    root = tmp_path / "ml"
    shutil.copytree(triage / "model", root / "model")
    return root


def test_it_serves_from_a_read_only_disk_without_a_network_and_says_what_it_answered(triage, mounted, tmp_path):
    key = keys_of(triage)[0]
    variables = {
        "SCORELINE_APP": str(triage),
        "SCORELINE_ML_ROOT": str(mounted),
        "SAGEMAKER_BIND_TO_PORT": "8091",
        "SAGEMAKER_SAFE_PORT_RANGE": "8100-8199",
        "SAGEMAKER_MODEL_SERVER_WORKERS": "2",
        "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "7",
        "SAGEMAKER_BATCH": "True",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "7",
        "MODEL_SERVER_WORKERS": "",
    }
    seen = in_jail(SCRIPT, [json.dumps(key)], [triage, mounted], tmp_path, **variables)
    assert (seen["code"], seen["left"], seen["statuses"]) == (0, False, [200, 200, 413])
    assert (seen["attributes"], seen["body"]["order_id"]) == ("trace=1", key["order_id"])
    assert seen["parameters"] == {"MaxConcurrentTransforms": 2, "MaxPayloadInMB": 7}
    first, *others, idle = seen["out"].splitlines()
    assert ' POST "/invocations" 200 ' in first
    assert first.endswith(', Inference-Id "inference-7"')
    # In no order: nginx leaves the line of a body that is too large when it has done with its connection.
    for line in ('POST "/invocations" 200', 'POST "/invocations" 413', 'GET "/execution-parameters" 200'):
        assert len([other for other in others if f" {line} " in other]) == 1, others
    assert ' POST "/invocations" 200 ' in idle
    assert "; 2 workers (as set), 1 thread each, timeout 7 s" in seen["err"].splitlines()[0]
    assert seen["err"].splitlines()[-1] == "serve: stopped"
