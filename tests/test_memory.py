"""Calls leave nothing behind: memory after many of them is what it was before."""

import gc
import resource
import sys
import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import lucid
from lucid import nn

P = np.random.default_rng(0).random(32).astype(np.float32)
Y = np.round(P)
MEAN, EACH = nn.BCELoss(), nn.BCEWithLogitsLoss(reduction="none")


def tape():
    tensor = lucid.Tensor(P, requires_grad=True)
    (MEAN(tensor, Y) * 2.0).backward()


def refused():
    with pytest.raises(ValueError, match="outside"):
        MEAN(P * 2, Y)


def selected():
    with lucid.use_backend("numpy"), lucid.no_grad():
        lucid.rand(3)


def threads():
    MEAN(np.broadcast_to(P[:1], 2**20), np.broadcast_to(Y[:1], 2**20))


CALLS = {
    "arrays": lambda: EACH(P, Y),
    "value_and_grad": lambda: MEAN.value_and_grad(P, Y),
    "lists": lambda: MEAN([0.25, 0.5], [0, 1]),
    "tape": tape,
    "refused": refused,
    "selected": selected,
    "threads": threads,
}


def pytorch():
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    tensor, labels = torch.from_numpy(P.copy()).requires_grad_(), torch.from_numpy(Y)

    def call():
        tensor.grad = None
        MEAN(tensor, labels).backward()

    return call


def resident():
    """Ask the system how much memory this process has, in bytes."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def repeated(call, times):
    for _ in range(times):
        call()
    gc.collect()


@pytest.mark.usefixtures("early_threads")
@pytest.mark.parametrize("kind", [*CALLS, "pytorch"])
def test_many_calls_leave_no_memory_behind(kind, request) -> None:
    call = pytorch() if kind == "pytorch" else CALLS[kind]
    times = 100_000 if request.config.getoption("--long") else 1000
    times //= 100 if kind == "threads" else 1
    repeated(call, 200 if kind != "threads" else 5)
    before = resident() if sys.platform == "linux" else 0
    repeated(call, times)
    grown = (resident() if sys.platform == "linux" else 0) - before
    tracemalloc.start()
    repeated(call, 100 if kind != "threads" else 5)
    counts = [tracemalloc.get_traced_memory()[0]]
    for _ in range(3):  # a leak shows each time; what a cache takes now and then does not
        repeated(call, times)
        counts.append(tracemalloc.get_traced_memory()[0])
    kept = min(after - before for before, after in pairwise(counts))
    tracemalloc.stop()
    print(f"{kind}: {times} calls, {kept} bytes more by Python's count, {grown} by the system's")
    assert kept < 8192  # less than an object a call
    assert grown < 2**23
