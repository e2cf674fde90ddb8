"""Which user a container becomes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scoreline.container import user
from scoreline.container.user import User, choose_user, mount_points

pytestmark = pytest.mark.needs("root")


@pytest.fixture(autouse=True)
def own_user(monkeypatch):
    """Let a user that every system has stand for the image's own."""
    monkeypatch.setattr(user, "OWN_USER", "nobody")


@pytest.fixture
def results(tmp_path):
    """Give a results folder of user 1234."""
    folder = tmp_path / "results"
    folder.mkdir()
    os.chown(folder, 1234, 1235)
    return folder


@pytest.mark.parametrize("writes", [True, False])
def test_the_owner_of_mounted_results_is_taken(results, writes):
    chosen = choose_user([results], [], writes=writes, mounts={results})
    assert chosen == User(1234, 1235, f"the owner of {results}")


def test_results_below_a_mount_count_too(results):
    chosen = choose_user([results], [], writes=True, mounts={results.parent})
    assert chosen is not None
    assert chosen.uid == 1234


def test_a_folder_of_the_image_itself_says_nothing(results):
    chosen = choose_user([results], [], writes=True, mounts={Path("/elsewhere")})
    assert chosen is not None
    assert (chosen.uid, chosen.why) == (65534, "the image's own user")


def test_who_writes_into_a_folder_of_root_stays_root_and_who_only_serves_does_not(results):
    os.chown(results, 0, 0)
    assert choose_user([results], [], writes=True, mounts={results}) is None
    chosen = choose_user([results], [], writes=False, mounts={results})
    assert chosen is not None
    assert chosen.uid == 65534


def test_a_model_that_root_alone_can_read_is_served_by_root(tmp_path):
    model = tmp_path / "model"
    model.mkdir(mode=0o700)
    assert choose_user([], [model], writes=False, mounts=set()) is None
    model.chmod(0o755)
    assert choose_user([], [model], writes=False, mounts=set()) is not None


def test_the_first_folder_that_is_mounted_counts(results, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    os.chown(model, 77, 77)
    both = {results, model}
    assert choose_user([results, model], [], writes=True, mounts=both).uid == 1234
    assert choose_user([results, model], [], writes=True, mounts={model}).uid == 77


def test_mount_points_are_read_as_the_kernel_writes_them():
    lines = "\n".join(
        [
            "21 1 0:20 / / rw - overlay overlay rw",
            "36 21 98:0 /a /app/my\\040results ro - ext4 /dev/sda rw",
            "37 21 0:5 / /proc rw - proc proc rw",
        ]
    )
    assert mount_points(lines) == {Path("/app/my results"), Path("/proc")}
