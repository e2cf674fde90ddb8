"""Archives: the same content, the same bytes."""

from __future__ import annotations

import os
import tarfile

import pytest

from scoreline.sagemaker.archive import write_archive


def test_the_same_content_gives_the_same_bytes_whatever_its_files_look_like(tmp_path, monkeypatch):
    (tmp_path / "one").write_bytes(b"x" * 3000)
    write_archive(tmp_path / "a.tar.gz", {"b/x": tmp_path / "one", "a": b"bytes"})
    os.utime(tmp_path / "one", (1, 1))
    (tmp_path / "one").chmod(0o700)
    monkeypatch.setattr("time.time", lambda: 1.0e9)
    write_archive(tmp_path / "deep/other.tar.gz", {"a": b"bytes", "b/x": tmp_path / "one"})
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "deep/other.tar.gz").read_bytes()
    assert (tmp_path / "a.tar.gz").stat().st_mode & 0o777 == 0o644
    with tarfile.open(tmp_path / "a.tar.gz") as archive:
        seen = [(m.name, m.size, m.mtime, m.uid, m.gid, m.uname, m.mode) for m in archive.getmembers()]
        assert seen == [("a", 5, 0, 0, 0, "", 0o644), ("b/x", 3000, 0, 0, 0, "", 0o644)]
        assert archive.extractfile("b/x").read() == b"x" * 3000


def test_what_fails_on_the_way_leaves_what_was_there(tmp_path):
    write_archive(tmp_path / "a.tar.gz", {"a": b"good"})
    before = (tmp_path / "a.tar.gz").read_bytes()
    with pytest.raises(FileNotFoundError):
        write_archive(tmp_path / "a.tar.gz", {"a": b"new", "b": tmp_path / "nowhere"})
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.gz"]
    assert (tmp_path / "a.tar.gz").read_bytes() == before
