"""How a generation of the online store lies in Redis: what the embedded store's file holds, in buckets of some hundred.

    scoreline:{app}:current                 which generation requests are answered from, as JSON
    scoreline:{app}:publishing              held while one is written
    scoreline:{app}:<digest>:meta           what the generation says of itself
    scoreline:{app}:<digest>:r:<bucket>     a hash: key -> row, both as the embedded store has them
    scoreline:{app}:<digest>:s:<bucket>     a sorted set of one score: a state's key and value, so that a seek finds it
    scoreline:{app}:events, :log, :batches, :about    what was ingested since

Buckets, since a key of its own for each row would take twice the memory, and as long to expire as it took to write.
Each bucket holds a mark: one that is gone, with all its rows, is told from one that never had the row. The braces put
all keys of an app into one slot, as transactions and scripts need it behind a proxy for a cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import msgspec

from scoreline.errors import StoreError
from scoreline.store.keys import RESERVED

FORMAT = 1
BUCKET_ROWS = 512
ROW_MARK = RESERVED  # no row's key is this; those stored by hash are longer
STATE_MARK = b"\xff"  # behind every state's key, so that a seek in a bucket that is there finds something


@dataclass(frozen=True)
class Names:
    """The names of an app's keys."""

    app: str

    @property
    def _prefix(self) -> str:
        return f"scoreline:{{{self.app}}}:"

    @property
    def current(self) -> bytes:
        """What names the generation that requests are answered from."""
        return f"{self._prefix}current".encode()

    @property
    def publishing(self) -> bytes:
        """What is held while a generation is written."""
        return f"{self._prefix}publishing".encode()

    def of_events(self, part: str) -> bytes:
        """Return the name of a part of the event log."""
        return f"{self._prefix}{part}".encode()

    def of(self, digest: str, part: str) -> bytes:
        """Return the name of a part of a generation."""
        return f"{self._prefix}{digest}:{part}".encode()


@dataclass(frozen=True)
class Layout:
    """What a generation says of itself, and where its rows are.

    Attributes
    ----------
    digest : of the feature table that it was built with
    rows, states : how many it holds
    columns : of its rows, in order
    events : number of the last ingested row that is in it
    newest : table -> newest event time in its data, in microseconds
    first : the row of the smallest key; None where there is none
    meta : what the embedded store says of itself
    """

    digest: str
    rows: int
    states: int
    columns: tuple[str, ...]
    events: int
    newest: Mapping[str, int | None]
    first: list[Any] | None
    meta: Mapping[str, Any]
    format: int = FORMAT

    @property
    def row_buckets(self) -> int:
        """How many buckets hold its rows."""
        return max(1, -(-self.rows // BUCKET_ROWS))

    @property
    def state_buckets(self) -> int:
        """How many buckets hold its states."""
        return max(1, -(-self.states // BUCKET_ROWS))

    def keys(self, names: Names) -> list[bytes]:
        """Return the names of all its keys, its meta last."""
        rows = [names.of(self.digest, f"r:{bucket}") for bucket in range(self.row_buckets)]
        states = [names.of(self.digest, f"s:{bucket}") for bucket in range(self.state_buckets)]
        return [*rows, *states, names.of(self.digest, "meta")]

    def encode(self) -> bytes:
        """Return it as bytes, as it lies in the store and in a generation's folder."""
        return msgspec.msgpack.encode(self)


def bucket_of(key: bytes, buckets: int) -> int:
    """Return the bucket of a row by its encoded key, or of all states of a key by what they begin with."""
    return crc32(key) % buckets


def read_layout(raw: bytes, where: str) -> Layout:
    """Read a layout.

    Raises
    ------
    StoreError
        It can't be read, or is of another format.
    """
    try:
        told = msgspec.msgpack.decode(raw)
        if told["format"] == FORMAT:
            return msgspec.convert(told, Layout)
        why = f"is format {told['format']}; this version reads {FORMAT}"
    except (msgspec.DecodeError, msgspec.ValidationError, KeyError, TypeError) as error:
        why = f"can't be read as one ({error})"
    raise StoreError(f"{where}: what a published store says of itself {why}. Run `scoreline feature --publish` again.")
