"""`scoreline explain`."""

from __future__ import annotations

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
@click.option("--record", type=click.File(), default=None, help="A new row instead: a file with its JSON, - for stdin.")
@click.option("--json", "as_json", is_flag=True, help="The explanation as JSON.")
def explain(settings: Settings, id: str | None, record: TextIO | None, as_json: bool) -> None:
    """Explain what a running server says of a row, by the first column of its key (an order's id).

    For each feature: the row that gave it (file and line, or ingest batch, and its time), rows that came too late,
    and rows set aside that would have counted. Then the rule that decided, and what would change the decision.
    """
    import json

    from scoreline.app.load import load_app
    from scoreline.inference.client import Client

    if (id is None) == (record is None):
        raise click.UsageError("expected either an id or --record")
    app = load_app(settings.app)
    asked = [json.load(record)] if record is not None else _keys_of(app, settings.results, str(id))
    client = Client(settings.url or f"http://127.0.0.1:{settings.port}", 1, settings.inference_timeout_s)
    client.wait_for_server()
    replies = client.post_all(asked, "explain=true")
    for one, reply in zip(asked, replies, strict=True):
        if "explanation" not in reply:
            raise InferenceError(f"the server did not answer {one}: {reply.get('detail', 'without an explanation')}")
        click.echo(json.dumps(reply, indent=1) if as_json else "\n".join(explanation_lines(reply)))


def explanation_lines(reply: Mapping[str, Any]) -> list[str]:
    """Return a reply with its explanation as lines for a person."""
    told = reply["explanation"]
    said = ", ".join(f"{name}={value!r}" for name, value in reply.items() if not isinstance(value, dict))
    lines = [said, *([f"  as of {told['as_of']}"] if "as_of" in told else [])]
    for name, feature in told["features"].items():
        lines.append(f"  {name} = {feature['value']!r}: {_source(feature)}")
        lines += [f"    came later: {_place(row)}" for row in feature.get("next", ())]
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
    if "from" in feature:
        return f"{feature['table']}, {feature['from']}" if "table" in feature else str(feature["from"])
    if feature["row"] is None:
        return f"no row of {feature['table']} by then"
    others = feature.get("considered", 1) - 1
    return f"{_place(feature['row'])}" + (f"; {others:,} older passed over" if others else "")


def _place(row: Mapping[str, Any]) -> str:
    where = f"{row['file']}, line {row['line']}" if "file" in row else f"ingest batch {row['batch']}, row {row['row']}"
    return where + (f", of {row['time']}" if "time" in row else "")


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
