"""Both applications served from nothing but their package: read-only, a small /tmp, no network, no app folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from approval import applicant, scoreline_in_process
from jail import ROOT, in_jail
from servers import folders, keys_of

pytestmark = [pytest.mark.slow, pytest.mark.needs("namespaces")]

SCRIPT = """
import json, os, pathlib, signal, sys
from servers import Command, ask, ping

server = Command([sys.executable, "-m", "scoreline", "serve"], pathlib.Path("/tmp"), dict(os.environ))
server.wait_until(lambda: ping(8080) == 200)
reply = ask(8080, "POST", "/invocations", json.loads(sys.argv[1]))
server.wait_until(lambda: len(sys.argv) < 3 or sys.argv[2] in server.printed)
pings = {ping(8080) for _ in range(20)}
server.process.send_signal(signal.SIGTERM)
print()
print(json.dumps({
    "code": server.wait(28), "pings": sorted(pings), "status": reply.status, "reply": reply.json(),
    "stale": reply.headers.get("X-Scoreline-Stale"), "err": server.err.read_text(),
}))
"""


@pytest.fixture
def odds(tmp_path):
    """Give approval odds with its model trained."""
    folder = tmp_path / "odds"
    shutil.copytree(ROOT / "apps/approval_odds", folder, ignore=shutil.ignore_patterns("state", "results", "model"))
    for command in ("feature", "train"):
        scoreline_in_process(command, *folders(folder))
    return folder


def served(root: Path, record, tmp_path, *until, **variables):
    variables = {"SCORELINE_ML_ROOT": str(root), "SCORELINE_HOST": "127.0.0.1", **variables}
    return in_jail(SCRIPT, [json.dumps(record), *until], [root], tmp_path, **variables)


def test_order_triage(pack, triage, tmp_path):
    key = keys_of(triage)[0]
    seen = served(pack(triage), key, tmp_path)
    assert (seen["code"], seen["pings"], seen["status"]) == (0, [200], 200)
    assert seen["reply"]["order_id"] == key["order_id"]


def test_approval_odds_while_its_s3_can_not_be_reached(pack, odds, tmp_path):
    keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_REGION": "us-east-1"}
    source = {"SCORELINE_DATA_URL": "s3://cards/", "SCORELINE_REFRESH_SECONDS": "1"}
    root = pack(odds)
    shutil.rmtree(odds)
    seen = served(root, applicant(top=1), tmp_path, "not refreshed: ", **keys, **source)
    assert (seen["code"], seen["pings"], seen["status"]) == (0, [200], 200)
    assert (seen["reply"]["stale"], seen["stale"]) == (
        ["card_variables", "issuer_rules"], "card_variables, issuer_rules",
    )  # fmt: skip
    assert len(seen["reply"]["cards"]) == 1
    assert seen["err"].count("can't be reached. ") >= 2
    assert "Going on with the copy at hand." in seen["err"].splitlines()[0]
