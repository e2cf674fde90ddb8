"""`scoreline eject`: our files in the app's folder, and that they are what serves then."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from servers import Server, folders, keys_of, serving

ROOT = Path(__file__).parents[2]
OURS = {
    "nginx.conf": "src/scoreline/serving/nginx.conf.template",
    "wsgi.py": "src/scoreline/container/files/wsgi.py",
    "predictor.py": "src/scoreline/container/files/predictor.py",
    "Dockerfile": "Dockerfile",
    "docker-compose.yml": "src/scoreline/container/files/compose-of-an-app.yml",
    "kubernetes.yaml": "deploy/kubernetes/scoreline.yaml",
}


@pytest.mark.parametrize(("name", "ours"), OURS.items(), ids=OURS)
def test_a_file_is_copied_as_it_is_and_it_is_said_what_to_do_with_it(cli, app, name, ours):
    ran = cli("eject", "--app", app, name)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"eject: {app / name} is ours as it is. ")
    assert (app / name).read_bytes() == (ROOT / ours).read_bytes()
    assert not (app / name).is_symlink()


def test_without_a_folder_it_is_the_one_that_one_stands_in(cli, app, here):
    here(app)
    assert cli("eject", "wsgi.py").out.startswith("eject: wsgi.py is ours as it is. ")
    assert (app / "wsgi.py").is_file()


def test_one_that_is_there_stays_unless_it_is_forced(cli, app):
    (app / "nginx.conf").write_text("mine\n")
    ran = cli("eject", "--app", app, "nginx.conf")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"scoreline: {app / 'nginx.conf'}: is there already. Move it away, or replace it with --force.\n"
    assert (app / "nginx.conf").read_text() == "mine\n"
    assert cli("eject", "--app", app, "nginx.conf", "--force").code == 0
    assert (app / "nginx.conf").read_bytes() == (ROOT / OURS["nginx.conf"]).read_bytes()


def test_a_link_that_leads_nowhere_is_there_too(cli, app, tmp_path):
    (app / "wsgi.py").symlink_to(tmp_path / "mounted-later.py")
    assert cli("eject", "--app", app, "wsgi.py").code == 1
    assert (app / "wsgi.py").is_symlink()


@pytest.mark.parametrize("options", [(), ("--force",)])
def test_a_folder_of_that_name_is_left_alone(cli, app, options):
    (app / "nginx.conf").mkdir()
    ran = cli("eject", "--app", app, "nginx.conf", *options)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"scoreline: {app / 'nginx.conf'}: is a folder; expected no such name here. Move it away.\n"


def test_in_a_folder_that_is_no_app_nothing_is_written(cli, tmp_path):
    ran = cli("eject", "--app", tmp_path, "wsgi.py")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"scoreline: {tmp_path}: no app.py here. Name the app's folder with --app DIR or SCORELINE_APP.\n"
    assert cli("eject", "--app", tmp_path / "none", "wsgi.py").code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [(), ("app.py",), ("nginx.conf", "wsgi.py")])
def test_misuse_exits_2(cli, app, arguments):
    ran = cli("eject", "--app", app, *arguments)
    assert (ran.code, ran.out) == (2, "")


# What `serve` makes of them


def asked(app, folder):
    """Return what a server of an app answers to its first order."""
    with serving(app, app, folder, "--workers", "1") as server:
        return server.post(keys_of(app)[0])


def change(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def first(triage, tmp_path_factory):
    """Give what order triage answers to its first order without a file of its own."""
    return asked(triage, tmp_path_factory.mktemp("first"))


@pytest.fixture
def own(triage, tmp_path):
    """Give a copy of order triage, with features and model, to put files of its own into."""
    return shutil.copytree(triage, tmp_path / "own")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("nginx.conf", "server_tokens off;", "server_tokens off; add_header X-Own yes;"),
        (
            "wsgi.py",
            "return scoreline(environ, start_response)",
            "return scoreline(environ, lambda status, headers, *error: "
            "start_response(status, [*headers, ('X-Own', 'yes')], *error))",
        ),
    ],
    ids=["nginx.conf", "wsgi.py"],
)
def test_a_server_with_it_answers_as_before_and_a_change_of_it_is_seen(cli, own, first, tmp_path, name, old, new):
    assert cli("eject", "--app", own, name).code == 0
    before = asked(own, tmp_path / "before")
    assert (before.status, before.body, before.headers.get("X-Own")) == (200, first.body, None)
    change(own / name, old, new)
    after = asked(own, tmp_path / "after")
    assert (after.status, after.body, after.headers.get("X-Own")) == (200, first.body, "yes")


@pytest.mark.slow
def test_a_predictor_answers_as_before_until_it_is_changed_and_the_model_trained_with_it(cli, own, first, tmp_path):
    assert first.json()["fulfilment_probability"] > 0.125
    assert cli("eject", "--app", own, "predictor.py").code == 0
    assert asked(own, tmp_path / "before").body == first.body
    change(
        own / "predictor.py",
        "return super().predict(matrix)",
        "outputs = super().predict(matrix)\n"
        "        return outputs | {'fulfilment_probability': outputs['fulfilment_probability'].clip(0, 0.125)}",
    )
    refused = Server(own, tmp_path, *folders(own, state=tmp_path / "refused"))
    try:
        assert refused.wait() == 1
    finally:
        refused.stop()
    assert "golden rows: head 'fulfilment_probability' gives 0.125 " in refused.printed
    assert cli("train", *folders(own)).code == 0
    assert asked(own, tmp_path / "after").json() == first.json() | {"fulfilment_probability": 0.125}
