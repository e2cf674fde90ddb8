"""Typed composite keys as bytes: two keys are equal as bytes exactly if they are equal part by part."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

MAX_KEY_BYTES = 511  # LMDB refuses longer keys
_PLAIN, _HASHED = b"\x01", b"\x02"


def encode_key(parts: Sequence[str | int]) -> bytes:
    """Encode a key; `("ab", "c")` and `("a", "bc")`, or `"1"` and `1`, never give the same bytes.

    A key whose encoding is too long for the store is replaced by its SHA-256; the full key is kept
    in the value and compared there.

    Examples
    --------
    >>> encode_key(["a", 7]).hex()
    '01740000000161690000000000000007'
    """
    encoded = _PLAIN + b"".join(_encode_part(part) for part in parts)
    if len(encoded) <= MAX_KEY_BYTES:
        return encoded
    return _HASHED + hashlib.sha256(encoded).digest()


def _encode_part(part: str | int) -> bytes:
    if isinstance(part, str):
        text = part.encode()
        return b"t" + struct.pack(">I", len(text)) + text
    return b"i" + struct.pack(">q", part)
