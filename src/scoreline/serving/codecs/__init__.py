"""Codecs: bodies to records, replies to bodies. One module a format, all with the same small face.

A codec knows media types and bytes; what a record may be it asks the request schema, what a reply is as a row the
reply tables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from scoreline.serving.codecs.csv_text import CsvCodec
from scoreline.serving.codecs.json_body import JsonCodec
from scoreline.serving.codecs.json_lines import JsonLinesCodec
from scoreline.serving.codecs.npy import NpyCodec
from scoreline.serving.codecs.replies import Replies, ReplyTables, reply_tables
from scoreline.serving.problems import Problem
from scoreline.serving.records import Records, RequestSchema

__all__ = [
    "BY_TYPE",
    "CODECS",
    "NUMBERS_ALONE",
    "TABLES",
    "Codec",
    "Replies",
    "ReplyTables",
    "default_type",
    "not_taken",
    "recommended",
    "reply_tables",
    "types_given",
    "types_taken",
]


class Codec(Protocol):
    """One format, both ways."""

    @property
    def types(self) -> tuple[str, ...]:
        """Its media types, bare and in lower case; the first is the one to recommend."""

    def decode(
        self, schema: RequestSchema, body: bytes, parameters: Mapping[str, str], *, batch: bool
    ) -> Records | Problem:
        """Return the records of a body, in order; a Problem where the body as a whole can't be read.

        Parameters
        ----------
        parameters : those of the Content-Type, names in lower case
        batch : a batch transform job sends this: each line that comes in must come out
        """

    def encode(self, replies: Replies) -> bytes:
        """Return the body that answers with these, one a record and in order."""


_json, _csv, _npy = JsonCodec(), CsvCodec(), NpyCodec()
CODECS: tuple[Codec, ...] = (_json, _csv, JsonLinesCodec(), _npy)
BY_TYPE: Mapping[str, Codec] = {media_type: codec for codec in CODECS for media_type in codec.types}
NUMBERS_ALONE = frozenset(_npy.types)
_is_type = re.compile(r"[\w!#$&^.+-]{1,64}/[\w!#$&^.+-]{1,64}", re.ASCII).fullmatch
TABLES = frozenset((*_csv.types, *_npy.types))  # what gives replies as rows


def default_type(content_type: str) -> str:
    """Return what a body of this type is answered in where nothing is asked for: its like."""
    codec = BY_TYPE.get(content_type, _json)
    return _json.types[0] if codec is _json else content_type


def types_taken(schema: RequestSchema) -> tuple[str, ...]:
    """Return the media types that records of an app may come in."""
    takes_numbers = any(kind.is_numeric for kind in schema.kinds)
    return tuple(name for name in BY_TYPE if takes_numbers or name not in NUMBERS_ALONE)


def not_taken(schema: RequestSchema, content_type: str) -> Problem:
    """Return the problem of a body whose type is none of `types_taken`: which came, and what is taken."""
    came = content_type if _is_type(content_type) else "what is no media type" if content_type else "none"
    detail = f"expected Content-Type {' or '.join(types_taken(schema))}, got {came}"
    if content_type in NUMBERS_ALONE:
        text = [next(field.name for field in kind.fields if not field.is_numeric) for kind in schema.kinds]
        detail += f", which holds numbers alone: {' and '.join(dict.fromkeys(text))} hold text"
    return Problem(415, "unsupported-media-type", detail)


def recommended(types: Sequence[str]) -> list[str]:
    """Return of several media types the one to recommend of each codec that is among them."""
    return [codec.types[0] for codec in CODECS if codec.types[0] in types]


def types_given(*, numbers: bool) -> tuple[str, ...]:
    """Return the media types that replies may go in; `numbers`: every column of them is a number."""
    return tuple(name for name in BY_TYPE if numbers or name not in NUMBERS_ALONE)
