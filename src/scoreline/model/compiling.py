"""From a fitted estimator to what serves it: its file, its flat trees, the corpus, and who was proved on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scoreline.errors import ArtifactError
from scoreline.model.artifact import CORPUS_SUFFIX, TREES_SUFFIX
from scoreline.model.estimator import library_of, load_estimator, save_estimator
from scoreline.model.evaluate import raw_scores
from scoreline.model.importing import import_trees
from scoreline.model.inputs import Matrix
from scoreline.model.parity import Corpus, Difference, first_difference, make_corpus, save_corpus
from scoreline.model.runtimes import EstimatorRuntime, Runtime, present_runtimes, prove
from scoreline.model.trees import FlatTrees, Floats


@dataclass(frozen=True)
class Compiled:
    """What serves a head.

    Attributes
    ----------
    trees : None where parity refused them
    runtime : the fastest that was proved
    proved : identities of all that were proved
    refused : what was not proved -> why; with it, the first row of the corpus that differs
    """

    trees: FlatTrees | None
    runtime: Runtime
    proved: list[str]
    refused: dict[str, str]

    @property
    def why_not(self) -> str | None:
        """Why the estimator itself serves; None where something faster does, or is only not installed here."""
        return "; ".join(self.refused.values()) or None if self.runtime.name == "estimator" else None


def compile_estimator(estimator: Any, training: Matrix, base: Path, seed: int) -> Compiled:
    """Write an estimator, its flat trees and its parity corpus beside one another; prove who answers as it does.

    Where the trees do not, they are left out and the estimator serves.

    Parameters
    ----------
    training : float64 of shape (n, features); the rows that it was fitted on
    base : path of the files, without suffix

    Raises
    ------
    ArtifactError
        The estimator can't be kept in a file that is read back without danger, or that file answers otherwise.
    """
    file = save_estimator(estimator, base)
    refused: dict[str, str] = {}
    candidates: list[FlatTrees] = []
    try:
        candidates = [import_trees(estimator, features=training.shape[1], float_width=width) for width in (64, 32)]
    except ArtifactError as error:
        refused["trees"] = str(error)
    link = candidates[0].link if candidates else _link_of(estimator)
    rows = make_corpus(training, candidates[0] if candidates else None, seed)
    corpus = Corpus(*answered(estimator, rows), link)
    trees, difference = exact_trees(candidates, corpus)
    if difference is not None:
        refused["trees"] = str(difference)
    last_resort = EstimatorRuntime(load_estimator(file))
    if prove(last_resort, corpus) is not None:
        raise ArtifactError("its file does not answer as the estimator does")
    proved: list[Runtime] = []
    if trees is not None:
        trees.save(base.with_suffix(TREES_SUFFIX))
        for runtime in present_runtimes(FlatTrees.load(base.with_suffix(TREES_SUFFIX))):
            if (difference := prove(runtime, corpus)) is None:
                proved.append(runtime)
            else:
                refused[runtime.identity] = str(difference)
    proved.append(last_resort)
    save_corpus(base.with_suffix(CORPUS_SUFFIX), corpus)
    return Compiled(trees, proved[0], [runtime.identity for runtime in proved], refused)


def answered(estimator: Any, rows: Matrix) -> tuple[Matrix, Floats]:
    """Return the rows that an estimator answers, and its raw scores of them.

    Some take no value that is infinite as float32, some no missing one either.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = rows.astype(np.float32)
        choices = (rows, rows[~np.isinf(narrow).any(axis=1)], rows[np.isfinite(narrow).all(axis=1)])
        for choice in choices[:-1]:
            try:
                return choice, raw_scores(estimator, choice)
            except ValueError:
                continue
        return choices[-1], raw_scores(estimator, choices[-1])


def _link_of(estimator: Any) -> str:
    """Return what makes probabilities of the raw scores of an estimator of two classes that has no trees."""
    is_probability = library_of(estimator) == "sklearn" and not hasattr(estimator, "decision_function")
    return "identity" if is_probability else "logistic"


def exact_trees(candidates: list[FlatTrees], corpus: Corpus) -> tuple[FlatTrees | None, Difference | None]:
    """Return the trees of the float width that reproduces the estimator; where none does, why the first does not."""
    first: Difference | None = None
    for trees in candidates:
        difference = first_difference(corpus.raw, trees.predict_raw(corpus.rows), corpus.link)
        if difference is None:
            return trees, None
        first = first or difference
    return None, first
