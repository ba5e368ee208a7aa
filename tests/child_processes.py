"""Compute in children of a process that has used threads, and compare with the parent: a program for tests.

Arguments: how the children are started, and the names of backends.
"""

import sys
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from multiprocessing import get_context

import numpy as np

import lucid
from lucid import nn
from lucid_host import walk

SIZE = 2**20 + 3
walk.ENOUGH = 2**18  # so that there are threads


def computed(name: str) -> str:
    """Compute a loss and its gradient, and say which bits they have."""
    lucid.set_num_threads(2)
    random = np.random.default_rng(0)
    p, y = random.random(SIZE, np.float32), random.integers(0, 2, SIZE)
    with lucid.use_backend(name):
        tensor = lucid.Tensor(p, requires_grad=True)
        loss = nn.BCELoss()(tensor, lucid.Tensor(y))
        loss.backward()
    return sha256(loss.numpy().tobytes() + tensor.grad.numpy().tobytes()).hexdigest()


def drawn(_: int) -> int:
    """Draw random numbers, which takes the generator's lock."""
    return lucid.rand(7).size


def busy(stop: threading.Event) -> None:
    """Compute and draw until somebody says stop."""
    while not stop.is_set():
        computed("numpy")
        lucid.rand(2**20)


def main(method: str, names: list[str]) -> None:
    """Start children while other threads are at work, and see that all give the parent's bits."""
    alone = [computed(name) for name in names]
    stop = threading.Event()
    threads = [threading.Thread(target=busy, args=[stop]) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5 if method == "fork" else 1):  # at several moments
            with ProcessPoolExecutor(2, mp_context=get_context(method)) as pool:
                assert list(pool.map(computed, names, timeout=120)) == alone
                assert list(pool.map(drawn, range(4), timeout=120)) == [7] * 4
    finally:
        stop.set()
    for thread in threads:
        thread.join()
    assert [computed(name) for name in names] == alone
    print(f"{method}: {', '.join(names)}: as in the parent")


if __name__ == "__main__":
    # Python 3.12 warns of every fork beside threads, which is what this is about
    warnings.filterwarnings("ignore", ".*use of fork\\(\\) may lead to deadlocks", DeprecationWarning)
    main(sys.argv[1], sys.argv[2:])
