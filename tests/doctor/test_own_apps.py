"""Our own applications, served as they are: nothing that must hold fails."""

from __future__ import annotations

import pytest
from servers import settings_for

from scoreline.doctor.examine import examine_app
from scoreline.doctor.findings import Outcome

pytestmark = pytest.mark.slow
NOT_YET: set[str] = set()


def test_order_triage_passes(triage, tmp_path):
    found = {finding.name: finding for finding in examine_app(settings_for(triage, tmp_path / "state"))}
    failed = {name: finding.came for name, finding in found.items() if finding.outcome is Outcome.FAILED}
    assert failed.keys() <= NOT_YET, failed
    assert found["records"].came.endswith("(a record from the app's own data)")
    assert found["list-order"].outcome is found["dies-with-parts"].outcome is Outcome.PASSED
    assert not (triage / "state").exists()
