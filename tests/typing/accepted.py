"""A plugin, and a program that uses lucid, in which type checkers find nothing wrong."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import lucid
from lucid import nn
from lucid.hookspecs import hookimpl
from lucid.kernels import ArrayKernel, Logits, forward_only
from lucid.protocol import Backend, BackendInfo, Differentiable, Gradients, Kernel, LossSpec, Needs, Xfail

Array: TypeAlias = NDArray[Any]

INFO = BackendInfo(name="typed", api_version=1, array_types=("numpy:ndarray",), requires="numpy")


class MyKernel:
    """A kernel that inherits nothing."""

    def forward(
        self,
        spec: LossSpec,
        input: Array,
        target: Array,
        weight: Array | None,
        pos_weight: Array | None,
        *,
        needs_grad: bool,
    ) -> tuple[Array, tuple[Array, Array]]:
        return np.asarray(0.0), (input, target)

    def backward(
        self, spec: LossSpec, residuals: tuple[Array, Array], grad_output: Array | None, needs: Needs
    ) -> Gradients[Array]:
        input, _ = residuals
        return (input if needs.input else None), None, None


class MyBackend:
    """A backend that inherits nothing, with attributes where the contract has properties."""

    info = INFO
    xp: Any = np
    bce: Kernel[Array] = MyKernel()
    bce_with_logits: Kernel[Array] = ArrayKernel(np, Logits())

    def asarray(
        self, data: Array, *, dtype: Any = None, like: Array | None = None, copy: bool | None = None
    ) -> Array:
        return np.array(data, dtype=dtype, copy=copy)

    def to_numpy(self, array: Array) -> Array:
        return array

    def host_values(self, array: Array) -> bool:
        return True

    def differentiable(self, kernel: Kernel[Array]) -> Differentiable[Array]:
        return forward_only(kernel)


@hookimpl
def lucid_backend_info(name: str) -> BackendInfo | None:
    return INFO if name == INFO.name else None


@hookimpl
def lucid_create_backend(name: str) -> Backend[Array] | None:
    return MyBackend()


@hookimpl
def lucid_conformance_xfails(name: str) -> Sequence[Xfail]:
    return [Xfail("test_loss[float64-bce-edges-plain-none]", "not yet")]


def use(p: Array, y: Array) -> float:
    """Use what a user uses."""
    with lucid.use_backend("typed") as backend:
        name: str = backend.info.name
    explanation: str | None = lucid.explain(p).backend
    states: list[str] = [entry.state for entry in lucid.backends(probe=True) if entry.name == name]
    probs: lucid.Tensor = lucid.tensor(p, requires_grad=True)
    loss = nn.BCELoss(reduction="sum")(1.0 - probs * 2 @ probs, lucid.tensor(y))
    loss.backward()
    return float(loss) + len(states) + (explanation is None)
