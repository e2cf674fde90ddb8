"""Flat trees: what a walk over them gives, and what a damaged file comes to."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from scoreline.errors import ArtifactError
from scoreline.model.packing import Tree, pack_trees
from scoreline.model.trees import EXACT, FLOORED, LEAF, TRUNCATED, FlatTrees

FIRST = Tree(  # asks column 0 <= 1.5 and then, on the right, column 1 <= 0; missing goes left in both
    left=[1, -1, 3, -1, -1], right=[2, -1, 4, -1, -1], feature=[0, 0, 1, 0, 0], threshold=[1.5, 0, 0, 0, 0],
    default_left=[True, False, True, False, False], value=[0, 100.0, 0, 200.0, 300.0],
)  # fmt: skip
SECOND = Tree(  # asks column 1 <= 10; missing goes right
    left=[1, -1, -1], right=[2, -1, -1], feature=[1, 0, 0], threshold=[10.0, 0, 0],
    default_left=[False, False, False], value=[0, 1.0, 2.0],
)  # fmt: skip


def trees(**changes):
    """Make flat trees of FIRST and SECOND over two columns."""
    return pack_trees([FIRST, SECOND], **{"base": [0.25], "features": 2, **changes})


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
    only_leaves = pack_trees([Tree([-1], [-1], [0], [0], [False], [leaf]) for leaf in leaves], base=[0.0], features=2)
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
    for array in (read.nodes, read.roots, read.base):
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable
        assert array.ctypes.data % 64 == 0


def test_the_same_trees_give_the_same_bytes(tmp_path):
    trees().save(tmp_path / "a.trees")
    FlatTrees.load(tmp_path / "a.trees").save(tmp_path / "b.trees")
    assert (tmp_path / "a.trees").read_bytes() == (tmp_path / "b.trees").read_bytes()


def node_of(made, value):
    """Return the position of the node that holds a value."""
    return int(np.flatnonzero(made.nodes["value"] == value)[0])


@pytest.mark.parametrize(
    ("node", "field", "value", "says"),
    [
        pytest.param(1.5, "child", 12, "child points outside", id="a-child-beyond-the-end"),
        pytest.param(1.5, "child", 11, "child points outside", id="a-right-child-beyond-the-end"),
        pytest.param(1.5, "child", 2**32 - 1, "child points outside", id="a-child-far-beyond-the-end"),
        pytest.param(10.0, "child", 0, "a node points back", id="a-loop"),
        pytest.param(10.0, "child", 8, "a node points back", id="a-node-that-is-its-own-child"),
        pytest.param(100.0, "child", 0, "a node points back", id="a-leaf-with-a-child"),
        pytest.param(1.5, "slot", 4, "slot points outside", id="a-column-that-the-matrix-lacks"),
        pytest.param(100.0, "value", np.nan, "a value is not a number", id="a-leaf-of-nan"),
        pytest.param(100.0, "value", np.inf, "a value is not a number", id="an-infinite-leaf"),
        pytest.param(1.5, "value", np.nan, "a value is not a number", id="a-threshold-of-nan"),
        pytest.param(1.5, "value", -np.inf, "a value is not a number", id="a-threshold-that-nothing-is-below"),
        pytest.param(1.5, "flags", 2, "a set or a vector is named that there is not", id="a-set-that-there-is-not"),
    ],
)
def test_trees_that_would_walk_astray_are_refused(tmp_path, node, field, value, says):
    made = trees()
    assert len(made.nodes) == 12
    made.nodes[field][node_of(made, node)] = value
    made.save(tmp_path / "a.trees")
    with pytest.raises(ArtifactError, match=rf"a.trees: can't be read as trees \({says}.*scoreline train"):
        FlatTrees.load(tmp_path / "a.trees")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"roots": np.array([0, 12], np.uint32)}, "roots points outside", id="a-root-beyond-the-end"),
        pytest.param({"roots": np.array([], np.uint32)}, "no trees", id="no-trees"),
        pytest.param({"groups": np.array([0, 1], np.uint32)}, "groups points outside", id="an-output-too-many"),
        pytest.param({"groups": np.array([0], np.uint32)}, "groups has another length", id="a-group-too-few"),
        pytest.param({"base": np.array([])}, "base or vectors is of another length", id="no-output"),
        pytest.param({"base": np.array([np.nan])}, "a value of base is not a number", id="a-base-of-nan"),
        pytest.param({"vectors": np.ones(2)}, "a set or a vector is named", id="leaves-without-vectors"),
        pytest.param({"kinds": np.zeros(1, np.uint8)}, "slot points outside", id="fewer-columns-than-are-asked-for"),
        pytest.param({"kinds": np.array([0, 9], np.uint8)}, "kinds are not those", id="a-kind-that-there-is-not"),
        pytest.param({"set_starts": np.array([0, 1], np.uint32)}, "set_starts points outside", id="a-set-of-nothing"),
        pytest.param({"depth": 1}, "its head does not fit its trees", id="a-depth-that-ends-early"),
        pytest.param({"float_width": 16}, "its head is not one of trees", id="a-width-that-there-is-not"),
        pytest.param({"link": "probit"}, "its head is not one of trees", id="a-link-that-there-is-not"),
        pytest.param({"average": True, "sum_width": 32}, "averages are of float64 sums", id="a-narrow-average"),
        pytest.param({"inclusive": 1}, "its head is not one of trees", id="a-comparison-that-is-no-flag"),
    ],
)
def test_trees_that_do_not_fit_together_can_not_be_made(changes, says):
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(trees(), **changes)


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
        pytest.param(lambda content: with_header(content, lambda h: h.update(format=1)), id="another-format"),
        pytest.param(lambda content: with_header(content, lambda h: h.pop("depth")), id="no-depth"),
        pytest.param(lambda content: with_header(content, lambda h: h["arrays"].pop("roots")), id="an-array-missing"),
        pytest.param(
            lambda content: with_header(content, lambda h: h["arrays"]["roots"].update(offset=0)),
            id="an-array-elsewhere",
        ),
        pytest.param(
            lambda content: with_header(content, lambda h: h["arrays"]["roots"].update(length=99)),
            id="an-array-too-long",
        ),
        pytest.param(lambda content: with_header(content, lambda h: h.update(depth=1)), id="a-depth-that-ends-early"),
        pytest.param(
            lambda content: with_header(content, lambda h: h.update(zero_below="x")), id="a-limit-that-is-no-number"
        ),
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


@pytest.mark.parametrize("seed", range(60))
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


# Several outputs, vectors, categories, sums in float32


def stump(*, threshold=0.0, value=(0, 0, 0), **changes):
    """Make a tree that asks column 0 <= threshold; missing goes left."""
    given = Tree([1, -1, -1], [2, -1, -1], [0, 0, 0], [threshold, 0, 0], [True, False, False], value)
    return dataclasses.replace(given, **changes)


def raw(made, *values):
    return made.predict_raw(np.array(values, dtype=float)[:, None]).tolist()


def test_each_tree_adds_to_its_own_output():
    made = pack_trees([stump(value=[0, 1, 2]), stump(value=[0, 30, 40])], base=[0.5, 0.25], groups=[1, 0], features=1)
    assert raw(made, -1.0, 1.0) == [[30.5, 1.25], [40.5, 2.25]]


def test_leaves_may_be_vectors_and_sums_averages():
    vectors = [stump(value=[[0, 0], [1, 0], [0.25, 0.75]]), stump(threshold=5.0, value=[[9, 9], [0.5, 0.5], [0, 1]])]
    made = pack_trees(vectors, base=[0.0, 0.0], features=1, average=True, link="identity")
    assert raw(made, -1.0, 1.0, 9.0) == [[0.75, 0.25], [0.375, 0.625], [0.125, 0.875]]


@pytest.mark.parametrize(
    ("kind", "went_left"),
    [
        pytest.param(EXACT, [1.0, 33.0], id="exact"),
        pytest.param(FLOORED, [1.0, 1.5, 33.0], id="floored"),
        pytest.param(TRUNCATED, [1.0, 1.5, 33.0], id="truncated"),
    ],
)
def test_categories_of_a_set_go_left_and_all_others_right(kind, went_left):
    made = pack_trees([stump(value=[0, 1, 2], default_left=[False] * 3, sets={0: [1, 33]})], base=[0.0], features=1,
                      kinds=[kind])  # fmt: skip
    asked = [-1.0, -0.5, 0.0, 1.0, 1.5, 2.0, 31.0, 32.0, 33.0, 64.0, 65.0, 1e12, np.inf, -np.inf, np.nan]
    assert [x for x, score in zip(asked, raw(made, *asked), strict=True) if score == 1] == went_left


def test_categories_of_a_right_set_go_right_and_all_others_left():
    made = pack_trees([stump(value=[0, 1, 2], default_left=[False] * 3, right_sets={0: [0, 2]})], base=[0.0],
                      features=1, kinds=[EXACT])  # fmt: skip
    assert raw(made, 0.0, 1.0, 2.0, 3.0, -1.0, 0.5, np.nan) == [2, 1, 2, 1, 1, 1, 2]


def test_a_number_between_minus_one_and_zero_is_category_zero_only_where_it_is_truncated():
    for kind, score in ((EXACT, 2), (FLOORED, 2), (TRUNCATED, 1)):
        made = pack_trees([stump(value=[0, 1, 2], sets={0: [0]})], base=[0.0], features=1, kinds=[kind])
        assert raw(made, -0.5, 0.0) == [score, 1]


def test_categories_of_a_set_are_listed():
    made = pack_trees([stump(sets={0: [3, 64, 0]}), stump(sets={0: []})], base=[0.0], features=1, kinds=[EXACT])
    assert [made.categories(number).tolist() for number in (0, 1)] == [[0, 3, 64], []]


def test_values_as_good_as_zero_are_zero():
    made = pack_trees([stump(value=[0, 1, 2])], base=[0.0], features=1, zero_below=1e-35)
    assert raw(made, 1e-36, 1e-35, 2e-35) == [1, 1, 2]


def test_sums_in_float32_are_rounded_after_each_tree():
    parts = [stump(value=[0, leaf, leaf]) for leaf in (2.0**24, 1.0, 1.0)]
    assert raw(pack_trees(parts, base=[0.0], features=1), 0.0) == [2.0**24 + 2]
    assert raw(pack_trees(parts, base=[0.0], features=1, sum_width=32), 0.0) == [2.0**24]


@pytest.mark.parametrize("seed", range(10))
def test_packing_keeps_siblings_side_by_side_and_pairs_within_a_line_of_the_cache(seed):
    tree = grown(np.random.default_rng(seed), leaves=int(np.random.default_rng(seed).integers(1, 60)))
    made = pack_trees([tree, tree], base=[0.0], features=1)
    inner = made.nodes[made.nodes["flags"] & LEAF == 0]
    assert len(inner) == 2 * (np.array(tree.left) >= 0).sum()
    assert (inner["child"] % 2 == 0).all()
    assert (made.roots % 4 == 0).all()
    x = np.linspace(-3, 3, 200)
    assert raw(made, *x) == [2 * walked(tree, value) for value in x]


def grown(rng, *, leaves):
    """Grow a tree over one column, at random."""
    left, right, threshold, value = [-1], [-1], [0.0], [1.0]
    while sum(child < 0 for child in left) < leaves:
        node = int(rng.choice([node for node, child in enumerate(left) if child < 0]))
        left[node], right[node], threshold[node] = len(left), len(left) + 1, float(rng.normal())
        left, right, threshold = [*left, -1, -1], [*right, -1, -1], [*threshold, 0.0, 0.0]
        value += [float(len(value)), float(len(value) + 1)]
    return Tree(left, right, [0] * len(left), threshold, [False] * len(left), value)


def walked(tree, x):
    node = 0
    while tree.left[node] >= 0:
        node = tree.left[node] if x <= tree.threshold[node] else tree.right[node]
    return tree.value[node]
