"""A bad record costs its own row: its place, why, and what could be read of it stay."""

from __future__ import annotations

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scored import lines_of, rows_of
from servers import keys_of, own_predictor

pytestmark = pytest.mark.slow
HEAD = "order_id,customer_id,timestamp,sku_code,quantity,zip_code\n"


@pytest.fixture
def mixed(triage, tmp_path):
    """Give a file of which the second, third and fifth record are bad, and the last is new."""
    good = [
        "{order_id},{customer_id},2021-01-01,{sku_code},1,{zip_code}\n".format(**key) for key in keys_of(triage)[:3]
    ]
    bad = ['torn,"C1,2021-01-01,1,1,1\n', "N1,C1,someday,1,1,1\n", ",C1,2021-01-01,1,1,1\n"]
    new = "N2,C1,2021-07-01 10:00:00,004205,2,00003\n"
    path = tmp_path / "mixed.csv"
    path.write_text(HEAD + good[0] + bad[0] + bad[1] + good[1] + bad[2] + good[2] + new)
    return path


def test_the_others_are_scored_and_exit_is_1(triage, mixed, score, tmp_path):
    ran = score(triage, mixed, tmp_path / "out.jsonl", "--part-records", 2)
    lines = lines_of(tmp_path / "out.jsonl")
    assert ran.code == 1
    assert "4 records scored, 3 errors\n  the first error: mixed.csv, record 1: expected" in ran.out
    assert "3 of 7 records could not be scored" in ran.err
    assert ["error" in line for line in lines] == [False, True, True, False, True, False, False]
    assert [line["features_from"] for line in lines if "error" not in line] == ["table", "table", "table", "live"]


def test_a_row_says_its_record_by_file_place_field_and_key(triage, mixed, score, tmp_path):
    score(triage, mixed, tmp_path / "out.jsonl", "--part-records", 2)
    torn, late, unnamed = [line for line in lines_of(tmp_path / "out.jsonl") if "error" in line]
    assert [row["error"]["index"] for row in (torn, late, unnamed)] == [1, 2, 4]
    assert {row["error"]["file"] for row in (torn, late, unnamed)} == {"mixed.csv"}
    assert list(torn) == ["error"]
    assert (late["order_id"], late["customer_id"], late["error"]["field"]) == ("N1", "C1", "timestamp")
    assert unnamed["error"]["detail"] == "order_id: expected text, got null."


def test_parquet_has_the_problem_as_columns_and_csv_as_json(triage, mixed, score, tmp_path):
    score(triage, mixed, tmp_path / "out.parquet")
    score(triage, mixed, tmp_path / "out.csv")
    in_lines = lambda row: row.get("error")  # noqa: E731
    rows = rows_of(tmp_path / "out.parquet")
    with (tmp_path / "out.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert rows[2]["order_id"] == cells[2]["order_id"] == "N1"
    assert [in_lines(row) for row in rows] == [json.loads(row["error"]) if row["error"] else None for row in cells]
    assert "recommendation" not in rows[2]


def test_a_parquet_column_of_another_type_is_refused_before_anything_is_scored(triage, score, tmp_path):
    keys = keys_of(triage)[:2]
    columns = {name: [key[name] for key in keys] for name in keys[0]} | {"zip_code": [3, 4]}
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    ran = score(triage, tmp_path / "in.parquet", tmp_path / "out.jsonl")
    assert (ran.code, "column 'zip_code': expected text, the Parquet file holds int64" in ran.err) == (1, True)
    assert not (tmp_path / "out.jsonl").exists()


def test_a_misspelt_column_is_named_with_what_was_meant(triage, score, tmp_path):
    (tmp_path / "in.csv").write_text("order_id,customer_id,sku_cod,zip_code\nA,B,C,D\n")
    ran = score(triage, tmp_path / "in.csv", tmp_path / "out.jsonl")
    assert (ran.code, "in.csv: sku_code: expected a column of that name" in ran.err) == (1, True)
    assert "There is 'sku_cod'" in ran.err


def test_columns_of_no_record_are_passed_over_and_told(triage, score, tmp_path):
    key = keys_of(triage)[0]
    (tmp_path / "in.csv").write_text(",".join([*key, "remark"]) + "\n" + ",".join([*key.values(), "!"]) + "\n")
    ran = score(triage, tmp_path / "in.csv", tmp_path / "out.jsonl")
    assert (ran.code, "score: no record has a column remark: passed over" in ran.err) == (0, True)


def test_a_record_on_which_the_apps_own_code_fails_costs_itself_alone(triage, own_triage, score, tmp_path):
    own_predictor(own_triage, "if (matrix[:, self.inputs.position('quantity')] == 77).any(): raise ValueError('77?')")
    head = "inventory,quantity,payment_status,payment_method,zip_code_available,order_hour_of_day\n"
    rows = [f"5,{quantity},OK,CREDIT_CARD,true,12\n" for quantity in (1, 2, 77, 3, 77, 4)]
    (tmp_path / "in.csv").write_text(head + "".join(rows))
    ran = score(own_triage, tmp_path / "in.csv", tmp_path / "out.jsonl")
    lines = lines_of(tmp_path / "out.jsonl")
    assert [line["error"]["index"] for line in lines if "error" in line] == [2, 4]
    assert {line["error"]["status"] for line in lines if "error" in line} == {500}
    assert "the app's own code failed: ValueError: 77?" in ran.out
    score(triage, tmp_path / "in.csv", tmp_path / "all.jsonl")
    assert [line for line in lines if "error" not in line] == [
        line for place, line in enumerate(lines_of(tmp_path / "all.jsonl")) if place not in (2, 4)
    ]


def test_lines_of_json_that_are_none_cost_themselves(triage, score, tmp_path):
    keys = [json.dumps(key) for key in keys_of(triage)[:2]]
    (tmp_path / "in.jsonl").write_text("\n".join([keys[0], "{torn", "", '{"order_id": 7}', keys[1]]) + "\n")
    assert score(triage, tmp_path / "in.jsonl", tmp_path / "out.jsonl", "--part-records", 1).code == 1
    lines = lines_of(tmp_path / "out.jsonl")
    assert [line.get("error", {}).get("index") for line in lines] == [None, 1, 3, None]
    assert lines[2]["order_id"] == 7


def test_an_unknown_key_is_404_as_over_http(triage, score, tmp_path):
    (tmp_path / "in.csv").write_text("order_id,customer_id,sku_code,zip_code\nN1,C1,S1,Z1\n")
    score(triage, tmp_path / "in.csv", tmp_path / "out.jsonl")
    (line,) = lines_of(tmp_path / "out.jsonl")
    assert (line["error"]["status"], line["error"]["type"]) == (404, "urn:scoreline:problem:key-not-found")
    assert line["error"]["detail"].startswith("no row in table orders for order_id='N1', customer_id='C1'")
