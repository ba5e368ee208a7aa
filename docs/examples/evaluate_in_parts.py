"""Evaluate predictions that lie in a file, in several processes, with little memory in each."""

import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

import lucid
from lucid import nn

COLUMNS = [("p", "f4"), ("y", "?")]
CRITERION = nn.BCELoss()


def evaluate(path, start, stop):
    """Evaluate some rows of the file; what comes back is a few numbers."""
    total = lucid.BCEAccumulator(CRITERION)
    rows = np.memmap(path, COLUMNS, "r")[start:stop]
    total.update(rows["p"], rows["y"])
    return total


def main(number, path):
    random = np.random.default_rng(0)
    rows = np.memmap(path, COLUMNS, "w+", shape=1_000_003)
    rows["p"], rows["y"] = random.random(len(rows)), random.random(len(rows)) < 0.5
    rows.flush()

    bounds = [len(rows) * n // number for n in range(number + 1)]
    total = lucid.BCEAccumulator(CRITERION)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for part in pool.map(evaluate, [path] * number, bounds[:-1], bounds[1:]):
            total.merge(part)
    print(f"{total.count} elements in {number} parts: {total.result()!r}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 8, Path("predictions.bin"))
