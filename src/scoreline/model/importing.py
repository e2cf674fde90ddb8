"""From a fitted estimator to flat trees, through treelite, which reads the trees of many libraries."""

from __future__ import annotations

from typing import Any

import numpy as np

from scoreline.errors import ArtifactError
from scoreline.model.trees import FlatTrees, depth_of

_LESS, _LESS_EQUAL = 2, 3  # treelite's Operator


def import_trees(estimator: Any, *, features: int, float_width: int) -> FlatTrees:
    """Return the flat trees of a fitted scikit-learn gradient boosting classifier of two classes.

    Parameters
    ----------
    float_width : 64 or 32
        What the estimator rounds its inputs to; the parity corpus tells which is right.

    Raises
    ------
    ArtifactError
        The estimator is of a kind that can't be flattened.
    """
    import treelite

    try:
        model = treelite.sklearn.import_model(estimator)
    except (treelite.TreeliteError, NotImplementedError, ValueError) as error:
        raise ArtifactError(f"{type(estimator).__name__}: its trees can't be read ({error})") from error
    header = model.get_header_accessor()
    if int(header.get_field("num_class")[0]) > 1 or bool(header.get_field("average_tree_output")[0]):
        raise ArtifactError(
            f"{type(estimator).__name__}: expected an additive model of two classes, such as "
            "HistGradientBoostingClassifier"
        )
    trees = [_tree(model.get_tree_accessor(index)) for index in range(model.num_tree)]
    sizes = [len(tree["feature"]) for tree in trees]
    roots = np.concatenate(([0], np.cumsum(sizes[:-1]))).astype(np.int32)
    for tree, root in zip(trees, roots, strict=True):
        tree["left"] = tree["left"] + root
        tree["right"] = tree["right"] + root
    joined: dict[str, Any] = {
        name: np.concatenate([tree[name] for tree in trees]) for name in trees[0] if name != "inclusive"
    }
    return FlatTrees(
        roots=roots,
        **joined,
        base=float(header.get_field("base_scores")[0]),
        depth=depth_of(roots, joined["left"], joined["right"]),
        inclusive=all(tree["inclusive"] for tree in trees),
        float_width=float_width,
        features=features,
    )


def _tree(accessor: Any) -> dict[str, Any]:
    if bool(accessor.get_field("has_categorical_split")[0]):
        raise ArtifactError("native categorical splits can't be flattened yet; leave categorical_features out")
    left, right = accessor.get_field("cleft"), accessor.get_field("cright")
    is_leaf = left < 0
    here = np.arange(len(left), dtype=np.int32)
    comparison = np.unique(accessor.get_field("cmp")[~is_leaf])
    if not set(comparison.tolist()) <= {_LESS, _LESS_EQUAL} or len(comparison) > 1:
        raise ArtifactError("the trees compare in a way that can't be flattened")
    return {
        "feature": np.where(is_leaf, 0, accessor.get_field("split_index")).astype(np.int32),
        "threshold": np.where(is_leaf, 0.0, accessor.get_field("threshold")).astype(np.float64),
        "left": np.where(is_leaf, here, left).astype(np.int32),
        "right": np.where(is_leaf, here, right).astype(np.int32),
        "default_left": np.where(is_leaf, False, accessor.get_field("default_left")).astype(bool),
        "value": np.where(is_leaf, accessor.get_field("leaf_value"), 0.0).astype(np.float64),
        "inclusive": not len(comparison) or int(comparison[0]) == _LESS_EQUAL,
    }
