"""The stamp: equal data give an equal digest, and nothing torn is read as whole."""

from __future__ import annotations

import json

import pytest

from scoreline.errors import StampError
from scoreline.features.build import build_features
from scoreline.features.stamp import read_stamp

TABLES = {
    "orders": ["O1,C1,2021-07-04,007,2,z", "O2,C1,2021-07-04,007,2,z"],
    "inventory": ["007,2021-07-03,5"],
}


@pytest.fixture
def stamped(order_triage, write, build, results):
    """A results folder that was just built."""
    write(**TABLES)
    build(order_triage)
    return results


def test_equal_data_give_an_equal_digest_wherever_they_are(order_triage, write, data, tmp_path):
    write(**TABLES)
    build_features(order_triage, data, tmp_path / "a", threads=1, max_bad_percent=1.0, max_bad_rows=20)
    moved = data.rename(tmp_path / "elsewhere")
    build_features(order_triage, moved, tmp_path / "b", threads=2, max_bad_percent=1.0, max_bad_rows=20)
    assert read_stamp(tmp_path / "a").digest == read_stamp(tmp_path / "b").digest


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"orders": TABLES["orders"][::-1]}, id="order-of-the-rows"),
        pytest.param({"orders": TABLES["orders"][:1]}, id="a-row-less"),
        pytest.param({"inventory": ["007,2021-07-03,6"]}, id="a-value"),
        pytest.param({"inventory": ["007,2021-07-03,"]}, id="a-null"),
    ],
)
def test_changed_data_give_another_digest(order_triage, stamped, write, build, changed):
    digest = read_stamp(stamped).digest
    write(**changed)
    assert build(order_triage).digest != digest


def test_what_changes_neither_a_feature_nor_what_comes_later_changes_no_digest(order_triage, write, build):
    others = ["008,2021-07-03,9", "007,2021-07-05,1"]
    write(**{**TABLES, "inventory": [*others, *TABLES["inventory"]]})
    digest = build(order_triage).digest
    write(inventory=[*TABLES["inventory"], *others[::-1], "bad"])
    assert build(order_triage).digest == digest


@pytest.mark.parametrize("row", ["008,2021-07-03,9", "007,2021-07-05,1", f"{'x' * 600},2021-07-05,1"])
def test_a_row_that_orders_to_come_would_use_changes_the_digest(order_triage, stamped, write, build, row):
    digest = read_stamp(stamped).digest
    write(inventory=[*TABLES["inventory"], row])
    assert build(order_triage).digest != digest


def test_a_store_of_another_format_has_another_digest_so_that_servers_take_it_on(
    order_triage, stamped, build, monkeypatch
):
    digest = read_stamp(stamped).digest
    monkeypatch.setattr("scoreline.features.build.STORE_FORMAT", 4)
    assert build(order_triage).digest != digest
    assert len(list((stamped / "store").iterdir())) == 2


@pytest.mark.parametrize("name", ["feature.csv", "feature.parquet", "targets.parquet", "store"])
@pytest.mark.parametrize("tear", ["cut", "changed", "missing"])
def test_a_torn_file_is_refused_and_named(stamped, name, tear):
    path = stamped / read_stamp(stamped).store if name == "store" else stamped / name
    content = path.read_bytes()
    if tear == "missing":
        path.unlink()
    else:
        middle = len(content) // 2
        path.write_bytes(
            content[:-1] if tear == "cut" else content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        )
    says = {
        "cut": "bytes, its stamp says",
        "changed": "its content is not what its stamp says",
        "missing": "is missing",
    }
    with pytest.raises(StampError) as caught:
        read_stamp(stamped)
    assert str(caught.value).startswith(f"{path}: ")
    assert says[tear] in str(caught.value)
    assert "Run `scoreline feature` again." in str(caught.value)


def test_a_table_without_a_stamp_is_refused(stamped):
    (stamped / "feature.stamp.json").unlink()
    with pytest.raises(StampError, match=r"its feature table has no stamp \(feature\.stamp\.json\)"):
        read_stamp(stamped)


@pytest.mark.parametrize("folder", [".", "nowhere"])
def test_a_folder_without_a_feature_table_says_what_to_run(tmp_path, folder):
    with pytest.raises(StampError, match=r"no feature table here\. Run `scoreline feature` first\."):
        read_stamp(tmp_path / folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("{", "can't be read as a stamp", id="cut-off"),
        pytest.param("[]", "is not a stamp of format 1", id="another-shape"),
        pytest.param(json.dumps({"format": 2}), "is not a stamp of format 1", id="another-format"),
        pytest.param(json.dumps({"format": 1, "digest": "x"}), "is not a whole stamp", id="lacks-fields"),
    ],
)
def test_a_stamp_that_is_none_is_refused(stamped, content, message):
    (stamped / "feature.stamp.json").write_text(content)
    with pytest.raises(StampError, match=message):
        read_stamp(stamped)


def test_the_files_are_only_checked_on_demand(stamped):
    (stamped / "feature.csv").unlink()
    assert read_stamp(stamped, verify=False).rows == 2
