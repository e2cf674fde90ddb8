"""`App`: what an `app.py` declares. Holding it costs no engine and no model library."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scoreline.app.columns import ColumnType
from scoreline.app.features import Feature, resolve_features, spine_columns_of
from scoreline.app.heads import Head, Rule, RulesHead, TreesHead, declare_rules, declare_trees
from scoreline.app.hyperparameters import Hyperparameters, declare_hyperparameters
from scoreline.app.new_rows import NewRowColumns, check_brought, new_row_columns
from scoreline.app.reply import Ranked, Reason, ReplyField, declare_csv, declare_reply
from scoreline.app.request import Request, declare_request
from scoreline.app.table import Column, Table, check_distinct, declare_reference, declare_table
from scoreline.errors import AppError, did_you_mean


@dataclass(frozen=True)
class SummaryCount:
    """A line of the `inference` summary: how many replies a function over columns marks true."""

    label: str
    function: Callable[..., Any]
    arguments: tuple[str, ...]


class App:
    """One deployable application, declared in the order: tables, features, heads, reply.

    Every method checks what it is given and raises `AppError` with a suggestion; `load_app` adds the
    file and the line.

    Parameters
    ----------
    name : str
        Short name, shown in logs and kept in the model artifact.
    refresh_route : str, optional
        A path, `/updatecards` say: GET or POST to it refreshes what the server answers from.

    Examples
    --------
    >>> from scoreline import App, Text, Integer, Rule, decision
    >>> app = App("tiny")
    >>> orders = app.table("orders", key="order_id", columns={"order_id": Text, "quantity": Integer})
    >>> app.features(spine=orders, quantity=orders.quantity)
    >>> app.head("size", rules=[Rule("many", when=[("quantity", ">", 9)], then="Big"), Rule("few", then="Small")])
    >>> app.reply(order_id=orders.order_id, size=decision("size"))
    """

    def __init__(self, name: str, *, refresh_route: str | None = None) -> None:
        if not name or not isinstance(name, str):
            raise AppError(f"App takes a name, for example App('order-triage'), got {name!r}")
        if refresh_route is not None and (
            not isinstance(refresh_route, str) or not _ROUTE.fullmatch(refresh_route) or refresh_route in _OUR_ROUTES
        ):
            raise AppError(
                f"App: expected refresh_route= a path such as '/updatecards', not one of {', '.join(_OUR_ROUTES)}, "
                f"got {refresh_route!r}"
            )
        self.name = name
        self.refresh_route = refresh_route
        self.tables: dict[str, Table] = {}
        self.heads: dict[str, Head] = {}
        self.summaries: list[SummaryCount] = []
        self._spine: Table | None = None
        self._features: tuple[Feature, ...] = ()
        self._request: Request | None = None
        self._reply: dict[str, ReplyField] = {}
        self._csv: dict[str, tuple[str, ...]] = {}
        self._hyperparameters: Hyperparameters | None = None

    def table(
        self,
        name: str,
        *,
        key: str | Sequence[str],
        columns: Mapping[str, object],
        time: str | None = None,
        file: str | Sequence[str] | None = None,
        multiline: bool = False,
        in_request: bool = False,
        stale_after_s: int | None = None,
    ) -> Table:
        """Declare a raw input.

        Parameters
        ----------
        name : str
            The table's name; its file is `<name>.csv` or `<name>.parquet` unless `file` says otherwise.
        key : str or sequence of str
            Column(s) that other tables and requests find its rows by. Text or Integer, never null.
        columns : mapping of str to column type
            The columns used; others in the file are ignored.
        time : str, optional
            The event time column, if rows happen in time.
        file : str or sequence of str, optional
            Names that the file may have. More than one of them present is an error.
        multiline : bool
            Quoted fields of the CSV file may hold newlines. By default a line is a record, so that
            a torn quote costs its own line only.
        in_request : bool
            A client that sends a row of the spine which is not in the table yet may bring this table's row of it: the
            payment of an order just placed, say. It sends the features taken from it, by their names.
        stale_after_s : int, optional
            Age in seconds of the newest row past which replies say that the table is old. Needs `time`.
        """
        table = declare_table(
            name, key=key, columns=columns, time=time, file=file, multiline=multiline, in_request=in_request,
            stale_after_s=stale_after_s,
        )  # fmt: skip
        return self._add_table(table)

    def reference_table(
        self,
        name: str,
        *,
        key: str | Sequence[str],
        columns: Mapping[str, object],
        rows: tuple[int, int],
        stale_after_s: int | None = None,
        file: str | Sequence[str] | None = None,
    ) -> Table:
        """Declare a small table without time that is held whole in memory and refreshed while serving.

        Its file comes from SCORELINE_DATA_URL (a folder or `s3://bucket/prefix/`), else from the
        data folder. No bad row is tolerated in it.

        Parameters
        ----------
        rows : (int, int)
            Fewest and most rows that a good file has; any other is refused.
        stale_after_s : int, optional
            Age in seconds, since the source was last seen, past which replies say that it is old.
        name, key, columns, file
            As in `table`.
        """
        reference = declare_reference(name, rows, stale_after_s)
        return self._add_table(declare_table(name, key=key, columns=columns, time=None, file=file, reference=reference))

    def _add_table(self, table: Table) -> Table:
        name = table.spec.name
        if name in self.tables:
            raise AppError(f"table '{name}' is declared twice")
        check_distinct("tables", "names", [*self.tables, name])
        self.tables[name] = table
        return table

    def features(self, *, spine: Table, **features: object) -> None:
        """Declare the features of each row of `spine`, once for the offline build and the server.

        A feature is a spine column, `latest(...)`, `lookup(...)`, or a function whose argument names
        are features or spine columns; it takes and gives arrays (see `scoreline.app.columns`).
        """
        if not isinstance(spine, Table) or spine not in self.tables.values():
            raise AppError(f"features: expected spine= a table of this app, got {spine!r}")
        if self._spine is not None:
            raise AppError("features are declared twice; name them all in one call")
        if not features:
            raise AppError("features: expected at least one feature")
        self._features = resolve_features(spine, features)
        check_brought(spine, self._features)
        self._spine = spine

    def head(
        self,
        name: str,
        *,
        rules: Sequence[Rule] | None = None,
        target: Column | None = None,
        inputs: Sequence[str] | None = None,
        estimator: Callable[[], Any] | None = None,
        monotonic: Mapping[str, int] | None = None,
        knock_outs: str | None = None,
        report_by: str | None = None,
    ) -> None:
        """Declare an output: `rules`, or a `target` to learn from `inputs` with `estimator`.

        Parameters
        ----------
        monotonic : mapping of input to 1 or -1, optional
            1: the probability never falls as the input rises; -1: it never rises.
        knock_outs : str, optional
            A rules head declared before. Rows that any of its rules but the last holds for are not
            learnt from, and their probability is 0.
        report_by : str, optional
            A feature; `train` reports the metrics for each of its values too.
        """
        if name in self.heads:
            raise AppError(f"head '{name}' is declared twice")
        if not _HEAD_NAME.fullmatch(name):
            raise AppError(f"head '{name}': expected a name of letters, digits, _ and -; files are named after it")
        spine, types = self.spine, self.feature_types
        if rules is not None:
            learned = (target, estimator, inputs, monotonic, knock_outs, report_by)
            if any(given is not None for given in learned):
                raise AppError(f"head '{name}': either rules=, or target=, inputs= and estimator=, not both")
            self.heads[name] = declare_rules(name, rules, types)
        else:
            head = declare_trees(
                name, spine, types, target=target, inputs=inputs, estimator=estimator, monotonic=monotonic or {},
                knock_outs=self._rules_head(name, knock_outs), report_by=report_by,
            )  # fmt: skip
            self._check_target(head)
            self.heads[name] = head

    def hyperparameters(self, **defaults: bool | int | float | str) -> Hyperparameters:
        """Declare values that estimators are made with, and that training may be given others for.

        Each is read by the type that its value here has. Returns a mapping, to be used where the
        estimator is made: `HistGradientBoostingClassifier(**tuning)`, or `tuning.max_iter`.
        """
        if self._hyperparameters is not None:
            raise AppError("hyperparameters are declared twice; name them all in one call")
        self._hyperparameters = declare_hyperparameters(defaults)
        return self._hyperparameters

    def request(self, table: Table, *, each: Table | None = None, where: str | None = None) -> None:
        """Declare that a client sends the columns of `table`; without this call it sends the spine's key.

        Features are then made from the request itself, and from reference tables, instead of being
        found in the online store. `inference` scores the file of `table`. Columns that are not
        `optional` must be sent.

        Parameters
        ----------
        each : a reference table, optional
            A record is scored against every row of it, and the reply holds a `ranked` list.
        where : str, optional
            A Boolean feature; rows of `each` for which it is not true are left out and counted.
        """
        if self._request is not None:
            raise AppError("request is declared twice")
        if self._reply:
            raise AppError("request is declared after reply; declare it before")
        for given in (table, each):
            if isinstance(given, Table) and given not in self.tables.values():
                raise AppError(f"request: {given!r} is a table of another app")
        features = {feature.name: feature for feature in self._features}
        self._request = declare_request(self.spine, features, table, each, where)

    def reply(self, **fields: object) -> None:
        """Declare the reply's fields: key columns, `decision`, `reason`, `probability`, `band`, `ranked`."""
        if self._reply:
            raise AppError("reply is declared twice; name all its fields in one call")
        self._reply = declare_reply(self.spine, self.heads, self._request, fields)

    def csv_reply(self, **columns: str) -> None:
        """Declare the line that a record gives as `text/csv`: column -> a reply field, or `cards.name` of the first."""
        if not self._reply:
            raise AppError("csv_reply: declare reply(...) before")
        if self._csv:
            raise AppError("csv_reply is declared twice; name all its columns in one call")
        if not columns:
            raise AppError("csv_reply: expected at least one column, for example csv_reply(id='applicant_id')")
        self._csv = declare_csv(self._reply, columns)

    def summary(self, label: str, function: Callable[..., Any]) -> None:
        """Add a line to the summary of `inference`: in how many replies `function` is true.

        `function` takes arrays by argument name: spine columns, reply fields, and the values that
        a reply's reason holds (null where it has none); it gives an array of bool.
        """
        arguments = tuple(inspect.signature(function).parameters)
        sent = self.spine.spec if self._request is None else self._request.table.spec
        with_reason = {field.head for field in self._reply.values() if isinstance(field, Reason)}
        in_reasons = [name for head in with_reason for name in self.heads[head].inputs]
        fields = [field for field, kind in self._reply.items() if not isinstance(kind, Ranked)]
        known = [*sent.columns, *fields, *in_reasons]
        for argument in arguments:
            if argument not in known:
                raise AppError(
                    f"summary '{label}': its function takes '{argument}', which is neither a column of '{sent.name}', "
                    f"a reply field nor a feature that a reason holds.{did_you_mean(argument, known)}"
                )
        self.summaries.append(SummaryCount(label, function, arguments))

    @property
    def spine(self) -> Table:
        """The table whose rows are predicted; AppError before `features` was called."""
        if self._spine is None:
            raise AppError(f"app '{self.name}': declare features(spine=..., ...) before heads and reply")
        return self._spine

    @property
    def feature_list(self) -> tuple[Feature, ...]:
        """The declared features, in declared order."""
        return self._features

    @property
    def feature_types(self) -> dict[str, ColumnType]:
        """Feature name -> type, in declared order."""
        return {feature.name: feature.type for feature in self._features}

    @property
    def reply_fields(self) -> dict[str, ReplyField]:
        """Reply field name -> what it says, in declared order."""
        return self._reply

    @property
    def csv_columns(self) -> dict[str, tuple[str, ...]]:
        """CSV column -> the path of a reply field; empty where the app declares no CSV reply."""
        return self._csv

    @property
    def declared_request(self) -> Request | None:
        """What a client sends, None where it sends the spine's key."""
        return self._request

    @property
    def new_row(self) -> NewRowColumns | None:
        """What a client sends of a row that is not in the feature table; None where it sends no key."""
        if self._request is not None:
            return None
        return new_row_columns(self.spine, {feature.name: feature for feature in self._features})

    @property
    def declared_hyperparameters(self) -> Hyperparameters:
        """The hyperparameters with the values that they have now; empty where none are declared."""
        return Hyperparameters({}) if self._hyperparameters is None else self._hyperparameters

    @property
    def reference_tables(self) -> dict[str, Table]:
        """The reference tables, by name."""
        return {name: table for name, table in self.tables.items() if table.spec.reference is not None}

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the spine columns that heads learn, each once."""
        learned = [head.target for head in self.heads.values() if isinstance(head, TreesHead)]
        return tuple(dict.fromkeys(learned))

    def check(self) -> None:
        """Raise AppError if something that every app needs is not declared."""
        if not self.tables:
            raise AppError(f"app '{self.name}' declares no table")
        _ = self.spine
        if not self.heads:
            raise AppError(f"app '{self.name}' declares no head")
        if not self._reply:
            raise AppError(f"app '{self.name}' declares no reply")
        if not any(head.inputs for head in self.heads.values()):
            raise AppError(f"app '{self.name}' has no head that looks at a feature")

    def _rules_head(self, name: str, knock_outs: str | None) -> RulesHead | None:
        if knock_outs is None:
            return None
        rules = self.heads.get(knock_outs)
        if not isinstance(rules, RulesHead):
            raise AppError(
                f"head '{name}': expected knock_outs= the name of a rules head declared before, got {knock_outs!r}."
                f"{did_you_mean(str(knock_outs), self.heads)}"
            )
        return rules

    def _check_target(self, head: TreesHead) -> None:
        """Raise AppError if the head would see its own target, or if a feature stands in the target's place."""
        features = {feature.name: feature for feature in self._features}
        for column in head.inputs:
            if head.target in spine_columns_of(column, features):
                raise AppError(
                    f"head '{head.name}': input '{column}' is made from '{head.target}', its own target; a head "
                    "can't take what it predicts"
                )
        hiding = features.get(head.target)
        if hiding is not None and hiding.source != self.spine[head.target]:
            raise AppError(
                f"head '{head.name}': the feature '{head.target}' has the name of its target; rename the feature"
            )


_HEAD_NAME = re.compile("[A-Za-z0-9_-]+")
_ROUTE = re.compile("(/[A-Za-z0-9_.-]+)+")
_OUR_ROUTES = ("/ping", "/invocations", "/execution-parameters", "/generations")
