"""What is kept of the rows set aside."""

from __future__ import annotations

import json

from scoreline.tables.rejected import Rejected, most_bad_rows, write_lines, write_rejected


def test_rows_set_aside_are_written_in_the_order_of_the_file(tmp_path):
    rejected = [Rejected("p.csv", 9, None, "torn"), Rejected("p.csv", 2, "größe", "expected a whole number, got 'ß'")]
    path = write_rejected(tmp_path / "rejected", "prices", rejected)
    assert path == tmp_path / "rejected/prices.jsonl"
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"file": "p.csv", "line": 2, "column": "größe", "why": "expected a whole number, got 'ß'"},
        {"file": "p.csv", "line": 9, "column": None, "why": "torn"},
    ]
    assert "größe" in path.read_text()


def test_a_former_file_goes_away_when_no_row_is_set_aside_any_more(tmp_path):
    path = write_rejected(tmp_path, "prices", [Rejected("p.csv", 2, None, "torn")])
    assert path.exists()
    assert write_rejected(tmp_path, "prices", []) is None
    assert not path.exists()


def test_without_rows_nothing_is_made(tmp_path):
    assert write_lines(tmp_path / "folder/lines.jsonl", []) is None
    assert not (tmp_path / "folder").exists()


def test_the_larger_of_share_and_number_is_allowed():
    assert most_bad_rows(100, 1.0, 20) == 20
    assert most_bad_rows(2_100, 1.0, 20) == 21
    assert most_bad_rows(2_199, 1.0, 20) == 21
    assert most_bad_rows(1_000, 0.0, 0) == 0
