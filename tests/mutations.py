"""Bodies that were good before somebody damaged them: seeded, so that each run sends the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

# Bytes and pieces that parsers stumble over.
PIECES = (
    b"\x00", b"\xff", b"\xc3\x28", b"\xef\xbb\xbf", b"\r", b"\n", b"\r\n", b'"', b"'", b",", b";", b"{", b"}", b"[",
    b"]", b":", b"\\", b"\\u0000", b"\\ud800", b"NaN", b"Infinity", b"-Infinity", b"null", b"true", b"1e999", b"-0",
    b"9" * 40, b"0" * 400, b"[" * 300, b'{"a":' * 200, b'"' * 101, b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff",
    b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"cos\nsystem\n", "\u202e\u0000é".encode(),
)  # fmt: skip


def _flip(body: bytearray, chance: random.Random) -> None:
    if body:
        body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)


def _cut(body: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(body) + 1)
    del body[start : start + chance.choice((1, 4, 64, len(body)))]


def _insert(body: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(body) + 1)
    body[start:start] = chance.choice(PIECES)


def _overwrite(body: bytearray, chance: random.Random) -> None:
    start, piece = chance.randrange(len(body) + 1), chance.choice(PIECES)
    body[start : start + len(piece)] = piece


def _repeat(body: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(body) + 1)
    body[start:start] = body[start : start + chance.randrange(1, 40)] * chance.choice((1, 2, 50))


def _swap(body: bytearray, chance: random.Random) -> None:
    if len(body) > 1:
        first, second = sorted(chance.sample(range(len(body)), 2))
        body[first], body[second] = body[second], body[first]


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (_flip, _cut, _insert, _overwrite, _repeat, _swap)


def mutated(bodies: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Give so many damaged bodies, each a good one after one to four mutations."""
    chance = random.Random(seed)
    for _ in range(count):
        body = bytearray(chance.choice(bodies))
        for _ in range(chance.choice((1, 1, 1, 2, 3, 4))):
            chance.choice(MUTATIONS)(body, chance)
        yield bytes(body)
