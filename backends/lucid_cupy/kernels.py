"""CuPy: a launch for the unreduced loss, two for a reduction, one more for the gradients; see bce.cuh.

`CupyKernel.value_and_grad` needs no launch more than the loss alone wherever the divisor is known beforehand.

Nothing is copied to the host and nothing waits for the device: even what a mean was divided by stays there.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from math import nan
from typing import Any, Final, NamedTuple, TypeAlias

import cupy
import numpy as np
from numpy.typing import NDArray

from lucid.kernels import forward_only
from lucid.protocol import BackendInfo, Differentiable, Gradients, Kernel, LossSpec, Needs
from lucid_cupy import INFO
from lucid_cupy.devices import FAILURES, description, shared_device, using
from lucid_cupy.layouts import DIMENSIONS, layout_of
from lucid_cupy.namespace import namespace

__all__ = ["CupyBackend"]

Array: TypeAlias = Any
Operands: TypeAlias = tuple[Array, Array, Array | None, Array | None]

THREADS: Final = 256
BLOCKS: Final = 4096
"""At most: several waves on any GPU, and few enough for one block to add their sums."""

SMALLEST_NORMAL: Final = {
    "float16": 2.0**-14,
    "bfloat16": 2.0**-126,
    "float32": 2.0**-126,
    "float64": 2.0**-1022,
}
INTEGERS: Final = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
DIVISORS: Final = {"none": 0, "sum": 0, "mean": 1, "weighted_mean": 2}
OPTIONS: Final = ("--std=c++17", "--fmad=false", f"-DTHREADS={THREADS}", f"-DDIMENSIONS={DIMENSIONS}")
SOURCES: Final = ("arrays.cuh", "bce.cuh")
NOT_COMPILED: Final = (
    "lucid's kernels don't compile: {error}; CUDA's compiler NVRTC and CUDA's headers have to be there, of "
    'one version: python -m pip install "cupy-cuda{major}x[ctk]", or set CUDA_PATH to a CUDA toolkit'
)


class Residuals(NamedTuple):
    """What backward wants back: the operands, and for a reduction its loss and divisor, on the device."""

    operands: Operands
    reduced: Array | None


@dataclass(frozen=True, slots=True)
class CupyKernel:
    """A loss on CuPy arrays.

    Parameters
    ----------
    formulas : {"Probabilities", "Logits"}
        The struct in bce.cuh.
    """

    formulas: str

    def forward(
        self,
        spec: LossSpec,
        input: Array,
        target: Array,
        weight: Array | None,
        pos_weight: Array | None,
        *,
        needs_grad: bool,
    ) -> tuple[Array, Residuals]:
        """Compute the loss; see `lucid.protocol.Kernel`."""
        operands = (input, target, weight, pos_weight)
        loss, reduced, _ = self.evaluate(spec, operands, sloped=False)
        return loss, Residuals(operands, reduced)

    def value_and_grad(
        self, spec: LossSpec, input: Array, target: Array, weight: Array | None, pos_weight: Array | None
    ) -> tuple[Array, Array]:
        """Compute the loss and its gradient by the input: what forward and backward give, to the bit.

        Each operand is read once, unless the divisor is known only after that.
        """
        operands = (input, target, weight, pos_weight)
        loss, reduced, gradient = self.evaluate(spec, operands, sloped=divisor_is_known(spec, weight))
        if gradient is None:
            needs = Needs(input=True, target=False, weight=False)
            gradient = self.backward(spec, Residuals(operands, reduced), None, needs)[0]
        return loss, gradient

    def evaluate(
        self, spec: LossSpec, operands: Operands, *, sloped: bool
    ) -> tuple[Array, Array | None, Array | None]:
        """Return the loss, what backward needs of a reduction, and, if asked, the gradient of the input."""
        input = operands[0]
        with shared_device(*operands) as device:
            by_input = cupy.empty(input.shape, input.dtype) if sloped else None
            if spec.reduction == "none":
                loss = cupy.empty(input.shape, input.dtype)
                self.launch("unreduced", device, spec, operands, (loss, by_input), (sloped,))
                return loss, None, by_input
            loss = cupy.empty((), input.dtype)
            if not input.size:  # 0 or nan, whose bits may all be ones
                loss.data.memset_async(0 if spec.reduction == "sum" else 0xFF, loss.nbytes)
                return loss, None, by_input
            blocks = blocks_for(input)
            partials, reduced = cupy.empty((blocks, 4), np.float64), cupy.empty(2, np.float64)
            self.launch("partial_sums", device, spec, operands, (partials, by_input), (sloped,))
            total = compiled(f"total<{input.dtype.name}>", device.id)
            total((1,), (THREADS,), (partials, np.int32(blocks), divisor_of(spec), loss, reduced))
            return loss, reduced, by_input

    def backward(
        self, spec: LossSpec, residuals: Residuals, grad_output: Array | None, needs: Needs
    ) -> Gradients[Array]:
        """Compute the gradients; see `lucid.protocol.Kernel`."""
        operands, reduced = residuals
        input = operands[0]
        with shared_device(*operands, grad_output) as device:
            first, second, third = (cupy.empty(input.shape, input.dtype) if need else None for need in needs)
            if any(needs):
                extended = (*operands, grad_output)
                self.launch("gradients", device, spec, extended, (reduced, first, second, third))
        return first, second, third

    def launch(
        self,
        name: str,
        device: Any,
        spec: LossSpec,
        operands: tuple[Array, ...],
        others: tuple[Array | None, ...],
        flags: tuple[bool, ...] = (),
    ) -> None:
        """Launch a kernel over the elements, if there are any."""
        input = operands[0]
        if input.size == 0:
            return
        strides = tuple(None if each is None else each.strides for each in operands)
        sizes = tuple(0 if each is None else each.dtype.itemsize for each in operands)
        layout, contiguous = layout_of(input.shape, strides, sizes)
        contiguous = contiguous and all(each is None or each.data.ptr % 16 == 0 for each in operands)
        types = ("Absent" if each is None else each.dtype.name for each in operands)
        arguments = ", ".join((self.formulas, literal(contiguous), *types, *map(literal, flags)))
        kernel = compiled(f"{name}<{arguments}>", device.id)
        kernel((blocks_for(input),), (THREADS,), (*operands, layout, packed(spec, input.dtype.name), *others))


def literal(value: bool) -> str:
    """Spell it as C++ does."""
    return str(value).lower()


def divisor_is_known(spec: LossSpec, weight: Array | None) -> bool:
    """Say whether what the sum is divided by follows from the number of elements."""
    counted = spec.ignore_index is not None or (spec.reduction == "weighted_mean" and weight is not None)
    return spec.reduction in {"none", "sum"} or not counted


def blocks_for(input: Array) -> int:
    """Choose the grid by the number of elements alone, so that a sum is the same on every GPU."""
    size, elements = int(input.size), 16 // int(input.dtype.itemsize) * THREADS
    return min(-(-size // elements), BLOCKS)


def divisor_of(spec: LossSpec) -> np.int32:
    """Say what a sum is divided by, as bce.cuh does."""
    return np.int32(DIVISORS[spec.reduction])


@lru_cache(maxsize=1024)
def packed(spec: LossSpec, dtype: str) -> NDArray[np.void]:
    """Pack what a kernel needs of `spec` for an input of that dtype."""
    real = np.float32 if dtype == "float16" else np.float64
    names = ("share", "half", "most", "lowest", "eps", "ignored")
    fields = np.dtype([*((name, real) for name in names), ("divisor", "i4")], align=True)
    s = spec.label_smoothing
    eps = spec.eps
    if eps and dtype == "float16":  # none of its numbers lies between, and float32 would make a lesser one 0
        eps = max(eps, SMALLEST_NORMAL["float32"])
    lowest = SMALLEST_NORMAL[dtype] if eps is None else eps
    ignored = nan if spec.ignore_index is None else spec.ignore_index
    values = (1 - s, s / 2, spec.largest_term, lowest, eps or 0.0, ignored, divisor_of(spec))
    return np.array(values, fields)


@cache
def source() -> str:
    """Read the kernels, as one text: CuPy's cache would not notice that an included file has changed."""
    folder = files("lucid_cupy")
    parts = (f'#line 1 "{name}"\n{folder.joinpath(name).read_text(encoding="ascii")}' for name in SOURCES)
    return "".join(parts)


@cache
def compiled(expression: str, device: int) -> Any:
    """Compile one kernel for the current device; CuPy keeps it on disk for the next process."""
    module = cupy.RawModule(code=source(), options=OPTIONS, name_expressions=(expression,))
    try:
        return module.get_function(expression)
    except FAILURES:
        raise
    except (RuntimeError, cupy.cuda.compiler.CompileException) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        major = cupy.cuda.runtime.runtimeGetVersion() // 1000
        raise RuntimeError(NOT_COMPILED.format(error=reason, major=major)) from error


class CupyBackend:
    """CuPy, as lucid sees it."""

    info: BackendInfo = INFO
    xp: Any = namespace()
    bce: Kernel[Array] = CupyKernel("Probabilities")
    bce_with_logits: Kernel[Array] = CupyKernel("Logits")

    @property
    def description(self) -> str:
        """The GPUs, and the versions of what runs kernels on them."""
        return description()

    def asarray(
        self,
        data: Array | NDArray[Any],
        *,
        dtype: Any = None,
        like: Array | None = None,
        copy: bool | None = None,
    ) -> Array:
        """Take CuPy's arrays, on any device, and NumPy's, of any byte order; see `lucid.protocol.Backend`."""
        if isinstance(data, np.ma.MaskedArray):
            raise TypeError(
                "a masked array's mask would be lost; pass .filled(...) as the target with that value as "
                "ignore_index, or .compressed() arrays"
            )
        if data.dtype.newbyteorder("=").name not in {"bool", *INTEGERS, *SMALLEST_NORMAL}:
            raise TypeError(f"CuPy computes on no array of dtype {data.dtype}; expected real numbers")
        wanted = data.dtype.newbyteorder("=") if dtype is None else dtype
        if isinstance(data, cupy.ndarray):
            with using(data.device):
                return data.astype(wanted, copy=bool(copy))
        with using(cupy.cuda.Device() if like is None else like.device):
            return cupy.array(data.astype(wanted, copy=False))

    def to_numpy(self, array: Array) -> NDArray[Any]:
        """Copy it to the host, bfloat16 as float32."""
        with using(array.device):
            host: NDArray[Any] = cupy.asnumpy(array)
        return host.astype(np.float32) if host.dtype.name == "bfloat16" else host

    def host_values(self, array: Array) -> bool:
        """Say no: to look at a value would wait for the device."""
        return False

    def differentiable(self, kernel: Kernel[Array]) -> Differentiable[Array]:
        """Compute only the loss: CuPy has no autograd."""
        return forward_only(kernel)
