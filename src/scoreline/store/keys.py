"""Typed composite keys as bytes: two keys are equal as bytes exactly if they are equal part by part."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

MAX_KEY_BYTES = 511  # LMDB refuses longer keys
RESERVED = b"\xc1"  # no MessagePack begins with it, so that no key does unless it is ours

_encode = msgspec.msgpack.Encoder().encode


def encode_key(parts: Sequence[str | int], most: int = MAX_KEY_BYTES) -> bytes:
    """Encode a key; `("ab", "c")` and `("a", "bc")`, or `"1"` and `1`, never give the same bytes.

    The encoding is that of the parts in MessagePack, one after the other: each says its type and
    length first, and there is one way to write each. A key whose encoding is longer than `most` bytes
    is replaced by its SHA-256; the full key is kept in the value and compared there.

    Examples
    --------
    >>> encode_key(["a", 7]).hex()
    'a16107'
    """
    encoded = _encode(parts)[1 if len(parts) < 16 else 3 :]  # without the array's head
    return encoded if len(encoded) <= most else hash_key(encoded)


def hash_key(encoded: bytes) -> bytes:
    """Return what stands in for an encoding that is too long."""
    return RESERVED + hashlib.sha256(encoded).digest()
