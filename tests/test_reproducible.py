"""The same elements give the same bits: for any number of threads, in any layout, alone or among many."""

import numpy as np
import pytest

import lucid
from lucid import nn
from lucid.testing.cases import corners, rounded
from lucid.testing.harness import host, on

CASES = {
    "plain": (nn.BCELoss, {"reduction": "sum"}, "hard"),
    "soft": (nn.BCELoss, {"reduction": "mean"}, "soft"),
    "weighted": (nn.BCELoss, {"reduction": "weighted_mean", "eps": 1e-7}, "soft"),
    "smoothed": (nn.BCELoss, {"label_smoothing": 0.1, "pos_weight": 3.0}, "hard"),
    "logits": (nn.BCEWithLogitsLoss, {"reduction": "mean"}, "hard"),
    "soft_logits": (nn.BCEWithLogitsLoss, {"reduction": "sum", "pos_weight": 0.3}, "soft"),
    "ignored": (nn.BCEWithLogitsLoss, {"reduction": "weighted_mean", "ignore_index": 1}, "hard"),
}
cases = pytest.mark.parametrize("case", CASES)


def operands(case, dtype, shape, *, edges=False) -> list[np.ndarray]:
    """Make an input, a target and a weight; with edges, half of the inputs are corners."""
    random, kernel = np.random.default_rng(11), "bce" if CASES[case][0] is nn.BCELoss else "bce_with_logits"
    x = random.random(shape) if kernel == "bce" else random.normal(0, 4, shape)
    if edges:
        x = np.where(random.random(shape) < 0.5, random.choice(corners(kernel, dtype), shape), x)
    y = random.random(shape) if CASES[case][2] == "soft" else random.integers(0, 2, shape)
    return [rounded(each, dtype) for each in (x, y, random.uniform(0.5, 2, shape))]


def bits_of(backend, case, x, y, w) -> list[bytes]:
    """Return the bits of a loss and of its gradient, without and with weights."""
    cls, options, _ = CASES[case]
    results = [cls(weight, **options).value_and_grad(x, y) for weight in (None, w)]
    return [host(each, backend).tobytes() for pair in results for each in pair]


def on_host(backend) -> bool:
    """Whether the host computes; on a device, and where one is simulated, less is tried."""
    return bool(backend.host_values(on(backend, [0.5])))


@cases
@pytest.mark.usefixtures("early_threads")
@pytest.mark.parametrize("width", [32, 64])
def test_no_number_of_threads_changes_a_bit(backend, case, width) -> None:
    shape = (769, 2048) if on_host(backend) else (67, 128)  # enough for three threads
    arrays = [on(backend, each, f"float{width}") for each in operands(case, f"float{width}", shape)]
    results = []
    try:
        for number in (1, 2, 3):
            lucid.set_num_threads(number)
            results.append(bits_of(backend, case, *arrays))
    finally:
        lucid.set_num_threads(None)
    assert results.count(results[0]) == len(results)


LAYOUTS = {
    "fortran": lambda a, xp: xp.matrix_transpose(copied(xp.matrix_transpose(a), xp)),
    "every_second": lambda a, xp: xp.stack([a, a], axis=-1)[..., 1],
    "a_part": lambda a, xp: xp.concat([a, a, a], axis=1)[:, a.shape[1] : 2 * a.shape[1]],
    "reversed": lambda a, xp: xp.flip(copied(xp.flip(a), xp)),
    "unaligned": lambda a, xp: xp.reshape(
        xp.concat([xp.zeros((1,), dtype=a.dtype), xp.reshape(a, (-1,))])[1:], a.shape
    ),
}


def copied(array, xp):
    """Put an array into C order."""
    return xp.asarray(xp.reshape(xp.reshape(array, (-1,)), array.shape), copy=True)


@cases
@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_layout_changes_a_bit_of_a_reduction(backend, dtype, case, layout) -> None:
    shape = (37, 1013) if on_host(backend) else (37, 83)
    arrays = [on(backend, each, dtype) for each in operands(case, dtype, shape)]
    views = [LAYOUTS[layout](each, backend.xp) for each in arrays]
    assert bits_of(backend, case, *views) == bits_of(backend, case, *arrays)


@cases
def test_a_float64_elements_bits_do_not_depend_on_its_neighbours(backend, case) -> None:
    """On this stands the accumulator."""
    cls, options, _ = CASES[case]
    options = options | {"reduction": "none"}
    x, y, w = (on(backend, each) for each in operands(case, "float64", (3001,), edges=True))
    for weighted in (False, True):
        whole = host(cls(w if weighted else None, **options)(x, y), backend)
        for part in (slice(place, place + size) for size in (1, 7, 96, 1024) for place in (0, 5, 1900)):
            alone = cls(w[part] if weighted else None, **options)(x[part], y[part])
            assert host(alone, backend).tolist() == whole[part].tolist()
