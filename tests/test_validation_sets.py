"""The validation sets: that the files are what their script makes, and that the kit is held up by them."""

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

import lucid
from lucid.testing.cases import KERNELS, rounded
from lucid.testing.reference import PRECISION
from lucid.testing.validation import REGIMES, compare, operands_of
from lucid.testing.vectors import hexadecimal, lines, number, vectors

SCRIPT = Path(__file__).with_name("make_validation_sets.py")
DATA = Path(lucid.testing.__file__).parent / "data"
DTYPES = ("float16", "bfloat16", "float32", "float64")
kernels = pytest.mark.parametrize("kernel", KERNELS)


@kernels
def test_the_files_are_what_the_script_makes(kernel) -> None:
    made = runpy.run_path(str(SCRIPT))["rows"](kernel)
    assert list(lines(made)) == (DATA / f"{kernel}.csv").read_text(encoding="ascii").splitlines()


@kernels
def test_every_regime_has_rows_in_every_dtype_and_the_files_stay_small(kernel) -> None:
    found = {(row.regime, row.dtype) for row in vectors(kernel)}
    assert found == {(regime, dtype) for regime in REGIMES for dtype in DTYPES}
    assert (DATA / f"{kernel}.csv").stat().st_size < 250_000


@kernels
def test_operands_are_exact_in_their_dtype(kernel) -> None:
    for row in vectors(kernel):
        values = [float.fromhex(text) for text in operands_of(row) if text]
        assert rounded(values, row.dtype).tolist() == values, row


@given(st.floats(allow_nan=False))
@example(2 - 2.0**-52)
@example(5e-324)
@settings(deadline=None, derandomize=True)
def test_floats_are_written_and_read_exactly(value) -> None:
    text = hexadecimal(value)
    assert number(text) == value == float.fromhex(text)


def test_longer_numbers_are_written_to_more_digits_than_a_float_has() -> None:
    with mp.workprec(PRECISION):
        third, almost = mpf(1) / 3, 2 - mpf(2) ** -80
        assert abs(number(hexadecimal(third)) / third - 1) < mpf(2) ** -64
        assert hexadecimal(almost) == "0x1.0p+1"
    with pytest.raises(ValueError, match="no hexadecimal float"):
        number("0.5")


@pytest.mark.parametrize("column", ["loss", "gradient"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@kernels
def test_a_number_that_is_off_by_more_than_is_allowed_is_named(kernel, dtype, column) -> None:
    backend = lucid.get_backend("numpy")
    rows = [row for row in vectors(kernel) if (row.dtype, row.regime) == (dtype, "rounding")]
    assert not list(compare(backend, kernel, dtype, rows))
    row = rows[5]
    with mp.workprec(PRECISION):  # nine units, or half as many in the next octave
        moved = number(getattr(row, column)) * (1 + 9 * mpf(np.finfo(dtype).eps.item()))
    rows[5] = replace(row, **{column: hexadecimal(moved)})
    (fault,) = compare(backend, kernel, dtype, rows)
    assert fault.startswith(f"{column} of {row.input} (")
    assert f"should be {hexadecimal(moved)}, off by " in fault
