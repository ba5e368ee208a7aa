"""How time is taken: every contestant once in each round, in a shuffled order, until the budget is spent."""

import gc
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from statistics import median, quantiles
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Spread", "Times", "extra_bytes", "race"]

FEWEST_ROUNDS: Final = 5
SHORTEST: Final = 1e-3  # seconds in which the clock is read twice; faster calls are repeated to fill them
WARM_UP: Final = 3

Run = Callable[[], Any]


class Spread(NamedTuple):
    """A median, and the quartiles around it."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Summarise values, of which there are two at least."""
        lower, _, upper = quantiles(values, n=4, method="inclusive")
        return cls(median(values), lower, upper)


class Times(NamedTuple):
    """The seconds of a call of each contestant, round by round, and the processors each kept busy."""

    seconds: dict[str, list[float]]
    processors: dict[str, float]

    def ratio(self, name: str, reference: str) -> Spread:
        """Compare two contestants round by round: above 1, the reference is faster."""
        pairs = zip(self.seconds[name], self.seconds[reference], strict=True)
        return Spread.of([seconds / others for seconds, others in pairs])


def race(
    contestants: Mapping[str, Run],
    budget: float,
    *,
    seed: int = 0,
    fewest: int = FEWEST_ROUNDS,
    progress: Callable[[float], None] = lambda share: None,
) -> Times:
    """Measure contestants against each other.

    Parameters
    ----------
    contestants : mapping of str to callable
        What each calls. They are warmed up first: compilers compile, caches fill, clocks rise.
    budget : float
        The seconds to spend; at least `fewest` rounds are run, whatever they take.
    seed : int
        Of the order in each round.
    fewest : int
        The least number of rounds.
    progress : callable
        Told the share of the budget that is spent.
    """
    repeats = {name: warmed_up(run) for name, run in contestants.items()}
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    busy, wall = dict.fromkeys(contestants, 0.0), dict.fromkeys(contestants, 0.0)
    order, random = list(contestants), Random(seed)
    began = perf_counter()
    with no_collection():
        while (spent := perf_counter() - began) < budget or len(seconds[order[0]]) < fewest:
            progress(min(1.0, spent / budget))
            random.shuffle(order)
            for name in order:
                took, worked = timed(contestants[name], repeats[name])
                seconds[name].append(took / repeats[name])
                busy[name] += worked
                wall[name] += took
    progress(1.0)
    return Times(seconds, {name: busy[name] / wall[name] for name in contestants})


def warmed_up(run: Run) -> int:
    """Call until it is warm, and return how many calls fill the shortest time that is measured well."""
    fastest = min(timed(run, 1)[0] for _ in range(WARM_UP))
    if fastest < SHORTEST:
        fastest = timed(run, max(1, int(SHORTEST / fastest / 4)))[0] / max(1, int(SHORTEST / fastest / 4))
    return max(1, round(SHORTEST / fastest))


def timed(run: Run, repeats: int) -> tuple[float, float]:
    """Return the seconds that passed during some calls, and those that processors worked."""
    worked, began = process_time(), perf_counter()
    for _ in range(repeats):
        result = run()
    took, worked = perf_counter() - began, process_time() - worked
    del result  # not in the time, as it is the caller who frees it
    return took, worked


@contextmanager
def no_collection() -> "Iterator[None]":
    """Keep the garbage collector out of the times, as `timeit` does."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def extra_bytes(run: Run) -> int:
    """Return the bytes that Python and NumPy allocate at the peak of a call, beyond its result."""
    import tracemalloc

    run()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        result = run()
        after, peak = tracemalloc.get_traced_memory()
        del result
    finally:
        tracemalloc.stop()
    return peak - max(before, after)
