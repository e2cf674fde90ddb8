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
    """Return the inputs whose AUC alone is at least `LEAK_AUC` (of several classes: that of each).

    Parameters
    ----------
    names : of the columns
    earlier, later : matrix (rows, len(names)) and target (rows,)
        Of several classes an input must tell each from the others, as far as the later rows have it.

    Returns
    -------
    dict
        Input -> its AUC on the later rows.
    """
    from sklearn.tree import DecisionTreeClassifier

    (x, y), (later_x, later_y) = earlier, later
    leaks = {}
    for column, name in enumerate(names):
        one, other = x[:_MOST_ROWS, [column]], later_x[:_MOST_ROWS, [column]]
        if np.isnan(one).all():
            continue
        tree = DecisionTreeClassifier(max_depth=_DEPTH, random_state=0).fit(_finite(one), y[:_MOST_ROWS])
        auc = _least_auc(tree.classes_, tree.predict_proba(_finite(other)), later_y[:_MOST_ROWS])
        if auc is not None and auc >= LEAK_AUC:
            leaks[name] = auc
    return leaks


def _least_auc(classes: Any, chances: Matrix, target: np.ndarray[Any, Any]) -> float | None:
    """Return the lowest AUC of any class against all others; None where nothing can be told apart."""
    from sklearn.metrics import roc_auc_score

    present = [code for code in classes if 0 < (target == code).sum() < len(target)]
    if len(classes) < 2 or not present:
        return None
    return min(float(roc_auc_score(target == code, chances[:, list(classes).index(code)])) for code in present)


def _finite(values: Matrix) -> np.ndarray[Any, Any]:
    """Return values that scikit-learn's trees take: float32 whose sum is finite, missing ones kept."""
    limit = float(np.finfo(np.float32).max) / (2 * _MOST_ROWS)
    return np.clip(values, -limit, limit).astype(np.float32)
