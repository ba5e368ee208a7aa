"""Whom lucid is measured against: one short entry each, called as its own users call it.

An entry takes a `Problem` and returns a function of no arguments, which computes the loss, or the pair of
the loss and its gradient; or None, if that library does not offer the operation. Operands are brought to the
library beforehand. The answer is complete when the function returns.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final, NamedTuple, TypeAlias

from lucid._bench.problems import Problem

__all__ = ["FLOOR", "PEERS", "Contestant", "Make"]

Make: TypeAlias = Callable[[Problem], Callable[[], Any] | None]


class Contestant(NamedTuple):
    """Somebody's loss.

    Parameters
    ----------
    name, title : str
        In the command line and on the terminal, and on a page.
    requires : tuple of str
        The distributions that it imports.
    make : callable
        From a problem to what computes it.
    traced : bool
        Whether its memory is accounted for, as it is NumPy's.
    """

    name: str
    title: str
    requires: tuple[str, ...]
    make: Make
    traced: bool = False

    @property
    def missing(self) -> list[str]:
        """What is not installed."""
        return [name for name in self.requires if find_spec(IMPORTED_AS.get(name, name)) is None]


def floor(problem: Problem) -> Callable[[], Any] | None:
    """Read both operands: nothing that looks at them can be much faster in NumPy."""
    x, y = problem.x, problem.y
    return None if problem.dtype == "bfloat16" else lambda: (x.sum(), y.sum())


def on_numpy(problem: Problem) -> Callable[[], Any] | None:
    """Write the formula down."""
    import numpy as np

    op, x, y, w = problem.op, problem.x, problem.y, problem.w
    n = x.size

    def each() -> Any:
        loss = np.logaddexp(0, x) - x * y if op.logits else -(y * np.log(x) + (1 - y) * np.log1p(-x))
        return loss if w is None else w * loss

    def by_input() -> Any:
        return (1 / (1 + np.exp(-x)) - y) / n if op.logits else (x - y) / (x * (1 - x)) / n

    if problem.dtype == "bfloat16":
        return None
    if op.gradient:
        return lambda: (each().mean(), by_input())
    return each if op.reduction == "none" else lambda: each().mean()


def on_torch(problem: Problem, compiled: bool = False) -> Callable[[], Any]:
    """Call PyTorch's module on tensors of one dtype; its gradient is that of `.backward()`."""
    import torch

    op = problem.op
    dtype = getattr(torch, problem.dtype)
    x, y = (torch.from_numpy(each).to(dtype) for each in (problem.x, problem.y))
    w = None if problem.w is None else torch.from_numpy(problem.w).to(dtype)
    module = torch.nn.BCEWithLogitsLoss if op.logits else torch.nn.BCELoss
    criterion = module(weight=w, reduction=op.reduction)
    if compiled:
        torch.compiler.reset()
        criterion = torch.compile(criterion, dynamic=False)
    if not op.gradient:
        return lambda: criterion(x, y)
    x.requires_grad_()

    def step() -> Any:
        loss = criterion(x, y)
        loss.backward()
        gradient, x.grad = x.grad, None
        return loss, gradient

    return step


def on_compiled_torch(problem: Problem) -> Callable[[], Any]:
    """Compile it; needs a C++ compiler."""
    return on_torch(problem, compiled=True)


def on_jax(problem: Problem, logits: Callable[[Any, Any], Any] | None = None) -> Callable[[], Any]:
    """Compile the formula as JAX's users write it, clipped at 1e-7, and wait for its result."""
    import jax
    import jax.numpy as jnp

    op = problem.op

    def probabilities(p: Any, y: Any) -> Any:
        p = jnp.clip(p, 1e-7, 1 - 1e-7)
        return -(y * jnp.log(p) + (1 - y) * jnp.log1p(-p))

    def by_hand(z: Any, y: Any) -> Any:
        return jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z)))

    formula = (logits or by_hand) if op.logits else probabilities

    def loss(x: Any, y: Any, w: Any) -> Any:
        each = formula(x, y) if w is None else w * formula(x, y)
        return each if op.reduction == "none" else each.mean()

    function = jax.jit(jax.value_and_grad(loss) if op.gradient else loss)
    operands = [
        None if a is None else jnp.asarray(a, problem.dtype) for a in (problem.x, problem.y, problem.w)
    ]
    return lambda: jax.block_until_ready(function(*operands))


def on_optax(problem: Problem) -> Callable[[], Any] | None:
    """Compile optax's loss, which takes logits."""
    import optax

    return on_jax(problem, optax.sigmoid_binary_cross_entropy) if problem.op.logits else None


def on_keras(problem: Problem) -> Callable[[], Any] | None:
    """Call Keras's loss, with NumPy as its backend, which has no gradients."""
    import keras

    op = problem.op
    if op.gradient or problem.dtype == "bfloat16":
        return None
    x, y = (keras.ops.convert_to_tensor(each) for each in (problem.x, problem.y))
    if op.reduction == "none":
        return lambda: keras.ops.binary_crossentropy(y, x, from_logits=op.logits)
    w = None if problem.w is None else keras.ops.convert_to_tensor(problem.w)
    x, y = x[:, None], y[:, None]  # a loss for each row
    criterion = keras.losses.BinaryCrossentropy(from_logits=op.logits, dtype=problem.dtype)
    return lambda: criterion(y, x, w)


def on_sklearn(problem: Problem) -> Callable[[], Any] | None:
    """Call scikit-learn's metric, which takes hard labels and returns their mean."""
    from sklearn.metrics import log_loss

    op, x, y, w = problem.op, problem.x, problem.y, problem.w
    if op.logits or op.soft or op.gradient or op.reduction == "none" or problem.dtype[-2:] == "16":
        return None
    if w is None:
        return lambda: log_loss(y, x, labels=[0, 1])
    return lambda: log_loss(y, x, labels=[0, 1], sample_weight=w, normalize=False) / x.size


IMPORTED_AS: Final = {"scikit-learn": "sklearn"}
FLOOR: Final = Contestant("floor", "floor", ("numpy",), floor, traced=True)
PEERS: Final = {
    peer.name: peer
    for peer in (
        Contestant("numpy", "NumPy formula", ("numpy",), on_numpy, traced=True),
        Contestant("torch", "PyTorch", ("torch",), on_torch),
        Contestant("torch-compile", "torch.compile", ("torch",), on_compiled_torch),
        Contestant("jax", "JAX jit", ("jax",), on_jax),
        Contestant("optax", "optax jit", ("optax", "jax"), on_optax),
        Contestant("keras", "Keras", ("keras",), on_keras),
        Contestant("sklearn", "scikit-learn", ("scikit-learn",), on_sklearn),
    )
}
