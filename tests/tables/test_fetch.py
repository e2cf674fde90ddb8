"""A folder as the source of a file: copied whole, or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scoreline.errors import ScorelineError, SettingError, SourceAwayError, SourceContentError
from scoreline.tables import fetch
from scoreline.tables.fetch import FolderSource, open_source

NAMES = ["cards.csv", "cards.parquet"]
LONG_AGO = 1_600_000_000


@pytest.fixture
def folder(tmp_path):
    """Give the folder that is fetched from."""
    (tmp_path / "from").mkdir()
    return tmp_path / "from"


@pytest.fixture
def into(tmp_path):
    """Give the folder that copies are put into."""
    (tmp_path / "into").mkdir()
    return tmp_path / "into"


def put(path: Path, content: bytes, modified: float = LONG_AGO) -> Path:
    """Write a file in its place, as somebody did at a time."""
    path.write_bytes(content)
    os.utime(path, (modified, modified))
    return path


def get(source, into, known_etag=None, max_bytes=1000):
    return source.fetch(NAMES, into, known_etag=known_etag, max_bytes=max_bytes)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_copied_under_the_name_that_it_was_found_by(folder, into, name):
    put(folder / name, b"k\n1\n")
    fetched = get(FolderSource(folder), into)
    assert (fetched.name, fetched.path) == (name, into / name)
    assert fetched.path.read_bytes() == b"k\n1\n"
    assert os.listdir(into) == [name]


def test_an_empty_file_is_a_file(folder, into):
    put(folder / "cards.csv", b"")
    assert get(FolderSource(folder), into).path.read_bytes() == b""


def test_a_file_of_many_chunks_is_copied_whole(folder, into):
    content = os.urandom(fetch._CHUNK_BYTES * 2 + 1)
    put(folder / "cards.csv", content)
    assert get(FolderSource(folder), into, max_bytes=len(content)).path.read_bytes() == content


def test_a_file_that_was_still_for_long_is_not_waited_for(folder, into):
    pauses = []
    put(folder / "cards.csv", b"1")
    assert get(FolderSource(folder, pauses.append), into)
    assert pauses == []


def test_a_file_that_has_not_changed_is_not_copied_again(folder, into):
    put(folder / "cards.csv", b"1")
    source = FolderSource(folder)
    etag = get(source, into).etag
    (into / "cards.csv").unlink()
    assert get(source, into, etag) is None
    assert get(FolderSource(folder), into, etag) is None  # as after a restart
    assert os.listdir(into) == []


def test_a_file_that_is_known_to_be_the_same_is_not_even_read(folder, into, monkeypatch):
    put(folder / "cards.csv", b"1")
    source = FolderSource(folder)
    etag = get(source, into).etag
    monkeypatch.delattr(fetch, "_chunks")
    assert get(source, into, etag) is None


def test_a_file_that_is_put_there_anew_with_the_same_content_has_not_changed(folder, into):
    source = FolderSource(folder)
    put(folder / "cards.csv", b"1")
    etag = get(source, into).etag
    put(folder / "cards.new", b"1", LONG_AGO + 5).rename(folder / "cards.csv")
    assert get(source, into, etag) is None


@pytest.mark.parametrize("modified", [LONG_AGO, LONG_AGO + 1], ids=["same-time", "later"])
def test_a_file_of_the_same_size_with_other_content_has_changed(folder, into, modified):
    source = FolderSource(folder)
    put(folder / "cards.csv", b"1")
    etag = get(source, into).etag
    put(folder / "cards.csv", b"2", modified)
    changed = get(source, into, etag)
    assert changed.path.read_bytes() == b"2"
    assert changed.etag != etag


def test_the_same_file_is_given_to_a_caller_who_knows_another_one(folder, into):
    put(folder / "cards.csv", b"1")
    source = FolderSource(folder)
    get(source, into)
    assert get(source, into, "etag-of-another").path.read_bytes() == b"1"
    assert get(source, into, None).path.read_bytes() == b"1"


def test_a_file_that_was_written_just_now_is_waited_for(folder, into):
    pauses = []

    def write_the_rest(seconds):
        pauses.append(seconds)
        if len(pauses) == 1:
            put(folder / "cards.csv", b"whole", time.time())

    put(folder / "cards.csv", b"ha", time.time())
    assert get(FolderSource(folder, write_the_rest), into).path.read_bytes() == b"whole"
    assert len(pauses) >= 2


def test_a_file_with_a_time_in_the_future_is_taken(folder, into):
    pauses = []
    put(folder / "cards.csv", b"1", time.time() + 10_000)
    assert get(FolderSource(folder, pauses.append), into).path.read_bytes() == b"1"
    assert len(pauses) == 1


def test_a_file_that_never_becomes_still_is_refused(folder, into):
    def write_on(_):
        with path.open("ab") as file:
            file.write(b"more")

    path = put(folder / "cards.csv", b"1", time.time() + 10_000)
    with pytest.raises(SourceContentError) as caught:
        get(FolderSource(folder, write_on), into)
    assert str(caught.value) == (
        f"{path}: is being written; expected a file that is still. Write beside it, rename it in, then try again."
    )
    assert os.listdir(into) == []


def test_a_file_that_is_written_while_it_is_copied_is_copied_again(folder, into, monkeypatch):
    path = put(folder / "cards.csv", b"old")
    tries = []

    def chunks_with_a_writer(file, path, digest):
        yield from chunks(file, path, digest)
        if not tries:
            put(path, b"new", LONG_AGO)  # the same size, and a time that was set back
        tries.append(path)

    chunks = fetch._chunks
    monkeypatch.setattr(fetch, "_chunks", chunks_with_a_writer)
    assert get(FolderSource(folder), into).path.read_bytes() == b"new"
    assert tries == [path, path]


def test_a_file_that_another_replaces_meanwhile_is_still_whole(folder, into):
    def replace(_):
        put(folder / "cards.new", b"newer", time.time()).rename(folder / "cards.csv")

    put(folder / "cards.csv", b"new", time.time())
    source = FolderSource(folder, replace)
    first = get(source, into)
    assert first.path.read_bytes() == b"new"
    assert get(source, into, first.etag).path.read_bytes() == b"newer"


def test_a_file_that_is_taken_away_meanwhile_is_refused(folder, into, monkeypatch):
    monkeypatch.setattr(FolderSource, "_find", lambda *_: folder / "cards.csv")  # it was there when it was looked for
    with pytest.raises(SourceContentError, match=r"cards\.csv: was taken away while it was looked at\. Try again"):
        get(FolderSource(folder), into)


@pytest.mark.parametrize(("most", "is_taken"), [(4, True), (3, False)])
def test_a_file_is_as_large_as_allowed_or_refused(folder, into, most, is_taken):
    put(folder / "cards.csv", b"1234")
    if is_taken:
        assert get(FolderSource(folder), into, max_bytes=most)
    else:
        with pytest.raises(SourceContentError, match=r"cards\.csv: is 4 bytes, expected at most 3 bytes"):
            get(FolderSource(folder), into, max_bytes=most)
        assert os.listdir(into) == []


def test_a_file_that_grows_past_the_limit_while_it_is_read_is_refused(folder, into, monkeypatch):
    put(folder / "cards.csv", b"1234")
    monkeypatch.setattr(fetch, "_chunks", lambda *_: iter([b"1234", b"5678"]))
    with pytest.raises(SourceContentError, match=r"cards\.csv: is larger, expected at most 7 bytes"):
        get(FolderSource(folder), into, max_bytes=7)
    assert os.listdir(into) == []


def test_two_files_are_refused_and_both_are_named(folder, into):
    for name in NAMES:
        put(folder / name, b"1")
    with pytest.raises(SourceContentError, match=r"cards\.csv and cards\.parquet are both there.*Remove the others"):
        get(FolderSource(folder), into)


def test_a_missing_file_is_named_with_all_its_possible_names(folder, into):
    put(folder / "others.csv", b"1")
    with pytest.raises(SourceContentError) as caught:
        get(FolderSource(folder), into)
    assert str(caught.value) == (
        f"{folder}: no such file; expected cards.csv or cards.parquet. Put it there, or name another folder."
    )


def test_a_missing_folder_is_away(folder, into):
    with pytest.raises(SourceAwayError, match=r"nowhere: no such folder\. Make it, or name another one"):
        get(FolderSource(folder / "nowhere"), into)


def test_a_file_that_may_not_be_read_is_away(folder, into, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    put(folder / "cards.csv", b"1")
    monkeypatch.setattr(Path, "open", refuse)  # root, as whom tests may run, could read any file
    with pytest.raises(SourceAwayError, match=r"cards\.csv: can't be read \(Permission denied\)"):
        get(FolderSource(folder), into)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_what_is_not_a_file_is_refused_at_once(folder, into, make):
    make(folder / "cards.csv")
    with pytest.raises(SourceContentError, match=r"cards\.csv: is not a file"):
        get(FolderSource(folder), into)


def test_a_place_that_can_not_be_written_to_is_said_to_be_ours_and_not_the_source_s(folder, into):
    put(folder / "cards.csv", b"1")
    with pytest.raises(ScorelineError, match=r"nowhere: can't be written \(No such file or directory\)") as caught:
        get(FolderSource(folder), into / "nowhere")
    assert type(caught.value) is ScorelineError


@pytest.mark.parametrize(
    ("url", "where"),
    [
        (None, "data"),
        ("", "data"),
        ("elsewhere/cards", "elsewhere/cards"),
        ("/srv/cards", "/srv/cards"),
        ("file:///srv/cards", "/srv/cards"),
        ("file://localhost/srv/my%20cards/", "/srv/my cards"),
        ("FILE:///srv", "/srv"),
    ],
)
def test_a_path_and_a_file_url_name_a_folder(url, where):
    source = open_source(url, Path("data"))
    assert isinstance(source, FolderSource)
    assert source.where == where


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://cards.example/x", "http://cards.example"),
        ("https://me:hush@cards.example/x?signature=hush", "https://cards.example"),
        ("file://elsewhere/cards", "file://elsewhere"),
        ("file://", "file://"),
        ("s3:/tables/cards", "s3://"),
    ],
)
def test_another_url_is_refused_without_its_secrets(url, shown):
    with pytest.raises(SettingError) as caught:
        open_source(url, Path("data"))
    assert str(caught.value) == (
        f"'{shown}...' is no source: expected s3://bucket/prefix/, file:///folder or a folder's path"
    )


def loaded_after(statement):
    """Return whether boto3 is loaded after a statement in an interpreter of its own."""
    script = f"import sys\nfrom pathlib import Path\n{statement}\nprint('boto3' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip() == "True"


def test_boto3_is_loaded_for_s3_alone():
    opens = "from scoreline.tables.fetch import open_source; open_source({}, Path('data'))"
    assert not loaded_after("import scoreline.tables.fetch")
    assert not loaded_after(opens.format("'file:///srv/cards'"))
    assert loaded_after(opens.format("'s3://tables/cards'"))
