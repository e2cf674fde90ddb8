"""Hyperparameters: named values that estimators are made with, and that training may be given others for."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from scoreline.errors import AppError, SettingError, did_you_mean

Value = bool | int | float | str
_EXPECTS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
_PLATFORMS = ("sagemaker_", "_tuning_")  # how names begin that a platform adds for its own tools


class Hyperparameters(Mapping[str, Value]):
    """The hyperparameters of an app: a mapping of name to value, each a name of the object as well.

    Examples
    --------
    >>> tuning = Hyperparameters({"max_iter": 100, "learning_rate": 0.1})
    >>> tuning.take({"max_iter": "200", "sagemaker_region": "us-east-1"}, "hyperparameters.json")
    >>> dict(tuning), tuning.max_iter
    ({'max_iter': 200, 'learning_rate': 0.1}, 200)
    """

    def __init__(self, defaults: Mapping[str, Value]) -> None:
        self._values = dict(defaults)

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_values"][name]
        except KeyError:
            raise AttributeError(
                f"app.py declares no hyperparameter '{name}'.{did_you_mean(name, self.__dict__.get('_values', ()))}"
            ) from None

    def take(self, given: Mapping[str, object], where: str) -> None:
        """Take other values than the declared ones, all of them or, where one is not good, none.

        Parameters
        ----------
        given : name -> value
            As text, which platforms send, also text that is JSON; or as JSON has it. Names that a platform adds
            for its own tools (`sagemaker_...`) are passed over.
        where : what they come from, as shown to people

        Raises
        ------
        SettingError
            A name is not declared, or a value is not of the declared type: all of them are said.
        """
        ours = {name: value for name, value in given.items() if not name.startswith(_PLATFORMS)}
        wrong, read = [], {}
        for name, value in ours.items():
            if name not in self._values:
                declared = ", ".join(self._values) or "none"
                hint = did_you_mean(name, self._values)
                wrong.append(f"app.py declares no hyperparameter '{name}'.{hint} Declared: {declared}")
                continue
            try:
                read[name] = _read(value, type(self._values[name]))
            except ValueError:
                expects = f"{_EXPECTS[type(self._values[name])]} such as {json.dumps(self._values[name])}"
                wrong.append(f"hyperparameter '{name}': expected {expects}, got {json.dumps(value)}")
        if wrong:
            raise SettingError(f"{where}: {'; '.join(wrong)}")
        self._values |= read


def declare_hyperparameters(defaults: Mapping[str, object]) -> Hyperparameters:
    """Check the declared values; AppError names one that has no type to read others by."""
    if not defaults:
        raise AppError("hyperparameters: expected at least one, for example app.hyperparameters(max_iter=100)")
    checked: dict[str, Value] = {}
    for name, value in defaults.items():
        if not isinstance(value, (bool, int, float, str)):
            raise AppError(
                f"hyperparameters: expected {name}= a value of the type that it has (true or false, a number, a text), "
                f"got {value!r}"
            )
        if name in ("take", "keys", "items", "values", "get") or name.startswith(("_", "sagemaker_")):
            raise AppError(f"hyperparameters: '{name}' is a name of ours; choose another")
        checked[name] = value
    return Hyperparameters(checked)


def _read(value: object, kind: type) -> Value:
    """Read a value as the type of its default; ValueError where it is none."""
    if isinstance(value, str):
        value = _unwrapped(value)
        if kind is str:
            return value
        value = {"true": True, "false": False}.get(value.strip().lower(), value)
        return _number(value, kind) if isinstance(value, str) else _same(value, kind)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return _same(value, kind)


def _unwrapped(text: str) -> str:
    """Take a text out of the JSON that some clients wrap it in: `"gini"` in quotes."""
    try:
        decoded = json.loads(text)
    except ValueError:
        return text
    return decoded if isinstance(decoded, str) else text


def _number(text: str, kind: type) -> Value:
    if kind is bool:
        return {"1": True, "0": False}[text] if text in ("0", "1") else _same(text, kind)
    value = float(text)
    if not math.isfinite(value) or "_" in text:
        raise ValueError(text)
    if kind is float:
        return value
    if not value.is_integer():
        raise ValueError(text)
    return int(text) if text.strip().lstrip("+-").isdigit() else int(value)


def _same(value: object, kind: type) -> Value:
    if type(value) is not kind:
        raise ValueError(value)
    checked: Value = value  # type: ignore[assignment]  # kind is one of Value's
    return checked
