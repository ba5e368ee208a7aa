"""An ordinary PyTorch training loop, once with PyTorch's loss and once with lucid's; nothing else changes.

    python torch_training.py

From an ordinary start they agree. From a saturated one, where the network is sure that every label is 0,
PyTorch's gradient vanishes, and lucid's leads back. The second experiment is drawn to saturation.png.

Needs ``python -m pip install "lucid-bce[torch,examples]"``.
"""

import argparse
import sys

import matplotlib

matplotlib.use("Agg")  # draws to files, and needs no display

import matplotlib.pyplot as plt
import torch
from torch.utils.data import DataLoader, TensorDataset

import lucid

LOSSES = {"torch.nn.BCELoss": torch.nn.BCELoss(), "lucid.nn.BCELoss": lucid.nn.BCELoss()}
SATURATED = -60.0  # a logit whose probability is 9e-27: float32 can hold it, and its reciprocal
TOLERANCE = 1e-5  # of the losses, relative; the arithmetic is float32


def make_data():
    """Return 1000 points in a square, labelled 1 inside a circle of half its area."""
    points = 2 * torch.rand(1000, 2) - 1
    labels = (points.square().sum(dim=1, keepdim=True) < 2 / torch.pi).float()
    return TensorDataset(points, labels)


def train(criterion, epochs, seed, shift):
    """Fit a small network whose logits start near `shift`, and return the mean loss of every epoch."""
    torch.manual_seed(seed)
    loader = DataLoader(make_data(), batch_size=50, shuffle=True)
    model = torch.nn.Sequential(
        torch.nn.Linear(2, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1), torch.nn.Sigmoid()
    )
    with torch.no_grad():
        model[2].bias += shift
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    means = []
    for _ in range(epochs):
        total = 0.0
        for points, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(points), labels)
            loss.backward()
            optimizer.step()
            total += loss.item()
        means.append(total / len(loader))
    return means


def compare(title, options, shift):
    """Train with both losses, and print and return their curves."""
    curves = {name: train(loss, options.epochs, options.seed, shift) for name, loss in LOSSES.items()}
    print(f"{title}\n{'epoch':>5}" + "".join(f"{name:>20}" for name in curves))
    for epoch, row in enumerate(zip(*curves.values(), strict=True), start=1):
        print(f"{epoch:5}" + "".join(f"{loss:20.8f}" for loss in row))
    return curves


def plot(curves, file):
    """Draw the losses of the saturated start."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for (name, means), style in zip(curves.items(), ("--", "-"), strict=True):
        axes.plot(range(1, len(means) + 1), means, style, linewidth=2, label=name)
    axes.set(
        title=f"The same network, data and optimizer; its logits start near {SATURATED:.0f}",
        xlabel="epoch",
        ylabel="mean loss of the epoch (log scale)",
        yscale="log",
    )
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=40, help="how often to go through the data (40)")
    parser.add_argument("--seed", type=int, default=0, help="of the data and the initial weights (0)")
    parser.add_argument(
        "--plot", metavar="FILE", default="saturation.png", help="where to draw (saturation.png)"
    )
    options = parser.parse_args()

    theirs, ours = compare("an ordinary start", options, shift=0.0).values()
    difference = max(abs(a - b) / a for a, b in zip(theirs, ours, strict=True))
    agreed = difference <= TOLERANCE
    print(f"they {'agree' if agreed else 'DISAGREE'}: the largest relative difference is {difference:.1e}\n")

    curves = compare(f"a start at logits near {SATURATED:.0f}", options, SATURATED)
    for name, means in curves.items():
        print(f"{name}: {means[0]:.4f} in the first epoch, {means[-1]:.4f} in the last")
    plot(curves, options.plot)
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
