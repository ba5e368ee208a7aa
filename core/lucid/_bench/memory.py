"""What a call allocates beyond its operands and its result."""

import tracemalloc

from lucid._bench.peers import Make
from lucid._bench.problems import Problem

__all__ = ["Ledger"]


class Ledger:
    """An account of what Python and NumPy allocate, from the time when it is opened.

    Other libraries' allocators are not seen. Open it after they are imported and before the first call, so
    that what a call keeps for the next one, such as scratch memory, is counted too.
    """

    def __init__(self) -> None:
        import numpy.random  # noqa: F401  # which has arrays of its own

        tracemalloc.start()
        self.before = numpy_bytes()

    def extra_bytes(self, make: Make, problem: Problem) -> int | None:
        """Return what a call takes at its peak, and what NumPy keeps between calls; None if it can't be made.

        Neither the operands are counted, nor copies of them that `make` makes, nor the result.
        """
        unmade = numpy_bytes()
        run = make(problem)
        if run is None:
            return None
        copies = numpy_bytes() - unmade
        run()
        operands = sum(each.nbytes for each in (problem.x, problem.y, problem.w) if each is not None)
        kept = numpy_bytes() - self.before - operands - copies
        idle, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        result = run()
        after, peak = tracemalloc.get_traced_memory()
        del result
        return max(0, kept) + peak - max(idle, after)


def numpy_bytes() -> int:
    """Return the bytes of the arrays that NumPy has allocated."""
    import numpy as np

    ours = tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([ours]).traces)
