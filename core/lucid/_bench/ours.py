"""lucid as a contestant: its losses on each backend that can run, called as its users call them."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import isqrt
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import lucid
from lucid._bench.peers import Contestant, Make
from lucid._bench.problems import Operation, Problem
from lucid.errors import LucidError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LUCID", "entrants", "expected", "numpy_of", "set_threads", "unusable"]

LUCID: Final = "lucid-"  # and the backend's name, in a contestant's
Layout: TypeAlias = "Callable[[NDArray[Any]], NDArray[Any]]"
ON_HOST: Final = ("numpy", "torch")  # backends whose work is done in NumPy's memory


def unusable(backend: str) -> str:
    """Say why a backend can't run, if it can't."""
    try:
        lucid.get_backend(backend)
    except (LucidError, ValueError) as error:
        return str(error)
    return ""


def entrants(backend: str, op: Operation, threads: int) -> list[Contestant]:
    """Enter lucid on a backend; and once more for each variant, if it races itself."""

    def enter(variant: str, make: Make) -> Contestant:
        name = LUCID + backend + variant
        return Contestant(name, name, (), make, traced=backend in ON_HOST)

    def changed(change: Callable[[Problem], Problem]) -> Make:
        return lambda problem: solver(backend, change(problem))

    entered = [enter("", lambda problem: solver(backend, problem))]
    if op.against == "targets":
        entered += [enter(f", {dtype} targets", changed(partial(targets_as, dtype))) for dtype in TARGETS]
    elif op.against == "layouts":
        entered += [
            enter(f", {name}", changed(partial(laid_out, layout))) for name, layout in LAYOUTS.items()
        ]
    elif op.against == "threads" and hasattr(lucid, "set_num_threads"):
        counts = dict.fromkeys([2, os.cpu_count() or 2])
        entered += [enter(f", {n} threads", threaded(entered[0].make, n, threads)) for n in counts]
    return entered


def solver(name: str, problem: Problem) -> Callable[[], Any] | None:
    """Call lucid's module on a backend's arrays; with an autograd of the library's own, by `.backward()`."""
    op, backend = problem.op, lucid.get_backend(name)
    if not hasattr(backend.xp, problem.dtype):
        return None
    dtype = getattr(backend.xp, problem.dtype)
    x = backend.asarray(problem.x, dtype=dtype)
    y = backend.asarray(problem.y, dtype=dtype if problem.y.dtype == problem.x.dtype else None)
    w = None if problem.w is None else backend.asarray(problem.w, dtype=dtype)
    criterion = loss_of(problem, w)
    if not op.gradient:
        return waiting(lambda: criterion(x, y), x)
    if not hasattr(x, "requires_grad_"):
        return waiting(lambda: criterion.value_and_grad(x, y), x)
    x.requires_grad_()

    def step() -> Any:
        loss = criterion(x, y)
        loss.backward()
        gradient, x.grad = x.grad, None
        return loss, gradient

    return waiting(step, x)


def loss_of(problem: Problem, w: Any) -> Any:
    """Configure the module that solves a problem."""
    from lucid import nn

    module = nn.BCEWithLogitsLoss if problem.op.logits else nn.BCELoss
    return module(weight=w, reduction=problem.op.reduction)


def waiting(run: Callable[[], Any], x: Any) -> Callable[[], Any]:
    """Wait for the answer, where the library computes while Python goes on."""
    if hasattr(x, "block_until_ready"):  # JAX
        import jax

        return lambda: jax.block_until_ready(run())
    if not hasattr(getattr(x, "device", None), "synchronize"):
        return run

    def synchronized() -> Any:
        answer = run()
        x.device.synchronize()  # CuPy
        return answer

    return synchronized


def targets_as(dtype: str, problem: Problem) -> Problem:
    """Give the targets another type."""
    return replace(problem, y=problem.y.astype(dtype))


def laid_out(layout: Layout, problem: Problem) -> Problem:
    """Lay the operands out in another way."""
    return replace(problem, x=layout(problem.x), y=layout(problem.y))


def every_second(array: "NDArray[Any]") -> "NDArray[Any]":
    """Spread values over twice the memory."""
    return array.repeat(2)[::2]


def transposed(array: "NDArray[Any]") -> "NDArray[Any]":
    """Lay values out as the columns of a table, as square as can be."""
    rows = next(n for n in range(isqrt(array.size), 0, -1) if array.size % n == 0)
    return array.reshape(rows, -1).T


TARGETS: Final = ("bool", "uint8", "int64")
LAYOUTS: Final[dict[str, Layout]] = {"every second": every_second, "transposed": transposed}


def threaded(make: Make, count: int, otherwise: int) -> Make:
    """Give lucid more threads, during the call only."""

    def made(problem: Problem) -> Callable[[], Any] | None:
        run = make(problem)
        if run is None:
            return None

        def call() -> Any:
            set_threads(count)
            answer = run()
            set_threads(otherwise)
            return answer

        return call

    return made


def set_threads(count: int) -> None:
    """Tell lucid how many threads to take."""
    if set_num_threads := getattr(lucid, "set_num_threads", None):
        set_num_threads(count)


def expected(problem: Problem) -> tuple[Any, ...]:
    """Solve a problem in float64, with lucid on NumPy."""
    operands = (problem.x, problem.y, problem.w)
    x, y, w = (None if each is None else each.astype("float64", copy=False) for each in operands)
    criterion = loss_of(problem, w)
    return criterion.value_and_grad(x, y) if problem.op.gradient else (criterion(x, y),)


def numpy_of(array: Any) -> Any:
    """Bring any library's array to NumPy."""
    import numpy as np

    from lucid._selection import backend_of

    backend = backend_of(array)
    return np.asarray(array) if backend is None else backend.to_numpy(array)
