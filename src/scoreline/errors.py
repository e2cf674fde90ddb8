"""The exception tree.

Every error that a user can cause derives from `ScorelineError`, also inherits the builtin that a
caller would expect, and says where, what was expected, what came and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ScorelineError(Exception):
    """The base of all errors raised on purpose. `str(error)` is fit to be shown to a user."""


class AppError(ScorelineError, ValueError):
    """A mistake in an app's own files (`app.py`, `predictor.py`)."""


class SettingError(ScorelineError, ValueError):
    """An option or environment variable has a value that can't be used."""


class TableError(ScorelineError, ValueError):
    """A table's file is missing, ambiguous or unreadable, or too many of its rows are bad."""


class SourceAwayError(ScorelineError, RuntimeError):
    """Where a table's file comes from can't be reached, or doesn't let us in."""


class SourceContentError(ScorelineError, ValueError):
    """Where a table's file comes from was reached, but the file is missing, too large or not whole."""


class FeatureError(ScorelineError, ValueError):
    """The feature table could not be built, or failed its own check."""


class StampError(FeatureError):
    """The feature table or its online store is missing, unstamped or torn."""


class ArtifactError(ScorelineError, ValueError):
    """The model artifact is missing, damaged, or does not belong to the app."""


class StoreError(ScorelineError, RuntimeError):
    """The online store can't be opened or read."""


class StoreAwayError(StoreError):
    """The networked online store can't be reached, or does not let us in: nothing can be looked up for now."""


class StoreLostError(StoreAwayError):
    """The networked online store no longer holds all that was published: that a key is missing would be a guess."""


class GenerationError(ScorelineError, RuntimeError):
    """A generation can't be built, read, published or rolled back to."""


class PinnedError(GenerationError):
    """Nothing new is published: a rollback holds on to a generation until it is unpinned."""


class ServeError(ScorelineError, RuntimeError):
    """The server could not start, or one of its parts died."""


class InferenceError(ScorelineError, RuntimeError):
    """The batch client could not do its work."""


class ScoringError(ScorelineError, RuntimeError):
    """Batch scoring without a server could not do its work."""


class SparkError(ScorelineError, RuntimeError):
    """Spark can't be started or reached, or its work failed."""


class ContainerError(ScorelineError, RuntimeError):
    """An image can't be built, run or pushed."""


class DeployError(ScorelineError, RuntimeError):
    """A model can't be deployed, or does not answer as it should where it was."""


class AwsError(ScorelineError, RuntimeError):
    """AWS can't be asked, or refuses.

    Attributes
    ----------
    code : AWS's own name for the refusal; empty where no answer came
    said : AWS's own words; empty where no answer came
    """

    def __init__(self, message: str, code: str = "", said: str = "") -> None:
        super().__init__(message)
        self.code, self.said = code, said


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` for the closest of `known`, or an empty string.

    Examples
    --------
    >>> did_you_mean("shiped_at", ["order_id", "shipped_at"])
    " Did you mean 'shipped_at'?"
    >>> did_you_mean("zzz", ["order_id"]), did_you_mean("order_id", ["order_id"])
    ('', '')
    """
    others = [other for other in known if other != name]  # a name that is known is wrong for another reason
    close = difflib.get_close_matches(name, others, n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""
