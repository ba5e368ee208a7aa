"""CuPy: a launch for the unreduced loss, two for a reduction, one for the gradients; see bce.cuh.

Nothing is copied to the host and nothing waits for the device: even what a mean was divided by stays there.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from math import nan, prod
from typing import Any, Final, NamedTuple, TypeAlias

import array_api_compat.cupy as xp
import cupy
import numpy as np
from numpy.typing import NDArray

from lucid.kernels import forward_only
from lucid.protocol import BackendInfo, Differentiable, Gradients, Kernel, LossSpec, Needs
from lucid_cupy import INFO

__all__ = ["CupyBackend"]

Array: TypeAlias = Any
Operands: TypeAlias = tuple[Array, Array, Array | None, Array | None]

THREADS: Final = 256
BLOCKS: Final = 4096
"""At most: several waves on any GPU, and few enough for one block to add their sums."""

DIMENSIONS: Final = 32
"""What CuPy's arrays have at most."""

SMALLEST_NORMAL: Final = {
    "float16": 2.0**-14,
    "bfloat16": 2.0**-126,
    "float32": 2.0**-126,
    "float64": 2.0**-1022,
}
INTEGERS: Final = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
DIVISORS: Final = {"none": 0, "sum": 0, "mean": 1, "weighted_mean": 2}
OPTIONS: Final = ("--std=c++17", "--fmad=false", f"-DTHREADS={THREADS}", f"-DDIMENSIONS={DIMENSIONS}")

LAYOUT: Final = np.dtype(
    [
        ("size", "i8"),
        ("dimensions", "i8"),
        ("lengths", "i8", (DIMENSIONS,)),
        ("strides", "i8", (DIMENSIONS, 5)),
    ]
)


class Layout(NamedTuple):
    """Where the elements of all operands are, packed for a kernel, and whether each operand is one line."""

    packed: NDArray[np.void]
    contiguous: bool


class Residuals(NamedTuple):
    """What backward wants back: the operands, and for a reduction its loss and divisor, on the device."""

    operands: Operands
    sums: Array | None


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
        with device_of(*operands) as device:
            if spec.reduction == "none":
                loss = cupy.empty(input.shape, input.dtype)
                self.launch("unreduced", device, spec, operands, loss)
                return loss, Residuals(operands, None)
            loss = cupy.empty((), input.dtype)
            if not input.size:  # 0 or nan, whose bits may all be ones
                loss.data.memset_async(0 if spec.reduction == "sum" else 0xFF, loss.nbytes)
                return loss, Residuals(operands, None)
            blocks = blocks_for(input)
            partials, sums = cupy.empty((blocks, 2), np.float64), cupy.empty(2, np.float64)
            self.launch("partial_sums", device, spec, operands, partials)
            total = compiled(f"total<{input.dtype.name}>", device.id)
            total((1,), (THREADS,), (partials, np.int32(blocks), divisor_of(spec), loss, sums))
            return loss, Residuals(operands, sums)

    def backward(
        self, spec: LossSpec, residuals: Residuals, grad_output: Array | None, needs: Needs
    ) -> Gradients[Array]:
        """Compute the gradients; see `lucid.protocol.Kernel`."""
        operands, sums = residuals
        input = operands[0]
        with device_of(*operands, grad_output) as device:
            first, second, third = (cupy.empty(input.shape, input.dtype) if need else None for need in needs)
            if any(needs):
                extended = (*operands, grad_output)
                self.launch("gradients", device, spec, extended, sums, first, second, third)
        return first, second, third

    def launch(
        self,
        name: str,
        device: Any,
        spec: LossSpec,
        operands: tuple[Array, ...],
        *others: Array | None,
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
        kernel = compiled(
            f"{name}<{self.formulas}, {str(contiguous).lower()}, {', '.join(types)}>", device.id
        )
        kernel((blocks_for(input),), (THREADS,), (*operands, layout, packed(spec, input.dtype.name), *others))


def device_of(first: Array, *others: Array | None) -> Any:
    """Return the device that the operands share, a context manager that makes it the current one."""
    for each in others:
        if each is not None and each.device != first.device:
            raise ValueError(
                f"input is on {first.device} and another operand on {each.device}; nothing is copied between "
                f"devices silently"
            )
    return first.device


def blocks_for(input: Array) -> int:
    """Choose the grid by the number of elements alone, so that a sum is the same on every GPU."""
    size, elements = int(input.size), 16 // int(input.dtype.itemsize) * THREADS
    return min(-(-size // elements), BLOCKS)


@lru_cache(maxsize=1024)
def layout_of(
    shape: tuple[int, ...], strides: tuple[tuple[int, ...] | None, ...], sizes: tuple[int, ...]
) -> Layout:
    """Merge the dimensions that can be walked as one in every operand."""
    still = (0,) * len(shape)  # what is absent or has no dimensions is the same for all
    each = [step or still for step in strides]
    each += [still] * (5 - len(each))
    merged: list[tuple[int, tuple[int, ...]]] = []
    for length, steps in zip(shape, zip(*each, strict=True), strict=True):
        if length == 1:
            continue
        if merged and merged[-1][1] == tuple(step * length for step in steps):
            merged[-1] = (merged[-1][0] * length, steps)
        else:
            merged.append((length, steps))
    layout = np.zeros((), LAYOUT)
    layout["size"] = prod(shape)
    layout["dimensions"] = len(merged)
    for n, (length, steps) in enumerate(merged):
        layout["lengths"][n], layout["strides"][n] = length, steps
    lines = len(merged) < 2 and all(
        step in {0, size} for _, steps in merged for step, size in zip(steps, sizes, strict=False)
    )
    return Layout(layout, lines)


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
    lowest = SMALLEST_NORMAL[dtype] if spec.eps is None else spec.eps
    ignored = nan if spec.ignore_index is None else spec.ignore_index
    values = (1 - s, s / 2, spec.largest_term, lowest, spec.eps or 0.0, ignored, divisor_of(spec))
    return np.array(values, fields)


@cache
def compiled(expression: str, device: int) -> Any:
    """Compile one kernel for the current device; CuPy keeps it on disk for the next process."""
    source = files("lucid_cupy").joinpath("bce.cuh").read_text(encoding="ascii")
    module = cupy.RawModule(code=source, options=OPTIONS, name_expressions=(expression,))
    return module.get_function(expression)


class CupyBackend:
    """CuPy, as lucid sees it."""

    info: BackendInfo = INFO
    xp: Any = xp
    bce: Kernel[Array] = CupyKernel("Probabilities")
    bce_with_logits: Kernel[Array] = CupyKernel("Logits")

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
            with data.device:
                return data.astype(wanted, copy=bool(copy))
        with nullcontext() if like is None else like.device:
            return cupy.array(data.astype(wanted, copy=False))

    def to_numpy(self, array: Array) -> NDArray[Any]:
        """Copy it to the host, bfloat16 as float32."""
        host: NDArray[Any] = cupy.asnumpy(array)
        return host.astype(np.float32) if host.dtype.name == "bfloat16" else host

    def host_values(self, array: Array) -> bool:
        """Say no: to look at a value would wait for the device."""
        return False

    def differentiable(self, kernel: Kernel[Array]) -> Differentiable[Array]:
        """Compute only the loss: CuPy has no autograd."""
        return forward_only(kernel)
