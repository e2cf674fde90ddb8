"""All checks of a running server, in the order in which a person would want to read them."""

from __future__ import annotations

from scoreline.doctor import batch, connections, headers, limits, media, mistakes, ping, routes
from scoreline.doctor.findings import Checks
from scoreline.doctor.wire import Site

CHECKS: Checks[Site] = Checks()
for _area in (ping, routes, connections, limits, media, mistakes, headers, batch):
    CHECKS.extend(_area.CHECKS)
