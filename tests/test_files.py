"""Files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
import threading

import pytest

from scoreline import files
from scoreline.errors import ScorelineError
from scoreline.files import finish_commit, sha256_of, staged, write_atomically


def contents(folder):
    """Return the files of a folder but the lock, with their text."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_text() for name, path in found.items() if name != ".lock"}


def change_three(folder):
    """Put three new files into a folder."""
    with staged(folder) as staging:
        for name in ("a", "b", "sub/c"):
            (staging / name).parent.mkdir(exist_ok=True)
            (staging / name).write_text("new")


def cut_short(monkeypatch, folder, calls):
    """Make `os.replace` fail from its n-th call on, once it moved so many files."""
    real, done = os.replace, []

    def dying(source, target):
        done.append(source)
        if len(done) > calls:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(files.os, "replace", dying)
    with pytest.raises(KeyboardInterrupt):
        change_three(folder)
    monkeypatch.undo()


def test_a_file_is_written_whole_and_readable_by_all(tmp_path):
    path = tmp_path / "report.txt"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert contents(tmp_path) == {"report.txt": "new"}
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "report.txt"
    write_atomically(path, b"old")
    monkeypatch.setattr(files.os, "fsync", lambda handle: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert contents(tmp_path) == {"report.txt": "old"}


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"content").hexdigest()


def test_nothing_shows_before_the_block_ends(tmp_path):
    with staged(tmp_path / "out") as staging:
        (staging / "a").write_text("new")
        assert not (tmp_path / "out/a").exists()
    assert contents(tmp_path / "out") == {"a": "new"}


def test_files_of_the_same_name_are_replaced_and_others_stay(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("a", "kept", "sub/c", "sub/kept"):
        (tmp_path / name).write_text("old")
    with staged(tmp_path) as staging:
        (staging / "sub").mkdir()
        (staging / "a").write_text("new")
        (staging / "sub/c").write_text("new")
    assert contents(tmp_path) == {"a": "new", "kept": "old", "sub/c": "new", "sub/kept": "old"}


def test_a_block_that_fails_leaves_what_was_there(tmp_path):
    (tmp_path / "a").write_text("old")

    def fail():
        with staged(tmp_path) as staging:
            (staging / "a").write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert contents(tmp_path) == {"a": "old"}
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_change_cut_short_before_its_moment_leaves_the_old_files(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("old")
    cut_short(monkeypatch, tmp_path, 0)
    finish_commit(tmp_path)
    assert contents(tmp_path) == {"a": "old"}


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_a_change_cut_short_after_its_moment_is_completed(tmp_path, monkeypatch, calls):
    (tmp_path / "a").write_text("old")
    cut_short(monkeypatch, tmp_path, calls)
    finish_commit(tmp_path)
    assert contents(tmp_path) == {"a": "new", "b": "new", "sub/c": "new"}
    assert not (tmp_path / ".commit").exists()


def test_the_next_builder_completes_a_change_before_its_own(tmp_path, monkeypatch):
    cut_short(monkeypatch, tmp_path, 1)
    with staged(tmp_path) as staging:
        (staging / "b").write_text("newer")
    assert contents(tmp_path) == {"a": "new", "b": "newer", "sub/c": "new"}


def test_what_a_killed_builder_left_is_cleared_away(tmp_path):
    (tmp_path / ".building-abc").mkdir()
    (tmp_path / ".building-abc/a").write_text("half")
    with staged(tmp_path):
        pass
    assert contents(tmp_path) == {}


def test_two_processes_may_complete_the_same_change_at_once(tmp_path, monkeypatch):
    cut_short(monkeypatch, tmp_path, 1)
    real = os.replace

    def overtaken(source, target):
        monkeypatch.undo()
        real(source, target)
        finish_commit(tmp_path)  # another process does all the rest between two of our files

    monkeypatch.setattr(files.os, "replace", overtaken)
    finish_commit(tmp_path)
    assert contents(tmp_path) == {"a": "new", "b": "new", "sub/c": "new"}


def test_a_second_builder_is_refused_and_the_first_goes_on(tmp_path):
    with staged(tmp_path) as staging:
        with pytest.raises(ScorelineError, match="another scoreline command is building here; wait"), staged(tmp_path):
            pass
        (staging / "a").write_text("new")
    assert contents(tmp_path) == {"a": "new"}


def test_a_builder_that_was_refused_can_build_later(tmp_path):
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with staged(tmp_path):
            entered.set()
            leave.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    assert entered.wait(10)
    with pytest.raises(ScorelineError), staged(tmp_path):
        pass
    leave.set()
    holder.join()
    with staged(tmp_path) as staging:
        (staging / "a").write_text("new")
    assert contents(tmp_path) == {"a": "new"}


def test_a_folder_that_can_not_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ScorelineError, match=r"file/out: can't be written \(Not a directory\)"),
        staged(tmp_path / "file/out"),
    ):
        pass


def test_completing_nothing_does_nothing(tmp_path):
    finish_commit(tmp_path)
    finish_commit(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []
