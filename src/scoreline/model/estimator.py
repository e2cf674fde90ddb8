"""Estimators on disk, each in the safe format of its library; nothing is ever unpickled.

scikit-learn: skops files, normalised, read back only with a fixed list of types. XGBoost: its own UBJ.
LightGBM: its own text.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from scoreline.errors import ArtifactError

TRUSTED = (  # what skops itself does not know but scikit-learn's own gradient boosting is made of
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.ensemble._gb_losses.BinomialDeviance",
    "sklearn._loss._loss.CyHalfBinomialLoss",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss._loss.CyHalfMultinomialLoss",
    "sklearn._loss.link.MultinomialLogit",
    "sklearn._loss.loss.HalfMultinomialLoss",
    "functools.partial",  # with categorical_features: a check of the other columns; what it calls must be listed too
    "sklearn.utils.validation.check_array",
    "sklearn.tree._tree.Tree",  # C code that follows its indices unchecked: `_check_indices` looks at them first
)
_SUFFIXES = {"sklearn": ".skops", "xgboost": ".ubj", "lightgbm": ".txt"}
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def library_of(estimator: Any) -> str:
    """Return the library that an estimator is of: `xgboost`, `lightgbm`, or `sklearn` for any other."""
    if hasattr(estimator, "get_booster"):
        return "xgboost"
    return "lightgbm" if hasattr(estimator, "booster_") else "sklearn"


def save_estimator(estimator: Any, path: Path) -> Path:
    """Write a fitted estimator; the same estimator gives the same bytes.

    Parameters
    ----------
    path : without suffix, which tells the library

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ArtifactError
        The estimator holds a type that is not on the fixed list, so it could not be read back.
    """
    library = library_of(estimator)
    file = path.with_suffix(_SUFFIXES[library])
    if library == "xgboost":
        estimator.save_model(file)
    elif library == "lightgbm":
        estimator.booster_.save_model(file)
    else:
        _save_skops(estimator, file)
    return file


def find_estimator(path: Path) -> Path:
    """Return the file that `save_estimator` wrote for a path without suffix."""
    files = [path.with_suffix(suffix) for suffix in _SUFFIXES.values()]
    return next((file for file in files if file.is_file()), files[0])


def _save_skops(estimator: Any, file: Path) -> None:
    """Write skops, without what differs between two runs.

    skops names its parts by memory addresses and zips them with the current time; here they are
    numbered in order of appearance and dated 1980. Of arrays of records the fields alone are written.
    """
    import skops.io

    if hasattr(getattr(estimator, "_bin_mapper", None), "n_threads"):
        estimator._bin_mapper.n_threads = 1  # the cores of the machine that trained; only fitting reads it
    content = skops.io.dumps(estimator)
    unknown = set(skops.io.get_untrusted_types(data=content)) - set(TRUSTED)
    if unknown:
        raise ArtifactError(
            f"{type(estimator).__name__}: holds types that are not trusted from a file: {', '.join(sorted(unknown))}"
        )
    file.write_bytes(_normalised(content))


def load_estimator(path: Path) -> Any:
    """Read an estimator back from its file; ArtifactError where that is damaged or holds other types."""
    load = {".ubj": _load_xgboost, ".txt": _LightGbm}.get(path.suffix, _load_skops)
    try:
        return load(path)
    except Exception as error:  # the libraries raise whatever a damaged file leads to
        raise ArtifactError(f"{path}: can't be read as an estimator ({type(error).__name__}: {error})") from error


def _load_skops(path: Path) -> Any:
    import skops.io

    estimator = skops.io.load(path, trusted=list(TRUSTED))
    _check_indices(estimator)
    return estimator


def _load_xgboost(path: Path) -> Any:
    import xgboost

    estimator = xgboost.XGBClassifier(n_jobs=1)
    estimator.load_model(path)
    return estimator


class _LightGbm:
    """What a file of LightGBM gives back: its booster, which has the raw scores, without the classifier around it."""

    def __init__(self, path: Path) -> None:
        import lightgbm

        self.booster_ = lightgbm.Booster(model_str=path.read_text())

    def predict(self, matrix: np.ndarray[Any, Any], *, raw_score: bool) -> Any:
        """Score rows."""
        return self.booster_.predict(matrix, raw_score=raw_score, num_threads=1)


def _check_indices(estimator: Any) -> None:
    """Raise ValueError if a tree points outside itself, back, or to a column that there is not.

    scikit-learn's compiled trees follow whatever a file says, so a crafted one could read any memory.
    """
    columns = int(estimator.n_features_in_)
    for predictors in getattr(estimator, "_predictors", []):
        for predictor in predictors:
            nodes = predictor.nodes
            inner = nodes["is_leaf"] == 0
            _check_nodes(nodes["left"], nodes["right"], nodes["feature_idx"], inner, columns)
            sets = nodes["bitset_idx"][inner & (nodes["is_categorical"] != 0)]
            if len(sets) and int(sets.max()) >= len(predictor.raw_left_cat_bitsets):
                raise ValueError("a tree names a category set that there is not")
    for tree in (each.tree_ for each in np.ravel(getattr(estimator, "estimators_", []))):
        inner = tree.children_left != -1
        _check_nodes(tree.children_left, tree.children_right, tree.feature, inner, columns)


def _check_nodes(left: Any, right: Any, feature: Any, inner: Any, columns: int) -> None:
    here = np.arange(len(left))
    for child in (left, right):
        child = child.astype(np.int64)
        if ((child <= here) | (child >= len(left)))[inner].any():
            raise ValueError("a tree points outside itself")
    if ((feature < 0) | (feature >= columns))[inner].any():
        raise ValueError("a tree names a column that there is not")


def _normalised(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(files.pop("schema.json"))
    numbers: dict[int, int] = {}
    names: dict[str, str] = {}
    _renumber(schema, numbers, names)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for old, new in sorted(names.items(), key=lambda pair: pair[1]):
            archive.writestr(zipfile.ZipInfo(new, _ZIP_DATE), _without_rubbish(new, files[old]), zipfile.ZIP_DEFLATED)
        text = json.dumps(schema, indent=2)
        archive.writestr(zipfile.ZipInfo("schema.json", _ZIP_DATE), text, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def _without_rubbish(name: str, content: bytes) -> bytes:
    """Return an array's file with zeros between the fields of records: there a tree's nodes have what was in memory."""
    if not name.endswith(".npy"):
        return content
    array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.dtype.names is None:
        return content
    clean = np.zeros(array.shape, array.dtype)
    for field in array.dtype.names:
        clean[field] = array[field]
    target = io.BytesIO()
    np.save(target, clean, allow_pickle=False)
    return target.getvalue()


def _renumber(node: Any, numbers: dict[int, int], names: dict[str, str]) -> None:
    if isinstance(node, list):
        for item in node:
            _renumber(item, numbers, names)
    elif isinstance(node, dict):
        if "__id__" in node:
            node["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
        if isinstance(node.get("file"), str):
            suffix = Path(node["file"]).suffix
            node["file"] = names.setdefault(node["file"], f"{len(names) + 1:06d}{suffix}")
        for value in node.values():
            _renumber(value, numbers, names)
