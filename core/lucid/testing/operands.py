"""The conformance kit's tests of what may be an operand: numbers, lists, and arrays of every kind.

They run as those of `lucid.testing.conformance`, which imports them; docs/edges.md lists what they show.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import lucid
from lucid.protocol import Backend
from lucid.testing.cases import REDUCTIONS
from lucid.testing.edges import evaluated
from lucid.testing.harness import LOSSES, host, kernels, on


@kernels
def test_operands_may_share_their_memory(backend: Backend[Any], dtype: str, kernel: str) -> None:
    buffer = on(backend, [0.125, 0.25, 0.5, 0.75], dtype)
    for start in (0, 1):
        shared = [buffer[:3], buffer[start : start + 3], buffer[:3]]
        apart = [backend.asarray(each, copy=True) for each in shared]
        for reduction in REDUCTIONS:
            results = [
                evaluated(backend, kernel, x, target, weight=weight, reduction=reduction)
                for x, target, weight in (shared, apart)
            ]
            assert all(np.array_equal(*each) for each in zip(*results, strict=True))
    assert host(buffer, backend).tolist() == [0.125, 0.25, 0.5, 0.75]


@kernels
@pytest.mark.parametrize("number", [2, 2.0, np.float32(2), np.float64(2), np.int64(2), np.uint8(2)], ids=repr)
def test_numpy_s_scalars_are_numbers_beside_arrays(backend: Backend[Any], kernel: str, number: Any) -> None:
    x, one, two = (on(backend, value, "float32") for value in (0.25, 1, 2))
    right = evaluated(backend, kernel, x, one, weight=two, pos_weight=two)
    for label in (type(number)(1), np.bool_(True)):
        found = evaluated(backend, kernel, x, label, weight=number, pos_weight=number)
        assert all(np.array_equal(*each) for each in zip(right, found, strict=True))
    tensor = lucid.Tensor(x, requires_grad=True)
    assert LOSSES[kernel](tensor, number - number, number).backend is backend


class ArrayLike:
    """What offers `__array__`, and nothing more."""

    def __init__(self, values: Any) -> None:
        self.values: NDArray[Any] = np.asarray(values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self.values if dtype is None else self.values.astype(dtype)


class Exporter:
    """What offers DLPack, and nothing more."""

    def __init__(self, values: Any) -> None:
        self.values: NDArray[Any] = np.asarray(values)

    def __dlpack__(self, **options: Any) -> Any:
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.values.__dlpack_device__()


@kernels
def test_array_likes_go_where_the_arrays_are(backend: Backend[Any], dtype: str, kernel: str) -> None:
    x, target = [0.25, 0.5, 0.75], [0, 1, 1]
    own = on(backend, x, dtype), on(backend, target, dtype)
    right = LOSSES[kernel](*own, reduction="none")
    found = [LOSSES[kernel](each, own[1], None, "none") for each in (x, tuple(x), ArrayLike(x))]
    labels = (target, tuple(target), ArrayLike(target), [False, True, True], bytearray(target))
    found += [LOSSES[kernel](own[0], each, None, "none") for each in labels]
    pairs = [(right, each) for each in found]
    weights = on(backend, [1, 1, 1], dtype), ArrayLike([1, 1, 1])
    pairs.append(tuple(LOSSES[kernel](*own, weight, "none") for weight in weights))
    for right, loss in pairs:
        assert (type(loss), loss.dtype) == (type(right), right.dtype)
        assert np.array_equal(host(loss, backend), host(right, backend))


@kernels
def test_what_only_offers_dlpack_is_refused_with_the_way_out(backend: Backend[Any], kernel: str) -> None:
    x = on(backend, [0.25, 0.5])
    with pytest.raises(TypeError, match=r"no installed backend takes a .*Exporter.*numpy\.from_dlpack"):
        LOSSES[kernel](x, Exporter([0.0, 1.0]))
    taken = lucid.Tensor(np.from_dlpack(Exporter([0.0, 1.0])))
    assert np.array_equal(host(taken, backend), [0, 1])


def mapped(values: NDArray[Any], folder: Path) -> NDArray[Any]:
    """Map an array's file into memory."""
    np.save(folder / "values.npy", values)
    found: NDArray[Any] = np.load(folder / "values.npy", mmap_mode="r")
    return found


class Subclass(np.ndarray[Any, Any]):
    """A class that no backend knows."""


STORED: dict[str, Callable[[NDArray[Any], Path], NDArray[Any]]] = {
    "reversed": lambda a, _: np.ascontiguousarray(a[::-1])[::-1],
    "fortran": lambda a, _: np.asfortranarray(a),
    "byte_swapped": lambda a, _: a.astype(a.dtype.newbyteorder()),
    "read_only": lambda a, _: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "memory_mapped": mapped,
    "subclass": lambda a, _: a.view(Subclass),
    "unaligned": lambda a, _: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
}


@pytest.mark.parametrize("store", STORED)
def test_host_arrays_come_in_however_they_are_stored(
    backend: Backend[Any], store: str, tmp_path: Path
) -> None:
    for dtype in ("float32", "float64", "int64"):
        values = np.arange(6).reshape(2, 3).astype(dtype)
        tensor = lucid.Tensor(STORED[store](values, tmp_path))
        assert tensor.backend is backend
        assert str(tensor.dtype).rpartition(".")[2] == dtype
        assert np.array_equal(host(tensor, backend), values)


REFUSED: dict[str, tuple[Any, str]] = {
    "masked": (np.ma.masked_array([0.25, 0.5], [False, True]), r"mask would be lost.*ignore_index"),
    "object": (np.array([0.25, 0.5], object), "expected numbers, not ndarray of dtype object"),
    "text": (np.array(["a", "b"]), "expected numbers, not ndarray of dtype <U1"),
    "complex": (np.array([0.25j, 0.5]), "expected numbers, not ndarray of dtype complex128"),
    "dates": (np.array(["2000-01-01"] * 2, "M8[D]"), "expected numbers, not ndarray of dtype datetime64"),
    "records": (np.zeros(2, [("p", "f4")]), "expected numbers, not ndarray of dtype .*'p'"),
    "nothing": (None, "expected numbers, not NoneType"),
    "generator": ((each for each in (0, 1)), "expected numbers, not generator"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_holds_no_numbers_is_refused_with_the_reason(backend: Backend[Any], case: str) -> None:
    value, message = REFUSED[case]
    with pytest.raises(TypeError, match=message):
        lucid.Tensor(value)
    if not isinstance(value, np.ndarray):  # which have a backend of their own
        for operands in ((value, on(backend, [0.5, 0.5])), (on(backend, [0.5, 0.5]), value)):
            with pytest.raises(TypeError, match=message):
                LOSSES["bce"](*operands)
