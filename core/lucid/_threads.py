"""How many threads the arithmetic on the host may use.

The variable ``LUCID_NUM_THREADS`` is read when it is needed, so that setting it late works too.
"""

import os
from operator import index

__all__ = ["get_num_threads", "set_num_threads"]


class _Process:
    """The process-wide choice. One attribute, replaced whole: safe without a lock."""

    threads: int | None = None


def get_num_threads() -> int:
    """Return how many threads a large loss on the host may use.

    That is what `set_num_threads` said, or else the environment variable ``LUCID_NUM_THREADS``, or else the
    number of processors that this process may run on. The results do not depend on it.

    Raises
    ------
    ValueError
        ``LUCID_NUM_THREADS`` is not a positive integer.

    Examples
    --------
    >>> import lucid
    >>> lucid.get_num_threads() >= 1
    True
    """
    if (chosen := _Process.threads) is not None:  # read once: somebody may take it back
        return chosen
    if said := os.environ.get("LUCID_NUM_THREADS", "").strip():
        if not (said.isdecimal() and int(said)):
            raise ValueError(f"LUCID_NUM_THREADS must be a positive integer, not {said!r}")
        return int(said)
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def set_num_threads(number: int | None) -> None:
    """Say how many threads a large loss on the host may use.

    Parameters
    ----------
    number : int or None
        At least 1; None takes the choice back.

    Raises
    ------
    ValueError
        It is less than 1.
    TypeError
        It is not an integer.

    Examples
    --------
    >>> import lucid
    >>> lucid.set_num_threads(1)
    >>> lucid.get_num_threads()
    1
    >>> lucid.set_num_threads(None)
    """
    if number is not None:
        number = index(number)
        if number < 1:
            raise ValueError(f"the number of threads must be at least 1, not {number}")
    _Process.threads = number
