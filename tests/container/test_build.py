"""`scoreline build`: the docker command, and the context that it is given."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from servers import copy_app

from scoreline.cli.main import run
from scoreline.container import context as contexts
from scoreline.container.build import Build, revision_of
from scoreline.container.context import Context, clear, find_context, lay_out
from scoreline.errors import ContainerError

ROOT = Path(__file__).parents[2]
TRIAGE = ROOT / "apps/order_triage"


def arguments_of(command):
    """Return the build arguments of a docker command."""
    given = [command[place + 1] for place, word in enumerate(command) if word == "--build-arg"]
    return dict(argument.split("=", 1) for argument in given)


def test_a_checkout_is_the_context_of_its_own_apps():
    assert find_context(TRIAGE) == Context(ROOT, "apps/order_triage", is_checkout=True)


def test_dry_run_prints_the_command_alone(capsys):
    assert run(["build", "--app", str(TRIAGE), "--dry-run", "--platform", "linux/amd64", "--", "--no-cache"]) == 0
    printed = capsys.readouterr()
    command = shlex.split(printed.out)
    assert command[:4] == ["docker", "build", "--tag", "order-triage"]
    assert command[-1] == str(ROOT)
    assert "--no-cache" in command
    assert command[command.index("--platform") + 1] == "linux/amd64"
    arguments = arguments_of(command)
    assert arguments["APP"] == "apps/order_triage"
    assert arguments["REVISION"] == (revision_of(TRIAGE) or "unknown")
    assert "BASE" not in arguments
    assert printed.err == ""


def test_another_base_and_tag_are_passed_on(capsys):
    assert run(["build", "--app", str(TRIAGE), "--dry-run", "--tag", "mine:1", "--base", "python:3.12-slim"]) == 0
    command = shlex.split(capsys.readouterr().out)
    assert command[3] == "mine:1"
    assert arguments_of(command)["BASE"] == "python:3.12-slim"


def test_buildkit_is_told_to_make_one_manifest():
    wanted = Build(TRIAGE, "order-triage")
    assert "--provenance=false" in wanted.command(is_buildkit=True)
    assert "--provenance=false" not in wanted.command(is_buildkit=False)


def test_an_app_elsewhere_gets_a_context_with_all_that_the_dockerfile_copies(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    app = copy_app(tmp_path / "elsewhere")
    for made in ("results/feature.csv", "state/x", "data/orders.csv", "model/manifest.json"):
        (app / made).parent.mkdir(parents=True, exist_ok=True)
        (app / made).write_text("x")
    wanted = find_context(app)
    assert (wanted.folder.parent, wanted.app, wanted.is_checkout) == (tmp_path / "tmp", "app", False)
    assert wanted.folder.name.startswith("scoreline-build-elsewhere-")
    assert run(["build", "--app", str(app), "--dry-run"]) == 0
    assert "is laid out by a run without --dry-run" in capsys.readouterr().err
    assert not wanted.folder.exists()
    for _ in range(2):  # a second build lays it out anew
        lay_out(wanted, app)
        (wanted.folder / "app/left").touch()
    lay_out(wanted, app)
    found = {path.relative_to(wanted.folder).as_posix() for path in wanted.folder.rglob("*") if path.is_file()}
    assert {file for file in found if file.startswith("app/")} == {
        "app/app.py",
        "app/data/orders.csv",
        "app/model/manifest.json",
    }
    assert not any(path.is_symlink() for path in wanted.folder.rglob("*"))
    copied = [line.split()[1:-1] for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("COPY ")]
    for name in [name for names in copied for name in names if not name.startswith(("--", "$", "/"))]:
        assert (wanted.folder / name).exists(), name
    assert (wanted.folder / "src/scoreline/model/_kernel.c").is_file()


def test_the_context_of_an_installation_without_our_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(contexts, "_FILES", tmp_path / "nothing")
    with pytest.raises(ContainerError, match="holds no Dockerfile"):
        lay_out(Context(tmp_path / "context", "app", is_checkout=False), TRIAGE)


def test_the_revision_says_where_files_differ_from_the_commit(tmp_path):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    assert revision_of(tmp_path) is None
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "app.py").touch()
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "one"], check=True)
    clean = revision_of(tmp_path)
    assert clean is not None
    assert len(clean) == 12
    (tmp_path / "app.py").write_text("x = 1")
    assert revision_of(tmp_path) == f"{clean}-dirty"


def test_without_docker_it_says_so(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")
    assert run(["build", "--app", str(TRIAGE), "--dry-run"]) == 0  # what one would type elsewhere
    assert run(["build", "--app", str(TRIAGE)]) == 1
    assert "scoreline: there is no docker command here" in capsys.readouterr().err


def test_without_an_engine_it_says_so(tmp_path, monkeypatch, capsys):
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert run(["build", "--app", str(TRIAGE)]) == 1
    assert "scoreline: no Docker engine answers: Cannot connect to the Docker daemon" in capsys.readouterr().err


def test_apps_in_folders_of_one_name_have_contexts_of_their_own_that_nobody_else_reads(tmp_path):
    one, other = copy_app_to(tmp_path / "a/app"), copy_app_to(tmp_path / "b/app")
    assert find_context(one).folder != find_context(other).folder
    wanted = find_context(one)
    try:
        lay_out(wanted, one)
        assert wanted.folder.stat().st_mode & 0o077 == 0
    finally:
        clear(wanted)
    assert not wanted.folder.exists()


def copy_app_to(folder):
    folder.parent.mkdir()
    return copy_app(folder)


def test_an_apps_own_dockerfile_takes_the_place_of_ours(tmp_path):
    app = copy_app(tmp_path / "own")
    assert "--file" not in Build(app, "own").command(is_buildkit=False)
    (app / "Dockerfile").write_text("FROM scratch")
    command = Build(app, "own").command(is_buildkit=False)
    assert command[command.index("--file") + 1] == str(find_context(app).folder / "app/Dockerfile")


def test_a_name_that_no_image_may_have_is_made_one(tmp_path, capsys):
    app = copy_app(tmp_path / "app", ('App("order-triage"', 'App("My Triage!"'))
    assert run(["build", "--app", str(app), "--dry-run"]) == 0
    assert "--tag my-triage " in capsys.readouterr().out
