"""From trees as libraries hold them to the nodes of flat trees, in the order that suits a cold cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scoreline.model.trees import CATEGORICAL, LEAF, NODE, NUMBER, SET_GOES_RIGHT, FlatTrees, depth_of

_LINE = 4  # nodes to a line of the cache


@dataclass(frozen=True)
class Tree:
    """One tree as a library holds it; node 0 is the root.

    Attributes
    ----------
    left, right : children of each node; -1 in a leaf
    feature, threshold, default_left : of each node; of a leaf anything
    value : float64 (nodes,), or (nodes, outputs) where leaves are vectors; of an inner node anything
    sets : node -> the categories that go left
    right_sets : node -> the categories that go right
    """

    left: Any
    right: Any
    feature: Any
    threshold: Any
    default_left: Any
    value: Any
    sets: dict[int, Any] = field(default_factory=dict)
    right_sets: dict[int, Any] = field(default_factory=dict)


def pack_trees(
    trees: Sequence[Tree],
    *,
    base: Any,
    features: int,
    groups: Any = None,
    kinds: Any = None,
    inclusive: bool = True,
    float_width: int = 64,
    sum_width: int = 64,
    average: bool = False,
    zero_below: float = 0.0,
    link: str = "logistic",
) -> FlatTrees:
    """Lay trees out as flat trees; see `FlatTrees` for what each argument says.

    Raises
    ------
    ValueError
        They are no sound trees.

    Examples
    --------
    >>> stump = Tree([1, -1, -1], [2, -1, -1], [0, 0, 0], [1.5, 0, 0], [True, False, False], [0, -1.0, 2.0])
    >>> trees = pack_trees([stump], base=[0.25], features=1)
    >>> trees.predict_raw(np.array([[1.5], [1.6], [np.nan]])).tolist()
    [-0.75, 2.25, -0.75]
    """
    parts: list[Any] = []
    vectors: list[Any] = []
    sets: list[Any] = [np.empty(0, np.uint32)]
    roots: list[int] = []
    size = vectors_before = 0
    for tree in trees:
        nodes, leaf_vectors = _nodes(tree, vectors_before, sets)
        place = _places(np.asarray(tree.left), np.asarray(tree.right))
        packed = np.zeros(-(-(int(place.max()) + 1) // _LINE) * _LINE, NODE)
        packed["flags"], packed["child"] = LEAF, np.arange(len(packed)) + size  # what stays empty is a leaf of its own
        is_leaf = nodes["flags"] & LEAF != 0
        nodes["child"] = np.where(is_leaf, place, place[np.where(is_leaf, 0, tree.left)]) + size
        packed[place] = nodes
        parts.append(packed)
        roots.append(size)
        vectors.append(leaf_vectors)
        vectors_before += len(leaf_vectors)
        size += len(packed)
    joined = np.concatenate(parts) if parts else np.zeros(0, NODE)
    starts = np.concatenate([[0], np.cumsum([len(words) for words in sets[1:]])])
    return FlatTrees(
        nodes=joined,
        roots=np.array(roots, np.uint32),
        groups=np.zeros(len(roots), np.uint32) if groups is None else np.asarray(groups, np.uint32),
        vectors=np.concatenate(vectors).astype(np.float64).reshape(-1) if vectors else np.empty(0),
        sets=np.concatenate(sets).astype(np.uint32),
        set_starts=starts.astype(np.uint32),
        kinds=np.full(features, NUMBER, np.uint8) if kinds is None else np.asarray(kinds, np.uint8),
        base=np.array(base, np.float64),
        depth=depth_of(joined, np.array(roots, np.intp)),
        inclusive=inclusive,
        float_width=float_width,
        sum_width=sum_width,
        average=average,
        zero_below=zero_below,
        link=link,
    )


def _nodes(tree: Tree, vectors_before: int, sets: list[Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return a tree's nodes in its own order, without children, and the vectors of its leaves; add to `sets`."""
    is_leaf = np.asarray(tree.left) < 0
    value = np.asarray(tree.value, np.float64)
    nodes = np.zeros(len(is_leaf), NODE)
    nodes["slot"] = np.where(is_leaf, 0, 2 * np.asarray(tree.feature, np.int64) + np.asarray(tree.default_left, bool))
    nodes["flags"] = np.where(is_leaf, LEAF, 0)
    vectors = np.empty((0, 1))
    if value.ndim == 2:
        vectors = value[is_leaf]
        nodes["value"][is_leaf] = vectors_before + np.arange(len(vectors))
    else:
        nodes["value"][is_leaf] = value[is_leaf]
    nodes["value"][~is_leaf] = np.asarray(tree.threshold, np.float64)[~is_leaf]
    for those, flags in ((tree.sets, CATEGORICAL), (tree.right_sets, CATEGORICAL | SET_GOES_RIGHT)):
        for node, categories in those.items():
            nodes["value"][node] = len(sets) - 1
            nodes["flags"][node] |= flags
            sets.append(_bits(np.asarray(categories, np.int64)))
    return nodes, vectors


def _bits(categories: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    highest = int(categories.max()) if len(categories) else 0
    words = np.zeros(highest // 32 + 1, np.uint32)
    for category in categories.tolist():
        words[category >> 5] |= np.uint32(1 << (category & 31))
    return words


def _places(left: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return where each node goes, so that a walk reads few lines of the cache.

    Siblings lie side by side. A line holds the root and its children, or a pair and the children of
    one of the two, that with the larger tree below it, which more rows will go to.
    """
    weight = _sizes(left, right)
    place = np.zeros(len(left), np.int64)
    left_of, right_of, weights = left.tolist(), right.tolist(), weight.tolist()
    free = _LINE  # the first line that nothing lies in
    half = -1  # the second half of a line, if one is free
    waiting = []
    if left_of[0] >= 0:
        place[left_of[0]], place[right_of[0]] = 2, 3
        waiting = [right_of[0], left_of[0]]
    while waiting:
        parent = waiting.pop()
        if left_of[parent] < 0:
            continue
        pair = [left_of[parent], right_of[parent]]
        hot, cold = sorted(pair, key=lambda node: -weights[node])
        if left_of[hot] < 0 and half >= 0:
            at, half = half, -1
        elif left_of[hot] < 0:
            at, half, free = free, free + 2, free + _LINE
        else:
            at, free = free, free + _LINE
            below = [left_of[hot], right_of[hot]]
            place[below] = at + 2, at + 3
            waiting += [cold, *sorted(below, key=lambda node: weights[node])]
        place[pair] = at, at + 1
    return place


def _sizes(left: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return how many nodes each node has below it."""
    levels, level = [], np.zeros(1, np.intp)
    while len(level):
        levels.append(level)
        inner = level[left[level] >= 0]
        level = np.concatenate([left[inner], right[inner]])
    size = np.zeros(len(left), np.int64)
    for level in reversed(levels):
        inner = level[left[level] >= 0]
        size[inner] = 2 + size[left[inner]] + size[right[inner]]
    return size
