"""The line that each request leaves: nginx writes it to a named pipe, and this brings it to our stdout.

nginx can't write to the stdout that it was given, it can only open a file; and opening `/dev/stdout`
fails where that is a socket, or a pipe of the user that we were before. Nobody waits for whoever reads
our stdout: what would hold nginx up is dropped, and counted.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from pathlib import Path

HELD_BYTES = 1 << 20  # of lines, while nobody reads our stdout
_PIECE_BYTES = select.PIPE_BUF  # what a pipe that is ready takes without waiting, and whole
_READ_BYTES = 1 << 16
_LOOK_EVERY_S = 0.2
_LAST_S = 1.0  # for whoever reads our stdout, at the end


class RequestLog:
    """Carries whole lines from a named pipe to a file descriptor, in a thread of its own.

    Parameters
    ----------
    path : where the pipe is made
    out : descriptor that the lines go to
    """

    def __init__(self, path: Path, out: int) -> None:
        os.mkfifo(path, 0o600)  # nginx opens it before it drops root
        self.path, self._out = path, out
        # for writing too: so that a writer never meets a pipe that nobody reads
        self._pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._held, self._dropped = bytearray(), 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._carry, name="request-log", daemon=True)

    def start(self) -> None:
        """Begin to carry."""
        self._thread.start()

    def stop(self) -> None:
        """Carry what is there, then end. The writers must have ended before."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_LAST_S)
        os.close(self._pipe)

    def _carry(self) -> None:
        while not self._stop.is_set():
            self._turn(_LOOK_EVERY_S)
        self._turn(0)
        while self._piece() and select.select([], [self._out], [], _LOOK_EVERY_S)[1]:
            self._write()

    def _turn(self, wait_s: float) -> None:
        to_read, to_write, _ = select.select([self._pipe], [self._out] if self._piece() else [], [], wait_s)
        if to_read:
            self._read()
        if to_write:
            self._write()

    def _piece(self) -> int:
        """Return how many bytes can go on: whole lines, or a part of one that is longer than a piece."""
        whole = self._held.rfind(b"\n", 0, _PIECE_BYTES) + 1
        return whole or (_PIECE_BYTES if len(self._held) >= _PIECE_BYTES else 0)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._held += os.read(self._pipe, _READ_BYTES)
        if len(self._held) > HELD_BYTES:
            self._dropped += len(self._held)
            self._held.clear()

    def _write(self) -> None:
        if self._dropped:
            self._held[:0] = b"serve: %d bytes of request lines were dropped: nobody read stdout\n" % self._dropped
            self._dropped = 0
        end = self._piece()
        try:
            written = os.write(self._out, self._held[:end])
        except OSError:  # stdout is closed: nothing is left to say, and nginx must not wait
            written = end
        del self._held[:written]
