"""`scoreline explain`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from scoreline.cli.options import FOLDERS, options
from scoreline.errors import InferenceError
from scoreline.settings import Settings

if TYPE_CHECKING:
    from scoreline.app.declaration import App


@click.command(short_help="Why a row was decided as it was, and what would change that.")
@options(*FOLDERS, "port", "url")
@click.argument("id", required=False)
@click.argument("row", required=False)
@click.option("--record", type=click.File(), default=None, help="A new row instead: a file with its JSON, - for stdin.")
@click.option("--json", "as_json", is_flag=True, help="The explanation as JSON.")
def explain(settings: Settings, id: str | None, row: str | None, record: TextIO | None, as_json: bool) -> None:
    """Explain what a running server says of a row, by the first column of its key (an order's id).

    Where the app declares its request, ID is that of a row of the request's table, and ROW the key of one in the
    reference table that it is scored against (a card); without ROW the best one is explained.

    For each feature: the row that gave it (file and line, or ingest batch, and its time), rows that came too late,
    and rows set aside that would have counted. Then the rule that decided, and what would change the decision.
    """
    import json

    from scoreline.app.load import load_app
    from scoreline.inference.client import Client
    from scoreline.inference.run import requests_of

    if (id is None) == (record is None):
        raise click.UsageError("expected either an id or --record")
    app = load_app(settings.app)
    if record is not None:
        asked = [_read(record)]
    elif app.declared_request is None:
        asked = _keys_of(app, settings.results, str(id))
    else:
        asked = requests_of(app, settings.data, str(id))
    asked = [{**one, **_picked(app, row)} for one in asked]
    client = Client(settings.url or f"http://127.0.0.1:{settings.port}", 1, settings.inference_timeout_s)
    client.wait_for_server()
    replies = client.post_all(asked, "explain=true")
    for one, reply in zip(asked, replies, strict=True):
        if "explanation" not in reply:
            raise InferenceError(f"the server did not answer {one}: {reply.get('detail', 'without an explanation')}")
        if not reply["explanation"].get("rows", True):
            raise InferenceError(f"there is no row to explain: the server has none with the key {row!r}")
        click.echo(json.dumps(reply, indent=1) if as_json else "\n".join(explanation_lines(reply)))


def explanation_lines(reply: Mapping[str, Any]) -> list[str]:
    """Return a reply with its explanation as lines for a person."""
    told = reply["explanation"]
    said = ", ".join(f"{name}={value!r}" for name, value in reply.items() if not isinstance(value, (dict, list)))
    if "rows" not in told:
        return [said, *_row_lines(told)]
    lines = [said]
    entries = next((value for value in reply.values() if isinstance(value, list)), [])
    for place, row in enumerate(told["rows"]):
        (key, value), *_ = row.items()
        entry = entries[place] if place < len(entries) else {}
        of = [f"{key}={value!r}", *(f"{name}={v!r}" for name, v in entry.items() if name != key)]
        left_out = f": left out by {row['left_out_by']}" if "left_out_by" in row else ""
        lines += [", ".join(of) + left_out, *_row_lines(row)]
    return lines


def _row_lines(told: Mapping[str, Any]) -> list[str]:
    lines = [f"  as of {told['as_of']}"] if "as_of" in told else []
    for name, feature in told["features"].items():
        lines.append(f"  {name} = {feature['value']!r}: {_source(feature)}")
        if "ingested_since" in feature:
            lines.append(f"    ingested since, counts from the next `feature` on: {_place(feature['ingested_since'])}")
        lines += [f"    came later: {_place(row)}" for row in feature.get("next", ())]
        if (more := feature.get("came_later", 0) - len(feature.get("next", ()))) > 0:
            lines.append(f"    and {more:,} more that came later")
        lines += [f"    set aside: {_place(row)}: {row['why']}" for row in feature.get("set_aside", ())]
    for decided in told["decided"]:
        held = " or ".join(decided["held"]) or "no rule before it holds"
        lines.append(f"  {decided['head']}: {decided['then']} by {decided['rule']}, since {held}")
        if decided["otherwise"] is not None:
            lines.append(f"    otherwise {decided['otherwise']['then']} by {decided['otherwise']['rule']}")
        for rule in decided["instead"]:
            lines.append(f"    {rule['then']} instead by {rule['rule']}, if {' or '.join(rule['when_any'])}")
    return lines


def _source(feature: Mapping[str, Any]) -> str:
    if "function_of" in feature:
        return f"made from {', '.join(feature['function_of'])}"
    if "key" in feature:
        key = ", ".join(f"{name}={value!r}" for name, value in feature["key"].items())
        return f"{feature['table']}, {key}, {feature['from']}"
    if "from" in feature:
        return f"{feature['table']}, {feature['from']}" if "table" in feature else str(feature["from"])
    if "not_kept_before" in feature:
        return f"rows of {feature['table']} before {feature['not_kept_before']} are not kept (SCORELINE_HISTORY_DAYS)"
    if feature["row"] is None:
        return f"no row of {feature['table']} by then"
    others = feature.get("considered", 1) - 1
    return f"{_place(feature['row'])}" + (f"; {others:,} older passed over" if others else "")


def _place(row: Mapping[str, Any]) -> str:
    where = f"{row['file']}, line {row['line']}" if "file" in row else _batch(row)
    return where + (f", of {row['time']}" if "time" in row else "")


def _batch(row: Mapping[str, Any]) -> str:
    """Name a batch; where its name is the digest of its content, by the begin of it."""
    name = str(row["batch"])
    shown = name[:12] if re.fullmatch("[0-9a-f]{64}(#[0-9]+)?", name) else name
    return f"ingest batch {shown}, row {row['row']}"


def _read(record: TextIO) -> dict[str, Any]:
    import json

    try:
        content = json.load(record)
    except ValueError as error:
        raise InferenceError(f"{record.name}: expected a record as JSON ({error})") from error
    if not isinstance(content, dict):
        raise InferenceError(f"{record.name}: expected one record, an object with names")
    return content


def _picked(app: App, row: str | None) -> dict[str, Any]:
    """Return the option that asks for one row of the reference table, or for the best alone."""
    from scoreline.app.columns import Integer

    request = app.declared_request
    if request is None or request.each is None:
        if row is not None:
            raise click.UsageError("ROW is for apps whose requests are scored against each row of a reference table")
        return {}
    kind = request.each.spec.columns[request.each.spec.key[0]]
    if row is not None and isinstance(kind, Integer) and not row.lstrip("-").isdigit():
        raise click.UsageError(f"ROW: expected a whole number, got {row!r}")
    return {"top": 1} if row is None else {str(request.select): [int(row) if isinstance(kind, Integer) else row]}


def _keys_of(app: App, results: Path, wanted: str) -> list[dict[str, Any]]:
    """Return the keys in the feature table whose first part is this."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from scoreline.features.stamp import PARQUET_FILE, read_stamp
    from scoreline.tables.typed import arrow_type

    read_stamp(results, verify=False)
    spine = app.spine.spec
    try:
        value = pa.scalar(wanted).cast(arrow_type(spine.columns[spine.key[0]]))
    except pa.ArrowInvalid as error:
        raise InferenceError(f"{spine.key[0]}={wanted!r}: expected a whole number") from error
    found = pq.read_table(results / PARQUET_FILE, columns=list(spine.key), filters=pc.field(spine.key[0]) == value)
    if not found.num_rows:
        raise InferenceError(
            f"no row in the feature table for {spine.key[0]}={wanted!r}. Of a new row, give the record with --record."
        )
    return list(found.to_pylist())
