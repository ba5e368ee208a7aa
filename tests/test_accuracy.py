"""The tool that measures accuracy: its oracle against the kit's, and that it sees what is wrong."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from accuracy import records, report
from accuracy.__main__ import main
from accuracy.contestants import PEERS, Lucid
from accuracy.defects import DEFECTS, Seen, see
from accuracy.measure import Agreement, Measured, Row, Worst, questions
from accuracy.oracle import Numbers, exact, ulps
from accuracy.problems import ALL, DTYPES, FEW, INPUTS, MANY, OPS, Case, cases, every_value, many, problem
from mpmath import mp, mpf

from lucid.protocol import LossSpec
from lucid.testing import reference
from lucid.testing.cases import KERNELS, REDUCTIONS, Problem, rounded

SIZES = {("bce", "float16"): 15362, ("bce", "bfloat16"): 16258} | {
    ("bce_with_logits", "float16"): 63490,
    ("bce_with_logits", "bfloat16"): 65282,
}

UNSEEN = -10_000
"""Below the exponent of every float."""


def value(numbers: Numbers, place: int):
    """Put an exact number together."""
    high, low = (mpf(float(each[place])) for each in (numbers.high, numbers.low))
    return (high + low) * mpf(2) ** int(numbers.exponent[place]) if high else mpf(0)


def assert_same(numbers: Numbers, right) -> None:
    """Compare with mpmath's numbers, to what two float64 can hold; to MPFR, exp(-1e38) is 0."""
    for place, expected in enumerate(right):
        if mp.isinf(expected):
            assert numbers.high[place] == expected
        else:
            off = abs(value(numbers, place) - expected)
            assert off <= abs(expected) * mpf(2) ** -104 + mpf(2) ** UNSEEN


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_oracle_is_the_kit_s(kernel, dtype) -> None:
    with mp.workprec(256):
        for case in cases(kernel, dtype, full=False):
            if case.regime in {ALL, FEW, MANY}:
                continue  # they have the same formulas
            at = problem(case._replace(size=20))
            found = exact(kernel, at, dtype)
            for reduction in REDUCTIONS:
                right = reference.exact(kernel, LossSpec(reduction), at.elements(), dtype)
                losses = (
                    found.unreduced() if reduction == "none" else found.reduced(reduction, at.weight, None)
                )
                assert_same(losses, right.loss)
                slopes = found.derivatives(reduction, at.weight)
                assert_same(slopes, [each.value for each in right.by_input])
                assert np.maximum(slopes.exponent, slopes.larger).clip(UNSEEN).tolist() == [
                    max(int(mp.frexp(size)[1]), UNSEEN) if size else UNSEEN
                    for size in (max(abs(each.value), each.larger) for each in right.by_input)
                ]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("regime", [*INPUTS["bce_with_logits"], "edges"])
def test_distances_are_the_kit_s(dtype, regime) -> None:
    at = problem(Case("bce_with_logits", regime, "soft", "plain", dtype, 60))
    found = exact("bce_with_logits", at, dtype)
    right = reference.exact("bce_with_logits", LossSpec("none"), at.elements(), dtype)
    for off, of_terms in product((0.0, 1e-3, -0.3, np.inf, -np.inf, np.nan), (False, True)):
        with np.errstate(all="ignore"):
            actual = rounded(found.derivatives("none", None).value * (1 + off), dtype)
        errors = ulps(actual, found.derivatives("none", None), dtype, of_terms=of_terms)
        for error, returned, one in zip(errors, actual.tolist(), right.by_input, strict=True):
            expected = reference.ulps(returned, one.value, dtype, one.larger if of_terms else 0)
            assert error == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_infinity_is_right_from_half_a_unit_above_the_largest_number_on(dtype) -> None:
    largest = mpf(2) ** (reference.LARGEST[dtype] + 1)
    half = mpf(2) ** -(reference.SIGNIFICANDS[dtype] + 1)
    for share, error in ((1 - half, 0), (1 - half * 1.001, np.inf)):
        exponent, mantissa = reference.LARGEST[dtype] + 1, share
        high = float(mantissa)
        low = float(mantissa - high)
        at = Numbers(*(np.array([each]) for each in (high, low, exponent, -5000)))
        assert (
            ulps(np.array([np.inf]), at, dtype)[0] == error == reference.ulps(np.inf, share * largest, dtype)
        )


@pytest.mark.parametrize(("kernel", "dtype"), SIZES)
def test_every_number_of_16_bits_is_measured(kernel, dtype) -> None:
    values = every_value(kernel, dtype)
    assert len(set(zip(values, np.signbit(values), strict=True))) == len(values) == SIZES[kernel, dtype]
    assert np.array_equal(rounded(values, dtype), values)
    found = [case for case in cases(kernel, dtype, full=False) if case.regime == ALL]
    assert [problem(case).x.size for case in found] == [2 * len(values)]


@pytest.mark.parametrize("kernel", KERNELS)
def test_each_operation_is_asked_for_in_each_regime(kernel) -> None:
    asked = {
        (question.op.name, question.reduction, case.regime)
        for case in cases(kernel, "float32", full=False)
        if case.option == "plain"
        for question in questions(case._replace(size=100), list(OPS))
    }
    for op, regime in product(OPS.values(), (*INPUTS[kernel], "edges", "target near")):
        for reduction in op.reductions if op.kernel == kernel else ():
            assert (op.name, reduction, regime) in asked


def test_the_sum_of_many_is_that_of_their_elements() -> None:
    case = Case("bce", MANY, "hard", "both", "float32", 3000)
    at, counts = many(case)
    assert counts.sum() == 3000
    whole = Problem(
        *(np.repeat(each, counts) for each in (at.x, at.target, at.weight)), np.repeat(at.pos_weight, counts)
    )
    for reduction in REDUCTIONS[1:]:
        few = exact("bce", at, "float32").reduced(reduction, at.weight, counts)
        each = exact("bce", whole, "float32").reduced(reduction, whole.weight, None)
        assert [few.high, few.exponent] == [each.high, each.exponent]
        assert few.low == pytest.approx(each.low)


QUICK = ["--backend", "numpy", "--dtype", "float32", "--op", "loss"]


def test_a_result_outside_its_bound_is_shown_and_is_exit_status_1(monkeypatch, capsys) -> None:
    assert main(QUICK) == 0
    assert "outside its bounds in 0 rows" in capsys.readouterr().out
    right = Lucid.call

    def wrong(self, op, at, dtype, reduction):
        result = right(self, op, at, dtype, reduction)
        result[at.x == 0.25] *= 1 + 2.0**-22
        return result

    monkeypatch.setattr(Lucid, "call", wrong)
    assert main(QUICK) == 1
    printed = capsys.readouterr().out
    assert "OUTSIDE: lucid on numpy, loss, float32, edges, soft" in printed
    assert "input 0.25" in printed


def test_a_backend_that_can_not_run_is_exit_status_2(capsys) -> None:
    assert main(["--backend", "no-such-backend"]) == 2
    assert "no-such-backend" in capsys.readouterr().err


def test_only_what_is_between_the_marks_of_a_page_is_rewritten(tmp_path: Path, capsys) -> None:
    page, record = tmp_path / "page.md", tmp_path / "record.json"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    assert main([*QUICK, "--markdown", str(page), "--json", str(record)]) == 0
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| loss | float32 | 0.51 | 0.50 |" in text
    sheet = records.from_json([record.read_text()])
    assert report.page(sheet) in text
    assert main(["--read", str(record), "--markdown", str(page)]) == 0
    assert page.read_text() == text
    page.write_text("no marks")
    with pytest.raises(ValueError, match="lacks the lines"):
        report.rewritten(page, sheet)


def test_a_file_keeps_all_that_was_measured() -> None:
    measured = Measured(
        {}, {("optax", "loss", "float16"): "no"}, {("float16", "loss", "a", "b"): Agreement(3)}
    )
    worst = Worst(float("inf"), 0.5, {"option": "plain", "returned": float("nan")}, 4, 1)
    measured.rows[Row("loss", "float16", "edges", "hard")] = {"lucid on a": worst}
    sheet = records.Sheet({"set": "full"}, measured, [Seen("torch", DEFECTS[0], 0.0, 1.0, 2.0)])
    text = records.as_json(sheet)
    assert records.as_json(records.from_json([text])) == text
    assert records.from_json([text, text]).results == 4
    assert "| lucid on a |" in report.page(records.from_json([text]))


def test_every_defect_that_the_page_names_of_pytorch_is_there() -> None:
    if not PEERS["torch"].installed:
        return  # the page is about the version that the tests pin
    named = {defect for defect in DEFECTS if "torch" in defect.peers}
    assert {each.defect for each in see({"torch"})} == named
