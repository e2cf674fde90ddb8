"""What tests of the doctor share: servers that keep the contract but for what is named, and looking at them."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import threading
from pathlib import Path

import pytest
from servers import made_app

from scoreline.doctor.sample import sample_of_records
from scoreline.doctor.wire import Effort, Site

BROKEN = Path(__file__).with_name("broken.py")
RECORDS = [{"x": 0.5 * n, "y": 7.0 - n * n} for n in range(8)]
LITTLE = Effort(pings=3, idle=20, uploads=4, requests=3, busy_s=0.2)


@pytest.fixture(scope="session")
def broken():
    """Give the module broken.py."""
    spec = importlib.util.spec_from_file_location("broken", BROKEN)
    module = sys.modules["broken"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def triage(tmp_path_factory):
    """Give the folder of order triage with 300 orders, features and model; read only."""
    return made_app(tmp_path_factory)


@pytest.fixture
def sample():
    """Give records that broken.py answers."""
    return sample_of_records(RECORDS, "the test")


@pytest.fixture
def little():
    """Give an effort that a good test takes to see what fails."""
    return LITTLE


@pytest.fixture
def site(broken, sample):
    """Give a function that starts a server with faults and returns the `Site` of it."""
    with contextlib.ExitStack() as stack:

        def start(*faults, sample=sample, effort=LITTLE):
            server = broken.Server(0, *faults)
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return Site(f"http://127.0.0.1:{server.server_port}", sample, effort)

        yield start
