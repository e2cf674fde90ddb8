"""The state folder: one number for all processes, folders that are whole, and nothing that goes back."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from scoreline.errors import GenerationError
from scoreline.generations import state as module
from scoreline.generations.manifest import Generation
from scoreline.generations.state import KEPT, StateFolder

APP, OTHER_APP = "a" * 64, "b" * 64


def content(digest: str = "d" * 64, app: str = APP) -> Generation:
    """Return a generation that holds nothing."""
    return Generation(0, digest, app, "m" * 64, None, (), {}, "a test", "2024-01-01T00:00:00.000000Z")


def publish(state: StateFolder, **about: str) -> Generation:
    with state.locked(), state.staging() as staging:
        (staging / "part").write_text("content")
        return state.publish(staging, content(**about))


def kept(state: StateFolder) -> list[int]:
    return [generation.number for generation in state.generations()]


@pytest.fixture
def state(tmp_path):
    return StateFolder(tmp_path / "state")


def test_a_new_state_folder_is_empty(state):
    assert (state.number, state.current(), state.generations(), state.pinned, state.servers()) == (
        0,
        None,
        [],
        None,
        {},
    )


def test_a_published_generation_is_the_current_one_with_all_its_files(state):
    published = publish(state)
    assert (state.number, published.name) == (1, "1-dddddd")
    assert state.current() == published
    assert (state.folder_of(1) / "part").read_text() == "content"
    assert not list(state.path.glob(".building-*"))


def test_numbers_rise_by_one(state):
    assert [publish(state).number for _ in range(3)] == [1, 2, 3]


def test_another_process_sees_a_new_number_without_looking_at_any_file(state):
    script = (
        "import sys; from pathlib import Path; from scoreline.generations.state import StateFolder\n"
        "state = StateFolder(Path(sys.argv[1]))\n"
        "sys.addaudithook(lambda event, _: event in ('open', 'os.listdir', 'os.scandir') and sys.exit(event))\n"
        "while sys.stdin.readline(): print(state.number, flush=True)\n"
    )
    command = [sys.executable, "-c", script, str(state.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as other:

        def ask():
            other.stdin.write("?\n")
            return int(other.stdout.readline())

        assert ask() == 0
        for number in (1, 2, 3):
            publish(state)
            assert ask() == number
        other.stdin.close()


def test_two_who_look_at_one_state_folder_agree(state):
    other = StateFolder(state.path)
    publish(state)
    assert other.number == 1
    publish(other)
    assert state.number == 2
    assert state.current() == other.current()


def test_a_second_opening_keeps_the_number(state):
    publish(state)
    assert StateFolder(state.path).number == 1


@pytest.mark.parametrize("seed", range(5))
def test_numbers_never_go_back_whatever_was_left_or_lost(state, seed):
    chance, highest = random.Random(seed), 0
    for _ in range(25):
        what = chance.choice(["publish", "publish", "left", "lost", "opened"])
        if what == "publish":
            number = publish(state).number
            assert number > highest
            assert state.number == number
            highest = number
        elif what == "left":  # by one that was killed between the rename and the number
            highest += chance.choice([1, 3])
            (state.path / f"generations/{highest}-ffffff").mkdir()
        elif what == "lost" and state.generations():
            shutil.rmtree(state.folder_of(chance.choice(kept(state))))
        else:
            state = StateFolder(state.path)


def test_a_lost_number_starts_above_the_folders_that_are_there(state):
    for _ in range(3):
        publish(state)
    (state.path / "published").unlink()
    again = StateFolder(state.path)
    assert (again.number, again.current()) == (0, None)
    assert publish(again).number == 4


def test_a_folder_that_was_never_published_is_not_answered_from(state):
    publish(state)
    shutil.copytree(state.folder_of(1), state.path / "generations/2-dddddd")
    assert state.number == 1
    assert state.current().number == 1
    assert publish(state).number == 3


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda folder: shutil.rmtree(folder), id="gone"),
        pytest.param(lambda folder: (folder / "generation.json").unlink(), id="no-manifest"),
        pytest.param(lambda folder: (folder / "generation.json").write_text("{"), id="torn"),
        pytest.param(lambda folder: (folder / "generation.json").write_text('{"format": 2}'), id="another-format"),
        pytest.param(lambda folder: (folder / "generation.json").write_text("[]"), id="no-object"),
    ],
)
def test_a_published_generation_that_cannot_be_read_counts_as_none(state, damage):
    publish(state)
    publish(state, digest="e" * 64)
    damage(state.folder_of(2))
    assert state.current() is None
    assert kept(state) == [1]
    assert publish(state).number == 3


def test_the_published_one_and_four_others_are_kept(state):
    for _ in range(9):
        publish(state)
    assert kept(state) == [5, 6, 7, 8, 9]
    assert KEPT == 4
    assert len(list((state.path / "generations").iterdir())) == 5


def test_a_pinned_generation_is_kept_however_old(state):
    publish(state)
    state.pin(1)
    for _ in range(9):
        publish(state)
    assert kept(state) == [1, 6, 7, 8, 9, 10]
    state.unpin()
    publish(state)
    assert kept(state) == [7, 8, 9, 10, 11]


def test_a_pin_outlives_the_process_and_ends_with_unpin(state):
    assert state.pinned is None
    state.pin(7)
    assert StateFolder(state.path).pinned == 7
    state.unpin()
    state.unpin()
    assert StateFolder(state.path).pinned is None


def test_what_is_known_of_a_source_is_added_to(state):
    state.note_source("cards", etag="one", error=None)
    state.note_source("cards", error="away")
    state.note_source("issuers", etag="two")
    assert StateFolder(state.path).source("cards") == {"etag": "one", "error": "away"}
    assert state.source("other") == {}


def test_a_torn_note_of_a_source_counts_as_none(state):
    (state.path / "sources/cards.json").write_text('{"etag": ')
    assert state.source("cards") == {}
    state.note_source("cards", etag="one")
    assert state.source("cards") == {"etag": "one"}


def test_whoever_builds_next_clears_what_a_killed_one_left(state):
    left = state.path / ".building-left"
    (left / "deep/er").mkdir(parents=True)
    (left / "deep/er/file").write_text("x")
    with state.locked():
        assert not left.exists()


def test_an_unfinished_build_leaves_nothing(state):
    def fail():
        with state.locked(), state.staging() as staging:
            (staging / "file").write_text("x")
            raise GenerationError("no")

    with pytest.raises(GenerationError):
        fail()
    assert not list(state.path.glob(".building-*"))
    assert (state.number, kept(state)) == (0, [])


def test_the_lock_lets_one_builder_in_at_a_time(state):
    inside, most, never = [], [], threading.Event()

    def build():
        other = StateFolder(state.path)
        for _ in range(5):
            with other.locked():
                inside.append(1)
                never.wait(0.002)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}


def test_a_builder_waits_for_one_in_another_process_and_goes_on_when_that_is_killed(state):
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path; from scoreline.generations.state import StateFolder\n"
            "with StateFolder(Path(sys.argv[1])).locked(): print('held', flush=True); time.sleep(60)",
            str(state.path),
        ],
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "held\n"
        done = threading.Event()
        waiting = threading.Thread(target=lambda: (publish(state), done.set()))
        waiting.start()
        came_in, number = done.wait(0.3), state.number
        other.kill()
        waiting.join()
    assert (came_in, number) == (False, 0)
    assert state.number == 1


# A folder that can't be used


def refusal(path: Path) -> str:
    with pytest.raises(GenerationError) as caught:
        StateFolder(path)
    return str(caught.value)


@pytest.mark.parametrize("below", ["", "state", "deep/er"])
def test_a_file_in_the_way_is_named_with_what_to_do(tmp_path, below):
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file" / below
    said = refusal(path)
    assert said.startswith(f"{path}: the state folder can't be written (")
    assert said.endswith("Name another with SCORELINE_STATE.")


@contextlib.contextmanager
def bound_by_file_modes():
    """Be a user whom they bind: root is none."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.fixture
def open_to_all():
    """Give a folder that everybody can reach, with a state folder in it where one generation is published."""
    with tempfile.TemporaryDirectory(prefix="scoreline-test-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        publish(StateFolder(Path(folder, "state")))
        yield Path(folder)


def lock_up(folder):
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)


def test_a_folder_where_this_user_may_not_write_is_refused_as_a_whole(open_to_all):
    lock_up(open_to_all)
    with bound_by_file_modes():
        for path in (open_to_all / "state", open_to_all / "new"):
            assert refusal(path) == (
                f"{path}: the state folder can't be written (Permission denied). Name another with SCORELINE_STATE."
            )


def test_whoever_only_looks_needs_no_leave_to_write_and_sees_all(open_to_all):
    path = open_to_all / "state"
    StateFolder(path).note_source("cards", etag="one")
    with StateFolder(path).serving(APP):
        lock_up(open_to_all)
        with bound_by_file_modes():
            looking = StateFolder(path, read_only=True)
            assert (looking.number, looking.current().number, looking.pinned) == (1, 1, None)
            assert looking.source("cards") == {"etag": "one"}
            assert looking.servers() == {os.getpid(): APP}
        (path / "servers").chmod(0o755)


@pytest.mark.parametrize("there", [True, False])
def test_whoever_only_looks_makes_nothing(tmp_path, there):
    path = tmp_path / "state"
    if there:
        path.mkdir()
    with pytest.raises(GenerationError) as caught:
        StateFolder(path, read_only=True)
    assert str(caught.value) == f"{path}: nothing is published here yet. Run `scoreline refresh`."
    assert path.exists() is there
    assert not there or list(path.iterdir()) == []


def test_a_folder_that_was_removed_or_made_anew_is_not_the_one_that_was_opened(state):
    publish(state)
    assert state.is_whole
    state.path.rename(state.path.with_name("aside"))
    assert not state.is_whole
    again = StateFolder(state.path)
    assert (again.is_whole, again.number) == (True, 0)
    assert not state.is_whole


# Servers


SERVER = (
    "import sys; from pathlib import Path; from scoreline.generations.state import StateFolder\n"
    "with StateFolder(Path(sys.argv[1])).serving(sys.argv[2]): print('serves', flush=True); sys.stdin.readline()"
)


@pytest.fixture
def server(state):
    """Give a function that starts a process which serves an app from the state folder."""
    started = []

    def start(app):
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(state.path), app],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "serves\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_servers_are_known_by_pid_and_app_while_they_run(state, server):
    one, two = server(APP), server(OTHER_APP)
    assert state.servers() == {one.pid: APP, two.pid: OTHER_APP}
    one.communicate("\n")
    assert state.servers() == {two.pid: OTHER_APP}


def test_a_server_that_was_killed_is_forgotten(state, server):
    killed = server(OTHER_APP)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert state.servers() == {}
    assert list((state.path / "servers").iterdir()) == []


def test_looking_at_servers_does_not_end_their_registration(state, server):
    running = server(APP)
    for _ in range(3):
        assert state.servers() == {running.pid: APP}


def test_nothing_is_published_for_an_app_that_a_running_server_has_not(state, server):
    publish(state)
    running = server(OTHER_APP)
    with pytest.raises(GenerationError) as caught:
        publish(state)
    assert str(caught.value) == (
        f"the server with pid {running.pid} runs app.py as it was before; it can't answer from what the new one makes. "
        "Restart it."
    )
    assert (state.number, kept(state)) == (1, [1])
    running.kill()
    running.wait()
    assert publish(state).number == 2


def test_servers_of_the_same_app_hinder_nobody(state, server):
    server(APP)
    server(APP)
    assert publish(state).number == 1


# The order of a publish


def test_the_folder_is_in_place_before_the_number_says_so(state, monkeypatch):
    """A worker that reads the new number must find its folder."""
    publish(state)
    seen, real = [], os.replace

    def replace(source, target):
        if Path(target).name == "2-dddddd":
            seen.append(("before", state.number, Path(target).exists()))
            real(source, target)
            seen.append(("after", state.number, state.folder_of(2).is_dir()))
        else:
            real(source, target)

    monkeypatch.setattr(module.os, "replace", replace)
    publish(state)
    assert seen == [("before", 1, False), ("after", 1, True)]
    assert state.number == 2
