"""nginx's configuration, from a template."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import scoreline.serving.nginx
from scoreline.errors import ServeError
from scoreline.serving.nginx import check_configuration, find_nginx, render_configuration, unprivileged_user

OURS = Path(scoreline.serving.nginx.__file__).with_name("nginx.conf.template")
VALUES = {
    "host": "127.0.0.1", "port": 8123, "timeout_s": 7, "max_body_mb": 3, "nginx_workers": 2, "user": None,
    "log_level": "error", "operator_routes": ["/generations", "/update"],
    "sockets": ["/tmp/here/app0.sock", "/tmp/here/app1.sock"], "keeps_alive": True,
    "request_log": "/tmp/here/requests", "logged": "all",
}  # fmt: skip


def test_ours_is_filled_in_with_the_settings(tmp_path):
    text = render_configuration(tmp_path, run_dir="/tmp/here", **VALUES)
    for line in (
        "listen 127.0.0.1:8123 backlog=2048;",
        "client_max_body_size 3m;",
        "proxy_read_timeout 7s;",
        "worker_processes 2;",
        "server unix:/tmp/here/app0.sock",
        "server unix:/tmp/here/app1.sock",
        "least_conn;",
        "keepalive 64;",
        "server unix:/tmp/here/health.sock",
        "server unix:/tmp/here/builder.sock",
        "location = /generations {",
        "location = /update {",
        "access_log /tmp/here/requests line ",
    ):
        assert line in text
    assert "{{" not in text.replace("{{ }}", "")
    assert "user " not in text


@pytest.mark.parametrize(("host", "logged"), [("127.0.0.1", "all"), ("0.0.0.0", "failed"), ("[::1]", "none")])
def test_nginx_takes_ours(tmp_path, host, logged):
    values = {**VALUES, "host": host, "user": unprivileged_user(), "logged": logged}
    values["request_log"] = tmp_path / "requests"
    (tmp_path / "nginx.conf").write_text(render_configuration(tmp_path / "app", run_dir=tmp_path, **values))
    command = [find_nginx(), "-t", "-e", "stderr", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stderr
    assert "warn" not in tried.stderr.replace('the "user" directive makes sense only', "")


def test_an_apps_own_nginx_conf_replaces_ours(tmp_path):
    (tmp_path / "nginx.conf").write_text("listen {{ host }}:{{ port }};\n")
    assert render_configuration(tmp_path, **VALUES) == "listen 127.0.0.1:8123;\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [("listen {{ prot }};", "'prot' is undefined"), ("listen {{ port }", "unexpected '}'"), ("{% if user %}", "endif")],
)
def test_a_template_with_a_mistake_is_refused_with_the_values_there_are(tmp_path, text, says):
    (tmp_path / "nginx.conf").write_text(text)
    with pytest.raises(ServeError) as caught:
        render_configuration(tmp_path, **VALUES)
    assert str(tmp_path / "nginx.conf") in str(caught.value)
    assert says in str(caught.value)
    assert f"Values to use: {', '.join(sorted(VALUES))}." in str(caught.value)


def test_a_copy_of_ours_passes_the_check(tmp_path):
    shutil.copyfile(OURS, tmp_path / "nginx.conf")
    check_configuration(tmp_path)


def test_what_nginx_refuses_is_refused_with_its_words(tmp_path):
    (tmp_path / "nginx.conf").write_text(OURS.read_text().replace("server_tokens", "server_token"))
    with pytest.raises(ServeError, match=r'nginx refuses it: .*unknown directive "server_token"'):
        check_configuration(tmp_path)
