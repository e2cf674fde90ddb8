"""Runtimes: kernel and GTIL answer as the walk in numpy does, none is used unproved, and none is needed."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from scoreline.errors import ArtifactError
from scoreline.model import runtimes
from scoreline.model.artifact import load_artifact
from scoreline.model.packing import Tree, pack_trees
from scoreline.model.parity import Corpus
from scoreline.model.runtimes import RUNTIMES, GtilRuntime, KernelRuntime, RuntimeAbsentError, choose_runtime
from scoreline.model.trees import EXACT, FLOORED, TRUNCATED, FlatTrees
from scoreline.predictor import Predictor, check_golden
from scoreline.settings import resolve_settings

pytestmark = pytest.mark.needs("kernel")
with contextlib.suppress(ImportError):
    from scoreline.model import _kernel

ODD = (np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, -5e-324, 1e-310, 1e-36, 1.7e308, 1e39, 2.0, 3.0, -0.5, 40.0, 1e12)


def random_tree(rng, *, features, leaves, outputs, categories):
    """Grow a tree at random; some splits of the columns in `categories` ask for a set."""
    tree = {"left": [-1], "right": [-1], "feature": [0], "threshold": [0.0], "default_left": [False]}
    sets, right_sets = {}, {}
    while sum(child < 0 for child in tree["left"]) < leaves:
        node = int(rng.choice([node for node, child in enumerate(tree["left"]) if child < 0]))
        size, feature = len(tree["left"]), int(rng.integers(features))
        tree["left"][node], tree["right"][node], tree["feature"][node] = size, size + 1, feature
        tree["threshold"][node] = float(rng.choice([rng.normal(), 0.0, 2.0, np.inf]))
        tree["default_left"][node] = bool(rng.integers(2))
        if feature in categories:
            listed = np.flatnonzero(rng.random(int(rng.integers(1, 70))) < 0.4)
            (sets if rng.integers(2) else right_sets)[node] = listed
        for name, blank in {"left": -1, "right": -1, "feature": 0, "threshold": 0.0, "default_left": False}.items():
            tree[name] += [blank, blank]
    shape = (len(tree["left"]), outputs) if outputs > 1 else len(tree["left"])
    return Tree(**tree, value=rng.normal(size=shape).astype(np.float32).astype(float), sets=sets, right_sets=right_sets)


def random_trees(seed):
    """Make flat trees in which everything varies that flat trees can say."""
    rng = np.random.default_rng(seed)
    features, outputs = int(rng.integers(1, 6)), int(rng.choice([1, 1, 3]))
    categories = set(np.flatnonzero(rng.random(features) < 0.3).tolist()) if rng.integers(2) else set()
    vectors = outputs > 1 and bool(rng.integers(2))
    narrow = bool(rng.integers(2))
    grow = {"features": features, "outputs": outputs if vectors else 1, "categories": categories}
    grown = [random_tree(rng, **grow, leaves=int(rng.integers(1, 20))) for _ in range(int(rng.integers(1, 30)))]
    kinds = [int(rng.choice([EXACT, FLOORED, TRUNCATED])) if each in categories else 0 for each in range(features)]
    average = bool(rng.integers(2)) and (vectors or outputs == 1) and not narrow
    base = np.zeros(outputs) if average else rng.normal(size=outputs).astype(np.float32)
    made = pack_trees(
        [round_thresholds(tree) for tree in grown] if narrow else grown,
        base=base, features=features, groups=None if vectors else rng.integers(outputs, size=len(grown)), kinds=kinds,
        inclusive=bool(rng.integers(2)), float_width=32 if narrow else 64, sum_width=32 if narrow else 64,
        average=average, zero_below=float(rng.choice([0.0, 1e-35])), link="identity",
    )  # fmt: skip
    rows = rng.normal(size=(301, features)) * 10 ** rng.uniform(-3, 3, size=(301, features))
    return made, np.where(rng.random(rows.shape) < 0.4, rng.choice(ODD, rows.shape), rows)


def round_thresholds(tree):
    return dataclasses.replace(tree, threshold=np.float32(tree.threshold).astype(float))


@pytest.mark.parametrize("seed", range(60))
def test_the_kernel_equals_the_walk_in_numpy_to_the_last_bit(seed):
    made, rows = random_trees(seed)
    expected, kernel = made.predict_raw(rows), KernelRuntime(made)
    assert np.array_equal(kernel.predict_raw(rows), expected)
    for count in (1, 7, 8, 9, 17, 0):
        assert np.array_equal(kernel.predict_raw(rows[:count]), expected[:count])
    alone = np.array([kernel.predict_raw(rows[n : n + 1])[0] for n in range(40)])
    assert np.array_equal(alone, expected[:40])


@pytest.mark.parametrize("seed", range(30))
def test_gtil_equals_the_walk_in_numpy_to_the_last_bit(seed):
    made, rows = random_trees(seed)
    assert np.array_equal(GtilRuntime(made).predict_raw(rows), made.predict_raw(rows))


def stump(**changes):
    tree = Tree([1, -1, -1], [2, -1, -1], [0, 0, 0], [0.5, 0, 0], [True, False, False], [0, -1.0, 1.0])
    return pack_trees([tree], **{"base": [0.0], "features": 2, **changes})


def test_many_columns_and_many_rows_do_not_fit_on_the_stack_and_are_scored_alike():
    rng = np.random.default_rng(0)
    tree = random_tree(rng, features=300, leaves=50, outputs=1, categories=set())
    made, rows = pack_trees([tree] * 3, base=[0.0], features=300), rng.normal(size=(700, 300))
    assert np.array_equal(KernelRuntime(made).predict_raw(rows), made.predict_raw(rows))
    assert KernelRuntime(made).predict_raw(rows[:1])[0] == made.predict_raw(rows[:1])[0]


@pytest.mark.parametrize("order", ["F", "strided", "float32", "read-only"])
def test_a_matrix_may_lie_in_memory_in_any_way(order):
    rows = np.random.default_rng(0).normal(size=(50, 2)).round(1)
    given = {
        "F": np.asfortranarray(rows), "strided": np.repeat(rows, 2, axis=0)[::2], "float32": rows.astype(np.float32),
        "read-only": rows.copy(),
    }[order]  # fmt: skip
    given.flags.writeable = False
    expected = stump().predict_raw(given.astype(np.float64))
    assert KernelRuntime(stump()).predict_raw(given).tolist() == expected.tolist()


def kernel_trees(made, **changes):
    names = ("nodes", "roots", "groups", "vectors", "sets", "set_starts", "kinds", "base", "inclusive", "float_width",
             "sum_width", "average", "zero_below")  # fmt: skip
    return _kernel.Trees(**{**{name: getattr(made, name) for name in names}, **changes})


@pytest.mark.parametrize(
    ("rows", "out"),
    [((3, 2), 2), ((3, 2), 4), ((3, 3), 3), ((1, 1), 1), ((0, 2), 1)],
    ids=["out-too-short", "out-too-long", "three-columns", "one-column", "no-rows-but-an-out"],
)
def test_the_kernel_refuses_arrays_of_another_shape(rows, out):
    with pytest.raises(ValueError, match="another shape"):
        kernel_trees(stump()).predict(np.zeros(rows), np.zeros(out))


def test_the_kernel_refuses_what_it_can_not_write_to_or_read():
    trees, out = kernel_trees(stump()), np.zeros(1)
    out.flags.writeable = False
    for matrix, target in ((np.zeros((1, 2)), out), (np.zeros((2, 2)).T[:1], np.zeros(1)), (None, np.zeros(1))):
        with pytest.raises((ValueError, TypeError, BufferError)):
            trees.predict(matrix, target)
    with pytest.raises(TypeError):
        trees.predict(np.zeros((1, 2)))
    with pytest.raises(ValueError, match="not aligned"):
        trees.predict(np.zeros(17, np.uint8)[1:], np.zeros(1))


@pytest.mark.parametrize(
    "changes",
    [{"roots": np.zeros(0, np.uint32)}, {"kinds": np.zeros(0, np.uint8)}, {"base": np.zeros(0)},
     {"nodes": np.zeros(17, np.uint8)}, {"nodes": np.zeros(48, np.uint8)[1:33]}, {"base": [1.0]}],
    ids=["no-trees", "no-columns", "no-outputs", "half-a-node", "not-aligned", "no-array"],
)  # fmt: skip
def test_the_kernel_refuses_arrays_that_are_none_of_trees(changes):
    with pytest.raises((ValueError, TypeError)):
        kernel_trees(stump(), **changes)


def test_the_kernel_keeps_the_file_mapped_as_long_as_it_lives(tmp_path):
    made, rows = random_trees(3)
    made.save(tmp_path / "a.trees")
    kernel = KernelRuntime(FlatTrees.load(tmp_path / "a.trees"))
    (tmp_path / "a.trees").unlink()
    assert np.array_equal(kernel.predict_raw(rows), made.predict_raw(rows))


def test_threads_may_share_a_kernel():
    made, rows = random_trees(5)
    rows = np.tile(rows, (40, 1))
    kernel, expected, wrong = KernelRuntime(made), made.predict_raw(rows), []

    def ask():
        for _ in range(20):
            wrong.extend([1] * (not np.array_equal(kernel.predict_raw(rows), expected)))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# Which one serves


def choose(made, *, proved=(), raw=None, wanted=None):
    rows = np.random.default_rng(0).normal(size=(50, 2))
    corpus = Corpus(rows, made.predict_raw(rows) if raw is None else raw)
    return choose_runtime(made, proved=proved, corpus=lambda: corpus, estimator=NoEstimator, wanted=wanted)


class NoEstimator:
    """Stands for an estimator of scikit-learn that answers 7 everywhere."""

    def decision_function(self, matrix):
        return np.full(len(matrix), 7.0)


def test_the_kernel_serves_where_it_answers_as_the_estimator_did():
    assert choose(stump()).name == "kernel"


def test_what_training_proved_is_not_proved_again():
    identity = KernelRuntime(stump()).identity
    assert choose(stump(), proved=[identity], raw=np.full(50, 3.0)).name == "kernel"


def test_a_kernel_of_another_version_or_machine_is_proved_anew():
    another = KernelRuntime(stump()).identity + "64"
    with pytest.raises(ArtifactError, match="no runtime scores as the estimator did"):
        choose(stump(), proved=[another], raw=np.full(50, 3.0))


def test_without_the_kernel_gtil_serves(monkeypatch):
    monkeypatch.setitem(sys.modules, "scoreline.model._kernel", None)
    monkeypatch.delattr("scoreline.model._kernel")
    assert choose(stump()).name == "gtil"


def test_a_kernel_left_over_from_another_version_is_not_used(monkeypatch):
    monkeypatch.setattr(_kernel, "VERSION", 99)
    with pytest.raises(RuntimeAbsentError, match="another version"):
        KernelRuntime(stump())
    assert choose(stump()).name == "gtil"


def test_a_kernel_that_answers_otherwise_is_refused_and_gtil_serves(monkeypatch):
    monkeypatch.setattr(KernelRuntime, "predict_raw", lambda self, matrix: np.full(len(matrix), 0.5))
    assert choose(stump()).name == "gtil"


def test_where_both_answer_otherwise_the_estimator_serves():
    chosen = choose(stump(), raw=np.full(50, 7.0))
    assert chosen.name == "estimator"
    assert chosen.predict_raw(np.zeros((2, 2))).tolist() == [7.0, 7.0]


def test_where_none_answers_as_the_estimator_did_it_says_why_of_each():
    with pytest.raises(ArtifactError) as caught:
        choose(stump(), raw=np.full(50, 3.0))
    assert all(f"{name}: row 0 of the parity corpus gives " in str(caught.value) for name in RUNTIMES)
    assert str(caught.value).endswith("Run `scoreline train` again.")


@pytest.mark.parametrize("name", ["kernel", "gtil"])
def test_one_runtime_can_be_asked_for(name):
    assert choose(stump(), wanted=name).name == name


def test_a_runtime_that_is_asked_for_and_answers_otherwise_is_an_error():
    with pytest.raises(ArtifactError, match=r"gtil, which SCORELINE_RUNTIME asks for, does not score as"):
        choose(stump(), raw=np.full(50, 7.0), wanted="gtil")


def test_the_setting_knows_the_runtimes():
    for name in RUNTIMES:
        assert resolve_settings({}, {"SCORELINE_RUNTIME": name.upper()}).runtime == name
    assert resolve_settings({}, {}).runtime is None


# Through the artifact


def test_the_manifest_names_the_runtimes_that_training_proved(trained):
    proved = json.loads((trained.model / "manifest.json").read_bytes())["heads"]["odds"]["proved"]
    assert [identity.split()[0] for identity in proved] == list(RUNTIMES)


@pytest.mark.parametrize("name", RUNTIMES)
def test_an_artifact_is_served_alike_by_each_runtime(trained, name):
    app, rows = trained.load(), np.random.default_rng(0).normal(size=(200, 4))
    rows[np.random.default_rng(1).random(rows.shape) < 0.2] = np.nan
    fastest, other = (load_artifact(trained.model, runtime=each) for each in (None, name))
    assert (fastest.learnt["odds"].runtime.name, other.learnt["odds"].runtime.name) == ("kernel", name)
    check_golden(Predictor(app, other), other)
    assert np.array_equal(Predictor(app, other).predict(rows)["odds"], Predictor(app, fastest).predict(rows)["odds"])


def test_an_unproved_kernel_is_proved_at_load_and_refused_if_it_answers_otherwise(trained, monkeypatch):
    monkeypatch.setattr(runtimes, "_KERNEL_VERSION", 2)
    monkeypatch.setattr(_kernel, "VERSION", 2)
    assert trained.artifact().learnt["odds"].runtime.name == "kernel"
    honest = KernelRuntime.predict_raw
    monkeypatch.setattr(KernelRuntime, "predict_raw", lambda self, matrix: honest(self, matrix) + 1e-5)
    assert trained.artifact().learnt["odds"].runtime.name == "gtil"


WITHOUT = """
import sys
from pathlib import Path

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name in {blocked}:
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Blocker())
import numpy as np
from scoreline.model.artifact import load_artifact

head = load_artifact(Path(sys.argv[1])).learnt["odds"]
rows = np.random.default_rng(0).normal(size=(50, 3))
print(head.runtime.name, "sklearn" in sys.modules, head.predict_raw(rows).tolist())
"""


@pytest.mark.parametrize(
    ("blocked", "runtime", "sklearn"),
    [
        pytest.param({"sklearn", "skops", "treelite"}, "kernel", False, id="kernel-alone"),
        pytest.param({"scoreline.model._kernel", "sklearn", "skops"}, "gtil", False, id="no-kernel"),
        pytest.param({"scoreline.model._kernel", "treelite"}, "estimator", True, id="neither"),
    ],
)
def test_a_process_in_which_a_part_is_not_installed_serves_the_same_answers(trained, blocked, runtime, sklearn):
    command = [sys.executable, "-c", WITHOUT.replace("{blocked}", repr(blocked)), str(trained.model)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    name, loaded, answers = ran.stdout.split(" ", 2)
    assert (name, loaded) == (runtime, str(sklearn))
    rows = np.random.default_rng(0).normal(size=(50, 3))
    assert json.loads(answers) == trained.artifact().learnt["odds"].trees.predict_raw(rows).tolist()
