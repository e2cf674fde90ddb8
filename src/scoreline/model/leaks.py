"""Inputs that give the target away: one alone tells the classes apart almost perfectly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scoreline.model.inputs import Matrix

LEAK_AUC = 0.99  # of a small tree over the input alone, on rows later than those that it was grown on
_DEPTH = 3  # enough for an input of which a middle range stands for one class
_MOST_ROWS = 50_000


def find_leaks(
    names: Sequence[str],
    earlier: tuple[Matrix, np.ndarray[Any, Any]],
    later: tuple[Matrix, np.ndarray[Any, Any]],
) -> dict[str, float]:
    """Return the inputs whose AUC alone is at least `LEAK_AUC`.

    Parameters
    ----------
    names : of the columns
    earlier, later : matrix (rows, len(names)) and target (rows,); each part must have both classes

    Returns
    -------
    dict
        Input -> its AUC on the later rows.
    """
    from sklearn.metrics import roc_auc_score
    from sklearn.tree import DecisionTreeClassifier

    (x, y), (later_x, later_y) = earlier, later
    leaks = {}
    for column, name in enumerate(names):
        one, other = x[:_MOST_ROWS, [column]], later_x[:_MOST_ROWS, [column]]
        if np.isnan(one).all():
            continue
        tree = DecisionTreeClassifier(max_depth=_DEPTH, random_state=0).fit(_finite(one), y[:_MOST_ROWS])
        if len(tree.classes_) < 2 or len(np.unique(later_y[:_MOST_ROWS])) < 2:
            continue
        auc = float(roc_auc_score(later_y[:_MOST_ROWS], tree.predict_proba(_finite(other))[:, 1]))
        if auc >= LEAK_AUC:
            leaks[name] = auc
    return leaks


def _finite(values: Matrix) -> np.ndarray[Any, Any]:
    """Return values that scikit-learn's trees take: float32 whose sum is finite, missing ones kept."""
    limit = float(np.finfo(np.float32).max) / (2 * _MOST_ROWS)
    return np.clip(values, -limit, limit).astype(np.float32)
