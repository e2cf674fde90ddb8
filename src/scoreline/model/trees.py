"""Flat trees: the compiled form of a tree model, float64 arrays in one memory-mapped file.

All trees of a model lie behind one another. A leaf points to itself, so a walk of `depth` steps
ends in every tree's leaf without asking where the leaves are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scoreline.errors import ArtifactError
from scoreline.model.inputs import Matrix

_MAGIC = b"SCLTREES"
_FORMAT = 1
_ALIGN = 64
_CELLS_AT_ONCE = 1 << 20  # rows x trees walked at once: a few megabytes of working arrays
_ARRAYS = {
    "roots": np.int32,
    "feature": np.int32,
    "threshold": np.float64,
    "left": np.int32,
    "right": np.int32,
    "default_left": np.bool_,
    "value": np.float64,
}


@dataclass(frozen=True)
class FlatTrees:
    """An additive tree model with one output.

    Attributes
    ----------
    roots : int32 (trees,); first node of each tree
    feature, left, right : int32 (nodes,); a leaf's children are itself
    threshold, value : float64 (nodes,); value is 0 in inner nodes
    default_left : bool (nodes,); where a missing value goes
    base : what the sum of leaves starts from
    depth : steps from a root to its farthest leaf
    inclusive : a row goes left where x <= threshold (else where x < threshold)
    float_width : 64, or 32 where the estimator rounds its inputs to float32 first
    features : how many columns the matrix has
    """

    roots: np.ndarray[Any, Any]
    feature: np.ndarray[Any, Any]
    threshold: np.ndarray[Any, Any]
    left: np.ndarray[Any, Any]
    right: np.ndarray[Any, Any]
    default_left: np.ndarray[Any, Any]
    value: np.ndarray[Any, Any]
    base: float
    depth: int
    inclusive: bool
    float_width: int
    features: int

    def predict_raw(self, matrix: Matrix) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return the sum of leaves of each row, added in the order of the trees.

        Parameters
        ----------
        matrix : float64 of shape (n, features); NaN is missing

        Returns
        -------
        float64 of shape (n,)
        """
        if self.float_width == 32:
            with np.errstate(over="ignore"):
                matrix = matrix.astype(np.float32).astype(np.float64)
        step = max(1, _CELLS_AT_ONCE // len(self.roots))
        parts = [self._walk(matrix[first : first + step]) for first in range(0, len(matrix), step)]
        return np.concatenate(parts) if parts else np.empty(0)

    def _walk(self, matrix: Matrix) -> np.ndarray[Any, np.dtype[np.float64]]:
        rows = np.arange(len(matrix))[:, None]
        node = np.broadcast_to(self.roots, (len(matrix), len(self.roots)))
        with np.errstate(invalid="ignore"):
            for _ in range(self.depth):
                x = matrix[rows, self.feature[node]]
                threshold = self.threshold[node]
                goes_left = x <= threshold if self.inclusive else x < threshold
                goes_left |= np.isnan(x) & self.default_left[node]
                node = np.where(goes_left, self.left[node], self.right[node])
        leaves = self.value[node]
        leaves[:, 0] += self.base
        # one after the other, as the estimator adds them: numpy's own sum would round differently
        return np.cumsum(leaves, axis=1)[:, -1]

    def save(self, path: Path) -> None:
        """Write the trees to one file."""
        arrays: dict[str, np.ndarray[Any, Any]] = {
            name: np.ascontiguousarray(getattr(self, name), dtype) for name, dtype in _ARRAYS.items()
        }
        layout: dict[str, Any] = {}
        offset = 0
        for name, array in arrays.items():
            layout[name] = {"offset": offset, "length": len(array)}
            offset += -(-array.nbytes // _ALIGN) * _ALIGN
        header = json.dumps(
            {
                "format": _FORMAT, "base": self.base, "depth": self.depth, "inclusive": self.inclusive,
                "float_width": self.float_width, "features": self.features, "arrays": layout,
            }
        ).encode()  # fmt: skip
        start = -(-(len(_MAGIC) + 8 + len(header)) // _ALIGN) * _ALIGN
        content = bytearray(start + offset)
        content[: len(_MAGIC)] = _MAGIC
        content[len(_MAGIC) : len(_MAGIC) + 8] = len(header).to_bytes(8, "little")
        content[len(_MAGIC) + 8 : len(_MAGIC) + 8 + len(header)] = header
        for name, array in arrays.items():
            at = start + layout[name]["offset"]
            content[at : at + array.nbytes] = array.tobytes()
        path.write_bytes(content)

    @classmethod
    def load(cls, path: Path) -> FlatTrees:
        """Map a file written by `save`; all processes that map it share one copy in memory.

        Raises
        ------
        ArtifactError
            The file is damaged: not such a file, or an index points outside.
        """
        try:
            content = np.memmap(path, np.uint8, mode="r")
            if bytes(content[: len(_MAGIC)]) != _MAGIC:
                raise ValueError("not a file of flat trees")
            size = int.from_bytes(bytes(content[len(_MAGIC) : len(_MAGIC) + 8]), "little")
            header = json.loads(bytes(content[len(_MAGIC) + 8 : len(_MAGIC) + 8 + size]))
            if header.pop("format") != _FORMAT:
                raise ValueError("of a format that this version does not read")
            start = -(-(len(_MAGIC) + 8 + size) // _ALIGN) * _ALIGN
            arrays: dict[str, Any] = {}
            for name, place in header.pop("arrays").items():
                length = place["length"] * np.dtype(_ARRAYS[name]).itemsize
                at = start + place["offset"]
                arrays[name] = content[at : at + length].view(_ARRAYS[name])
            trees = cls(**arrays, **header)
            trees.check_bounds()
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ArtifactError(f"{path}: can't be read as trees ({error}). Run `scoreline train` again.") from error
        return trees

    def check_bounds(self) -> None:
        """Raise ValueError if an index points outside, an array is short, or a walk could run on."""
        nodes = len(self.feature)
        for name in ("threshold", "left", "right", "default_left", "value"):
            if len(getattr(self, name)) != nodes:
                raise ValueError(f"{name} has another length than feature")
        if not len(self.roots):
            raise ValueError("no trees")
        for name, limit in (("roots", nodes), ("left", nodes), ("right", nodes), ("feature", self.features)):
            array = getattr(self, name)
            if len(array) and (array.min() < 0 or array.max() >= limit):
                raise ValueError(f"{name} points outside")
        here = np.arange(nodes)
        is_leaf = (self.left == here) & (self.right == here)
        if not (is_leaf | ((self.left > here) & (self.right > here))).all():
            raise ValueError("a node points back")
        if not np.isfinite(self.value).all() or not np.isfinite(self.base) or np.isnan(self.threshold).any():
            raise ValueError("a value is not a number")
        if self.depth != depth_of(self.roots, self.left, self.right) or self.float_width not in (32, 64):
            raise ValueError("its head does not fit its trees")


def depth_of(roots: np.ndarray[Any, Any], left: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> int:
    """Return the steps from a root to its farthest leaf."""
    level = roots
    for depth in range(len(left)):
        inner = level[left[level] != level]
        if not len(inner):
            return depth
        level = np.unique(np.concatenate([left[inner], right[inner]]))
    return len(left)
