"""Whose losses are measured: lucid's on a backend, and those of other libraries, as their users call them.

A contestant is given operands as float64 arrays, whose numbers are exact in the dtype that it is to compute
in, and gives its result back as one. What it does not offer is None; what it refuses raises.
"""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib.util import find_spec
from math import inf
from multiprocessing import get_context
from os import environ
from sys import modules
from typing import Any, Final, Protocol, TypeAlias

import numpy as np

import lucid
from accuracy.oracle import Floats
from accuracy.problems import Op
from lucid._convert import resolve_dtype
from lucid.testing.cases import Problem

__all__ = ["DISTRIBUTIONS", "PEERS", "Contestant", "Lucid", "Peer"]

FEW: Final = 40
"""So few elements are computed in another way, on the host."""


class Contestant(Protocol):
    """Somebody's loss."""

    @property
    def title(self) -> str:
        """What a column of the table is called."""

    def evaluate(
        self, op: Op, at: Problem, dtype: str, reduction: str, *, few: bool = False
    ) -> Floats | None:
        """Compute a loss or its derivative."""


@dataclass(frozen=True)
class Lucid:
    """lucid's loss on a backend.

    Parameters
    ----------
    name : str
        The backend's.
    """

    name: str

    @property
    def title(self) -> str:
        """What a column of the table is called."""
        return f"lucid on {self.name}"

    @cached_property
    def host_values(self) -> bool:
        """Whether the bounds are those of a host, and not of a device."""
        return bool(self.backend.host_values(self.backend.asarray(np.zeros(1))))

    @cached_property
    def backend(self) -> Any:
        """The backend; an error says why it can't run."""
        return lucid.get_backend(self.name)

    @property
    def largest(self) -> float:
        """How many elements can be waited for: a CPU that stands in for a GPU takes its time."""
        return 1_000_000 if self.name == "cupy" and "cuda_on_cpu" in modules else inf

    def offers(self, dtype: str) -> bool:
        """Whether the library has a dtype."""
        return bool(hasattr(self.backend.xp, dtype))

    def evaluate(
        self, op: Op, at: Problem, dtype: str, reduction: str, *, few: bool = False
    ) -> Floats | None:
        """Compute a loss or its derivative; if `few`, of some elements at a time."""
        if not self.offers(dtype) or at.x.size > self.largest:
            return None
        if few:
            starts = range(0, at.x.size, FEW)
            parts = [Problem(at.x[n : n + FEW], at.target[n : n + FEW]) for n in starts]
            return np.concatenate([self.call(op, part, dtype, reduction) for part in parts])
        return self.call(op, at, dtype, reduction)

    def call(self, op: Op, at: Problem, dtype: str, reduction: str) -> Floats:
        """Call the loss."""
        x, y, w, v = (
            None if each is None else self.backend.asarray(each, dtype=resolve_dtype(self.backend, dtype))
            for each in (at.x, at.target, at.weight, at.pos_weight)
        )
        loss = lucid.nn.BCELoss if op.kernel == "bce" else lucid.nn.BCEWithLogitsLoss
        criterion = loss(weight=w, pos_weight=v, reduction=reduction)
        result = criterion.value_and_grad(x, y)[1] if op.gradient else criterion(x, y)
        return np.atleast_1d(self.backend.to_numpy(result)).astype(np.float64)


Call: TypeAlias = Callable[[Op, Problem, str, bool], Floats | None]
"""(op, operands, dtype, whether the mean is wanted) -> the loss or its derivative."""


@dataclass(eq=False)
class Peer:
    """Another library's loss.

    Parameters
    ----------
    title : str
        What a column of the table is called.
    requires : tuple of str
        The modules that it imports.
    call : callable
        What computes it.
    environment : dict
        Variables that are read when the library is imported; it then runs in a process of its own.
    """

    title: str
    requires: tuple[str, ...]
    call: Call
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def installed(self) -> bool:
        """Whether it can be measured here."""
        return all(find_spec(name) for name in self.requires)

    def evaluate(
        self, op: Op, at: Problem, dtype: str, reduction: str, *, few: bool = False
    ) -> Floats | None:
        """Compute a loss or its derivative."""
        if few or reduction not in {"none", "mean"} or (op.gradient and reduction == "mean"):
            return None
        arguments = (op, at, dtype, reduction == "mean")
        return (
            self.process.submit(self.call, *arguments).result() if self.environment else self.call(*arguments)
        )

    @cached_property
    def process(self) -> ProcessPoolExecutor:
        """A process in which the library has not been imported."""
        return ProcessPoolExecutor(1, get_context("spawn"), prepare, (self.environment,))


def prepare(environment: dict[str, str]) -> None:
    """Set variables, before a library is imported."""
    environ.update(environment)


def on_torch(op: Op, at: Problem, dtype: str, mean: bool) -> Floats | None:
    """Call PyTorch's module; its gradient is that of `.backward()`."""
    import torch

    x, y, w, v = (
        None if each is None else torch.from_numpy(each).to(getattr(torch, dtype))
        for each in (at.x, at.target, at.weight, at.pos_weight)
    )
    assert x is not None
    if op.kernel == "bce" and v is not None:
        return None
    module = torch.nn.BCELoss if op.kernel == "bce" else torch.nn.BCEWithLogitsLoss
    if v is not None:
        module = partial(module, pos_weight=v)
    loss = module(weight=w, reduction="mean" if mean else "none")(x.requires_grad_(op.gradient), y)
    if op.gradient:
        loss.backward(torch.ones_like(loss))
        assert x.grad is not None
        loss = x.grad
    return np.atleast_1d(loss.detach().double().numpy())


def is_weighted(at: Problem) -> bool:
    """Whether there are weights, which are not asked of every peer."""
    return at.weight is not None or at.pos_weight is not None


def on_jax(op: Op, at: Problem, dtype: str, mean: bool, logits: str = "formula") -> Floats | None:
    """Compile the formula as JAX's users write it, clipped at 1e-7, or optax's loss from logits."""
    import jax
    import jax.numpy as jnp

    if is_weighted(at):
        return None
    jax.config.update("jax_enable_x64", True)

    def probabilities(p: Any, t: Any) -> Any:
        p = jnp.clip(p, 1e-7, 1 - 1e-7)
        return -(t * jnp.log(p) + (1 - t) * jnp.log1p(-p))

    def by_hand(z: Any, t: Any) -> Any:
        return jnp.maximum(z, 0) - z * t + jnp.log1p(jnp.exp(-jnp.abs(z)))

    formula = probabilities if op.kernel == "bce" else by_hand
    if logits == "optax":
        import optax

        if op.kernel == "bce":
            return None
        formula = optax.sigmoid_binary_cross_entropy
    function = (lambda p, t: formula(p, t).mean()) if mean else formula
    if op.gradient:
        function = jax.grad(lambda p, t: formula(p, t).sum())
    result = jax.jit(function)(*(jnp.asarray(each, dtype) for each in (at.x, at.target)))
    return np.atleast_1d(np.asarray(result).astype(np.float64))


def on_keras(op: Op, at: Problem, dtype: str, mean: bool) -> Floats | None:
    """Call Keras's loss on the backend that the environment names; gradients are that backend's own."""
    import keras

    if is_weighted(at):
        return None
    if keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)
    logits = op.kernel != "bce"
    p, t = (keras.ops.convert_to_tensor(each, dtype=dtype) for each in (at.x, at.target))
    if mean:  # of the losses of rows of one element
        loss = keras.losses.BinaryCrossentropy(from_logits=logits, dtype=dtype)(t[:, None], p[:, None])
    elif op.gradient:
        loss = gradient_in_keras(p, t, logits)
    else:
        loss = keras.ops.binary_crossentropy(t, p, from_logits=logits)
    return (
        None if loss is None else np.atleast_1d(keras.ops.convert_to_numpy(keras.ops.cast(loss, "float64")))
    )


def gradient_in_keras(p: Any, t: Any, logits: bool) -> Any:
    """Differentiate the sum of the losses; Keras on NumPy can't."""
    import keras

    def total(p: Any) -> Any:
        return keras.ops.sum(keras.ops.binary_crossentropy(t, p, from_logits=logits))

    if keras.backend.backend() == "jax":
        import jax

        return jax.grad(total)(p)
    if keras.backend.backend() == "torch":
        import torch

        return torch.autograd.grad(total(p.requires_grad_()), p)[0]
    return None


def on_sklearn(op: Op, at: Problem, dtype: str, mean: bool) -> Floats | None:
    """Call scikit-learn's metric, which returns the mean for hard labels."""
    from sklearn.metrics import log_loss

    if op.kernel != "bce" or op.gradient or not mean or is_weighted(at):
        return None
    if dtype == "bfloat16":
        from ml_dtypes import bfloat16 as kind
    else:
        kind = np.dtype(dtype)
    p, t = at.x.astype(kind), at.target.astype(kind)
    return np.array([log_loss(t, p, labels=[0, 1])], np.float64)


def keras_on(backend: str, *requires: str) -> Peer:
    """Describe Keras on one of its backends, which it chooses when it is imported."""
    return Peer(f"Keras on {backend}", ("keras", *requires), on_keras, {"KERAS_BACKEND": backend})


PEERS: Final = {
    "torch": Peer("PyTorch", ("torch",), on_torch),
    "keras-numpy": keras_on("numpy"),
    "keras-jax": keras_on("jax", "jax"),
    "keras-torch": keras_on("torch", "torch"),
    "jax": Peer("JAX formula", ("jax",), on_jax),
    "optax": Peer("optax", ("optax", "jax"), partial(on_jax, logits="optax")),
    "sklearn": Peer("scikit-learn", ("sklearn",), on_sklearn),
}


DISTRIBUTIONS: Final = (
    *("lucid-bce", "numpy", "torch", "cupy-cuda12x", "keras", "jax", "optax", "scikit-learn", "ml-dtypes"),
    *("gmpy2", "mpmath"),
)
"""Whose versions matter."""
