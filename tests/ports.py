"""Ports for servers that tests start: below those that the kernel gives to clients, and no port to two of us.

A port that the kernel picks is free at that moment alone: before a server listens on it, it may be the near end of
another test's connection, or be picked for another test's server.
"""

from __future__ import annotations

import itertools
import os
import random
import socket

_FIRST, _EACH, _SLICES = 12_000, 2_500, 8  # up to 32,000; a client's near end is from 32,768 on
_slice = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _SLICES
_begin = random.randrange(_EACH)  # so that two runs on a machine hardly meet
_walk = itertools.cycle(_FIRST + _slice * _EACH + (_begin + step) % _EACH for step in range(_EACH))


def free_port() -> int:
    """Return a port that nobody listens on, and that this process has not returned lately."""
    for port in itertools.islice(_walk, _EACH):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port among {_EACH} from {_FIRST + _slice * _EACH} on")


def free_ports(count: int) -> list[int]:
    """Return several such ports, no port twice."""
    return [free_port() for _ in range(count)]
