"""LMDB files that each process opens for itself, at first use and once."""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path

import lmdb


class Opened:
    """An LMDB file. Opened at first use in each process, so that it may be made before a fork."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._env: lmdb.Environment | None = None
        self._opening = threading.Lock()  # two threads may be the first at once, and LMDB opens a file once a process

    @property
    def is_open(self) -> bool:
        """Whether the file is open in this process."""
        return self._env is not None

    def close(self) -> None:
        """Close the file in this process."""
        if self._env is not None:
            self._env.close()
        self._env = None

    def _open_file(self) -> lmdb.Environment:
        raise NotImplementedError

    def _open(self) -> lmdb.Environment:
        with self._opening:
            if self._env is None:
                self._env = self._open_file()
                _opened.add(self)
            return self._env


_opened: weakref.WeakSet[Opened] = weakref.WeakSet()


def _forget_opened() -> None:
    """Let go of what came open through a fork: it is the parent's, and LMDB takes its path for open here too.

    Asking for the process's id at each lookup would do as well, at a tenth of the lookup's time.
    """
    for file in _opened:
        file._env = None
        file._opening = threading.Lock()  # a thread of the parent's may have held it
    _opened.clear()


os.register_at_fork(after_in_child=_forget_opened)
