"""How time is taken: every contestant once in each round, in a shuffled order, until the budget is spent."""

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from statistics import median, quantiles
from time import perf_counter, process_time
from typing import Any, Final, NamedTuple

__all__ = ["Race", "Spread", "race"]

SHORTEST: Final = 1e-3  # seconds between two looks at the clock; faster calls are repeated to fill them
WARM_UP: Final = 3  # calls
SLOW: Final = 0.03  # the share of the budget above which a contestant runs in the first few rounds only

Run = Callable[[], Any]


class Spread(NamedTuple):
    """A median, and the quartiles around it."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Summarise values, of which there are two at least, to four digits."""
        lower, _, upper = quantiles(values, n=4, method="inclusive")
        return cls(*(float(f"{value:.4g}") for value in (median(values), lower, upper)))


class Race(NamedTuple):
    """The seconds of a call of each contestant, round by round, and the processors each kept busy."""

    seconds: dict[str, list[float]]
    processors: dict[str, float]

    def ratio(self, name: str, reference: str) -> Spread:
        """Compare two contestants in the rounds that they share: above 1, the reference is faster."""
        pairs = zip(self.seconds[name], self.seconds[reference], strict=False)  # the slow ones leave early
        return Spread.of([one / other for one, other in pairs])

    def summary(self, references: Sequence[str]) -> dict[str, Any]:
        """Summarise it for each contestant, with the ratios to the references."""
        return {
            name: {
                "rounds": len(seconds),
                "seconds": Spread.of(seconds)._asdict(),
                "processors": round(self.processors[name], 2),
                "ratios": {each: self.ratio(name, each)._asdict() for each in references if each != name},
            }
            for name, seconds in self.seconds.items()
        }


def race(
    contestants: Mapping[str, Run],
    budget: float,
    *,
    seed: int = 0,
    fewest: int = 7,
    progress: Callable[[float], None] = lambda share: None,
) -> Race:
    """Measure contestants against each other.

    Parameters
    ----------
    contestants : mapping of str to callable
        What each calls. They are warmed up first: compilers compile, caches fill, clocks rise.
    budget : float
        The seconds to spend; at least `fewest` rounds are run, whatever they take. A contestant whose call
        takes more than 3 % of the budget runs in those only, and its time is not counted.
    seed : int
        Of the order in each round.
    fewest : int
        The least number of rounds, which is 2 at least.
    progress : callable
        Told the share of the budget that is spent.
    """
    repeats, slow = {}, set()
    for name, run in contestants.items():
        seconds_of_one = warmed_up(run, budget)
        repeats[name] = max(1, round(SHORTEST / seconds_of_one))
        if seconds_of_one > SLOW * budget:
            slow.add(name)
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    busy, wall = dict.fromkeys(contestants, 0.0), dict.fromkeys(contestants, 0.0)
    random, order = Random(seed), list(contestants)
    spent, rounds = 0.0, 0
    with no_collection():
        while order and (rounds < fewest or spent < budget):
            random.shuffle(order)
            for name in order:
                took, worked = timed(contestants[name], repeats[name])
                seconds[name].append(took / repeats[name])
                busy[name] += worked
                wall[name] += took
                spent += 0.0 if name in slow else took
            rounds += 1
            progress(min(1.0, rounds / fewest, spent / budget if len(slow) < len(contestants) else 1.0))
            if rounds == fewest:
                order = [name for name in order if name not in slow]
    return Race(seconds, {name: busy[name] / wall[name] for name in contestants})


def warmed_up(run: Run, patience: float) -> float:
    """Call until it is warm, or patience is lost, and return the seconds of one call."""
    taken: list[float] = []
    while len(taken) < WARM_UP and sum(taken) < patience:
        taken.append(timed(run, 1)[0])
    fastest = min(taken)
    if fastest >= SHORTEST:
        return fastest
    calls = max(1, int(SHORTEST / fastest))
    return timed(run, calls)[0] / calls


def timed(run: Run, repeats: int) -> tuple[float, float]:
    """Return the seconds that passed during some calls, and those that processors worked."""
    worked, began = process_time(), perf_counter()
    for _ in range(repeats):
        result = run()
    took, worked = perf_counter() - began, process_time() - worked
    del result  # not in the time, as it is the caller who frees it
    return took, worked


@contextmanager
def no_collection() -> Iterator[None]:
    """Keep the garbage collector out of the times, as `timeit` does."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
