"""lucid as a contestant: its losses on each backend that can run, called as its users call them."""

from collections.abc import Callable
from typing import Any

import lucid
from lucid._bench.peers import Peer
from lucid._bench.problems import Problem
from lucid.errors import LucidError

__all__ = ["LUCID", "contestant", "expected", "numpy_of", "unusable"]

LUCID = "lucid-"  # and the backend's name, in a contestant's


def contestant(backend: str) -> Peer:
    """Enter lucid on a backend."""
    return Peer(LUCID + backend, (), lambda problem: on(backend, problem))


def unusable(backend: str) -> str:
    """Say why a backend can't run, if it can't."""
    try:
        lucid.get_backend(backend)
    except (LucidError, ValueError) as error:
        return str(error)
    return ""


def on(name: str, problem: Problem) -> Callable[[], Any] | None:
    """Call lucid's module on a backend's arrays; with an autograd of the library's own, by `.backward()`."""
    op, backend = problem.op, lucid.get_backend(name)
    if not hasattr(backend.xp, problem.dtype):
        return None
    dtype = getattr(backend.xp, problem.dtype)
    x, y = (backend.asarray(each, dtype=dtype) for each in (problem.x, problem.y))
    w = None if problem.w is None else backend.asarray(problem.w, dtype=dtype)
    criterion = loss_of(problem, w)
    if not op.gradient:
        return waiting(lambda: criterion(x, y), x)
    if not hasattr(x, "requires_grad_"):
        return waiting(lambda: criterion.value_and_grad(x, y), x)
    x.requires_grad_()

    def step() -> Any:
        x.grad = None
        loss = criterion(x, y)
        loss.backward()
        return loss, x.grad

    return step


def loss_of(problem: Problem, w: Any) -> Any:
    """Configure the module that solves a problem."""
    from lucid import nn

    module = nn.BCEWithLogitsLoss if problem.op.logits else nn.BCELoss
    return module(weight=w, reduction=problem.op.reduction)


def waiting(run: Callable[[], Any], x: Any) -> Callable[[], Any]:
    """Wait for the device, where the library computes while Python goes on."""
    if hasattr(x, "block_until_ready"):  # JAX

        def ready() -> Any:
            answer = run()
            for each in answer if isinstance(answer, tuple) else (answer,):
                each.block_until_ready()
            return answer

        return ready
    if not hasattr(getattr(x, "device", None), "synchronize"):
        return run

    def synchronized() -> Any:
        answer = run()
        x.device.synchronize()  # CuPy
        return answer

    return synchronized


def expected(problem: Problem) -> tuple[Any, ...]:
    """Solve a problem in float64, with lucid on NumPy."""
    x, y, w = (None if a is None else a.astype("float64") for a in (problem.x, problem.y, problem.w))
    criterion = loss_of(problem, w)
    return criterion.value_and_grad(x, y) if problem.op.gradient else (criterion(x, y),)


def numpy_of(array: Any) -> Any:
    """Bring any library's array to NumPy."""
    import numpy as np

    from lucid._selection import backend_of

    backend = backend_of(array)
    return np.asarray(array) if backend is None else backend.to_numpy(array)
