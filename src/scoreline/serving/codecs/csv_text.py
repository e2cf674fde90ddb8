"""CSV: a record a line, with names above it or without."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from scoreline.serving.codecs.json_body import not_utf_8
from scoreline.serving.codecs.lines import lines_in
from scoreline.serving.codecs.replies import Cell, Replies
from scoreline.serving.kinds import Field, Taken
from scoreline.serving.problems import Problem
from scoreline.serving.records import Layout, Records, RequestSchema, several

HEADER_LINE = "header-line"  # the kind of problem that stands for a header in a batch job
_FIELD = r'(?:"[^"]*(?:""[^"]*)*"|[^",]*)'
_WELL_QUOTED = re.compile(f"{_FIELD}(?:,{_FIELD})*")  # as tables/csv_lines.py
_CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii")
_TORN = "torn quoting: a quote is not closed on its line, or text stands beside a quoted field"
Take = Callable[[Sequence[str]], Taken | Problem]


class CsvCodec:
    """Comma separated values, UTF-8. A physical line is a record, so that a torn quote costs its own line alone."""

    types: tuple[str, ...] = ("text/csv",)

    def decode(
        self, schema: RequestSchema, body: bytes, parameters: Mapping[str, str], *, batch: bool
    ) -> Records | Problem:
        """Return one record or problem for each line; outside a batch job blank lines and the header are none.

        `header=present` or `header=absent` say whether the first line holds names; without either it does where
        at least half of its cells are names of columns.
        """
        lines = lines_in(body, with_blank=batch)
        layout = _header_of(schema, lines, parameters, batch=batch)
        if isinstance(layout, Problem):
            return layout
        if layout is None:
            return several(_record_on(line, lambda row: schema.of_row(row, Field.take_text)) for line in lines)
        found = several(_record_on(line, lambda row: layout.take(row, Field.take_text)) for line in lines[1:])
        return _with_header_line(found, of_inputs=layout.kind is schema.inputs) if batch else found

    def encode(self, replies: Replies) -> bytes:
        """Return a line for each reply, without a header; a problem is a line of one cell with its JSON."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        for place, entry in enumerate(replies.entries):
            table = replies.table_of(place)
            if not isinstance(entry, Problem):
                writer.writerow([_written(cell) for cell in table.row(entry)])
            elif entry.kind == HEADER_LINE:
                writer.writerow(list(table.columns))
            else:
                writer.writerow([entry.encode().decode()])
        return out.getvalue().encode()


def _header_of(
    schema: RequestSchema, lines: Sequence[bytes], parameters: Mapping[str, str], *, batch: bool
) -> Layout | Problem | None:
    """Return what the header says, None where there is none."""
    said = parameters.get("header")
    if parameters.get("charset", "utf-8") not in _CHARSETS:
        return Problem(415, "unsupported-media-type", "text/csv, charset: expected utf-8")
    if said not in (None, "present", "absent"):
        return Problem(415, "unsupported-media-type", "text/csv, header: expected present or absent")
    if said == "absent" or not lines:
        return None
    cells = _cells_on(lines[0])
    if isinstance(cells, Problem):
        return replace(cells, kind="bad-body") if said else None
    names = [cell.strip() for cell in cells]
    if said is None and 2 * sum(name in schema.known for name in names) < len(names):
        return None
    layout = schema.layout_of(names)
    if batch and said is None and isinstance(layout, Layout) and not _is_in_order(layout):
        expected = ", ".join(layout.kind.names)
        detail = (
            f"expected no header, or the columns in the order {expected}: a batch job may split the file, and its "
            "other parts come without names. Where it does not, say so: text/csv; header=present"
        )
        return Problem(400, "bad-body", detail)
    return layout


def _is_in_order(layout: Layout) -> bool:
    return layout.places == tuple(range(layout.width))


def _record_on(line: bytes, take: Take) -> Taken | Problem:
    cells = _cells_on(line)
    return cells if isinstance(cells, Problem) else take(cells)


def _cells_on(line: bytes) -> list[str] | Problem:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return _bad_line(f"its {not_utf_8(line)}")
    if "\0" in text or "\r" in text:
        return _bad_line("the line holds a NUL byte" if "\0" in text else "the line holds a lone carriage return")
    if '"' not in text:
        return text.split(",")
    if not _WELL_QUOTED.fullmatch(text):
        return _bad_line(_TORN)
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:  # a field beyond its limit of 131,072 characters
        return _bad_line(str(error))


def _bad_line(why: str) -> Problem:
    return Problem(400, "bad-record", f"expected a line of comma separated values: {why}")


def _with_header_line(found: Records, *, of_inputs: bool) -> Records:
    """Put a header in front of the records: of each line that comes into a batch job, one goes out."""
    header = Problem(400, HEADER_LINE, "the line holds the names of the columns")
    return replace(several([header, *found.records]), header_of_inputs=of_inputs)


def _written(cell: Cell) -> Any:
    return {True: "true", False: "false"}[cell] if isinstance(cell, bool) else cell
