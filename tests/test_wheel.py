"""The wheel: what an image is built from, and files to start from, are in it as they are in the checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from servers import copy_app, plain_environment

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent
CHECKOUT = (
    "Dockerfile", ".dockerignore", "docker-compose.yml", "pyproject.toml", "requirements.lock", "README.md", "deploy",
    "src",
)  # fmt: skip
CARRIED = {
    "container/files/Dockerfile": "Dockerfile",
    "container/files/.dockerignore": ".dockerignore",
    "container/files/compose-of-an-app.yml": "src/scoreline/container/files/compose-of-an-app.yml",
    "container/files/pyproject.toml": "pyproject.toml",
    "container/files/requirements.lock": "requirements.lock",
    "container/files/kubernetes.yaml": "deploy/kubernetes/scoreline.yaml",
    "container/files/predictor.py": "src/scoreline/container/files/predictor.py",
    "container/files/wsgi.py": "src/scoreline/container/files/wsgi.py",
    "container/health.py": "src/scoreline/container/health.py",
    "model/_kernel.c": "src/scoreline/model/_kernel.c",
    "serving/nginx.conf.template": "src/scoreline/serving/nginx.conf.template",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Give the wheel of this checkout, built from a copy, since building leaves files in the folder."""
    copied = tmp_path_factory.mktemp("checkout")
    made = shutil.ignore_patterns("*.egg-info", "*.so", "__pycache__")
    for name in CHECKOUT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copied / name, symlinks=True, ignore=made)
        else:
            shutil.copy(ROOT / name, copied / name)
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out)]
    done = subprocess.run([*command, str(copied)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("scoreline-*.whl")
    return path


@pytest.mark.parametrize(("name", "source"), CARRIED.items(), ids=CARRIED)
def test_it_carries_the_files_themselves(wheel, name, source):
    with zipfile.ZipFile(wheel) as packed:
        content = packed.read(f"scoreline/{name}")
    assert content
    assert content == (ROOT / source).read_bytes()


def test_nothing_that_is_for_an_image_is_left_out(wheel):
    """All files of container/files in a checkout, links to its root among them, are in the wheel."""
    files = [path for path in (ROOT / "src/scoreline/container/files").iterdir() if path.is_file()]
    with zipfile.ZipFile(wheel) as packed:
        assert {f"scoreline/container/files/{path.name}" for path in files} <= set(packed.namelist())


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Give a function that runs Python with the wheel installed, as pip does it: compiled to bytecode."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), str(wheel)]
    subprocess.run(command, check=True, capture_output=True)

    def run(*arguments):
        environment = plain_environment(PYTHONPATH=str(folder))
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            env=environment, cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_eject_works_from_it(installed, tmp_path):
    app = copy_app(tmp_path / "app")
    installed("-m", "scoreline", "eject", "kubernetes.yaml", "--app", app)
    assert (app / "kubernetes.yaml").read_bytes() == (ROOT / CARRIED["container/files/kubernetes.yaml"]).read_bytes()


LAY_OUT = """
import sys, pathlib
from scoreline.container.context import find_context, lay_out
app = pathlib.Path(sys.argv[1])
context = find_context(app)
lay_out(context, app)
print(context.folder)
"""


def test_an_image_can_be_built_from_it(installed, tmp_path):
    app = copy_app(tmp_path / f"app-{tmp_path.name}")
    context = Path(installed("-c", LAY_OUT, app).strip())
    try:
        for name in ("Dockerfile", ".dockerignore", "requirements.lock", "pyproject.toml"):
            assert (context / name).read_bytes() == (ROOT / name).read_bytes()
        assert (context / "src/scoreline/model/_kernel.c").is_file()
        assert (context / "app/app.py").is_file()
    finally:
        shutil.rmtree(context)
