"""Flat trees: the compiled form of a tree model, plain arrays in one memory-mapped file.

All trees of a model lie behind one another, as nodes of 16 bytes: two siblings side by side, so that
one index leads to both, and four nodes to a line of the cache. This is the one form of a model that
the runtimes read; `FlatTrees.predict_raw` is its meaning, in numpy, which they are held to.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from scoreline.errors import ArtifactError
from scoreline.model.inputs import Matrix

_MAGIC = b"SCLTREES"
_FORMAT = 2
_ALIGN = 64
_CELLS_AT_ONCE = 1 << 20  # rows x trees walked at once: a few megabytes of working arrays

NODE = np.dtype([("value", "<f8"), ("child", "<u4"), ("slot", "<u2"), ("flags", "<u2")])
LEAF, CATEGORICAL, SET_GOES_RIGHT = 1, 2, 4  # flags of a node
NUMBER, EXACT, FLOORED, TRUNCATED = 0, 1, 2, 3  # kinds of a column; the last three are categories
MAX_FEATURES = 1 << 15
_ARRAYS = {
    "nodes": NODE,
    "roots": np.dtype("<u4"),
    "groups": np.dtype("<u4"),
    "vectors": np.dtype("<f8"),
    "sets": np.dtype("<u4"),
    "set_starts": np.dtype("<u4"),
    "kinds": np.dtype("u1"),
    "base": np.dtype("<f8"),
}
LINKS = ("logistic", "softmax", "identity")
Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class FlatTrees:
    """A tree model with one output or several. An instance is sound: its indices were checked.

    Attributes
    ----------
    nodes : NODE (nodes,)
        `value` is a threshold; of a leaf what it adds, or the number of its vector; of a categorical
        node the number of its set. `child` is the left child, the right one lies behind it; a leaf's
        is itself. `slot` is twice the column, plus one where a missing value goes left. `flags`: LEAF;
        CATEGORICAL, a category of the set goes left, with SET_GOES_RIGHT right, any other the other way.
    roots : uint32 (trees,); first node of each tree
    groups : uint32 (trees,); the output that a tree adds to; 0 where leaves are vectors
    vectors : float64 (leaves * outputs,), one vector behind the other; empty where leaves are numbers
    sets, set_starts : uint32; set i is the bits of sets[set_starts[i]:set_starts[i + 1]]
    kinds : uint8 (features,)
        NUMBER, or how a value becomes a category: EXACT (one that is not whole is in no set), FLOORED,
        TRUNCATED (-0.5 is category 0)
    base : float64 (outputs,); what the sums of leaves start from
    depth : steps from a root to its farthest leaf
    inclusive : a row goes left where x <= threshold (else where x < threshold)
    float_width : 64, or 32 where the estimator rounds its inputs to float32 first
    sum_width : 64, or 32 where it adds in float32
    average : sums are divided by the number of trees, as forests do; each tree adds to every output then
    zero_below : a value no larger than this on either side of zero counts as zero
    link : what makes probabilities of raw scores: `logistic`, `softmax`, or `identity` for a forest
    """

    nodes: np.ndarray[Any, Any]
    roots: np.ndarray[Any, Any]
    groups: np.ndarray[Any, Any]
    vectors: np.ndarray[Any, Any]
    sets: np.ndarray[Any, Any]
    set_starts: np.ndarray[Any, Any]
    kinds: np.ndarray[Any, Any]
    base: np.ndarray[Any, Any]
    depth: int
    inclusive: bool
    float_width: int
    sum_width: int
    average: bool
    zero_below: float
    link: str

    def __post_init__(self) -> None:
        _check_arrays(self)
        _check_nodes(self)

    @property
    def features(self) -> int:
        """How many columns the matrix has."""
        return len(self.kinds)

    @property
    def outputs(self) -> int:
        """How many raw scores a row has."""
        return len(self.base)

    def splits(self) -> tuple[np.ndarray[Any, Any], Floats]:
        """Return the column and the threshold of each node that compares numbers."""
        inner = self.nodes[self.nodes["flags"] & (LEAF | CATEGORICAL) == 0]
        return (inner["slot"] >> 1).astype(np.intp), inner["value"].astype(np.float64)

    def categories(self, number: int) -> np.ndarray[Any, Any]:
        """Return the categories of a set, ascending."""
        words = self.sets[self.set_starts[number] : self.set_starts[number + 1]]
        return np.flatnonzero(np.unpackbits(words.astype("<u4").view(np.uint8), bitorder="little"))

    def predict_raw(self, matrix: Matrix) -> Floats:
        """Return the sums of leaves of each row, added in the order of the trees.

        Parameters
        ----------
        matrix : float64 of shape (n, features); NaN is missing

        Returns
        -------
        float64 of shape (n,) where there is one output, else (n, outputs)
        """
        rows = self.prepare(matrix)
        step = max(1, _CELLS_AT_ONCE // (len(self.roots) * self.outputs))
        parts = [self._sums(self._leaves(rows[first : first + step])) for first in range(0, len(rows), step)]
        sums = np.concatenate(parts) if parts else np.empty((0, self.outputs))
        return sums[:, 0] if self.outputs == 1 else sums

    def prepare(self, matrix: Matrix) -> Matrix:
        """Return rows as the estimator itself sees them: rounded, categories as whole numbers, -1 for one in no set."""
        is_category = self.kinds != NUMBER
        if not (self.float_width == 32 or self.zero_below > 0 or is_category.any()):
            return matrix
        with np.errstate(over="ignore", invalid="ignore"):
            rows: Matrix = np.where(np.abs(matrix) <= self.zero_below, 0.0, matrix) if self.zero_below > 0 else matrix
            rows = rows.astype(np.float32).astype(np.float64) if self.float_width == 32 else rows.copy()
            for column in np.flatnonzero(is_category):
                x, kind = rows[:, column], self.kinds[column]
                code = np.floor(x) if kind == FLOORED else np.trunc(x)
                known = (code >= 0) & (code < 2**31) & ((kind != EXACT) | (code == x))
                rows[:, column] = np.where(known, code + 0.0, np.where(np.isnan(x), x, -1.0))
        return rows

    def _leaves(self, rows: Matrix) -> np.ndarray[Any, Any]:
        """Return the leaf that each row ends in, of each tree: positions of shape (n, trees)."""
        row = np.arange(len(rows))[:, None]
        at = np.broadcast_to(self.roots.astype(np.intp), (len(rows), len(self.roots)))
        with np.errstate(invalid="ignore"):
            for _ in range(self.depth):
                node = self.nodes[at]
                x, flags = rows[row, node["slot"] >> 1], node["flags"]
                left = x <= node["value"] if self.inclusive else x < node["value"]
                if len(self.set_starts) > 1:
                    in_set = self._in_set(node, x) != (flags & SET_GOES_RIGHT != 0)
                    left = np.where(flags & CATEGORICAL != 0, in_set, left)
                left = np.where(np.isnan(x), node["slot"] & 1 != 0, left) | (flags & LEAF != 0)
                at = node["child"] + np.where(left, 0, 1)
        return at

    def _in_set(self, node: np.ndarray[Any, Any], x: Floats) -> np.ndarray[Any, Any]:
        number = np.where(node["flags"] & CATEGORICAL != 0, node["value"], 0).astype(np.intp)
        start, end = self.set_starts[number].astype(np.intp), self.set_starts[number + 1].astype(np.intp)
        inside = (x >= 0) & (x < 32 * (end - start))
        code = np.where(inside, x, 0).astype(np.intp)
        word = self.sets[np.minimum(start + (code >> 5), len(self.sets) - 1)].astype(np.int64)
        return inside & ((word >> (code & 31)) & 1 == 1)

    def _sums(self, leaves: np.ndarray[Any, Any]) -> Floats:
        """Add one after the other, as the estimator does: numpy's own sum would round differently."""
        width = np.float32 if self.sum_width == 32 else np.float64
        values = self.nodes["value"][leaves]
        sums = np.empty((len(leaves), self.outputs))
        for output in range(self.outputs):
            if len(self.vectors):
                added = self.vectors[values.astype(np.intp) * self.outputs + output]
            else:
                added = values[:, self.groups == output]
            start = np.full((len(leaves), 1), self.base[output])
            with np.errstate(over="ignore"):
                sums[:, output] = np.cumsum(np.hstack([start, added]), axis=1, dtype=width)[:, -1]
        return sums / len(self.roots) if self.average else sums

    def save(self, path: Path) -> None:
        """Write the trees to one file."""
        arrays = {name: np.ascontiguousarray(getattr(self, name), dtype) for name, dtype in _ARRAYS.items()}
        layout: dict[str, Any] = {}
        offset = 0
        for name, array in arrays.items():
            layout[name] = {"offset": offset, "length": len(array)}
            offset += _aligned(array.nbytes)
        scalars = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _ARRAYS}
        header = json.dumps({"format": _FORMAT, **scalars, "arrays": layout}).encode()
        start = _aligned(len(_MAGIC) + 8 + len(header))
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
            start = _aligned(len(_MAGIC) + 8 + size)
            arrays: dict[str, Any] = {}
            for name, place in header.pop("arrays").items():
                at = start + place["offset"]
                part = content[at : at + place["length"] * _ARRAYS[name].itemsize]
                if place["offset"] % _ALIGN or len(part) != place["length"] * _ARRAYS[name].itemsize:
                    raise ValueError(f"{name} is cut short")
                arrays[name] = part.view(_ARRAYS[name])
            return cls(**arrays, **header)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise ArtifactError(f"{path}: can't be read as trees ({error}). Run `scoreline train` again.") from error


def depth_of(nodes: np.ndarray[Any, Any], roots: np.ndarray[Any, Any]) -> int:
    """Return the steps from a root to its farthest leaf."""
    level = np.asarray(roots)
    for depth in range(len(nodes)):
        inner = level[nodes["flags"][level] & LEAF == 0]
        if not len(inner):
            return depth
        child = np.unique(nodes["child"][inner]).astype(np.intp)
        level = np.concatenate([child, child + 1])
    return len(nodes)


def _aligned(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


def _check_arrays(trees: FlatTrees) -> None:
    """Raise ValueError unless the arrays and the head fit together."""
    if not len(trees.roots):
        raise ValueError("no trees")
    if len(trees.groups) != len(trees.roots):
        raise ValueError("groups has another length than roots")
    if not 0 < trees.features <= MAX_FEATURES or trees.kinds.max() > TRUNCATED:
        raise ValueError("kinds are not those of columns")
    if not trees.outputs or len(trees.vectors) % trees.outputs:
        raise ValueError("base or vectors is of another length than the outputs")
    if trees.groups.max() >= trees.outputs:
        raise ValueError("groups points outside")
    starts = trees.set_starts.astype(np.int64)
    if not len(starts) or starts[0] != 0 or starts[-1] != len(trees.sets) or (np.diff(starts) < 1).any():
        raise ValueError("set_starts points outside")
    for name in ("base", "vectors"):
        if not np.isfinite(getattr(trees, name)).all():
            raise ValueError(f"a value of {name} is not a number")
    widths = {trees.float_width, trees.sum_width}
    flags = {type(trees.inclusive), type(trees.average)}
    if not widths <= {32, 64} or flags != {bool} or trees.link not in LINKS or not 0 <= trees.zero_below < 1:
        raise ValueError("its head is not one of trees")
    if trees.average and (trees.sum_width == 32 or (trees.outputs > 1 and not len(trees.vectors))):
        raise ValueError("averages are of float64 sums, each tree adding to every output")


def _check_nodes(trees: FlatTrees) -> None:
    """Raise ValueError if a node points outside or back, so that a walk could run on."""
    nodes = trees.nodes
    here = np.arange(len(nodes))
    child, value = nodes["child"].astype(np.int64), nodes["value"]
    is_leaf, in_sets = nodes["flags"] & LEAF != 0, nodes["flags"] & (LEAF | CATEGORICAL) == CATEGORICAL
    if trees.roots.max() >= len(nodes):
        raise ValueError("roots points outside")
    if (child >= len(nodes)).any():
        raise ValueError("child points outside")
    if (nodes["slot"] >> 1 >= trees.features).any():
        raise ValueError("slot points outside")
    if (child[~is_leaf] + 1 >= len(nodes)).any():
        raise ValueError("child points outside")
    ends = is_leaf[child] & is_leaf[np.minimum(child + 1, len(nodes) - 1)]  # a pair of leaves may lie anywhere
    if not np.where(is_leaf, child == here, (child > here) | ends).all():
        raise ValueError("a node points back")
    if not (value[~is_leaf] > -np.inf).all() or not np.isfinite(value[is_leaf | in_sets]).all():
        raise ValueError("a value is not a number")
    numbered = [(in_sets, len(trees.set_starts) - 1)]
    numbered += [(is_leaf, len(trees.vectors) // trees.outputs)] if len(trees.vectors) else []
    for those, limit in numbered:
        if ((value[those] < 0) | (value[those] >= limit) | (value[those] % 1 != 0)).any():
            raise ValueError("a set or a vector is named that there is not")
    if (trees.kinds[nodes["slot"][in_sets] >> 1] == NUMBER).any():
        raise ValueError("a set is asked for of a column of numbers")
    if trees.depth != depth_of(nodes, trees.roots):
        raise ValueError("its head does not fit its trees")
