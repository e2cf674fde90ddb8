"""The link to a networked online store: one connection a thread, commands in one round trip, a time-out, a breaker.

The protocol is that of Redis, which Valkey speaks too. Its client library is loaded when there is such a store, and
from here alone. Of it the connection is used as it is, without a client's and a pipeline's objects around it: that is a
quarter of their time.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

from scoreline.errors import SettingError, StoreAwayError, StoreError
from scoreline.store.address import StoreAddress
from scoreline.store.breaker import Breaker

Command = tuple[bytes | str | int, ...]
_WAITS = {"ClusterDownError", "MasterDownError", "TryAgainError"}  # it answers, but not with data yet
_HINTS = {
    "AuthenticationError": "Check user and password (SCORELINE_STORE, SCORELINE_STORE_PASSWORD).",
    "NoPermissionError": "Allow that to this user; docs/redis.md lists the commands.",
    "OutOfMemoryError": "It is full: raise its maxmemory, or let it have more memory.",
    "ReadOnlyError": "This is a replica: name the primary.",
    "MovedError": "It is a Redis Cluster, which is not supported: name a server without cluster mode.",
}


class Link:
    """Asks one server. May be made before a fork; every thread and every process has a connection of its own.

    Parameters
    ----------
    timeout_s : how long to wait for a connection, and then for each piece of an answer

    Raises
    ------
    StoreAwayError
        No answer came in time, or none could; the breaker then refuses at once until the server answers again.
    StoreError
        The server refuses a command.
    """

    def __init__(self, address: StoreAddress, timeout_s: float) -> None:
        self.where, self._address, self._timeout_s = address.shown, address, timeout_s
        self._forget()
        _links.add(self)

    def ask(self, *commands: Command) -> list[Any]:
        """Send commands in one round trip; return an answer each, texts as bytes."""
        known = getattr(self._own, "known", None)
        if known is not None and all(command in known for command in commands):
            return [known[command] for command in commands]
        self._breaker.refuse()
        replies = self._exchange(commands)
        for reply in replies:
            if isinstance(reply, Exception):
                raise self._refused(reply) from reply
        return replies

    @contextlib.contextmanager
    def ahead(self, commands: Sequence[Command]) -> Iterator[None]:
        """Send reads that this thread will ask for, all in one round trip; in here `ask` has their answers."""
        self._own.known = dict(zip(commands, self.ask(*commands), strict=True))
        try:
            yield
        finally:
            self._own.known = None

    @property
    def is_away(self) -> bool:
        """Whether requests are refused without asking, since the last ones were not answered."""
        return self._breaker.is_open

    def close(self) -> None:
        """Close this thread's connection; the next question opens another."""
        connection = getattr(self._own, "connection", None)
        if connection is not None:
            connection.disconnect()
        self._own.connection = None

    def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        errors = _library().exceptions
        while True:
            was_open = getattr(self._own, "connection", None) is not None
            try:
                replies = self._send(commands)
            except errors.ResponseError as error:  # while connecting: no such database, say
                raise self._refused(error) from error
            except errors.TimeoutError as error:
                raise self._away(f"no answer within {self._timeout_s:g} s") from error
            except (errors.ConnectionError, OSError) as error:
                self.close()
                if was_open:  # the server may have been started anew since: once more, over a new connection
                    continue
                raise self._away(_explained(error)) from error
            for reply in replies:
                if isinstance(reply, Exception) and type(reply).__name__ in _WAITS:
                    raise self._away(str(reply))
            self._breaker.worked()
            return replies

    def _send(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands and read all their answers; a connection on which answers are left over is not used again."""
        refusal = _library().exceptions.ResponseError
        connection = getattr(self._own, "connection", None)
        is_whole = False
        try:
            if connection is None:
                connection = self._own.connection = self._make()
                connection.connect()
            connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            replies = []
            for _ in commands:
                try:
                    replies.append(connection.read_response(disable_decoding=True))
                except refusal as error:
                    replies.append(error)
            is_whole = True
            return replies
        finally:
            if not is_whole:
                self.close()

    def _away(self, why: str) -> StoreAwayError:
        self._breaker.failed(why)
        return StoreAwayError(f"the online store at {self.where} can't be reached ({why.rstrip('.')})")

    def _refused(self, reply: Exception) -> StoreError:
        kind = StoreAwayError if _hint(reply) else StoreError
        return kind(f"the online store at {self.where} refuses: {_explained(reply)}")

    def _answers(self) -> bool:
        """Whether the server answers over a new connection, so that a thread beside the requests can find out."""
        errors = _library().exceptions
        connection = self._make()
        try:
            connection.connect()
            connection.send_packed_command(connection.pack_commands([("PING",)]), check_health=False)
            return bool(connection.read_response(disable_decoding=True) == b"PONG")
        except (errors.RedisError, OSError):
            return False
        finally:
            connection.disconnect()

    def _forget(self) -> None:
        self._own, self._breaker = threading.local(), Breaker(self.where, self._answers)

    @cached_property
    def _make(self) -> Callable[[], Any]:
        """What makes a connection, which connects to nothing yet."""
        redis = _library()
        no_retry = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
        password = {} if self._address.password is None else {"password": self._address.password}
        try:
            pool = redis.ConnectionPool.from_url(
                self._address.url,
                socket_timeout=self._timeout_s,
                socket_connect_timeout=self._timeout_s,
                retry=no_retry,
                protocol=2,
                **password,
            )
            # Not by the pool, which counts what it made and stops at a hundred, whatever became of them.
            make = functools.partial(pool.connection_class, **pool.connection_kwargs)
            make()  # knows all options
            return make
        except TypeError as error:
            option = re.search(r"keyword argument '(\w+)'", str(error))
            what = f"there is no option '{option[1]}'" if option else str(error)
            raise SettingError(f"SCORELINE_STORE: {self.where}: {what}; options are those of redis-py") from error
        except ValueError as error:
            raise SettingError(f"SCORELINE_STORE: {self.where} can't be used ({error})") from error


def _hint(error: Exception) -> str:
    return next((_HINTS[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _HINTS), "")


def _explained(error: Exception) -> str:
    """Return what a server said, with what to do about it."""
    return f"{str(error).rstrip('.')}. {_hint(error)}".strip().rstrip(".")


@functools.cache
def _library() -> Any:
    try:
        import redis.backoff
        import redis.connection
        import redis.retry
    except ImportError as error:
        raise SettingError(
            "SCORELINE_STORE: the client library of Redis is not installed. Run: pip install 'scoreline[redis]'"
        ) from error
    return redis


_links: weakref.WeakSet[Link] = weakref.WeakSet()


def _forget_links() -> None:
    """Leave the parent its connections: two processes on one would read each other's answers."""
    for link in _links:
        link._forget()


os.register_at_fork(after_in_child=_forget_links)
