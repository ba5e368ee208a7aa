"""Mistakes that type checkers find; each such line says which rule of mypy and of pyright it breaks."""

from typing import Any, TypeAlias

import numpy as np
from accepted import INFO, MyBackend, MyKernel
from numpy.typing import NDArray

import lucid
from lucid.hookspecs import hookimpl
from lucid.protocol import Backend, BackendInfo, Gradients, Kernel, LossSpec, Needs, Xfail

Array: TypeAlias = NDArray[Any]


class WithoutNeedsGrad:
    backward = MyKernel().backward

    def forward(
        self, spec: LossSpec, input: Array, target: Array, weight: Array | None, pos_weight: Array | None
    ) -> tuple[Array, Any]:
        return input, None


class WithoutResiduals(MyKernel):
    def forward(  # mypy: override, pyright: reportIncompatibleMethodOverride
        self,
        spec: LossSpec,
        input: Array,
        target: Array,
        weight: Array | None,
        pos_weight: Array | None,
        *,
        needs_grad: bool,
    ) -> Array:
        return input


class WithOneGradient:
    forward = MyKernel().forward

    def backward(self, spec: LossSpec, residuals: Any, grad_output: Array | None, needs: Needs) -> Array:
        return np.zeros(1)


class WithoutBackward:
    forward = MyKernel().forward


class WithoutToNumpy:
    info, xp, bce, bce_with_logits = INFO, np, MyKernel(), MyKernel()
    asarray, host_values, differentiable = (
        MyBackend().asarray,
        MyBackend().host_values,
        MyBackend().differentiable,
    )


class WithoutCopy(MyBackend):
    def asarray(  # mypy: override, pyright: reportIncompatibleMethodOverride
        self, data: Array, *, dtype: Any = None, like: Array | None = None
    ) -> Array:
        return data


class WithWords:
    info, xp, bce, bce_with_logits = INFO, np, MyKernel(), MyKernel()
    asarray, to_numpy, differentiable = MyBackend().asarray, MyBackend().to_numpy, MyBackend().differentiable

    def host_values(self, array: Array) -> str:
        return "yes"


first: Kernel[Array] = WithoutNeedsGrad()  # mypy: assignment, pyright: reportAssignmentType
second: Kernel[Array] = WithOneGradient()  # mypy: assignment, pyright: reportAssignmentType
third: Kernel[Array] = WithoutBackward()  # mypy: assignment, pyright: reportAssignmentType
fourth: Backend[Array] = WithoutToNumpy()  # mypy: assignment, pyright: reportAssignmentType
fifth: Backend[Array] = WithWords()  # mypy: assignment, pyright: reportAssignmentType
sixth: Backend[Array] = MyKernel()  # mypy: assignment, pyright: reportAssignmentType

BackendInfo("typed", 1, ("numpy:ndarray"), "numpy")  # mypy: arg-type, pyright: reportArgumentType
BackendInfo("typed", "1", ("numpy:ndarray",), "numpy")  # mypy: arg-type, pyright: reportArgumentType
BackendInfo("typed", 1, ("numpy:ndarray",))  # mypy: call-arg, pyright: reportCallIssue
LossSpec("average")  # mypy: arg-type, pyright: reportArgumentType
Xfail("test_loss")  # mypy: call-arg, pyright: reportCallIssue


def gradients(input: Array) -> Gradients[Array]:
    return input, None  # mypy: return-value, pyright: reportReturnType


@hookimpl
def lucid_backend_info(name: str) -> BackendInfo | None:
    return {"name": name}  # mypy: return-value, pyright: reportReturnType


@hookimpl
def lucid_create_backend(name: str) -> Backend[Array] | None:
    return WithoutToNumpy()  # mypy: return-value, pyright: reportReturnType


lucid.get_backend(5)  # mypy: arg-type, pyright: reportArgumentType
seventh = lucid.explain([0.5]).backends  # mypy: attr-defined, pyright: reportAttributeAccessIssue
lucid.nn.BCELoss(smoothing=0.1)  # mypy: call-arg, pyright: reportCallIssue
