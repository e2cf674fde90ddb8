"""A batch is cut at records, wherever newlines and row groups are, and its digest tells every change."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scoreline.errors import ScorelineError
from scoreline.scoring import partitions
from scoreline.scoring.partitions import cut_input
from scoreline.scoring.source import find_input


def cut(path, records, **how):
    return cut_input(find_input(str(path)), records, **{"multiline": False, **how})


def pieces(path, records):
    content = path.read_bytes()
    return [content[part.begin : part.end] for part in cut(path, records)[0]]


@pytest.mark.parametrize("block_bytes", [1, 3, 7, 1 << 20])
@pytest.mark.parametrize("ending", ["\n", ""])
def test_lines_are_cut_behind_every_so_many_below_the_header(tmp_path, monkeypatch, block_bytes, ending):
    monkeypatch.setattr(partitions, "_BLOCK_BYTES", block_bytes)
    (tmp_path / "a.csv").write_text("id\n1\n2\n3\n4\n5" + ending)
    (tmp_path / "a.jsonl").write_text("1\n2\n3\n4\n5" + ending)
    expected = [b"1\n2\n", b"3\n4\n", b"5" + ending.encode()]
    assert pieces(tmp_path / "a.csv", 2) == expected
    assert pieces(tmp_path / "a.jsonl", 2) == expected
    parts, _ = cut(tmp_path / "a.csv", 2)
    assert [(part.first, part.records) for part in parts] == [(0, 2), (2, 2), (4, 1)]


@pytest.mark.parametrize("content", ["id\n", "id"])
def test_a_file_without_records_has_no_partition(tmp_path, content):
    (tmp_path / "a.csv").write_text(content)
    assert cut(tmp_path / "a.csv", 2)[0] == []


def test_parquet_is_cut_between_row_groups(tmp_path):
    pq.write_table(pa.table({"id": list(range(10))}), tmp_path / "a.parquet", row_group_size=3)
    parts, _ = cut(tmp_path / "a.parquet", 6)
    assert [(part.begin, part.end, part.first, part.records) for part in parts] == [(0, 2, 0, 6), (2, 4, 6, 4)]


def test_a_file_whose_fields_may_hold_newlines_is_one_partition(tmp_path):
    (tmp_path / "a.csv").write_text('id\n"1\n1"\n2\n')
    (part,) = cut(tmp_path / "a.csv", 1, multiline=True)[0]
    assert (part.begin, part.end, part.records) == (-1, -1, None)


def test_digests_are_of_content_by_name(tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("id\n1\n")
    _, digests = cut(tmp_path, 5)
    assert list(digests) == ["a.csv", "b.csv"]
    assert digests["a.csv"] == digests["b.csv"]
    (tmp_path / "b.csv").write_text("id\n2\n")
    assert cut(tmp_path, 5)[1]["b.csv"] != digests["b.csv"]


def test_a_folder_and_a_pattern_give_files_in_the_order_of_names(tmp_path):
    for name in ("b.csv", "a.csv", "_SUCCESS", ".hidden.csv"):
        (tmp_path / name).write_text("id\n")
    (tmp_path / "below").mkdir()
    assert [file.name for file in find_input(str(tmp_path))] == ["a.csv", "b.csv"]
    assert [file.name for file in find_input(str(tmp_path / "a*"))] == ["a.csv"]


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [("part-0", b"PAR1...", "parquet"), ("part-0", b'{"id": 1}', "jsonl"), ("part-0", b"id,a\n", "csv"),
     ("a.JSON", b"", "jsonl"), ("a.ndjson", b"", "jsonl")],
)  # fmt: skip
def test_a_files_kind_is_told_by_its_ending_or_its_first_bytes(tmp_path, name, content, format):
    (tmp_path / name).write_bytes(content)
    assert find_input(str(tmp_path / name))[0].format == format


@pytest.mark.parametrize(
    ("given", "says"),
    [("nowhere.csv", "no such file or folder"), ("none*.csv", "no file there"), ("a.xlsx", "expected a file that ends"),
     ("hdfs://x/y", "expected a file, a folder, a pattern or s3://")],
)  # fmt: skip
def test_an_input_that_can_not_be_one_is_refused(tmp_path, given, says):
    (tmp_path / "a.xlsx").write_text("")
    with pytest.raises(ScorelineError, match=says):
        find_input(given if "://" in given else str(tmp_path / given))
