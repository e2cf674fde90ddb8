"""The reply, as an app declares it: one field a column, each an echo or something a head says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scoreline.app.heads import Head, RulesHead, TreesHead
from scoreline.app.table import Column, Table
from scoreline.errors import AppError, did_you_mean


@dataclass(frozen=True)
class Echo:
    """A key column of the record, given back."""

    column: str


@dataclass(frozen=True)
class Decision:
    """The `then` of the rule that held."""

    head: str


@dataclass(frozen=True)
class Reason:
    """An object: the rule that held, and the values of the features it looked at."""

    head: str


@dataclass(frozen=True)
class Probability:
    """A learned head's probability, rounded to `digits`; null where the artifact has no such head."""

    head: str
    digits: int


ReplyField = Echo | Decision | Reason | Probability
decision, reason = Decision, Reason


def probability(head: str, *, digits: int = 4) -> Probability:
    """Give a learned head's probability, rounded to `digits` decimal places (default 4)."""
    if not isinstance(digits, int) or isinstance(digits, bool) or not 0 <= digits <= 15:
        raise AppError(f"probability('{head}'): expected digits= a whole number from 0 to 15, got {digits!r}")
    return Probability(head, digits)


def declare_reply(spine: Table, heads: Mapping[str, Head], fields: Mapping[str, object]) -> dict[str, ReplyField]:
    """Check the declared reply; AppError names the field and what is wrong."""
    if not fields:
        raise AppError("reply: expected at least one field, for example reply(order_id=orders.order_id)")
    return {name: _declare_field(spine, heads, name, given) for name, given in fields.items()}


def _declare_field(spine: Table, heads: Mapping[str, Head], name: str, given: object) -> ReplyField:
    where = f"reply field '{name}'"
    if isinstance(given, Column):
        if given.table is not spine or given.name not in spine.spec.key:
            keys = ", ".join(spine.spec.key)
            raise AppError(f"{where}: {given} is not a key column of '{spine.spec.name}' ({keys})")
        return Echo(given.name)
    if not isinstance(given, (Decision, Reason, Probability)):
        raise AppError(f"{where}: expected a key column, decision(), reason() or probability(), got {given!r}")
    if given.head not in heads:
        raise AppError(f"{where}: no head '{given.head}'.{did_you_mean(given.head, heads)}")
    wanted = TreesHead if isinstance(given, Probability) else RulesHead
    if not isinstance(heads[given.head], wanted):
        verb = type(given).__name__.lower()
        raise AppError(f"{where}: {verb}('{given.head}') needs a {'learned' if wanted is TreesHead else 'rules'} head")
    return given
