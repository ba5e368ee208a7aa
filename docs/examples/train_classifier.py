"""Train a small network to tell benign breast tumours from malignant ones, on any backend.

    python train_classifier.py --backend torch
    python train_classifier.py --compare

The data is the Wisconsin breast-cancer set that scikit-learn ships: 569 patients, 30 measurements of each.
Needs ``python -m pip install "lucid-bce[examples]"``.
"""

import argparse
import sys

import matplotlib

matplotlib.use("Agg")  # draws to files, and needs no display

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

import lucid
from lucid import nn

LEARNING_RATE = 0.05
MOMENTUM = 0.9
TOLERANCE = 1e-6  # of a backend's losses against NumPy's, relative


class Classifier(nn.Module):
    """The probability that a tumour is benign, from 30 measurements."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(30, 16, dtype="float64")
        self.relu = nn.ReLU()
        self.output = nn.Linear(16, 1, dtype="float64")
        self.sigmoid = nn.Sigmoid()

    def forward(self, x):
        return self.sigmoid(self.output(self.relu(self.hidden(x))))


def train(model, x, y, epochs):
    """Fit a model by gradient descent with momentum, and return the loss before each step."""
    criterion = nn.BCELoss()
    parameters = list(model.parameters())
    velocities = [lucid.zeros(p.shape, dtype="float64") for p in parameters]
    losses = []
    for _ in tqdm(range(epochs), desc=lucid.get_backend().info.name, unit="epoch"):
        loss = criterion(model(x), y)
        model.zero_grad()
        loss.backward()
        with lucid.no_grad():
            for p, velocity in zip(parameters, velocities, strict=True):
                step(p, velocity)
        losses.append(loss.item())
    return np.array(losses)


def step(p, velocity):
    """Move a parameter against its gradient, with momentum; both arguments change in place."""
    velocity *= MOMENTUM
    velocity += p.grad
    p -= LEARNING_RATE * velocity


def accuracy(model, x, y):
    """Return the share of the patients that a model gets right."""
    with lucid.no_grad():
        benign = model(x) > 0.5
    return (benign.numpy() == y.numpy()).mean()


def load_data():
    """Return x_train, x_test, y_train, y_test as NumPy arrays, split the same way every time."""
    x, y = load_breast_cancer(return_X_y=True)
    y = y.reshape(-1, 1)  # one column, as the model's output has
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, stratify=y, random_state=42)
    scaler = StandardScaler().fit(x_train)
    return scaler.transform(x_train), scaler.transform(x_test), y_train, y_test


def run(start, data, epochs):
    """Train on the selected backend from a given start; return the losses, and the accuracy on new data."""
    x_train, x_test, y_train, y_test = (lucid.tensor(array) for array in data)
    model = Classifier()
    model.load_state_dict(start)
    losses = train(model, x_train, y_train, epochs)
    return losses, accuracy(model, x_test, y_test)


def compare(start, data, epochs):
    """Train on every backend that can run; return their losses, and whether they agree with NumPy's."""
    results, unusable = {}, {}
    for entry in lucid.backends(probe=True):
        if entry.state == "ready":
            with lucid.use_backend(f"{entry.distribution}:{entry.name}"):
                results[entry.name] = run(start, data, epochs)
        else:
            unusable[entry.name] = entry.reason

    print(f"\n{'backend':10}{'final loss':>14}{'test accuracy':>16}{'largest difference from numpy':>32}")
    curves = {name: losses for name, (losses, _) in results.items()}
    differences = {
        name: relative_difference(losses, curves["numpy"]).max() for name, losses in curves.items()
    }
    for name, (losses, share) in results.items():
        print(f"{name:10}{losses[-1]:14.10f}{share:16.4f}{differences[name]:32.1e}")
    for name, reason in unusable.items():
        print(f"{name:10}not usable: {reason}")
    return curves, all(difference <= TOLERANCE for difference in differences.values())


def relative_difference(losses, reference):
    """Return how far each loss is from the reference's, relative to it."""
    return np.abs(losses - reference) / reference


def plot(curves, file):
    """Draw the loss on every backend; and, if there are several, how far they are from NumPy's."""
    several = len(curves) > 1
    figure, axes = plt.subplots(1 + several, sharex=True, squeeze=False, figsize=(8, 5), layout="constrained")
    figure.suptitle("Breast-cancer classifier: binary cross-entropy on the training data")
    above, below = axes[0, 0], axes[-1, 0]
    for place, (name, losses) in enumerate(curves.items()):
        # where the curves lie on one another, each is wider than the one above it, so that all can be seen
        width = 2 + 3 * (len(curves) - 1 - place)
        epochs = np.arange(1, len(losses) + 1)
        above.plot(epochs, losses, linewidth=width, color=f"C{place}", label=name)
        if name != "numpy" and several:
            difference = relative_difference(losses, curves["numpy"])
            below.plot(epochs, difference, ".", color=f"C{place}", label=name)
    above.set(ylabel="mean loss", ylim=(0, None))
    above.legend(title="backend")
    if several:
        below.axhline(TOLERANCE, color="grey", linestyle="--", label="tolerance")
        below.set(ylabel="relative difference\nfrom numpy", yscale="log", ylim=(1e-17, 1e-4))
        below.legend()
    below.set(xlabel="epoch")
    for ax in axes.flat:
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=150)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", help="where to train (default: $LUCID_BACKEND, or numpy)")
    parser.add_argument("--compare", action="store_true", help="train on every backend that can run")
    parser.add_argument("--epochs", type=int, default=200, help="how often to go through the data (200)")
    parser.add_argument("--seed", type=int, default=0, help="of the initial weights (0)")
    parser.add_argument("--plot", default="loss_curve.png", metavar="FILE", help="where to draw the losses")
    options = parser.parse_args()

    data = load_data()
    lucid.manual_seed(options.seed)
    with lucid.use_backend("numpy"):
        start = Classifier().state_dict()  # NumPy arrays, which load on any backend

    if options.compare:
        curves, agreed = compare(start, data, options.epochs)
    else:
        try:
            lucid.set_backend(options.backend)
            name = lucid.get_backend().info.name
        except lucid.errors.LucidError as error:
            sys.exit(str(error))
        losses, share = run(start, data, options.epochs)
        print(f"final loss: {losses[-1]:.6f}\ntest accuracy: {share:.4f}")
        curves, agreed = {name: losses}, True
    plot(curves, options.plot)
    print(f"loss curve: {options.plot}")
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
