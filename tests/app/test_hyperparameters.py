"""Hyperparameters: declared with values, read by the type of those, refused by name."""

from __future__ import annotations

import pytest

from scoreline import App
from scoreline.errors import AppError, SettingError

WHERE = "hyperparameters.json"


@pytest.fixture
def tuning():
    return App("x").hyperparameters(max_iter=100, learning_rate=0.1, criterion="gini", early_stopping=False)


def test_they_are_what_was_declared_as_a_mapping_and_by_name(tuning):
    assert dict(tuning) == {"max_iter": 100, "learning_rate": 0.1, "criterion": "gini", "early_stopping": False}
    assert (tuning.max_iter, tuning["criterion"], len(tuning), "criterion" in tuning) == (100, "gini", 4, True)
    assert dict(**tuning) == dict(tuning)


@pytest.mark.parametrize(
    ("name", "given", "read"),
    [
        ("max_iter", "200", 200),
        ("max_iter", '"200"', 200),
        ("max_iter", " 200 ", 200),
        ("max_iter", "200.0", 200),
        ("max_iter", "9007199254740993", 9007199254740993),
        ("max_iter", "-1", -1),
        ("max_iter", 200, 200),
        ("learning_rate", "0.25", 0.25),
        ("learning_rate", '"0.25"', 0.25),
        ("learning_rate", "1e-3", 0.001),
        ("learning_rate", "1", 1.0),
        ("learning_rate", 1, 1.0),
        ("criterion", "entropy", "entropy"),
        ("criterion", '"entropy"', "entropy"),
        ("criterion", "12", "12"),
        ("criterion", "true", "true"),
        ("criterion", "", ""),
        ("early_stopping", "true", True),
        ("early_stopping", '"True"', True),
        ("early_stopping", "1", True),
        ("early_stopping", "FALSE", False),
        ("early_stopping", "0", False),
        ("early_stopping", True, True),
    ],
)
def test_a_value_is_read_by_the_type_of_the_declared_one(tuning, name, given, read):
    tuning.take({name: given}, WHERE)
    assert tuning[name] == read
    assert type(tuning[name]) is type(read)


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        *(("max_iter", bad, "expected a whole number such as 100, got ") for bad in ("1.5", "many", "", "true", "1_0")),
        *(("max_iter", bad, "expected a whole number such as 100, got ") for bad in ("inf", "null", True, 1.5, None)),
        *(("learning_rate", bad, "expected a number such as 0.1, got ") for bad in ("fast", "nan", "1e999", "true")),
        *(("learning_rate", bad, "expected a number such as 0.1, got ") for bad in ("[1]", [1], {"a": 1}, True)),
        *(("early_stopping", bad, "expected true or false such as false, got ") for bad in ("2", "maybe", 1, "1.0")),
        *(("criterion", bad, 'expected a text such as "gini", got ') for bad in (1, True, None, ["gini"])),
    ],
)
def test_a_value_of_another_type_is_refused_by_name(tuning, name, given, says):
    with pytest.raises(SettingError) as caught:
        tuning.take({name: given}, WHERE)
    assert str(caught.value).startswith(f"{WHERE}: hyperparameter '{name}': {says}")


def test_an_unknown_name_is_refused_with_the_closest_and_all_that_is_wrong_is_said_at_once(tuning):
    with pytest.raises(SettingError) as caught:
        tuning.take({"max_iters": "5", "learning_rate": "fast", "criterion": "entropy"}, WHERE)
    assert str(caught.value) == (
        "hyperparameters.json: app.py declares no hyperparameter 'max_iters'. Did you mean 'max_iter'? Declared: "
        "max_iter, learning_rate, criterion, early_stopping; hyperparameter 'learning_rate': expected a number such as "
        '0.1, got "fast"'
    )
    assert tuning.criterion == "gini", "none is taken where one is wrong"


def test_names_of_the_platforms_own_tools_are_passed_over(tuning):
    tuning.take({"sagemaker_program": "train.py", "_tuning_objective_metric": "auc", "max_iter": "7"}, WHERE)
    assert tuning.max_iter == 7


def test_an_app_that_declares_none_takes_none():
    none = App("x").declared_hyperparameters
    none.take({"sagemaker_region": "us-east-1"}, WHERE)
    with pytest.raises(SettingError, match=r"no hyperparameter 'max_iter'\. Declared: none"):
        none.take({"max_iter": "1"}, WHERE)


def test_a_misspelt_name_in_app_py_is_told_the_closest(tuning):
    with pytest.raises(AttributeError, match=r"no hyperparameter 'max_itr'\. Did you mean 'max_iter'\?"):
        _ = tuning.max_itr


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({}, "expected at least one"),
        ({"max_depth": None}, "expected max_depth= a value of the type that it has .*, got None"),
        ({"layers": [1, 2]}, "expected layers= a value"),
        ({"take": 1}, "'take' is a name of ours"),
        ({"sagemaker_x": 1}, "'sagemaker_x' is a name of ours"),
    ],
)
def test_what_can_not_be_declared_is_refused_by_name(declared, says):
    with pytest.raises(AppError, match=says):
        App("x").hyperparameters(**declared)


def test_they_are_declared_once():
    app = App("x")
    app.hyperparameters(a=1)
    with pytest.raises(AppError, match="declared twice"):
        app.hyperparameters(b=1)
