"""Valid records to send, in the media types that they can be sent in."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

JSON, CSV, JSON_LINES, NPY = "application/json", "text/csv", "application/jsonlines", "application/x-npy"
_WRAPPERS = ("instances", "inputs", "dataframe_records")


@dataclass(frozen=True)
class Sample:
    """Records that the server ought to answer.

    Attributes
    ----------
    records : objects, or lists of values; empty where there are lines of CSV alone
    lines : the same as lines of CSV, without a header
    source : where they come from, in a few words
    wrapper : name of the member that holds a list of them in JSON; None: the list itself is the body
    """

    records: tuple[Any, ...]
    lines: tuple[str, ...]
    source: str
    wrapper: str | None = None

    @property
    def media_type(self) -> str:
        """The media type that most checks send."""
        return JSON if self.records else CSV

    @property
    def count(self) -> int:
        """How many records there are."""
        return len(self.records or self.lines)

    @property
    def is_numeric(self) -> bool:
        """Whether all values are numbers, so that they can be sent as npy."""
        values = [value for record in self.records for value in _values(record)]
        return bool(values) and all(type(value) in (int, float) for value in values)

    def numbers(self, count: int) -> list[list[float]]:
        """Return records as rows of numbers."""
        return [[float(value) for value in _values(record)] for record in self._some(self.records, count)]

    def one(self) -> bytes:
        """Return the body of one record, as a client sends a lone one."""
        if self.wrapper is not None or not self.records or not isinstance(self.records[0], dict):
            return self.many(1)
        return json.dumps(self.records[0]).encode()

    def many(self, count: int, media_type: str | None = None) -> bytes:
        """Return the body of several records; they begin again where there are fewer.

        Parameters
        ----------
        media_type : JSON, CSV or JSON_LINES; None for that of `media_type`
        """
        media_type = media_type or self.media_type
        if media_type == CSV:
            return "".join(f"{line}\n" for line in self._some(self.lines, count)).encode()
        records = self._some(self.records, count)
        if media_type == JSON_LINES:
            return "".join(json.dumps(record) + "\n" for record in records).encode()
        return self.body_of(records)

    def body_of(self, records: Sequence[Any]) -> bytes:
        """Return records, good ones or not, as a JSON list."""
        return json.dumps(records if self.wrapper is None else {self.wrapper: records}).encode()

    @staticmethod
    def _some(of: Sequence[Any], count: int) -> list[Any]:
        return [of[index % len(of)] for index in range(count)]


def sample_of_records(records: Sequence[Any], source: str, wrapper: str | None = None) -> Sample:
    """Make a sample of JSON records; lines of CSV are made of their values in the order of the first one's names."""
    names = list(records[0]) if records and isinstance(records[0], dict) else None
    rows = [[record.get(name) for name in names] if names else record for record in records]
    is_flat = all(not isinstance(cell, (list, dict)) for row in rows for cell in row)
    return Sample(tuple(records), tuple(_line(row) for row in rows) if is_flat else (), source, wrapper)


def sample_of_json(content: Any, source: str) -> Sample | None:
    """Make a sample of a decoded JSON body; None where it holds no record."""
    if isinstance(content, dict):
        for name in _WRAPPERS:
            if isinstance(content.get(name), list) and content[name]:
                return sample_of_records(content[name], source, name)
        return sample_of_records([content], source)
    if isinstance(content, list) and content and all(isinstance(item, (dict, list)) and item for item in content):
        return sample_of_records(content, source)
    return None


def sample_of_csv(text: str, source: str) -> Sample | None:
    """Make a sample of lines of CSV without a header; None where there are none."""
    lines = tuple(line for line in text.splitlines() if line.strip())
    return Sample((), lines, source) if lines else None


def _values(record: Any) -> list[Any]:
    return list(record.values()) if isinstance(record, dict) else list(record)


def _line(cells: Sequence[Any]) -> str:
    out = io.StringIO()
    plain = [{True: "true", False: "false"}[cell] if isinstance(cell, bool) else cell for cell in cells]
    csv.writer(out, lineterminator="").writerow(plain)
    return out.getvalue()
