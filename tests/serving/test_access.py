"""Who may use an operator's route: this machine and whoever has the token, but no web page."""

from __future__ import annotations

import socket

import psutil
import pytest

from scoreline.serving.access import PEER_HEADER, Access, container_gateway

NEAR = {PEER_HEADER: "127.0.0.1", "Host": "localhost:8080"}
TOKEN = "correct horse battery"
GATEWAY = "172.17.0.1"


def refused(headers, token=None, gateway=None, route="refresh"):
    """Return why a request is refused, None if it is let in."""
    access = Access(token, gateway)
    problem = {"refresh": access.refuse_refresh, "other": access.refuse_operator}[route](headers)
    if problem is None:
        return None
    assert (problem.status, problem.kind) == (403, "forbidden")
    return problem.detail


# Who is near


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1", "::FFFF:7f00:1"])
def test_this_machine_may_refresh(peer):
    assert refused({**NEAR, PEER_HEADER: peer}) is None


@pytest.mark.parametrize("peer", [GATEWAY, f"::ffff:{GATEWAY}"])
def test_the_gateway_of_the_own_container_may_refresh(peer):
    headers = {**NEAR, PEER_HEADER: peer}
    assert refused(headers, gateway=GATEWAY) is None
    assert refused(headers, gateway=None) is not None
    assert refused(headers, gateway="172.18.0.1") is not None


@pytest.mark.parametrize(
    "peer",
    [
        "192.168.1.7",
        "10.0.0.1",
        "172.17.0.2",
        "128.0.0.1",
        "1.0.0.127",
        "0.0.0.0",
        "::",
        "::2",
        "fe80::1",
        "::ffff:10.0.0.1",
        "2001:db8::1",
        "localhost",
        "127.0.0.1, 10.0.0.1",
        "10.0.0.1, 127.0.0.1",
        "127.0.0.1:8080",
        "127.1",
        "0177.0.0.1",
        "2130706433",
        " 127.0.0.1",
        "unix:",
        "",
        None,
    ],
)
def test_nobody_else_may_refresh_without_the_token(peer):
    headers = {"Host": "localhost:8080", **({} if peer is None else {PEER_HEADER: peer})}
    assert refused(headers, gateway=GATEWAY) == "this route needs a token, and SCORELINE_ADMIN_TOKEN is not set"
    assert "expected Authorization: Bearer" in refused(headers, TOKEN, GATEWAY)
    assert refused({**headers, "Authorization": f"Bearer {TOKEN}"}, TOKEN, GATEWAY) is None


def test_what_a_client_says_of_its_address_counts_for_nothing():
    said = {"X-Forwarded-For": "127.0.0.1", "X-Real-Ip": "127.0.0.1", "Forwarded": "for=127.0.0.1"}
    assert refused({**NEAR, PEER_HEADER: "10.0.0.9", **said}) is not None
    assert refused({"Host": "localhost", **said}) is not None


# The token


@pytest.mark.parametrize("route", ["refresh", "other"])
@pytest.mark.parametrize("given", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER  {TOKEN} "])
def test_the_token_opens_every_operators_route_from_anywhere(route, given):
    assert refused({"Authorization": given}, TOKEN, route=route) is None
    anywhere = {PEER_HEADER: "203.0.113.9", "Host": "scores.example", "Origin": "https://a.example"}
    assert refused({**anywhere, "Authorization": given}, TOKEN, route=route) is None


@pytest.mark.parametrize("route", ["refresh", "other"])
@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        TOKEN,
        f"Basic {TOKEN}",
        f"Token {TOKEN}",
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN.upper()}",
        f"Bearer x{TOKEN}",
        "Bearer h\xf6rse",
        "Bearer \udcff",
    ],
)
def test_without_the_right_token_nobody_from_elsewhere_gets_in(route, given):
    headers = {PEER_HEADER: "203.0.113.9", **({} if given is None else {"Authorization": given})}
    assert refused(headers, TOKEN, route=route) == (
        "expected Authorization: Bearer with the token of SCORELINE_ADMIN_TOKEN"
    )


@pytest.mark.parametrize("given", ["Bearer", "Bearer ", "Bearer None", "", "Bearer null"])
def test_where_no_token_is_set_nobody_has_it(given):
    headers = {PEER_HEADER: "203.0.113.9", "Authorization": given}
    for route in ("refresh", "other"):
        assert refused(headers, None, route=route) == "this route needs a token, and SCORELINE_ADMIN_TOKEN is not set"


def test_every_other_route_needs_the_token_from_this_machine_too():
    assert refused(NEAR, None, route="other") is not None
    assert refused(NEAR, TOKEN, route="other") is not None
    assert refused({**NEAR, "Authorization": f"Bearer {TOKEN}"}, TOKEN, route="other") is None


def test_no_refusal_tells_the_token():
    for headers in ({}, {"Authorization": "Bearer wrong"}, {**NEAR, "Host": "evil.example"}):
        assert TOKEN not in (refused(headers, TOKEN) or "")


# Web pages: what a browser on this machine is made to send


def addresses():
    found = [own.address for each in psutil.net_if_addrs().values() for own in each]
    return [f"[{a}]:80" if ":" in a else a for a in found if a.count(".") == 3 or a == "::1"]


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8080",
        "LocalHost:8080",
        "127.0.0.1",
        "127.0.0.1:8080",
        "127.8.8.8:1",
        "[::1]",
        "[::1]:8080",
        "[::ffff:127.0.0.1]:8080",
        socket.gethostname(),
        socket.gethostname().upper() + ":8080",
        *addresses(),
    ],
)
def test_a_name_or_address_of_this_machine_is_a_host_of_its_own(host):
    assert refused({**NEAR, "Host": host}) is None


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("evil.example", id="a-name-that-was-made-to-point-here"),
        "evil.example:8080",
        "localhost.evil.example:8080",
        "127.0.0.1.evil.example",
        "evil.example.localhost:8080",
        "notlocalhost",
        "0.0.0.0:8080",
        "[::]:8080",
        "203.0.113.5:8080",
        "[2001:db8::5]:8080",
        "2130706433:8080",
        "127.1:8080",
        "[::1",
        "[localhost]:8080",
        ":8080",
        "",
        None,
    ],
)
def test_another_host_is_refused_though_the_peer_is_near(host):
    headers = {PEER_HEADER: "127.0.0.1", **({} if host is None else {"Host": host})}
    assert refused(headers) == "expected a Host of this machine, such as localhost; else send the token"
    assert refused({**headers, "Authorization": f"Bearer {TOKEN}"}, TOKEN) is None


@pytest.mark.parametrize("site", ["none", "same-origin", "None", "SAME-ORIGIN"])
def test_a_person_who_types_the_address_may_refresh(site):
    assert refused({**NEAR, "Sec-Fetch-Site": site}) is None


@pytest.mark.parametrize("site", ["cross-site", "same-site", "Cross-Site", "", "none, cross-site", "anything"])
def test_a_page_of_another_site_may_not(site):
    assert refused({**NEAR, "Sec-Fetch-Site": site}) == (
        "a page of another site sent this request; refresh from a terminal"
    )


@pytest.mark.parametrize("name", ["Origin", "Referer"])
@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://evil.example:8080",
        "http://localhost",
        "http://localhost:8081",
        "http://localhost:80800",
        "http://127.0.0.1:8080",
        "http://localhost:8080@evil.example",
        "http://localhost:8080.evil.example",
        "http://evil.example/localhost:8080",
        "http://evil.example\\@localhost:8080",
        "http:localhost:8080",
        "localhost:8080",
        "file:///tmp/page.html",
        "null",
        "",
        "http://[",
        "http://[::1",
        "data:text/html,x",
    ],
)
def test_a_page_of_another_origin_may_not(name, origin):
    assert refused({**NEAR, name: origin}) == ("a page of another origin sent this request; refresh from a terminal")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://localhost:8080"},
        {"Origin": "HTTP://LOCALHOST:8080"},
        {"Referer": "http://localhost:8080/updatecards?dry_run=1"},
        {"Origin": "http://localhost:8080", "Referer": "http://localhost:8080/", "Sec-Fetch-Site": "same-origin"},
    ],
)
def test_the_own_origin_may(headers):
    assert refused({**NEAR, **headers}) is None


def test_one_foreign_sign_is_enough():
    good = {"Origin": "http://localhost:8080", "Referer": "http://localhost:8080/", "Sec-Fetch-Site": "same-origin"}
    bad = {"Origin": "null", "Referer": "https://evil.example/", "Sec-Fetch-Site": "cross-site"}
    assert refused({**NEAR, **good}) is None
    for name, value in bad.items():
        assert refused({**NEAR, **good, name: value}) is not None


# The gateway


ROUTES = (
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
    "eth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    "eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
)
IN_CONTAINER = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


@pytest.mark.parametrize(
    ("text", "gateway"),
    [
        pytest.param(ROUTES, "172.17.0.1", id="docker"),
        pytest.param(ROUTES.splitlines()[0] + "\n", None, id="no-route"),
        pytest.param("\n".join(ROUTES.splitlines()[:2]), None, id="no-default-route"),
        pytest.param(ROUTES.replace("010011AC", "00000000"), None, id="default-route-without-gateway"),
        pytest.param("", None, id="empty"),
        pytest.param("Iface\neth0\n\n", None, id="short-lines"),
    ],
)
def test_the_gateway_is_that_of_the_containers_default_route(tmp_path, text, gateway):
    (tmp_path / "route").write_text(text)
    assert container_gateway(IN_CONTAINER, tmp_path / "route") == gateway


def test_outside_a_container_no_gateway_is_near(tmp_path, monkeypatch):
    (tmp_path / "route").write_text(ROUTES)
    monkeypatch.setattr("scoreline.serving.access.in_container", lambda environment: False)
    assert container_gateway({}, tmp_path / "route") is None


def test_without_a_list_of_routes_there_is_no_gateway(tmp_path):
    assert container_gateway(IN_CONTAINER, tmp_path / "none") is None
