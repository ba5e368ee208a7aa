"""Write the validation sets that the conformance kit reads: `python tests/make_validation_sets.py`.

They depend on mpmath and on Python's own random numbers, which are the same everywhere, and on no logarithm
of the machine's.
"""

from collections.abc import Iterable, Iterator
from math import copysign, inf
from pathlib import Path
from random import Random

from mpmath import mp, mpf

import lucid.testing
from lucid.protocol import LossSpec
from lucid.testing.cases import KERNELS, corners, rounded
from lucid.testing.harness import (
    DEVICE_LOSS_BOUND,
    GRADIENT_BOUND,
    LOGITS_GRADIENT_BOUND,
    LOGITS_LOSS_BOUND,
    LOSS_BOUND,
)
from lucid.testing.reference import LARGEST, PRECISION, SIGNIFICANDS, SMALLEST_NORMAL, Element, exact
from lucid.testing.vectors import Vector, hexadecimal, lines

DATA = Path(lucid.testing.__file__).parent / "data"
DTYPES = tuple(SIGNIFICANDS)
NONE = (None, None)
CANDIDATES, CHOSEN = 1500, 12


def fit(value: float, dtype: str, kernel: str) -> float:
    """Round an input to a dtype, and bring it into the range that it must be in."""
    largest = 1.0 if kernel == "bce" else 2.0 ** LARGEST[dtype]
    return float(rounded(min(max(value, -largest if kernel != "bce" else 0.0), largest), dtype))


def edges(kernel: str, dtype: str) -> Iterator[tuple[float, float]]:
    """Combine all corners with hard labels, and with soft ones at their own edges."""
    last = 2.0 ** -SIGNIFICANDS[dtype]
    for x in corners(kernel, dtype):
        for y in (0.0, 1.0, last, 0.5, 1 - last):
            yield fit(x, dtype, kernel) if x else x, y


def rounding(kernel: str, dtype: str, random: Random) -> Iterator[tuple[float, float]]:
    """Search the inputs whose losses lie closest to the middle of two numbers of the dtype."""
    for y in map(float, rounded((0.0, 1.0, 0.3), dtype)):
        found = sorted(
            {fit(x, dtype, kernel) for x in spread(kernel, dtype, random, CANDIDATES)},
            key=lambda x, y=y: (distance_from_middle(kernel, dtype, x, y), x),
        )
        yield from ((x, y) for x in found[:CHOSEN])


def distance_from_middle(kernel: str, dtype: str, x: float, y: float) -> float:
    """How far a loss is from the middle between two neighbours, in units in the last place."""
    loss = exact(kernel, LossSpec("none"), [Element(x, y)], dtype).loss[0]
    if not loss or mp.isinf(loss):
        return inf
    with mp.workprec(PRECISION):
        scaled = loss * mpf(2) ** (SIGNIFICANDS[dtype] - mp.frexp(loss)[1])
        return float(abs(scaled - mp.floor(scaled) - mpf("0.5")))


def spread(kernel: str, dtype: str, random: Random, number: int) -> Iterator[float]:
    """Draw inputs: even ones, and ones whose exponents are."""
    for _ in range(number // 2):
        even, small = random.random(), random.random() * 2.0 ** -random.randrange(1, SIGNIFICANDS[dtype] + 6)
        yield from (even, small) if kernel == "bce" else (24 * even - 12, 16 * copysign(small, even - 0.5))


def tails(kernel: str, dtype: str, random: Random) -> Iterator[tuple[float, float]]:
    """Take inputs nearer and nearer to 0 and 1, or logits up to where their exponentials end."""
    if kernel == "bce":
        steps = SIGNIFICANDS[dtype]
        ones = [1 - 2.0**-n * (1 + random.random()) for n in range(2, steps)]
        zeros = [2.0**-n * (1 + random.random()) for n in range(2, -SMALLEST_NORMAL[dtype], steps)]
    else:
        ones = [
            n + random.random() for n in (3, 6, 8, 9, 12, 16, 17, 25, 36, 43, 60, 80, 86, 87, 200, 650, 707)
        ]
        zeros = [-z for z in ones]
    for x in (*ones, *zeros):
        for y in (0.0, 1.0, random.random()):
            yield fit(x, dtype, kernel), float(rounded(y, dtype))


def close(kernel: str, dtype: str, random: Random) -> Iterator[tuple[float, float]]:
    """Take labels that differ from the prediction by a few units in the last place, or not at all."""
    for n in range(24):
        y = float(rounded(random.random() * 2.0 ** -(n % 6), dtype))
        step = (n % 5 - 2) * 2.0 ** (1 - SIGNIFICANDS[dtype])
        p = float(rounded(min(y * (1 + step), 1.0), dtype))
        if kernel == "bce":
            yield p, y
        elif 0 < y < 1:
            with mp.workprec(PRECISION):
                yield fit(float(mp.log(mpf(p) / (1 - mpf(p)))), dtype, kernel), y


def middle(kernel: str, dtype: str, random: Random) -> Iterator[tuple[float, float]]:
    """Take inputs around those where a library changes its polynomial, or has been seen to lose digits."""
    places = (
        (0.29, 0.41, 0.5, 0.59, 0.625, 0.7071) if kernel == "bce" else (-0.7, -0.35, 0.01, 0.35, 0.7, 1.04)
    )
    for place in places:
        for _ in range(3):
            yield fit(place + (random.random() - 0.5) / 32, dtype, kernel), float(random.randrange(2))


def subnormals(kernel: str, dtype: str, random: Random) -> Iterator[tuple[float, float]]:
    """Take subnormal inputs and labels, and logits whose losses are."""
    tiny = 2.0 ** SMALLEST_NORMAL[dtype]
    for _ in range(8):
        small = fit(random.random() * tiny, dtype, kernel)
        yield small, float(random.randrange(2))
        yield small, float(rounded(random.random(), dtype))
        yield float(rounded(random.random(), dtype)), float(rounded(random.random() * tiny, dtype))
        if kernel != "bce":
            with mp.workprec(PRECISION):
                z = fit(float(mp.log(mpf(tiny) * mpf(random.random()))), dtype, kernel)
            yield from ((z, 0.0), (-z, 1.0))


def weighted(kernel: str, dtype: str, random: Random) -> Iterator[tuple[float, float, float, float]]:
    """Take weights of both signs and of several sizes, 0 among them."""
    for n, x in enumerate(spread(kernel, dtype, random, 60)):
        y = (0.0, 1.0, random.random())[n % 3]
        weight = (1 if n % 4 else -1) * random.random() * 2.0 ** random.randrange(-3, 4)
        pos_weight = random.random() * 4
        numbers = (fit(x, dtype, kernel), *(float(rounded(each, dtype)) for each in (y, weight, pos_weight)))
        yield (*numbers[:2], 0.0 if n % 20 == 7 else numbers[2], 0.0 if n % 20 == 11 else numbers[3])


def rows(kernel: str) -> Iterator[Vector]:
    """Make all rows of a file, each element once."""
    for dtype in DTYPES:
        random = Random(f"{kernel} {dtype}")
        for regime, pairs in {
            "edges": edges(kernel, dtype),
            "rounding": rounding(kernel, dtype, random),
            "tails": tails(kernel, dtype, random),
            "close": close(kernel, dtype, random),
            "middle": middle(kernel, dtype, random),
            "subnormal": subnormals(kernel, dtype, random),
        }.items():
            for pair in unique(pairs):
                yield row(kernel, dtype, regime, *pair, *NONE)
        for n, numbers in enumerate(weighted(kernel, dtype, random)):
            x, y, w, v = numbers
            yield row(kernel, dtype, "weighted", x, y, None if n % 3 == 1 else w, None if n % 3 == 0 else v)


def unique(pairs: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Leave out what is there already; 0 and -0 differ."""
    return list({(hexed(x), hexed(y)): (x, y) for x, y in pairs}.values())


def hexed(value: float | None) -> str:
    """Write an operand, with the sign of a 0."""
    if value is None:
        return ""
    return "-0x0.0p+0" if value == 0 and copysign(1, value) < 0 else hexadecimal(value)


def row(
    kernel: str, dtype: str, regime: str, x: float, y: float, weight: float | None, pos_weight: float | None
) -> Vector:
    """Ask the oracle, and look up what is allowed."""
    element = Element(x, y, 1.0 if weight is None else weight, 1.0 if pos_weight is None else pos_weight)
    right = exact(kernel, LossSpec("none"), [element], dtype)
    loss, (gradient, term) = right.loss[0], right.by_input[0]
    cancels = kernel != "bce" or pos_weight is not None  # else p - y, of exact numbers, is rounded once
    unit = term if cancels and abs(term) > abs(gradient) else 0
    smallest = mpf(2) ** SMALLEST_NORMAL[dtype]
    if any(0 < abs(each) < smallest for each in (x, y, weight or 0, loss, gradient, unit)):
        regime = "subnormal"
    on_host, on_device = LOSS_BOUND[dtype], DEVICE_LOSS_BOUND[dtype]
    bound = GRADIENT_BOUND[dtype]
    if kernel != "bce":
        on_host = on_device = LOGITS_LOSS_BOUND[dtype]
        bound = LOGITS_GRADIENT_BOUND[dtype]
    if dtype == "float64" and weight is not None:
        bound += 0.5  # nothing is wider: a weight is one more rounding
    return Vector(
        regime,
        dtype,
        *map(hexed, (x, y, weight, pos_weight)),
        hexadecimal(loss),
        str(on_host),
        str(on_device),
        hexadecimal(gradient),
        hexadecimal(unit) if unit else "",
        str(bound),
    )


def main() -> None:
    """Write the files, and say how large they are."""
    for kernel in KERNELS:
        text = "".join(f"{line}\n" for line in lines(rows(kernel)))
        (DATA / f"{kernel}.csv").write_text(text, encoding="ascii", newline="\n")
        print(f"{kernel}.csv: {text.count(chr(10)) - 1} rows, {len(text) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
