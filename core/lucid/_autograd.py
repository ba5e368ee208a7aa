"""The tape: what was computed from what, and the walk back over it.

It knows no array library: gradients are anything that can be added. A node's number is greater than those of
its inputs, so walking from the greatest to the least visits every node after all of its uses, without
recursion. The numbers follow from the graph alone: threads that record at the same time share nothing.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from typing import Any, TypeAlias
from weakref import WeakMethod

__all__ = ["Leaf", "Node", "grad_enabled", "no_grad", "walk_back"]

Pullback: TypeAlias = Callable[[Any, Sequence[bool]], Sequence[Any]]
"""(gradient of the result, which inputs need theirs) -> gradients of the inputs, None where not needed."""

_recording: ContextVar[bool] = ContextVar("lucid_recording", default=True)


class Leaf:
    """Where a walk ends: a tensor that somebody created and wants the gradient of.

    The tensor holds the leaf. The leaf holds the tensor's method weakly: otherwise the two would keep each
    other, and their arrays, alive until the cyclic garbage collector runs.
    """

    __slots__ = ("_method", "number")

    def __init__(self, accumulate: Callable[[Any], None]) -> None:
        self._method = WeakMethod(accumulate)
        self.number = 0

    def accumulate(self, gradient: Any) -> None:
        """Add to the tensor's gradient, if anybody still has the tensor."""
        method = self._method()
        if method is not None:
            method(gradient)


class Node:
    """A recorded operation: its inputs' nodes (None for those that need no gradient) and the way back."""

    __slots__ = ("inputs", "number", "pullback")

    def __init__(self, inputs: "Sequence[Node | Leaf | None]", pullback: Pullback) -> None:
        self.inputs = tuple(inputs)
        self.pullback: Pullback | None = pullback
        self.number: int = 1 + max([each.number for each in self.inputs if each is not None], default=0)


def grad_enabled() -> bool:
    """Whether operations are being recorded."""
    return _recording.get()


@contextmanager
def no_grad() -> Iterator[None]:
    """Record nothing inside the ``with`` block, or inside the function that this decorates.

    Yields
    ------
    None

    Examples
    --------
    >>> import lucid
    >>> w = lucid.tensor([1.0, 2.0], requires_grad=True)
    >>> with lucid.no_grad():
    ...     w -= 0.5
    >>> w
    Tensor([0.5, 1.5], dtype=float32, requires_grad=True)
    """
    token = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(token)


def walk_back(start: "Node | Leaf", gradient: Any, *, retain: bool) -> None:
    """Carry a gradient from a node to the leaves, and free the nodes unless they are to be retained."""
    arrived: dict[Node | Leaf, Any] = {start: gradient}
    arrivals = count()  # decide between nodes of one number, so that it is the same order each time
    queue = [(-start.number, next(arrivals), start)]
    results: list[tuple[Leaf, Any]] = []
    while queue:
        *_, node = heapq.heappop(queue)
        gradient = arrived.pop(node)
        if isinstance(node, Leaf):
            results.append((node, gradient))
            continue
        if node.pullback is None:
            raise RuntimeError(
                "backward() was called a second time over operations whose record has been freed; "
                "call the first one as backward(retain_graph=True), or compute the loss again"
            )
        gradients = node.pullback(gradient, [input is not None for input in node.inputs])
        for input, contribution in zip(node.inputs, gradients, strict=True):
            if input is None:
                continue
            if input in arrived:
                arrived[input] = arrived[input] + contribution
            else:
                arrived[input] = contribution
                heapq.heappush(queue, (-input.number, next(arrivals), input))
        if not retain:
            node.pullback = None
            node.inputs = ()
    for leaf, gradient in results:  # last, so that a walk that fails has changed no gradient
        leaf.accumulate(gradient)
