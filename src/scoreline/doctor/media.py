"""Media types: what is taken and given, by their exact names, and one reply a record, in order."""

from __future__ import annotations

import io
from typing import Any

from scoreline.doctor.findings import Checks, Failed, Grade, NotChecked
from scoreline.doctor.predictions import ask_for, how_many, predictions_of, say_the_same
from scoreline.doctor.sample import CSV, JSON, JSON_LINES, NPY
from scoreline.doctor.wire import Reply, Site

_COUNTS = (1, 2, 7)
_MANY, _MANY_S = 500, 5.0  # records in the longest list, or fewer where these take longer than that

CHECKS: Checks[Site] = Checks()


@CHECKS.add(
    "list-count", "B3", Grade.MUST, "a list of n records gives n replies, also for n = 1",
    fix="Answer a list with a list of as many entries, also a list of one, and put an error object in the place of a "
    "record that can't be answered: batch transform joins input and output line by line.",
    needs=("records",),
)  # fmt: skip
def _list_count(site: Site) -> str:
    _no_list_of_csv(site)
    counts = (*_COUNTS, how_many(site, _MANY_S, _MANY))
    for count in counts:
        ask_for(site, count)
    return ", ".join(map(str, counts))


@CHECKS.add(
    "list-order", "B3", Grade.MUST, "the replies of a list are in its order, and say what each record alone is told",
    fix="Keep the order of the records: sort nothing, join on position, and gather what threads answer by index. "
    "A reply at another record's place is a wrong answer that nobody sees.",
    needs=("list-count",),
)  # fmt: skip
def _list_order(site: Site) -> str:
    count = site.records.count
    alone = [_alone(site, place) for place in range(count)]
    if all(say_the_same(alone[0], other) for other in alone):
        raise NotChecked(f"the {count} known records are all told the same; name some that differ with --record")
    for place, (got, expected) in enumerate(zip(ask_for(site, count), alone, strict=True)):
        if not say_the_same(got, expected):
            others = [other for other in range(count) if say_the_same(got, alone[other])]
            came = f"the reply of record {others[0]}" if others else "a reply that it is not given alone"
            raise Failed(f"of {count} records, number {place} has {came}")
    return f"{count} records"


def _alone(site: Site, place: int) -> Any:
    sample = site.records
    if sample.records:
        reply = site.invoke(sample.body_of([sample.records[place]]), accept=sample.media_type)
    else:
        reply = site.invoke(f"{sample.lines[place]}\n".encode(), accept=sample.media_type)
    entries = predictions_of(reply, f"record {place} alone")
    if len(entries) != 1:
        raise Failed(f"record {place} alone: {len(entries)} replies")
    return entries[0]


@CHECKS.add(
    "bad-among-good", "B3", Grade.SHOULD, "a bad record in a list costs itself, not its neighbours",
    fix="Answer 200 as soon as one record is answered, with an error object in the bad one's place, rather than "
    "refusing all: in a batch transform job one bad line would cost thousands.",
    needs=("list-count",),
)  # fmt: skip
def _bad_among_good(site: Site) -> str:
    sample = site.records
    if not sample.records:
        raise NotChecked("the known records are lines of CSV")
    bad: Any = {"no_such_field": 1} if isinstance(sample.records[0], dict) else ["x"]
    good = sample.records[0]
    entries = predictions_of(site.invoke(sample.body_of([good, bad, good]), accept=JSON), "a bad one of three")
    if len(entries) != 3 or not say_the_same(entries[0], entries[2]) or say_the_same(entries[0], entries[1]):
        raise Failed(f"a bad one of three: {len(entries)} replies, not reply, error, reply")
    return "reply, error, reply"


@CHECKS.add(
    "content-type-exact", "P1", Grade.MUST, "answers name their media type barely: application/json, text/csv",
    fix="Set the header Content-Type itself, without `; charset=utf-8`: in Flask Response(body, content_type=...), "
    "since mimetype= adds it; in nginx no `charset` line. The SDK's NumpyDeserializer and PandasDeserializer "
    "compare the whole header, and data capture knows the bare types alone.",
    needs=("records",),
)  # fmt: skip
def _content_type_exact(site: Site) -> str:
    given = []
    for accept in (JSON, CSV, JSON_LINES, NPY):
        reply = site.invoke(accept=accept)
        if reply.status == 200:
            if reply.content_type not in (JSON, CSV, JSON_LINES, NPY):
                raise Failed(f"Accept: {accept} gives Content-Type: {reply.content_type or 'none'}")
            given.append(reply.content_type)
    if not given:
        raise Failed("no Accept of JSON, CSV, JSON Lines or npy gives an answer")
    return ", ".join(dict.fromkeys(given))


@CHECKS.add(
    "content-type-forms", "P5", Grade.MUST, "a Content-Type counts without its parameters, in any case",
    fix="Cut the header at the first `;`, strip it and make it small letters before comparing: clients send "
    "`application/json; charset=utf-8`.",
    needs=("records",),
)  # fmt: skip
def _content_type_forms(site: Site) -> str:
    plain = site.records.media_type
    forms = (f"{plain}; charset=utf-8", f"{plain};charset=UTF-8", plain.title(), f"{plain} ; charset=utf-8")
    for form in forms:
        reply = site.invoke(content_type=form)
        if reply.status != 200:
            raise Failed(f"{form}: {reply.status} {reply.says}")
    return f"{len(forms)} spellings"


@CHECKS.add(
    "accept-forms", "P6", Grade.MUST, "an Accept may be absent, a list, or have q-values and wildcards",
    fix="Parse Accept as a list of ranges with q-values (RFC 9110), and give your default where it is absent or */*. "
    "The SDK's deserializers send lists such as `text/csv, application/json`.",
    needs=("records",),
)  # fmt: skip
def _accept_forms(site: Site) -> str:
    plain = site.records.media_type
    forms = (None, "*/*", plain, f"image/png, {plain}", f"{plain};q=0.5, */*;q=0.1", plain.upper())
    for form in forms:
        reply = site.invoke(headers={} if form is None else {"Accept": form})
        if reply.status != 200:
            raise Failed(f"{form or 'no Accept'}: {reply.status} {reply.says}")
    return f"{len(forms)} spellings"


@CHECKS.add(
    "csv", "P2", Grade.SHOULD, "CSV is taken, a record a line, and gives a line each",
    fix="Take text/csv without a header, columns in the order of the schema, and answer a line a record: it is what "
    "batch transform with SplitType=Line and the SDK's CSVSerializer send.",
    needs=("list-count",),
)  # fmt: skip
def _csv(site: Site) -> str:
    if not site.records.lines:
        raise NotChecked("the known records can't be written as CSV")
    accept = CSV if site.invoke(accept=CSV).status == 200 else JSON
    for count in _COUNTS:
        ask_for(site, count, CSV, accept)
    return f"{', '.join(map(str, _COUNTS))} lines, answered as {accept}"


@CHECKS.add(
    "json-lines", "P2", Grade.SHOULD, "JSON Lines are taken, a record a line, and give a line each",
    fix="Take application/jsonlines, decode line by line, and answer an object a line: the SDK's JSONLinesSerializer "
    "and batch transform over JSON send it.",
    needs=("list-count",),
)  # fmt: skip
def _json_lines(site: Site) -> str:
    if not site.records.records:
        raise NotChecked("the known records are lines of CSV")
    for count in _COUNTS:
        ask_for(site, count, JSON_LINES)
    return f"{', '.join(map(str, _COUNTS))} lines"


@CHECKS.add(
    "npy", "P2", Grade.SHOULD, "npy is taken, a record a row, and gives a row each",
    fix="Take application/x-npy with numpy.load(..., allow_pickle=False): it is what the SDK's NumpySerializer, its "
    "default for arrays, sends.",
    needs=("list-count",),
)  # fmt: skip
def _npy(site: Site) -> str:
    if not site.records.is_numeric:
        raise NotChecked("a record holds more than numbers")
    count = 3
    body = _npy_of(site.records.numbers(count))
    reply = site.invoke(body, content_type=NPY, accept=NPY)
    if reply.status == 406:  # a reply may hold text
        reply = site.invoke(body, content_type=NPY, accept=JSON)
    found = _rows_of(reply) if reply.media_type == NPY and reply.status == 200 else len(predictions_of(reply, "npy"))
    if found != count:
        raise Failed(f"{count} rows: {found} replies")
    return f"{count} rows, answered as {reply.media_type}"


def _npy_of(rows: list[list[float]]) -> bytes:
    import numpy as np

    out = io.BytesIO()
    np.save(out, np.array(rows, dtype=np.float64), allow_pickle=False)
    return out.getvalue()


def _rows_of(reply: Reply) -> int:
    import numpy as np

    try:
        return len(np.load(io.BytesIO(reply.body), allow_pickle=False))
    except (ValueError, EOFError, TypeError) as error:
        raise Failed(f"the answer is no npy ({error})") from error


def _no_list_of_csv(site: Site) -> None:
    """A server of CSV that answers in another type has lists that can't be told apart."""
    if site.records.media_type == CSV and site.invoke(accept=CSV).media_type != CSV:
        raise NotChecked("CSV is not answered as CSV")
