"""An ordinary PyTorch training loop, once with PyTorch's loss and once with lucid's; nothing else changes.

    python torch_training.py

Needs ``python -m pip install "lucid-bce[torch]"``.
"""

import argparse
import sys

import torch
from torch.utils.data import DataLoader, TensorDataset

import lucid

TOLERANCE = 1e-5  # of the losses, relative; the arithmetic is float32


def make_data():
    """Return 1000 points in a square, labelled 1 inside a circle of half its area."""
    points = 2 * torch.rand(1000, 2) - 1
    labels = (points.square().sum(dim=1, keepdim=True) < 2 / torch.pi).float()
    return TensorDataset(points, labels)


def train(criterion, epochs, seed):
    """Fit a small network, and return the mean loss of every epoch."""
    torch.manual_seed(seed)
    loader = DataLoader(make_data(), batch_size=50, shuffle=True)
    model = torch.nn.Sequential(
        torch.nn.Linear(2, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1), torch.nn.Sigmoid()
    )
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20, help="how often to go through the data (20)")
    parser.add_argument("--seed", type=int, default=0, help="of the data and the initial weights (0)")
    options = parser.parse_args()

    theirs = train(torch.nn.BCELoss(), options.epochs, options.seed)
    ours = train(lucid.nn.BCELoss(), options.epochs, options.seed)

    print(f"{'epoch':>5}{'torch.nn.BCELoss':>20}{'lucid.nn.BCELoss':>20}")
    for epoch, (a, b) in enumerate(zip(theirs, ours, strict=True), start=1):
        print(f"{epoch:5}{a:20.8f}{b:20.8f}")
    difference = max(abs(a - b) / a for a, b in zip(theirs, ours, strict=True))
    agreed = difference <= TOLERANCE
    print(f"they {'agree' if agreed else 'DISAGREE'}: the largest relative difference is {difference:.1e}")
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
