"""What a backend promises: the whole contract between lucid and an array library.

A backend says what it is (`BackendInfo`), brings data in and out, and implements two kernels, `bce` and
`bce_with_logits`, each a pair of methods: forward and backward. There is no base class to inherit.
Everything else that a `lucid.Tensor` can do is written once over the backend's array-API namespace `xp`.

The front end has checked and broadcast everything before a kernel sees it; the kernel only computes:

* `input` is floating; `target`, `weight` and `pos_weight` have its shape (often as strided views), and any
  real dtype. The result has the input's dtype; float16 and bfloat16 are computed in float32 at least.
* An element whose probability or target lies outside [0, 1], or is nan, is nan in the loss and in every
  gradient, and so is a reduction over it. It never raises: the front end does, where values can be looked at.
* An element whose target equals `spec.ignore_index` is 0, whatever its input.
* Nothing that was passed in is written to.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "API_VERSION",
    "Backend",
    "BackendInfo",
    "Differentiable",
    "Gradients",
    "Kernel",
    "LossSpec",
    "Needs",
    "Reduction",
    "Xfail",
]

API_VERSION: Final = 1
"""The version of this contract. The registry refuses a plugin that was written for another one."""

Reduction: TypeAlias = Literal["none", "sum", "mean", "weighted_mean"]

A = TypeVar("A")  # the backend's array type


class BackendInfo(NamedTuple):
    """What can be said of a backend without importing its array library.

    Parameters
    ----------
    name : str
        The name of the entry point, which users select it by.
    api_version : int
        The `API_VERSION` that the plugin was written for, as a number of the plugin's own.
    array_types : tuple of str
        The classes whose instances it computes on, as ``"module:qualname"``; subclasses are included.
    requires : str
        What to install where the array library is missing, as pip takes it.
    """

    name: str
    api_version: int
    array_types: tuple[str, ...]
    requires: str


class LossSpec(NamedTuple):
    """What is computed: the part of a loss's configuration that kernels need, already validated.

    Parameters
    ----------
    reduction : {"none", "sum", "mean", "weighted_mean"}
        "mean" divides by the number of elements that are not ignored, "weighted_mean" by their weights' sum.
    eps : float or None
        None bounds the logarithms at -100; a number clips probabilities to [eps, 1 - eps]. Not for logits.
    label_smoothing : float
        s in y(1-s) + s/2.
    ignore_index : float or None
        Elements whose target equals it count for nothing.
    """

    reduction: Reduction = "mean"
    eps: float | None = None
    label_smoothing: float = 0.0
    ignore_index: float | None = None

    @property
    def largest_term(self) -> float:
        """The bound of -log p and of -log(1-p): 100, or -log(eps), or inf for an eps of 0."""
        if self.eps is None:
            return 100.0
        from math import inf, log

        return -log(self.eps) if self.eps else inf


class Needs(NamedTuple):
    """The gradients that a backward pass is asked for."""

    input: bool
    target: bool
    weight: bool


class Xfail(NamedTuple):
    """A case of the conformance kit that a backend is known to fail, and why. Strict on both sides."""

    case: str
    reason: str


Gradients: TypeAlias = tuple[A | None, A | None, A | None]
"""With respect to input, target and weight, each in the input's shape; None where it was not needed."""

Differentiable: TypeAlias = Callable[[LossSpec, A, A, A | None, A | None], A]
"""(spec, input, target, weight, pos_weight) -> loss, hooked into the library's own autograd."""


class Kernel(Protocol[A]):
    """A loss as a pair of methods.

    It may have a third one, for those who can read the operands once instead of twice,
    ``value_and_grad(spec, input, target, weight, pos_weight) -> (loss, by_input)``. It gives the bits of
    `forward`, and of `backward` for a `grad_output` of None.
    """

    def forward(
        self, spec: LossSpec, input: A, target: A, weight: A | None, pos_weight: A | None, *, needs_grad: bool
    ) -> tuple[A, Any]:
        """Compute the loss, and whatever `backward` wants back (anything at all, if not `needs_grad`).

        The loss has the input's shape for "none" and no dimensions otherwise.
        """

    def backward(self, spec: LossSpec, residuals: Any, grad_output: A | None, needs: Needs) -> Gradients[A]:
        """Compute the gradients; `grad_output` is shaped like the loss, and None stands for ones.

        It may be called several times with the same residuals.
        """


class Backend(Protocol[A]):
    """An array library, as lucid sees it.

    It may have one member more, ``description``: a string that says what it runs on, such as the library's
    version and the device's name. `lucid backends` shows it.
    """

    @property
    def info(self) -> BackendInfo:
        """What the plugin's `lucid_backend_info` said."""

    @property
    def xp(self) -> Any:
        """The library's array-API namespace, usually from `array_api_compat`."""

    @property
    def bce(self) -> Kernel[A]:
        """The loss from probabilities."""

    @property
    def bce_with_logits(self) -> Kernel[A]:
        """The loss from logits."""

    def asarray(
        self, data: "A | NDArray[Any]", *, dtype: Any = None, like: A | None = None, copy: bool | None = None
    ) -> A:
        """Bring in an array of the library's own, or a NumPy one.

        An array of the library's own comes back as it is, still on its autograd graph, unless `dtype` or
        `copy` ask otherwise; what the kernels can't take (masked arrays, say) is a TypeError with the reason.
        A NumPy array goes to the device of `like`, or to the default one; with ``copy=True`` the result
        shares no memory with `data` and is on no graph.
        """

    def to_numpy(self, array: A) -> "NDArray[Any]":
        """Bring an array to the host; float32 if NumPy lacks its dtype. It may share memory with `array`."""

    def host_values(self, array: A) -> bool:
        """Whether its values can be looked at without stalling a device or breaking a compiler's trace."""

    def differentiable(self, kernel: Kernel[A]) -> Differentiable[A]:
        """Hook a kernel into the library's own autograd; if there is none, `lucid.kernels.forward_only`."""
