"""Evaluate a PyTorch model over a DataLoader: the loss of the data set, whatever the size of the batches."""

import torch
from torch.utils.data import DataLoader, TensorDataset

import lucid
from lucid import nn


def evaluate(model, loader, criterion):
    total = lucid.BCEAccumulator(criterion)
    model.eval()
    with torch.no_grad():
        for inputs, targets in loader:
            total.update(model(inputs).squeeze(1), targets)
    return total.result()


def main():
    torch.manual_seed(0)
    inputs = torch.randn(1003, 8)
    data = TensorDataset(inputs, inputs[:, 0] > 0)
    model = torch.nn.Linear(8, 1)
    criterion = nn.BCEWithLogitsLoss(pos_weight=2.0)
    for size in (1003, 128, 10):
        loss = evaluate(model, DataLoader(data, size), criterion)
        print(f"in batches of {size:4}: {loss:.6f}")


if __name__ == "__main__":
    main()
