"""From a fitted estimator to flat trees, through treelite, which reads the trees of many libraries."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from scoreline.errors import ArtifactError
from scoreline.model.estimator import library_of
from scoreline.model.packing import Tree, pack_trees
from scoreline.model.trees import EXACT, FLOORED, MAX_FEATURES, NUMBER, TRUNCATED, FlatTrees

_LESS, _LESS_EQUAL = 2, 3  # treelite's Operator
_CATEGORICAL = 2  # treelite's TreeNodeType
_LINKS = {"sigmoid": "logistic", "softmax": "softmax", "identity_multiclass": "identity"}
_MAX_CATEGORY = 1 << 16
_LIGHTGBM_ZERO = float(np.float32(1e-35))  # LightGBM drops values this small from a row before its trees see it


def import_trees(estimator: Any, *, features: int, float_width: int) -> FlatTrees:
    """Return the flat trees of a fitted classifier: gradient boosting, or a forest.

    Parameters
    ----------
    estimator : of scikit-learn, XGBoost or LightGBM
        Of two classes or more. A forest of two classes has one output, the chance of the second.
    float_width : 64 or 32
        What the estimator rounds its inputs to; the parity corpus tells which is right.

    Raises
    ------
    ArtifactError
        The estimator is of a kind that can't be flattened.
    """
    name = type(estimator).__name__
    try:
        model, options = _read(estimator)
        header = _Header(model)
        base = options.pop("base", header.base)
        if header.link is None or features > MAX_FEATURES:
            raise ValueError("expected a classifier of gradient boosting or a forest, such as "
                             "HistGradientBoostingClassifier")  # fmt: skip
        known = _known_categories(estimator)
        accessors = [model.get_tree_accessor(index) for index in range(model.num_tree)]
        trees = [_tree(each, known, binary_forest=header.is_binary_forest) for each in accessors]
        return pack_trees(
            trees,
            base=base,
            features=features,
            groups=header.groups,
            kinds=_kinds(trees, features, options.pop("category")),
            inclusive=_is_inclusive(accessors),
            float_width=float_width,
            average=header.average,
            link=header.link,
            **options,
        )
    except Exception as error:  # whatever treelite meets in an estimator of an unknown kind: then that serves itself
        raise ArtifactError(f"{name}: its trees can't be read ({error})") from error


def _read(estimator: Any) -> tuple[Any, dict[str, Any]]:
    """Return treelite's model of an estimator, and how its library treats values and sums."""
    import treelite

    library = library_of(estimator)
    if library == "xgboost":
        model = treelite.frontend.from_xgboost(estimator.get_booster())
        return model, {"category": FLOORED, "sum_width": 32, "base": _xgboost_base(estimator.get_booster(), model)}
    if library == "lightgbm":
        model = treelite.frontend.from_lightgbm(estimator.booster_)
        return model, {"category": TRUNCATED, "zero_below": _LIGHTGBM_ZERO}
    with np.errstate(invalid="ignore"):  # it casts a NaN among the categories to a number, which no set names
        return treelite.sklearn.import_model(estimator), {"category": EXACT}


def _xgboost_base(booster: Any, model: Any) -> np.ndarray[Any, Any]:
    """Return the base score as XGBoost computes it, in float32; treelite's, in float64, is often one ulp beside."""
    header = _Header(model)
    if header.link != "logistic":
        return header.base.astype(np.float32)
    learner = json.loads(booster.save_config())["learner"]["learner_model_param"]
    chance, one = np.float32(learner["base_score"].strip("[]")), np.float32(1)
    return np.array([-math.log(one / chance - one)], np.float32)


class _Header:
    """What treelite says of a model as a whole."""

    def __init__(self, model: Any) -> None:
        read = model.get_header_accessor().get_field
        vectors = int(np.prod(read("leaf_vector_shape"))) > 1
        classes = int(read("num_class")[0])
        self.average = bool(read("average_tree_output")[0])
        self.is_binary_forest = self.average and vectors and classes == 2
        base = np.array(read("base_scores"), np.float64)  # a copy: the field lies in memory of the model
        self.base = base[1:] if self.is_binary_forest else base
        self.groups = None if vectors else np.asarray(read("class_id"), np.int64).clip(0)
        self.link = _LINKS.get(str(read("postprocessor")))
        if len(read("num_target")) != 1 or int(read("num_target")[0]) != 1:
            self.link = None
        if self.link == "logistic" and float(read("sigmoid_alpha")[0]) != 1.0:
            self.link = None


def _is_inclusive(accessors: list[Any]) -> bool:
    """Whether the trees compare with <=; all nodes must do alike."""
    comparisons = {int(each) for tree in accessors for each in np.unique(tree.get_field("cmp"))} - {0}
    if not comparisons <= {_LESS, _LESS_EQUAL} or len(comparisons) > 1:
        raise ValueError("its nodes compare in different ways")
    return comparisons != {_LESS}


def _tree(accessor: Any, known: dict[int, list[int]] | None, *, binary_forest: bool) -> Tree:
    read = accessor.get_field
    left, feature, default_left = read("cleft").copy(), read("split_index").copy(), read("default_left").astype(bool)
    value = read("leaf_value").astype(np.float64)
    vectors = read("leaf_vector").astype(np.float64)
    if len(vectors):
        begin, end = read("leaf_vector_begin").astype(int), read("leaf_vector_end").astype(int)
        width = int((end - begin).max())
        table = np.zeros((len(left), width))
        leaves = np.flatnonzero(left < 0)
        table[leaves] = vectors[begin[leaves, None] + np.arange(width)]
        value = table[:, 1] if binary_forest else table
    sets: dict[int, Any] = {}
    right_sets: dict[int, Any] = {}
    if read("has_categorical_split")[0]:
        categories, on_right = read("category_list").astype(int), read("category_list_right_child")
        begin, end = read("category_list_begin").astype(int), read("category_list_end").astype(int)
        for node in np.flatnonzero(read("node_type") == _CATEGORICAL).tolist():
            listed = categories[begin[node] : end[node]]
            if len(listed) and listed.max() >= _MAX_CATEGORY:
                raise ValueError(f"category {listed.max()} is not below {_MAX_CATEGORY}")
            if known is not None and default_left[node]:  # scikit-learn treats an unknown category as missing
                right_sets[node] = np.setdiff1d(known[int(feature[node])], listed)
            else:
                (right_sets if on_right[node] else sets)[node] = listed
    threshold = read("threshold").astype(np.float64)
    return Tree(left, read("cright").copy(), feature, threshold, default_left, value, sets, right_sets)


def _known_categories(estimator: Any) -> dict[int, list[int]] | None:
    """Return column -> the categories that HistGradientBoosting met; None where an unknown one is nothing special."""
    encoder = getattr(estimator, "_preprocessor", None)
    if encoder is None:
        return None
    columns = np.flatnonzero(estimator.is_categorical_)
    met = encoder.named_transformers_["encoder"].categories_
    known: dict[int, list[int]] = {}
    for column, categories in zip(columns.tolist(), met, strict=True):
        numbers = categories[~np.isnan(categories)]
        if (numbers != np.floor(numbers)).any() or (numbers < 0).any() or (numbers >= _MAX_CATEGORY).any():
            raise ValueError(f"the categories of column {column} are not all whole numbers from 0 to {_MAX_CATEGORY}")
        known[column] = numbers.astype(int).tolist()
    return known


def _kinds(trees: list[Tree], features: int, category: int) -> np.ndarray[Any, Any]:
    kinds = np.full(features, NUMBER, np.uint8)
    for tree in trees:
        kinds[[tree.feature[node] for node in (*tree.sets, *tree.right_sets)]] = category
    for tree in trees:
        numeric = np.asarray(tree.left) >= 0
        numeric[[*tree.sets, *tree.right_sets]] = False
        if (kinds[tree.feature[numeric]] != NUMBER).any():
            raise ValueError("a column is split both as a number and as a category")
    return kinds
