"""The mergeable accumulator: the same bits however the data are cut, and the digits of float64."""

import pickle
import pickletools
from fractions import Fraction
from math import inf, isnan, nan

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lucid
import lucid._accumulator
from lucid import nn
from lucid.protocol import LossSpec
from lucid.testing.cases import corners, rounded
from lucid.testing.harness import LOSSES, host, on
from lucid.testing.reference import Element, exact, ulps

often = settings(
    deadline=None,
    max_examples=12,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
CRITERIA = {
    "bce": nn.BCELoss(),
    "sum": nn.BCELoss(reduction="sum"),
    "weighted_mean": nn.BCELoss(reduction="weighted_mean", pos_weight=3.0, label_smoothing=0.1),
    "unbounded": nn.BCELoss(eps=0.0, reduction="sum"),
    "clipped": nn.BCELoss(eps=1e-7, ignore_index=-1),
    "logits": nn.BCEWithLogitsLoss(),
    "logits_ignored": nn.BCEWithLogitsLoss(reduction="weighted_mean", ignore_index=-1, pos_weight=0.3),
}
criteria = pytest.mark.parametrize("criterion", CRITERIA.values(), ids=CRITERIA)
Rows = np.ndarray
"""Input, target and weight, as three columns."""


def kernel_of(criterion) -> str:
    return "bce_with_logits" if isinstance(criterion, nn.BCEWithLogitsLoss) else "bce"


def rows_for(criterion, number, seed, dtype="float32") -> Rows:
    """Make ordinary numbers and, for a fifth of them, corners, each exact in a dtype."""
    random, kernel = np.random.default_rng(seed), kernel_of(criterion)
    x = random.random(number) if kernel == "bce" else random.normal(0, 8, number)
    y = np.where(random.random(number) < 0.7, random.integers(0, 2, number), random.random(number))
    if criterion.ignore_index is not None:
        y = np.where(random.random(number) < 0.2, criterion.ignore_index, y)
    x = np.where(random.random(number) < 0.2, random.choice(corners(kernel, dtype), number), x)
    return rounded(np.stack([x, y, random.uniform(-0.5, 3, number)], axis=1), dtype)


def accumulated(criterion, backend, dtype, *parts) -> lucid.BCEAccumulator:
    total = lucid.BCEAccumulator(criterion)
    for part in parts:
        total.update(*(on(backend, each, dtype) for each in part.T))
    return total


def bits(number: float) -> str:
    return number.hex()


@often
@given(st.data())
@criteria
def test_no_cut_no_order_and_no_merging_changes_a_bit(backend, dtype, criterion, data) -> None:
    rows = rows_for(criterion, data.draw(st.integers(1, 60)), data.draw(st.integers(0, 2**16)), dtype)
    whole = accumulated(criterion, backend, dtype, rows)
    shuffled = rows[np.random.default_rng(data.draw(st.integers(0, 9))).permutation(len(rows))]
    places = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=5)))
    parts = [accumulated(criterion, backend, dtype, part) for part in np.split(shuffled, places)]
    merged = lucid.BCEAccumulator(criterion)
    for part in data.draw(st.permutations(parts)):
        merged.merge(part)
    assert merged == whole
    assert bits(merged.result()) == bits(whole.result())


@criteria
def test_cuts_across_blocks_and_vectors_change_no_bit(backend, criterion, monkeypatch) -> None:
    rows = rows_for(criterion, 40_011, 5)
    whole = accumulated(criterion, backend, "float32", rows)
    monkeypatch.setattr(lucid._accumulator, "BLOCK", 7777)
    monkeypatch.setattr(lucid._accumulator, "DEVICE_BLOCK", 1 << 15)
    for number in (1, 33):
        parts = np.array_split(rows[::-1], number)
        assert accumulated(criterion, backend, "float32", *parts) == whole


LAYOUTS = {
    "matrix": lambda a, xp: xp.reshape(a, (60, 50)),
    "transposed": lambda a, xp: xp.matrix_transpose(xp.reshape(a, (60, 50))),
    "cube": lambda a, xp: xp.permute_dims(xp.reshape(a, (20, 15, 10)), (2, 0, 1)),
    "every_second": lambda a, xp: xp.stack([a, a], axis=1)[:, 1],
    "rolled": lambda a, xp: xp.roll(a, 7),
}


@criteria
@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_layout_changes_a_bit(backend, dtype, criterion, layout) -> None:
    columns = [on(backend, each, dtype) for each in rows_for(criterion, 3000, 2, dtype).T]
    flat, strided = lucid.BCEAccumulator(criterion), lucid.BCEAccumulator(criterion)
    flat.update(*columns)
    strided.update(*(LAYOUTS[layout](each, backend.xp) for each in columns))
    assert strided == flat


@criteria
def test_the_result_is_the_exact_sum_of_the_losses_rounded_once(backend, dtype, criterion) -> None:
    rows = rows_for(criterion, 500, 4, dtype)
    total = accumulated(criterion, backend, dtype, rows[:123], rows[123:])
    x, y, w = (on(backend, each) for each in rows.T)
    options = {
        name: getattr(criterion, name)
        for name in ("eps", "pos_weight", "label_smoothing", "ignore_index")
        if hasattr(criterion, name)
    }
    each = host(LOSSES[kernel_of(criterion)](x, y, w, "none", **options), backend).tolist()
    kept = rows[:, 1] != criterion.ignore_index
    assert total.count == kept.sum()
    divisor = {
        "sum": 1,
        "mean": int(kept.sum()),
        "weighted_mean": sum(map(Fraction, rows[kept, 2].tolist())),
    }[criterion.reduction]
    if not np.isfinite(each).all():
        infinite = sum(loss for loss in each if not np.isfinite(loss))
        assert np.array_equal(total.result(), infinite, equal_nan=True)
        return
    assert bits(total.result()) == bits(float(sum(map(Fraction, each)) / divisor))


@pytest.mark.parametrize("kernel", LOSSES)
def test_a_mean_has_the_digits_of_float64(backend, dtype, kernel) -> None:
    criterion = CRITERIA["bce" if kernel == "bce" else "logits"]
    x, y, w = (on(backend, each, dtype) for each in np.abs(rows_for(criterion, 700, 6, dtype)).T)
    total = lucid.BCEAccumulator(criterion)
    total.update(x, y, w)
    elements = [Element(*each) for each in zip(*(host(each, backend) for each in (x, y, w)), strict=True)]
    right = exact(kernel, LossSpec("mean"), elements, dtype).loss[0]
    assert ulps(total.result(), right, "float64") <= 3


@pytest.mark.parametrize("constant", [1e-30, 1e-7, 0.3, 0.9, 1 - 2.0**-24])
@pytest.mark.parametrize("label", [0, 1, 0.7])
def test_equal_losses_whose_roundings_are_equal_too_are_added_accurately(backend, constant, label) -> None:
    """Views of one number: the mean is that of the number alone, whatever their count."""
    xp, number = backend.xp, 3_000_017
    one = [on(backend, each, "float32") for each in (constant, label)]
    many = [xp.broadcast_to(each, (number,)) for each in one]
    totals = [lucid.BCEAccumulator() for _ in range(2)]
    totals[0].update(*one)
    totals[1].update(*many)
    assert totals[1].count == number
    assert totals[1].result() == totals[0].result()
    element = Element(float(np.float32(constant)), float(np.float32(label)))
    assert (
        ulps(totals[0].result(), exact("bce", LossSpec("mean"), [element], "float32").loss[0], "float64") <= 2
    )


def test_the_accumulators_of_two_libraries_can_be_merged(backend) -> None:
    criterion = nn.BCEWithLogitsLoss(pos_weight=[2.0, 0.5])
    here, there = lucid.BCEAccumulator(criterion), lucid.BCEAccumulator(criterion)
    here.update(on(backend, [[0.5, -2.0]], "float32"), on(backend, [[1, 0]], "uint8"))
    there.update(np.array([[0.25, 3.0]]), np.array([[0, 1]]))
    here.merge(there)
    together = float(criterion(np.array([[0.5, -2.0], [0.25, 3.0]]), np.array([[1, 0], [0, 1]])))
    assert here.result() == pytest.approx(together, rel=1e-15)


def test_weights_of_a_batch_go_before_those_of_the_criterion(backend) -> None:
    x, y = on(backend, [[0.5, 0.25]]), on(backend, [[1, 0]])
    total = lucid.BCEAccumulator(nn.BCELoss(on(backend, [1.0, 0.0]), "weighted_mean"))
    total.update(x, y)
    assert total.result() == pytest.approx(np.log(2))
    total.reset()
    total.update(x, y, [0.0, 2.0])
    assert total.result() == pytest.approx(-np.log(0.75))


def test_tensors_lists_and_numbers_go_in_too(backend) -> None:
    total, plain = lucid.BCEAccumulator(), lucid.BCEAccumulator()
    x = lucid.tensor([0.5, 0.75], dtype="float64", requires_grad=True)
    total.update(x, lucid.tensor([1, 0]), lucid.tensor(2.0, requires_grad=True))
    plain.update([0.5, 0.75], [1, 0], 2)
    plain.update(0.25, True)
    total.update(on(backend, 0.25), on(backend, True, "bool"))
    assert plain == total
    assert x.grad is None


def test_nothing_to_average_is_nan_and_nothing_to_add_is_0(backend) -> None:
    empty, ignored = on(backend, [], "float32"), on(backend, [-1.0, -1.0])
    for reduction, result in (("mean", nan), ("weighted_mean", nan), ("sum", 0.0)):
        total = lucid.BCEAccumulator(nn.BCELoss(reduction=reduction, ignore_index=-1))
        assert repr(total.result()) == repr(result)
        total.update(empty, empty)
        total.update(on(backend, [0.5, nan]), ignored, on(backend, [inf, nan]))
        assert total.count == 0
        assert repr(total.result()) == repr(result)


@pytest.mark.parametrize(
    ("probabilities", "weights", "result"),
    [
        ([0.5, nan], [1, 1], nan),
        ([0.5, 0.0], [1, 1], inf),
        ([0.5, 0.0], [1, -1], -inf),
        ([0.0, 0.0], [1, -1], nan),
        ([0.5, 0.0], [1, 0], np.log(2) / 2),
        ([0.5, 0.5], [1, nan], nan),
        ([1e-3, 1e-3], [1.7e308, 1.7e308], inf),
        ([1e-3, 1e-3], [1.7e308, -1.7e308], nan),  # each loss is infinite already
        ([0.4, 0.4], [1.7e308, -1.7e308], 0.0),  # and here their sum would be in between
    ],
)
def test_nan_and_infinities_are_those_of_the_loss(backend, probabilities, weights, result) -> None:
    total = lucid.BCEAccumulator(nn.BCELoss(eps=0.0))
    for p, w in zip(probabilities, weights, strict=True):
        total.update(on(backend, [p]), on(backend, [1]), on(backend, [w]))
    assert total.result() == pytest.approx(result, rel=1e-15, nan_ok=True)


@pytest.mark.parametrize(("x", "y", "message"), [([0.5, 1.5], [0, 1], r"input\[1\]"), ([0.5], [2], "target")])
def test_an_update_that_raises_has_added_nothing(backend, x, y, message) -> None:
    total = lucid.BCEAccumulator(nn.BCELoss(validate=True))
    total.update(on(backend, [0.5]), on(backend, [1]))
    before = repr(total), total.result()
    with pytest.raises(ValueError, match=message):
        total.update(on(backend, x), on(backend, y))
    with pytest.raises(ValueError, match="must be equal"):
        total.update(on(backend, x), on(backend, [1, 1, 1]))
    assert (repr(total), total.result()) == before


def test_values_out_of_range_are_nan_where_they_are_not_looked_at(backend) -> None:
    total = lucid.BCEAccumulator(nn.BCELoss(validate=False))
    total.update(on(backend, [0.5, 1.5]), on(backend, [1, 0]))
    assert isnan(total.result())
    assert total.count == 2


def test_its_state_is_plain_numbers_and_survives_pickling(backend) -> None:
    weights = on(backend, [0.5, 2.0], "float32")
    total = lucid.BCEAccumulator(nn.BCELoss(weights, pos_weight=weights))
    total.update(on(backend, [[0.25, 0.75]], "float32"), on(backend, [[1, 1]]))
    data = pickle.dumps(total)
    words = {str(argument) for _, argument, _ in pickletools.genops(data)}
    assert not {word for word in words if word.partition(".")[0] in {"numpy", "torch", "cupy"}}
    copied = pickle.loads(data)
    assert copied == total
    copied.update(on(backend, [[0.5, 0.5]], "float32"), on(backend, [[1, 1]]))
    assert copied != total
    assert copied.count == 4


def test_on_a_device_without_float64_the_host_computes(backend, monkeypatch) -> None:
    class Information:
        def dtypes(self, *, device, kind):
            return {"float32": backend.xp.float32}

    rows = rows_for(CRITERIA["logits_ignored"], 100, 9)
    right = accumulated(CRITERIA["logits_ignored"], lucid.get_backend("numpy"), "float32", rows)
    monkeypatch.setattr(backend.xp, "__array_namespace_info__", Information)
    total = accumulated(CRITERIA["logits_ignored"], backend, "float32", rows)
    assert total == right


def test_equality_looks_at_options_and_sums_and_nothing_else() -> None:
    one, other = lucid.BCEAccumulator(), lucid.BCEAccumulator(nn.BCELoss())
    assert one == other
    one.update([0.5, 0.25], [1, 0])
    assert one != other
    other.update([0.25, 0.5], [0, 1])
    assert one == other
    assert lucid.BCEAccumulator(nn.BCELoss(pos_weight=2)) != lucid.BCEAccumulator(nn.BCELoss())
    assert one != "an accumulator"
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def test_it_shows_its_options_and_its_count_and_forgets_on_reset() -> None:
    total = lucid.BCEAccumulator(nn.BCEWithLogitsLoss(pos_weight=3.0, reduction="sum"))
    total.update([0.5, 1.5], [0, 1])
    assert repr(total) == "BCEAccumulator(BCEWithLogitsLoss(reduction='sum', pos_weight=3.0), count=2)"
    total.reset()
    assert total == lucid.BCEAccumulator(nn.BCEWithLogitsLoss(pos_weight=3.0, reduction="sum"))


def test_later_changes_of_the_criterion_change_nothing() -> None:
    criterion = nn.BCELoss([1.0, 2.0])
    total = lucid.BCEAccumulator(criterion)
    criterion.reduction, criterion.weight[0] = "none", 7.0
    total.update([[0.5, 0.5]], [[1, 1]])
    assert total.result() == pytest.approx(1.5 * np.log(2))


class Focal(nn.BCELoss):
    def forward(self, input, target):
        return 0.0


@pytest.mark.parametrize("criterion", [Focal(), nn.Sigmoid(), "mean", nn.BCELoss])
def test_a_criterion_that_computes_something_else_is_refused(criterion) -> None:
    with pytest.raises(TypeError, match="takes a BCELoss or a BCEWithLogitsLoss"):
        lucid.BCEAccumulator(criterion)


def test_a_criterion_that_does_not_reduce_is_refused() -> None:
    with pytest.raises(ValueError, match=r"reduction must be 'mean', 'sum' or 'weighted_mean'"):
        lucid.BCEAccumulator(nn.BCELoss(reduction=None))


def test_only_an_accumulator_of_the_same_loss_can_be_merged() -> None:
    total = lucid.BCEAccumulator()
    with pytest.raises(ValueError, match=r"BCEAccumulator\(BCEWithLogitsLoss\(\), count=0\) can't be merged"):
        total.merge(lucid.BCEAccumulator(nn.BCEWithLogitsLoss()))
    with pytest.raises(ValueError, match="their options differ"):
        total.merge(lucid.BCEAccumulator(nn.BCELoss(eps=1e-7)))
    with pytest.raises(TypeError, match="can be merged, not a float"):
        total.merge(0.5)


def test_pytorchs_modules_are_criteria_too() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from lucid_torch.nn import BCEWithLogitsLoss

    weights = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    total = lucid.BCEAccumulator(BCEWithLogitsLoss(weights, pos_weight=torch.tensor(3.0)))
    z = torch.tensor([[0.5, -1.5]], requires_grad=True)
    total.update(z, torch.tensor([[True, False]]))
    same = lucid.BCEAccumulator(nn.BCEWithLogitsLoss([1.0, 2.0], pos_weight=3.0))
    same.update([[0.5, -1.5]], [[1, 0]])
    assert total == same


def test_a_third_partys_arrays_go_in_by_the_standard_alone(lucid_strict) -> None:
    rows = rows_for(CRITERIA["weighted_mean"], 3000, 8)
    backend = lucid.get_backend(lucid_strict)
    parts = accumulated(CRITERIA["weighted_mean"], backend, "float32", *np.array_split(rows, 7))
    assert parts == accumulated(CRITERIA["weighted_mean"], backend, "float32", rows)
