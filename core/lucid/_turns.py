"""Turns: what is slow to start keeps those waiting who want it too, and nobody else."""

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from lucid.errors import BackendUnavailableError

__all__ = ["Turns"]


class Turns:
    """One thread at a time for each key.

    Threads that wait for each other in a circle, or for themselves, get an error and never a deadlock:
    plugins may ask for other backends while they start.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holders: dict[Hashable, int] = {}
        self._wanted: dict[int, Hashable] = {}  # what a waiting thread waits for

    @contextmanager
    def of(self, key: Hashable) -> Iterator[None]:
        """Wait for the key's turn, and hold it."""
        me = threading.get_ident()
        with self._changed:
            while key in self._holders:
                if self._comes_back_to(me, key):
                    raise BackendUnavailableError(f"{key} is being started, and needs itself for it")
                self._wanted[me] = key
                try:
                    self._changed.wait()
                finally:
                    del self._wanted[me]
            self._holders[key] = me
        try:
            yield
        finally:
            with self._changed:
                del self._holders[key]
                self._changed.notify_all()

    def taken(self, key: Hashable) -> bool:
        """Whether somebody's turn it is now."""
        return key in self._holders

    def _comes_back_to(self, me: int, key: Hashable) -> bool:
        """Follow the waiting threads from a key to whoever is not waiting, or to me."""
        while (holder := self._holders.get(key)) is not None:
            if holder == me:
                return True
            key = self._wanted.get(holder)
        return False
