"""One of two processes that compute a loss together, by gloo; test_torch_distributed.py starts both.

    python torch_rank.py SCENARIO RANK FILE

A scenario ends with an error unless what the processes find together is what one finds alone.
"""

import sys
from datetime import timedelta

import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from lucid import nn
from lucid_torch.nn import BCEWithLogitsLoss

WORLD = 2
CRITERIA = (
    nn.BCELoss(),
    nn.BCELoss(reduction="sum"),
    nn.BCELoss(reduction="none"),
    nn.BCELoss(2.0, pos_weight=3, label_smoothing=0.1),
    nn.BCELoss(ignore_index=0),
    nn.BCELoss(torch.tensor([0.5, 1.0, 2.0]), "weighted_mean"),
    nn.BCEWithLogitsLoss(torch.tensor([0.5, 1.0, 2.0])),
)


def sharded(rank):
    """Compare each loss of a batch whose rows, or columns, are shared out with that of the whole batch."""
    mesh = init_device_mesh("cpu", (WORLD,))
    for dtype in (torch.float32, torch.float64):
        whole, target = torch.rand(7, 3, dtype=dtype).requires_grad_(), torch.randint(0, 2, (7, 3))
        for criterion in CRITERIA:
            right, weight = criterion(whole, target), criterion.weight
            (gradient,) = torch.autograd.grad(right.sum(), whole)
            if isinstance(weight, torch.Tensor):
                criterion.weight = distribute_tensor(weight, mesh, [Replicate()])
            for axis in (0, 1):
                shard = [Shard(axis)]
                x = distribute_tensor(whole.detach(), mesh, shard).requires_grad_()
                loss = criterion(x, distribute_tensor(target, mesh, shard))
                loss.sum().backward()
                torch.testing.assert_close(loss.full_tensor(), right)
                torch.testing.assert_close(x.grad.full_tensor(), gradient)
                assert x.grad.placements == (Shard(axis),)
                share = tuple(x.to_local().shape)
                print(f"rank {rank}: {criterion} of {share} of (7, 3): {loss.sum().full_tensor():.6f}")
            criterion.weight = weight


class Model(torch.nn.Module):
    """A network that ends in its loss, whose weight is a buffer."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)
        self.loss = BCEWithLogitsLoss(torch.tensor([0.5, 1.0, 2.0]))

    def forward(self, x, y):
        return self.loss(self.linear(x), y)


def parallel(rank):
    """Compare the gradients that DistributedDataParallel averages with those of the whole batch."""
    model, x, y = Model(), torch.randn(8, 4), torch.randint(0, 2, (8, 3))
    right = torch.autograd.grad(model(x, y), tuple(model.parameters()))
    if rank:
        model.loss.weight.fill_(100)  # buffers come from rank 0
    wrapped = DistributedDataParallel(model)
    loss = wrapped(x[rank::WORLD], y[rank::WORLD])
    loss.backward()
    for parameter, gradient in zip(model.parameters(), right, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    print(f"rank {rank}: loss of its half {loss:.6f}, gradients of the whole")


def main():
    scenario, rank, file = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    distributed.init_process_group(
        "gloo", init_method=f"file://{file}", rank=rank, world_size=WORLD, timeout=timedelta(seconds=60)
    )
    torch.manual_seed(0)
    {"sharded": sharded, "parallel": parallel}[scenario](rank)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
