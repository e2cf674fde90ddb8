"""Which generation of the networked online store is current, and publishing another: aside, whole, then at once.

A generation's keys are written with an end to their life, so that whatever is left of an interrupted publish goes by
itself. They are counted; then one SET makes the generation the current one; only then they are made to stay, and those
of the one before are given an end, late enough for servers that have not adopted yet. A server renews what it answers
from (`keep`), be it pinned to it for weeks.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from scoreline.app.moments import written
from scoreline.errors import StoreError, StoreLostError
from scoreline.store.layout import Layout, Names, read_layout
from scoreline.store.link import Command, Link

_AT_ONCE = 1_000  # commands in one round trip
_LOCK_S = 60  # a publish that is killed holds others up no longer
_OLDEST_SERVER = (6, 2)
_FREE_IF_OURS = b"if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"
_FLIP_IF_OURS = b"""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
return 1
"""


@dataclass(frozen=True)
class Publication:
    """A generation of the store that is, or was, the current one.

    Attributes
    ----------
    at : when it became that, by the server's clock; as times are written everywhere
    """

    digest: str
    at: str


class Publications:
    """The generations of one app in one server.

    Parameters
    ----------
    keep_s : how long a generation stays that is not current any more and that no server renews

    Raises
    ------
    StoreAwayError
        The server can't be reached.
    """

    def __init__(self, link: Link, names: Names, keep_s: int) -> None:
        self.link, self.names, self.keep_s = link, names, keep_s

    def current(self) -> Publication | None:
        """Return which generation is current; None where nothing was published yet."""
        (raw,) = self.link.ask((b"GET", self.names.current))
        return None if raw is None else msgspec.json.decode(raw, type=Publication)

    def layout_of(self, digest: str) -> bytes:
        """Return what a generation says of itself, for `read_layout`; StoreLostError where it is not there any more."""
        (raw,) = self.link.ask((b"GET", self.names.of(digest, "meta")))
        if raw is None:
            raise StoreLostError(f"the online store at {self.link.where} does not hold {digest[:12]} (any more)")
        return bytes(raw)

    def keep(self, digest: str) -> None:
        """Let a generation live on that a server answers from: without end where it is current."""
        meta = self.names.of(digest, "meta")
        raw, ends_in_s, current = self.link.ask((b"GET", meta), (b"TTL", meta), (b"GET", self.names.current))
        if raw is None or ends_in_s < 0:  # gone, or without an end
            return
        layout = read_layout(raw, self.link.where)
        if current is not None and msgspec.json.decode(current, type=Publication).digest == digest:
            self.let_stay(layout)
        elif ends_in_s < self.keep_s / 2:
            self.let_end(layout)

    def make_current(self, layout: Layout, mine: bytes) -> Publication:
        """Make a generation that is whole the current one, at once; the one before gets an end.

        Parameters
        ----------
        mine : what `alone` gave; StoreError where another publish has taken the lock since
        """
        before = self.current()  # nobody else changes that while the lock is ours
        seconds, micros = self.link.ask((b"TIME",))[0]
        now = Publication(layout.digest, written(int(seconds) * 1_000_000 + int(micros)))
        flip = (b"EVAL", _FLIP_IF_OURS, 2, self.names.publishing, self.names.current, mine, msgspec.json.encode(now))
        if not self.link.ask(flip)[0]:
            raise StoreError(
                f"the online store at {self.link.where}: this publish stood still for over {_LOCK_S} s; nothing of it "
                "counts. Run `scoreline feature --publish` again."
            )
        self.let_stay(layout)
        if before is not None and before.digest != layout.digest:
            with contextlib.suppress(StoreLostError):
                self.let_end(read_layout(self.layout_of(before.digest), self.link.where))
        return now

    def let_stay(self, layout: Layout) -> None:
        """Take the end from a generation's keys."""
        self.ask_all((b"PERSIST", key) for key in layout.keys(self.names))

    def let_end(self, layout: Layout) -> None:
        """Give all keys of a generation an end."""
        self.ask_all((b"EXPIRE", key, self.keep_s) for key in layout.keys(self.names))

    def ask_all(self, commands: Iterable[Command]) -> list[Any]:
        """Send many commands, a thousand a round trip; return the answers."""
        answers: list[Any] = []
        rest = iter(commands)
        while some := list(itertools.islice(rest, _AT_ONCE)):
            answers += self.link.ask(*some)
        return answers

    @contextlib.contextmanager
    def alone(self) -> Iterator[bytes]:
        """Hold the app's lock, by what is given. StoreError while another process publishes."""
        mine = f"{socket.gethostname()}, pid {os.getpid()}, {os.urandom(8).hex()}".encode()
        taken, holder = self.link.ask(
            (b"SET", self.names.publishing, mine, b"NX", b"EX", _LOCK_S), (b"GET", self.names.publishing)
        )
        if taken is None:
            who = (holder or b"somebody, ").decode(errors="replace").rpartition(", ")[0]
            raise StoreError(
                f"the online store at {self.link.where}: {who} is publishing; wait for its end. If it was killed, wait "
                f"{_LOCK_S} s."
            )
        try:
            yield mine
        finally:
            with contextlib.suppress(StoreError):
                self.link.ask((b"EVAL", _FREE_IF_OURS, 1, self.names.publishing, mine))

    def renewed_lock(self) -> Command:
        """Return the command that holds the lock on."""
        return (b"EXPIRE", self.names.publishing, _LOCK_S)

    def refuse_unfit(self) -> list[str]:
        """Raise StoreError where the server can't keep what is published; return remarks on how it is set up."""
        about = {
            name.decode(): value.strip().decode()
            for section in self.link.ask((b"INFO", b"server"), (b"INFO", b"memory"), (b"INFO", b"cluster"),
                                         (b"INFO", b"persistence"))
            for name, _, value in (line.partition(b":") for line in section.splitlines())
        }  # fmt: skip
        where = f"the online store at {self.link.where}"
        version = about.get("redis_version", "0.0")
        if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST_SERVER:
            raise StoreError(f"{where}: is Redis {version}; expected 6.2 or later, or Valkey")
        if about.get("cluster_enabled") == "1":
            raise StoreError(
                f"{where}: is a Redis Cluster, which is not supported. Name a server without cluster mode."
            )
        policy, limit = about.get("maxmemory_policy", "noeviction"), int(about.get("maxmemory") or 0)
        if limit and policy.startswith("allkeys"):
            raise StoreError(
                f"{where}: drops rows when it is full (maxmemory-policy {policy}), and keys would seem to be missing. "
                "Set maxmemory-policy noeviction, and a server of its own for what may be dropped."
            )
        remarks = []
        if limit and policy != "noeviction":
            remarks.append(f"maxmemory-policy {policy} may drop the generation before; expected noeviction")
        if about.get("aof_enabled") == "0":
            remarks.append(
                "without appendonly, a restart of the server loses what was ingested since its last snapshot"
            )
        return remarks
