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
    "container/files/docker-compose.yml": "docker-compose.yml",
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
    """All that stands in container/files of a checkout, links to its root among it, is in the wheel."""
    there = {f"scoreline/container/files/{path.name}" for path in (ROOT / "src/scoreline/container/files").iterdir()}
    with zipfile.ZipFile(wheel) as packed:
        assert {name for name in there if "__pycache__" not in name} <= set(packed.namelist())


def test_eject_works_from_it(wheel, tmp_path):
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(installed)
    app = copy_app(tmp_path / "app")
    command = [sys.executable, "-m", "scoreline", "eject", "kubernetes.yaml", "--app", str(app)]
    environment = plain_environment(PYTHONPATH=str(installed))
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (app / "kubernetes.yaml").read_bytes() == (ROOT / CARRIED["container/files/kubernetes.yaml"]).read_bytes()
