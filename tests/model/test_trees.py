"""Flat trees: walking them, and what a damaged file comes to."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from scoreline.errors import ArtifactError
from scoreline.model.trees import FlatTrees


def trees(**changes):
    """Make two trees over two columns.

    The first asks column 0 <= 1.5 and then, on the right, column 1 <= 0; missing goes left in both.
    The second asks column 1 <= 10; missing goes right.
    """
    made = FlatTrees(
        roots=np.array([0, 5], np.int32),
        feature=np.array([0, 0, 1, 0, 0, 1, 0, 0], np.int32),
        threshold=np.array([1.5, 0, 0.0, 0, 0, 10.0, 0, 0]),
        left=np.array([1, 1, 3, 3, 4, 6, 6, 7], np.int32),
        right=np.array([2, 1, 4, 3, 4, 7, 6, 7], np.int32),
        default_left=np.array([True, False, True, False, False, False, False, False]),
        value=np.array([0, 100.0, 0, 200.0, 300.0, 0, 1.0, 2.0]),
        base=0.25,
        depth=2,
        inclusive=True,
        float_width=64,
        features=2,
    )
    return dataclasses.replace(made, **changes)


NULL = np.nan
JUST_ABOVE = np.nextafter(1.5, 2)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param([1.0, 0.0], 101.25, id="left-and-left"),
        pytest.param([1.5, 11.0], 102.25, id="at-the-threshold-goes-left"),
        pytest.param([JUST_ABOVE, 0.0], 201.25, id="one-ulp-above-goes-right"),
        pytest.param([2.0, 0.5], 301.25, id="right-and-right"),
        pytest.param([NULL, 5.0], 101.25, id="missing-goes-left-where-the-node-says-so"),
        pytest.param([2.0, NULL], 202.25, id="and-right-where-not"),
        pytest.param([NULL, NULL], 102.25, id="everything-missing"),
        pytest.param([np.inf, np.inf], 302.25, id="infinite"),
        pytest.param([-np.inf, -np.inf], 101.25, id="minus-infinite"),
        pytest.param([2.0, -0.0], 201.25, id="minus-zero-is-zero"),
        pytest.param([2.0, 5e-324], 301.25, id="the-least-number-above-zero"),
    ],
)
def test_a_row_gets_the_sum_of_its_leaves(row, expected):
    assert trees().predict_raw(np.array([row])).tolist() == [expected]


def test_rows_are_answered_in_order_and_each_as_if_alone():
    rows = np.array([[1.0, 0.0], [2.0, 0.5], [NULL, NULL]])
    assert trees().predict_raw(rows).tolist() == [101.25, 301.25, 102.25]
    assert trees().predict_raw(rows[::-1]).tolist() == [102.25, 301.25, 101.25]


def test_no_rows_have_no_scores():
    assert trees().predict_raw(np.empty((0, 2))).tolist() == []


def test_more_rows_than_are_walked_at_once_are_all_answered(monkeypatch):
    monkeypatch.setattr("scoreline.model.trees._CELLS_AT_ONCE", 6)  # three rows of two trees
    rows = np.array([[1.0, 0.0], [2.0, 0.5], [NULL, NULL]] * 5)
    assert trees().predict_raw(rows).tolist() == [101.25, 301.25, 102.25] * 5


def test_where_a_threshold_is_not_inclusive_a_value_on_it_goes_right():
    assert trees(inclusive=False).predict_raw(np.array([[1.5, 0.0]])).tolist() == [301.25]


def test_thirty_two_bits_wide_a_value_is_rounded_before_it_is_compared():
    beyond = np.array([[JUST_ABOVE, 1e39]])  # rounds to 1.5; is too large for float32, so infinite
    assert trees().predict_raw(beyond).tolist() == [302.25]
    assert trees(float_width=32).predict_raw(beyond).tolist() == [102.25]


def test_leaves_are_added_one_after_the_other_in_the_order_of_the_trees():
    leaves = [1e16, 1.0, -1e16, 1.0]
    here = np.arange(4, dtype=np.int32)
    only_leaves = trees(
        roots=here, feature=here * 0, threshold=here * 0.0, left=here, right=here, default_left=here > 9,
        value=np.array(leaves), base=0.0, depth=0,
    )  # fmt: skip
    assert only_leaves.predict_raw(np.zeros((1, 2))).tolist() == [((1e16 + 1.0) - 1e16) + 1.0]


def test_predicting_leaves_the_matrix_and_the_trees_as_they_were():
    made, rows = trees(float_width=32), np.array([[JUST_ABOVE, NULL]])
    made.predict_raw(rows)
    assert rows[0, 0] == JUST_ABOVE
    assert made.predict_raw(rows).tolist() == made.predict_raw(rows).tolist()


def test_a_file_gives_the_same_trees_back(tmp_path):
    made, path = trees(), tmp_path / "a.trees"
    made.save(path)
    read = FlatTrees.load(path)
    for field in dataclasses.fields(FlatTrees):
        before, after = getattr(made, field.name), getattr(read, field.name)
        assert np.array_equal(before, after)
        assert getattr(before, "dtype", type(before)) == getattr(after, "dtype", type(after))
    assert read.predict_raw(np.array([[2.0, 0.5]])).tolist() == [301.25]


def test_the_arrays_of_a_file_are_mapped_not_copied_and_can_not_be_written(tmp_path):
    trees().save(tmp_path / "a.trees")
    read = FlatTrees.load(tmp_path / "a.trees")
    for array in (read.roots, read.threshold, read.value):
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable
        assert array.ctypes.data % 64 == 0


def test_the_same_trees_give_the_same_bytes(tmp_path):
    trees().save(tmp_path / "a.trees")
    FlatTrees.load(tmp_path / "a.trees").save(tmp_path / "b.trees")
    assert (tmp_path / "a.trees").read_bytes() == (tmp_path / "b.trees").read_bytes()


def patched(name, index, value):
    array = getattr(trees(), name).copy()
    array[index] = value
    return {name: array}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param(patched("left", 0, 8), "left points outside", id="a-child-beyond-the-end"),
        pytest.param(patched("right", 0, -1), "right points outside", id="a-child-before-the-start"),
        pytest.param(patched("roots", 1, 99), "roots points outside", id="a-root-beyond-the-end"),
        pytest.param(patched("feature", 0, 2), "feature points outside", id="a-column-that-the-matrix-lacks"),
        pytest.param(patched("left", 2, 0), "a node points back", id="a-loop"),
        pytest.param(patched("left", 2, 2), "a node points back", id="half-a-leaf"),
        pytest.param(patched("value", 1, np.nan), "a value is not a number", id="a-leaf-of-nan"),
        pytest.param(patched("value", 1, np.inf), "a value is not a number", id="an-infinite-leaf"),
        pytest.param(patched("threshold", 0, np.nan), "a value is not a number", id="a-threshold-of-nan"),
        pytest.param({"value": np.zeros(7)}, "value has another length", id="an-array-that-is-short"),
        pytest.param({"roots": np.array([], np.int32)}, "no trees", id="no-trees"),
        pytest.param({"features": 1}, "feature points outside", id="fewer-columns-than-the-trees-ask-for"),
    ],
)
def test_trees_that_would_walk_astray_are_refused(tmp_path, changes, says):
    trees(**changes).save(tmp_path / "a.trees")
    with pytest.raises(ArtifactError, match=rf"a.trees: can't be read as trees \({says}.*scoreline train"):
        FlatTrees.load(tmp_path / "a.trees")


def with_header(content, change):
    """Change the JSON header of a file of trees; its length stays."""
    size = int.from_bytes(content[8:16], "little")
    header = json.loads(content[16 : 16 + size])
    change(header)
    text = json.dumps(header).encode()
    return content[:8] + len(text).to_bytes(8, "little") + text.ljust(size) + content[16 + size :]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: b"SCL", id="three-bytes"),
        pytest.param(lambda content: b"NOTTREES" + content[8:], id="another-kind-of-file"),
        pytest.param(lambda content: content[:100], id="cut-within-the-header"),
        pytest.param(lambda content: content[: len(content) // 2], id="cut-in-the-middle"),
        pytest.param(lambda content: content[:-64], id="the-last-array-cut-off"),
        pytest.param(lambda content: content[:8] + b"\xff" * 8 + content[16:], id="a-header-of-enormous-length"),
        pytest.param(lambda content: content[:16] + b"\xff" + content[17:], id="a-header-that-is-no-text"),
        pytest.param(lambda content: with_header(content, lambda h: h.update(format=2)), id="another-format"),
        pytest.param(lambda content: with_header(content, lambda h: h.pop("depth")), id="no-depth"),
        pytest.param(lambda content: with_header(content, lambda h: h["arrays"].pop("left")), id="an-array-missing"),
        pytest.param(
            lambda content: with_header(content, lambda h: h["arrays"]["left"].update(offset=0)),
            id="an-array-elsewhere",
        ),
        pytest.param(
            lambda content: with_header(content, lambda h: h["arrays"]["left"].update(length=9)), id="an-array-too-long"
        ),
        pytest.param(lambda content: with_header(content, lambda h: h.update(depth=1)), id="a-depth-that-ends-early"),
        pytest.param(lambda content: with_header(content, lambda h: h.update(base="x")), id="a-base-that-is-no-number"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, damage):
    path = tmp_path / "a.trees"
    trees().save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ArtifactError, match=r"a.trees: can't be read as trees"):
        FlatTrees.load(path)


def test_a_missing_file_is_an_artifact_error(tmp_path):
    with pytest.raises(ArtifactError, match=r"none.trees: can't be read as trees"):
        FlatTrees.load(tmp_path / "none.trees")


@pytest.mark.parametrize("seed", range(30))
def test_a_file_with_random_bytes_changed_is_refused_or_still_walks_to_an_end(tmp_path, seed):
    path, rng = tmp_path / "a.trees", np.random.default_rng(seed)
    trees().save(path)
    content = bytearray(path.read_bytes())
    for place in rng.integers(0, len(content), size=3):
        content[place] = rng.integers(256)
    path.write_bytes(content)
    try:
        read = FlatTrees.load(path)
    except ArtifactError:
        return
    assert read.predict_raw(np.zeros((3, 2))).shape == (3,)
