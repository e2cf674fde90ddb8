"""Runtimes: what walks flat trees when a request comes. None is used before it was proved.

The fastest that is present serves: the kernel in C, which is built where a compiler is at hand, else
treelite's GTIL, made from the same file, else the estimator itself, where parity refuses both.
"""

from __future__ import annotations

import contextlib
import importlib
import platform
from collections.abc import Callable, Collection
from dataclasses import fields
from typing import Any, Protocol

import numpy as np

from scoreline.errors import ArtifactError
from scoreline.model.estimator import library_of
from scoreline.model.evaluate import raw_scores
from scoreline.model.inputs import Matrix
from scoreline.model.parity import Corpus, Difference, first_difference
from scoreline.model.trees import CATEGORICAL, LEAF, SET_GOES_RIGHT, FlatTrees, Floats

RUNTIMES = ("kernel", "gtil", "estimator")  # the fastest first
_KERNEL_VERSION = 1  # as in _kernel.c; an extension left over from another version is not used


class Runtime(Protocol):
    """Gives the raw scores of rows, as `FlatTrees.predict_raw` does.

    Attributes
    ----------
    name : one of RUNTIMES
    identity : name, version and machine; what was proved of one says nothing of another
    """

    name: str
    identity: str

    def predict_raw(self, matrix: Matrix) -> Floats:
        """Return raw scores, float64 of shape (n,) or (n, outputs)."""


class RuntimeAbsentError(Exception):
    """A runtime is not installed here."""


class KernelRuntime:
    """The walk in C, over the arrays where they lie in the mapped file.

    Raises
    ------
    RuntimeAbsentError
        The extension was not built, or is of another version.
    """

    name = "kernel"

    def __init__(self, trees: FlatTrees) -> None:
        try:
            from scoreline.model import _kernel
        except ImportError as error:
            raise RuntimeAbsentError("it was not built when Scoreline was installed") from error
        if _kernel.VERSION != _KERNEL_VERSION:
            raise RuntimeAbsentError("it was built of another version of Scoreline")
        self.identity = _identity(self.name, str(_kernel.VERSION))
        self._outputs = trees.outputs
        left_out = {"depth", "link"}
        given = {field.name: getattr(trees, field.name) for field in fields(trees) if field.name not in left_out}
        self._trees = _kernel.Trees(**given)

    def predict_raw(self, matrix: Matrix) -> Floats:
        """Return raw scores, equal to those of `FlatTrees.predict_raw` to the last bit."""
        raw = np.empty((len(matrix), self._outputs))
        self._trees.predict(np.ascontiguousarray(matrix, np.float64), raw)
        return raw[:, 0] if self._outputs == 1 else raw


class GtilRuntime:
    """treelite's General Tree Inference Library, over a model made of the flat trees.

    Raises
    ------
    RuntimeAbsentError
        treelite is not installed.
    """

    name = "gtil"

    def __init__(self, trees: FlatTrees) -> None:
        try:
            import treelite
        except ImportError as error:
            raise RuntimeAbsentError("treelite is not installed") from error
        self.identity = _identity(self.name, treelite.__version__)
        self._trees, self._predict = trees, treelite.gtil.predict
        self._model = _treelite_model(trees)

    def predict_raw(self, matrix: Matrix) -> Floats:
        """Return raw scores; sums may differ from those of `FlatTrees.predict_raw` in the last bits."""
        rows = np.ascontiguousarray(self._trees.prepare(matrix), np.float64)
        # one thread: more would have to be made before the workers fork
        raw = np.asarray(self._predict(self._model, rows, nthread=1, pred_margin=True), np.float64)
        return raw.reshape(len(rows), -1) if self._trees.outputs > 1 else raw.reshape(len(rows))


class EstimatorRuntime:
    """The estimator itself: slow, and with its library in every process. The last resort."""

    name = "estimator"

    def __init__(self, estimator: Any) -> None:
        library = importlib.import_module(library_of(estimator))
        self.identity = _identity(self.name, f"{library.__name__} {library.__version__}")
        self._estimator = estimator
        if hasattr(estimator, "n_jobs"):
            estimator.n_jobs = 1

    def predict_raw(self, matrix: Matrix) -> Floats:
        """Return raw scores; a value that the estimator refuses is taken for the nearest that it takes."""
        try:
            return raw_scores(self._estimator, matrix)
        except ValueError:  # it takes no infinite value, or no missing one, whose answer its head leaves out
            limit = float(np.finfo(np.float32).max)
            rows = np.clip(matrix, -limit, limit)
        try:
            return raw_scores(self._estimator, rows)
        except ValueError:
            return raw_scores(self._estimator, np.nan_to_num(rows))


def prove(runtime: Runtime, corpus: Corpus) -> Difference | None:
    """Hold a runtime to the estimator's own answers; None where it reproduces them."""
    return first_difference(corpus.raw, runtime.predict_raw(corpus.rows), corpus.link)


def present_runtimes(trees: FlatTrees) -> list[Runtime]:
    """Return the runtimes over flat trees that are installed here, the fastest first."""
    present: list[Runtime] = []
    for kind in (KernelRuntime, GtilRuntime):
        with contextlib.suppress(RuntimeAbsentError):
            present.append(kind(trees))
    return present


def choose_runtime(
    trees: FlatTrees | None,
    *,
    proved: Collection[str],
    corpus: Callable[[], Corpus],
    estimator: Callable[[], Any],
    wanted: str | None = None,
    where: str = "the model",
) -> Runtime:
    """Return the fastest runtime that is present and proved; prove one that training did not know.

    Parameters
    ----------
    trees : None where parity refused them at training
    proved : identities of the runtimes that training proved
    corpus, estimator : read them, if it comes to that
    wanted : one of RUNTIMES, to have that one alone
    where : what the error message starts with

    Raises
    ------
    ArtifactError
        None is present and answers as the estimator did in training: the message says why of each.
    """
    why: list[str] = []
    for name in RUNTIMES if wanted is None else (wanted,):
        try:
            runtime = _make(name, trees, estimator)
        except RuntimeAbsentError as absent:
            why.append(f"{name}: {absent}")
            continue
        if runtime.identity in proved:
            return runtime
        difference = prove(runtime, corpus())
        if difference is None:
            return runtime
        why.append(f"{name}: {difference}")
    what, hint = "no runtime scores", "Run `scoreline train` again."
    if wanted is not None:
        what = f"{wanted}, which SCORELINE_RUNTIME asks for, does not score"
        hint = "Unset it to have the fastest that does."
    raise ArtifactError(f"{where}: {what} as the estimator did in training ({'; '.join(why)}). {hint}")


def _make(name: str, trees: FlatTrees | None, estimator: Callable[[], Any]) -> Runtime:
    if name == "estimator":
        return EstimatorRuntime(estimator())
    if trees is None:
        raise RuntimeAbsentError("parity refused its trees in training")
    return KernelRuntime(trees) if name == "kernel" else GtilRuntime(trees)


def _identity(name: str, version: str) -> str:
    return f"{name} {version} {platform.machine()}"


def _treelite_model(trees: FlatTrees) -> Any:
    from treelite.model_builder import Metadata, ModelBuilder, PostProcessorFunc, TreeAnnotation

    several, vectors = trees.outputs > 1, trees.vectors.reshape(-1, trees.outputs)
    # GTIL adds base scores last, which rounds otherwise; as trees of one leaf they come first
    first = [] if trees.average else list(enumerate(trees.base.tolist()))
    groups = [output for output, _ in first] + trees.groups.tolist()
    count = len(groups)
    width = "float32" if trees.sum_width == 32 == trees.float_width else "float64"  # it adds in what leaves are
    builder: Any = ModelBuilder(
        threshold_type=width,
        leaf_output_type=width,
        metadata=Metadata(
            num_feature=trees.features,
            task_type="kMultiClf" if several else "kRegressor",
            average_tree_output=trees.average,
            num_target=1,
            num_class=[trees.outputs],
            leaf_vector_shape=(1, trees.outputs if len(trees.vectors) else 1),
        ),
        tree_annotation=TreeAnnotation(
            num_tree=count,
            target_id=[-1 if len(trees.vectors) else 0] * count,
            class_id=[-1] * count if len(trees.vectors) else groups,
        ),
        postprocessor=PostProcessorFunc("identity_multiclass" if several else "identity"),
        base_scores=trees.base.tolist() if trees.average else [0.0] * trees.outputs,
    )
    for output, base in first:
        builder.start_tree()
        builder.start_node(0)
        builder.leaf([base * (output == each) for each in range(trees.outputs)] if len(trees.vectors) else base)
        builder.end_node()
        builder.end_tree()
    for root in trees.roots.tolist():
        builder.start_tree()
        _add_nodes(builder, trees, vectors, root)
        builder.end_tree()
    return builder.commit()


def _add_nodes(builder: Any, trees: FlatTrees, vectors: Floats, root: int) -> None:
    waiting = [root]
    while waiting:
        key = waiting.pop()
        value, child, slot, flags = trees.nodes[key].tolist()
        builder.start_node(key - root)
        if flags & LEAF:
            builder.leaf(vectors[int(value)].tolist() if len(vectors) else value)
        else:
            children = {"left_child_key": child - root, "right_child_key": child + 1 - root}
            missing_left = bool(slot & 1)
            if flags & CATEGORICAL:
                builder.categorical_test(
                    slot >> 1,
                    default_left=missing_left,
                    category_list=trees.categories(int(value)).tolist(),
                    category_list_right_child=bool(flags & SET_GOES_RIGHT),
                    **children,
                )
            else:
                operator = "<=" if trees.inclusive else "<"
                builder.numerical_test(slot >> 1, value, default_left=missing_left, opname=operator, **children)
            waiting += [child + 1, child]
        builder.end_node()
