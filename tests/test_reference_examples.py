"""What the documents of five libraries show of this loss, on every backend, with the right numbers.

Where a document prints something else, its own formula gives what stands here.
"""

from itertools import pairwise

import numpy as np
import pytest

import lucid
import lucid.nn.functional as F
from lucid import Tensor, nn


def formula(p, y):
    """Compute the mean of -(y log p + (1 - y) log(1 - p)) in float64."""
    p, y = np.asarray(p, dtype="float64"), np.asarray(y, dtype="float64")
    return -(y * np.log(p) + (1 - y) * np.log1p(-p)).mean()


def printed(array):
    """Round as the documents do."""
    return np.round(np.asarray(array, dtype="float64"), 4).tolist()


def trained(model, criterion, inputs, targets, *, steps, rate):
    """Descend the gradient; return the losses."""
    losses = []
    for _ in range(steps):
        loss = criterion(model(inputs), targets)
        losses.append(loss.item())
        model.zero_grad()
        loss.backward()
        with lucid.no_grad():
            for parameter in model.parameters():
                parameter -= rate * parameter.grad  # noqa: PLW2901  # it stays the same object
    return losses


def test_new_lucid_four_probabilities(backend):
    loss = nn.BCELoss()(lucid.tensor([0.9, 0.1, 0.8, 0.3]), lucid.tensor([1.0, 0.0, 1.0, 0.0]))
    assert isinstance(loss, Tensor)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(0.197635, abs=5e-7)


def test_new_lucid_with_a_weight_for_each_element(backend):
    criterion = nn.BCELoss(weight=lucid.tensor([2.0, 1.0, 2.0, 1.0]))
    loss = criterion(lucid.tensor([0.7, 0.2, 0.6, 0.4]), lucid.tensor([1.0, 0.0, 1.0, 0.0]))
    expected = -(2 * np.log(0.7) + np.log(0.8) + 2 * np.log(0.6) + np.log(0.6)) / 4
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("eps", [None, 1e-7])
def test_old_lucid_mean(backend, eps):
    p = Tensor([[0.9, 0.2, 0.8, 0.4]], requires_grad=True)
    loss = nn.BCELoss(eps=eps)(p, Tensor([[1.0, 0.0, 1.0, 0.0]]))
    loss.backward()
    assert loss.item() == pytest.approx(0.265618, abs=5e-7)
    np.testing.assert_allclose(p.grad.numpy(), [[-0.277778, 0.3125, -0.3125, 0.416667]], atol=5e-7)


@pytest.mark.parametrize("eps", [None, 1e-7])
def test_old_lucid_sum(backend, eps):
    p = Tensor([[0.7, 0.3, 0.2]], requires_grad=True)
    loss = nn.BCELoss(reduction="sum", eps=eps)(p, Tensor([[1.0, 0.0, 0.0]]))
    loss.backward()
    assert loss.item() == pytest.approx(0.936493, abs=5e-7)
    np.testing.assert_allclose(p.grad.numpy(), [[-1.428571, 1.428571, 1.25]], atol=5e-7)


class SimpleClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(in_features=2, out_features=1)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x):
        return self.sigmoid(self.linear(x))


def test_old_lucid_network(backend):
    lucid.manual_seed(0)
    model, criterion = SimpleClassifier(), nn.BCELoss()
    x, y = Tensor([[0.5, -0.2]], requires_grad=True), Tensor([[1.0]])
    p = model(x)
    loss = criterion(p, y)
    loss.backward()
    assert p.shape == (1, 1)
    assert loss.item() == pytest.approx(-np.log(p.item()), rel=1e-6)
    # dl/dz = p - y, and z = x @ weight.T + bias
    slope = p.item() - 1
    np.testing.assert_allclose(x.grad.numpy(), slope * model.linear.weight.numpy(), rtol=1e-5)
    np.testing.assert_allclose(model.linear.weight.grad.numpy(), slope * x.numpy(), rtol=1e-5)
    np.testing.assert_allclose(model.linear.bias.grad.numpy(), [slope], rtol=1e-5)
    losses = trained(model, criterion, x.detach(), y, steps=20, rate=0.5)
    assert all(after < before for before, after in pairwise(losses))


def test_old_lucid_network_at_the_printed_probability(backend):
    loss = nn.BCELoss()(Tensor([[0.6682]], dtype="float64"), Tensor([[1.0]], dtype="float64"))
    assert loss.item() == pytest.approx(0.403168, abs=5e-7)


def test_torch_random_logits_and_targets(backend):
    lucid.manual_seed(0)
    m, criterion = nn.Sigmoid(), nn.BCELoss()
    for target in (lucid.rand(3), lucid.randint(0, 2, (3,)).astype("float32"), lucid.randint(0, 2, (3,))):
        z = lucid.randn(3, requires_grad=True)
        loss = criterion(m(z), target)
        loss.backward()
        p = 1 / (1 + np.exp(-z.numpy().astype("float64")))
        assert loss.item() == pytest.approx(formula(p, target.numpy()), rel=1e-6)
        np.testing.assert_allclose(z.grad.numpy(), (p - target.numpy()) / 3, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("p", "y"), [(0.0, 1.0), (1.0, 0.0)])
def test_torch_logarithms_are_at_least_minus_100_and_gradients_finite(backend, p, y):
    x = lucid.tensor([p], requires_grad=True)
    loss = nn.BCELoss()(x, lucid.tensor([y]))
    loss.backward()
    assert loss.item() == 100
    assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"size_average": True}, "mean"),
        ({"size_average": False}, "sum"),
        ({"reduce": False}, "none"),
        ({"reduce": False, "size_average": False}, "none"),
        ({"reduce": True, "size_average": False}, "sum"),
    ],
    ids=str,
)
def test_torch_deprecated_arguments_override_the_reduction(backend, old, new):
    p, y = lucid.tensor([0.9, 0.2]), lucid.tensor([1.0, 0.0])
    with pytest.warns(DeprecationWarning, match=f"reduction='{new}'"):
        criterion = nn.BCELoss(reduction="mean", **old)
    assert criterion(p, y).tolist() == nn.BCELoss(reduction=new)(p, y).tolist()


def test_torch_js_probabilities_from_random_logits(backend):
    lucid.manual_seed(0)
    predictions = lucid.randn(32, 1).sigmoid()
    targets = lucid.randint(0, 2, (32, 1))
    loss = nn.BCELoss().forward(predictions, targets)
    assert loss.item() == pytest.approx(formula(predictions.numpy(), targets.numpy()), rel=1e-6)


class MultiLabelClassifier(nn.Module):
    def __init__(self, features, labels):
        super().__init__()
        self.fc1 = nn.Linear(features, 128)
        self.fc2 = nn.Linear(128, labels)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x):
        return self.sigmoid(self.fc2(F.relu(self.fc1(x))))


def test_torch_js_classifier_of_five_labels(backend):
    lucid.manual_seed(0)
    model, criterion = MultiLabelClassifier(100, 5), nn.BCELoss()
    x, y = lucid.randn(32, 100), lucid.randint(0, 2, (32, 5))
    p = model(x)
    assert p.shape == (32, 5)
    assert ((p > 0).numpy() & (p < 1).numpy()).all()
    assert criterion(p, y).item() == pytest.approx(formula(p.numpy(), y.numpy()), rel=1e-6)
    losses = trained(model, criterion, x, y, steps=30, rate=1.0)
    assert losses[-1] < losses[0] / 4
    np.testing.assert_array_equal((model(x) > 0.5).numpy(), y.numpy() == 1)


def test_torch_js_options_read_back(backend):
    weight = lucid.tensor([1.0, 2.0])
    criterion = nn.BCELoss(weight=weight, reduction="sum")
    assert criterion.weight is weight
    assert criterion.reduction == "sum"
    assert nn.BCELoss().weight is None
    loss = criterion(lucid.tensor([0.5, 0.5]), lucid.tensor([1.0, 0.0]))
    assert loss.item() == pytest.approx(3 * np.log(2))


def test_oneflow_table_to_all_printed_digits(backend):
    z = lucid.tensor(np.array([[1.2, 0.2, -0.3], [0.7, 0.6, -2]], dtype="float32"))
    y = lucid.tensor(np.array([[0, 1, 0], [1, 0, 1]], dtype="float32"))
    weight = lucid.tensor(np.full((2, 3), 2, dtype="float32"))
    p = nn.Sigmoid()(z)
    assert printed(nn.BCELoss(weight, reduction="none")(p, y)) == [
        [2.9266, 1.1963, 1.1087],
        [0.8064, 2.0750, 4.2539],
    ]
    assert printed(nn.BCELoss(weight, reduction="sum")(p, y)) == 12.3668
    assert printed(nn.BCELoss(weight, reduction="mean")(p, y)) == 2.0611
    assert printed(nn.BCELoss()(p, y)) == 1.0306
    # 12.366757 / 12 = 1.030563, and from the logits it is the same
    assert printed(nn.BCEWithLogitsLoss()(z, y)) == 1.0306
